//! Races on one flag through two gateways that share a Redis.

use reqwest::Client;

use crate::{
    replicas::{Gateway, upstream},
    server::Server,
};

#[path = "../support/races.rs"]
mod contest;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways() {
    let server = Server::start(&[]);
    let upstreams = [upstream("stable").await, upstream("canary").await];
    let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", server.port);
    let gateways = [Gateway::start(upstreams, &store, "").await, Gateway::start(upstreams, &store, "").await];
    let bases = gateways.each_ref().map(|gateway| format!("http://{}", gateway.admin));
    contest::one_wins_each_round(&Client::new(), &bases, 10).await;
    contest::none_is_lost(&Client::new(), &bases).await;
}
