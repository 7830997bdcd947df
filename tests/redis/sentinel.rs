//! A master, a replica and three sentinels.

use flaggate::config::{Login, Redis, RedisServer, Servers};

use crate::server::Server;

/// What the sentinels call the master.
const NAME: &str = "flags";

pub(crate) struct Watched {
    pub(crate) servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    pub(crate) fn start() -> Self {
        let master = Server::start(&[]);
        let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        master.wait_until(|master| master.ask(&["INFO", "replication"]).contains("state=online"));
        let sentinels: Vec<Server> = (0..3).map(|_| Server::start_sentinel(NAME, master.port)).collect();
        // A failover needs sentinels that know each other and the replica.
        for sentinel in &sentinels {
            sentinel.wait_until(|sentinel| {
                let seen = sentinel.ask(&["SENTINEL", "MASTER", NAME]);
                let field = |name: &str| seen.split('\n').skip_while(|field| *field != name).nth(1);
                field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("1")
            });
        }
        Self { servers: vec![master, replica], sentinels }
    }

    /// Waits until all sentinels know `servers[master]` as the master, with its replica, and are ready for the next
    /// failover.
    pub(crate) fn until_settled(&self, master: usize) {
        let port = self.servers[master].port.to_string();
        for sentinel in &self.sentinels {
            sentinel.wait_until(|sentinel| {
                let address = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
                let replicas = sentinel.ask(&["SENTINEL", "REPLICAS", NAME]);
                address.ends_with(&port)
                    && replicas.contains("master-link-status\nok")
                    && !replicas.contains("s_down")
                    && !replicas.contains("disconnected")
            });
        }
    }

    /// The section `[store]` of a gateway that asks these sentinels.
    pub(crate) fn section(&self) -> String {
        let urls: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("\"redis://127.0.0.1:{}\"", sentinel.port)).collect();
        format!("kind = \"redis\"\nurls = [{}]\nsentinel = {{ master = \"{NAME}\" }}", urls.join(", "))
    }

    pub(crate) fn config(&self) -> Redis {
        let server = |sentinel: &Server| RedisServer { host: "127.0.0.1".to_owned(), port: sentinel.port };
        let sentinels = self.sentinels.iter().map(server).collect();
        let servers = Servers::Sentinel { sentinels, master: NAME.to_owned(), login: Login::default() };
        Redis { servers, ..Redis::at("", 0) }
    }
}
