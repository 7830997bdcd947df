//! A cluster of three masters.

use std::{sync::Arc, time::Duration};

use flaggate::{
    config::{Redis, RedisServer, Servers},
    store::{RedisStore, Store, StoreError},
};
use tokio::time::{Instant, sleep};

use crate::{
    following::{Following, SOON, flag},
    server::Server,
};

const ARGUMENTS: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];

/// Three nodes that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let nodes: Vec<Server> = (0..3).map(|_| Server::start_with_bus(&ARGUMENTS)).collect();
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

/// The keys of a cluster's prefix, and the nodes: the one that has them and another one.
struct Slot<'c> {
    number: String,
    owner: &'c Server,
    other: &'c Server,
}

impl Cluster {
    fn slot(&self, prefix: &str) -> Slot<'_> {
        let number = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", prefix]);
        let (mut owners, mut others): (Vec<&Server>, Vec<&Server>) =
            self.nodes.iter().partition(|node| node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &number]) != "0");
        Slot { number, owner: owners.pop().unwrap(), other: others.pop().unwrap() }
    }
}

impl Slot<'_> {
    fn id(node: &Server) -> String {
        node.ask(&["CLUSTER", "MYID"])
    }

    /// The other node is about to take the slot over.
    fn begin(&self) {
        self.other.ask(&["CLUSTER", "SETSLOT", &self.number, "IMPORTING", &Self::id(self.owner)]);
        self.owner.ask(&["CLUSTER", "SETSLOT", &self.number, "MIGRATING", &Self::id(self.other)]);
    }

    /// Moves some keys.
    fn migrate(&self, count: usize) {
        let keys = self.owner.ask(&["CLUSTER", "GETKEYSINSLOT", &self.number, &count.to_string()]);
        for key in keys.split('\n').filter(|key| !key.is_empty()) {
            self.owner.ask(&["MIGRATE", "127.0.0.1", &self.other.port.to_string(), key, "0", "5000"]);
        }
    }

    fn end(&self, nodes: &[Server]) {
        let id = Self::id(self.other);
        for node in [self.other, self.owner].into_iter().chain(nodes) {
            node.ask(&["CLUSTER", "SETSLOT", &self.number, "NODE", &id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_another_node_loses_nothing() {
    let cluster = Cluster::start();
    let store = || RedisStore::new(cluster.config("{flags}:")).reconcile_every(Duration::ZERO);
    let (writer, following) = (store(), Following::start(Arc::new(store())));
    for number in 0..30 {
        writer.write(flag(&format!("f{number:02}"))).await.unwrap();
    }
    let before = writer.load().await.unwrap();
    following.reaches(&before.revision).await;
    let slot = cluster.slot("{flags}:");
    slot.begin();
    for _ in 0..12 {
        slot.migrate(3);
        // All or nothing: what has moved is never taken for removed.
        match store().load().await {
            Ok(contents) => assert_eq!(contents.documents.len(), 30),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
        }
        if let Err(error) = store().revision().await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        }
        assert_eq!(following.cell.load().len(), 30);
    }
    slot.migrate(1000);
    slot.end(&cluster.nodes);
    let by = Instant::now() + SOON;
    let after = loop {
        match writer.load().await {
            Ok(contents) => break contents,
            Err(error) => assert!(Instant::now() < by, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((after.revision.epoch, after.documents), (before.revision.epoch, before.documents));
    let written = writer.write(flag("after")).await.unwrap();
    following.reaches(&written.world).await;
    assert_eq!(following.cell.load().len(), 31);
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_for_a_node_that_dies() {
    let mut cluster = Cluster::start();
    let store = RedisStore::new(cluster.config("{flags}:"));
    let written = store.write(flag("before")).await.unwrap();
    let following = Following::start(Arc::new(RedisStore::new(cluster.config("{flags}:"))));
    following.reaches(&written.world).await;
    let owner = cluster.slot("{flags}:").owner.port;
    let id = cluster.slot("{flags}:").owner.ask(&["CLUSTER", "MYID"]);
    let replica = Server::start_with_bus(&ARGUMENTS);
    let bus = (owner + 10_000).to_string();
    replica.ask(&["CLUSTER", "MEET", "127.0.0.1", &owner.to_string(), &bus]);
    replica.wait_until(|replica| replica.ask(&["CLUSTER", "NODES"]).contains(&id));
    replica.wait_until(|replica| replica.ask(&["CLUSTER", "INFO"]).contains("cluster_size:3"));
    replica.ask(&["CLUSTER", "REPLICATE", &id]);
    replica.wait_until(|replica| replica.ask(&["INFO", "replication"]).contains("master_link_status:up"));
    let node = cluster.nodes.iter_mut().find(|node| node.port == owner).unwrap();
    node.kill();
    let by = Instant::now() + SOON;
    let after = loop {
        match store.write(flag("after")).await {
            Ok(written) => break written.world,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)) && Instant::now() < by, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    following.reaches(&after).await;
    assert_eq!((&after.epoch, following.cell.load().len()), (&written.world.epoch, 2));
    following.end().await;
}
