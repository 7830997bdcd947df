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

    /// Waits until all sentinels know one master with its replica and are ready for the next failover; which server that
    /// is. On a busy machine it need not be the one that was expected: they may have taken it for dead for a moment.
    pub(crate) fn settled_master(&self) -> usize {
        let master = |sentinel: &Server| sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        for sentinel in &self.sentinels {
            sentinel.wait_until(|sentinel| {
                let replicas = sentinel.ask(&["SENTINEL", "REPLICAS", NAME]);
                let down = ["s_down", "o_down", "disconnected", "in_progress"];
                self.sentinels.iter().all(|other| master(other) == master(sentinel))
                    && replicas.contains("master-link-status\nok")
                    && !down.iter().any(|flag| replicas.contains(flag))
            });
        }
        let address = master(&self.sentinels[0]);
        self.servers.iter().position(|server| address.ends_with(&format!("\n{}", server.port))).unwrap()
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
