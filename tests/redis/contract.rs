//! The contract, kept by one server and by a cluster.

use std::{sync::Arc, time::Duration};

use flaggate::store::{RedisStore, Store};

use crate::{cluster::Cluster, server::Server};

/// A store, and its server.
pub(crate) struct Home {
    pub(crate) store: Arc<dyn Store>,
    _server: Server,
}

pub(crate) fn one_server() -> Home {
    let server = Server::start(&[]);
    let store = RedisStore::new(server.config()).reconcile_every(Duration::ZERO);
    Home { store: Arc::new(store), _server: server }
}

contract!(one_server_keeps_it, crate::contract::one_server);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_it() {
    let cluster = Cluster::start();
    contract!(each |promise: &str| {
        let config = cluster.config(&format!("{{{promise}}}*["));
        Arc::new(RedisStore::new(config).reconcile_every(Duration::ZERO)) as Arc<dyn Store>
    });
    for node in &cluster.nodes {
        assert_ne!(node.ask(&["DBSIZE"]), "0", "the prefixes are spread over all nodes");
    }
}
