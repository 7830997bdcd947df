//! The contract, kept by one server and by a cluster.

use std::{sync::Arc, time::Duration};

use flaggate::store::{RedisStore, Store};

use crate::server::Server;

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
