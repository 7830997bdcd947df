//! Races on one flag, over each store that needs no server.

use std::sync::Arc;

use flaggate::store::{EmbeddedStore, MemoryStore, Store};

use crate::harness::{client, listen};

#[path = "../support/races.rs"]
mod contest;

async fn race(store: Arc<dyn Store>, rounds: usize) {
    let base = format!("http://{}", listen(store).await);
    contest::one_wins_each_round(&client(), std::slice::from_ref(&base), rounds).await;
    contest::none_is_lost(&client(), &[base]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    race(Arc::new(MemoryStore::new()), 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    race(Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap()), 10).await;
}
