//! A cluster of three masters.

use flaggate::config::{Redis, RedisServer, Servers};

use crate::server::Server;

/// Three nodes that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let nodes: Vec<Server> = (0..3).map(|_| Server::start_with_bus(&arguments)).collect();
        for (node, slots) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        }
        for node in &nodes[1..] {
            let bus = (node.port + 10_000).to_string();
            nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus]);
        }
        for node in &nodes {
            node.wait_until(|node| {
                let info = node.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_size:3")
            });
        }
        Self { nodes }
    }

    /// How a store finds it: by the last two nodes, whatever slot it is about.
    pub(crate) fn config(&self, prefix: &str) -> Redis {
        let server = |node: &Server| RedisServer { host: "127.0.0.1".to_owned(), port: node.port };
        let servers = Servers::Cluster(self.nodes[1..].iter().map(server).collect());
        Redis { servers, key_prefix: prefix.to_owned(), ..Redis::at("", 0) }
    }
}
