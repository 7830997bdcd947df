//! Profiles: how fast many are written, and what a store that does not answer costs a request.

use std::sync::Arc;

use flaggate::{
    clock,
    model::Profile,
    store::{ProfileStore, RedisStore},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{full, quantile, row};
use crate::{
    profiles::{asks_profiles, unavailable},
    proxy::{Fault, Proxy},
    server::Server,
};

/// A profile as people have them.
fn typical(number: usize) -> Value {
    json!({
        "user_id": format!("user-{number}"),
        "attributes": { "country": "DE", "plan": if number.is_multiple_of(5) { "pro" } else { "free" }, "platform": "ios",
            "signup": "2026-01-02T03:04:05Z", "lifetime_value": number % 1000 },
        "behavioral_data": { "purchase_count": number % 17, "sessions_per_week": 2.5, "days_since_signup": number % 400 },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_written_in_batches() {
    let count = if full() { 200_000 } else { 5_000 };
    let server = Server::start(&[]);
    let gateway = asks_profiles(server.port).await;
    let lines: String = (0..count).map(|number| format!("{}\n", typical(number))).collect();
    let began = clock::monotonic();
    let request = reqwest::Client::new().post(format!("http://{}/profiles:batch", gateway.admin));
    let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let took = began.elapsed();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["done"], &last["complete"]), (&json!(count), &json!(true)), "{last}");
    let rate = count as f64 / took.as_secs_f64();
    row(&format!("POST /profiles:batch, {count} profiles of 290 bytes, one connection"), &format!("{rate:.0}/s"));

    let store: Arc<dyn ProfileStore> = Arc::new(RedisStore::new(server.config()));
    let profile = |number: usize| {
        let parts = typical(number);
        let part = |name: &str| parts[name].as_object().cloned().unwrap();
        let profile =
            Profile { attributes: part("attributes"), behavioral_data: part("behavioral_data"), activity: None };
        (format!("user-{number}"), profile)
    };
    let batch: Vec<_> = (0..count).map(profile).collect();
    let began = clock::monotonic();
    assert_eq!(store.put_profiles(&batch, Timestamp::UNIX_EPOCH).await.unwrap(), []);
    let direct = count as f64 / began.elapsed().as_secs_f64();
    row("the store alone, without reading lines", &format!("{direct:.0}/s"));

    let began = clock::monotonic();
    let (mut read, mut after) = (0, None);
    loop {
        let (page, next) = store.scan(after.as_ref(), 1000).await.unwrap();
        (read, after) = (read + page.len(), next);
        if after.is_none() {
            break;
        }
    }
    assert!(read >= count);
    row("all of them read by a scan, 1 000 a page", &format!("{:.0}/s", read as f64 / began.elapsed().as_secs_f64()));
    let began = clock::monotonic();
    assert_eq!(store.sample(2_000, 1).await.unwrap().total, count as u64);
    row("2 000 of them drawn", &format!("{:.0} ms", began.elapsed().as_secs_f64() * 1000.0));
    let least = if full() { 20_000.0 } else { 1_000.0 };
    assert!(rate > least, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_delays_no_request_for_long() {
    let rounds = if full() { 2_000 } else { 100 };
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let gateway = asks_profiles(proxy.port()).await;
    let mut client = gateway.client();
    let mut took = Vec::new();
    for (name, fault) in [("answers", Fault::None), ("does not", Fault::HalfOpen)] {
        proxy.become_of(fault);
        let mut times = Vec::new();
        for round in 0..rounds {
            // Somebody of whom the cache knows nothing.
            let user = format!("{name}-{round}");
            let began = clock::monotonic();
            assert_eq!(client.get(&user).await.as_deref(), Some("stable"));
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        row(
            &format!("a request whose profile is looked up while Redis {name}, {rounds} requests"),
            &format!("p50 {:.2} ms, p99 {:.2} ms", quantile(&times, 0.5), quantile(&times, 0.99)),
        );
        took.push(times);
    }
    let added = quantile(&took[1], 0.99) - quantile(&took[0], 0.99);
    row("what a look-up in vain adds, p99", &format!("{added:.2} ms"));
    assert!(unavailable(&gateway).await > 0);
    let most = if full() { 5.0 } else { 500.0 };
    assert!(added < most, "{added}");
}
