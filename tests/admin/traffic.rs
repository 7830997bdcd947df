//! What became of the requests lately.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use flaggate::{
    model::{Arm, ArmCounts, Latency, Users},
    store::{CounterStore, MemoryCounters},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{serve, serve_counters};

fn counts(requests: u64, errors: u64) -> ArmCounts {
    let mut counts = ArmCounts { requests, errors, ..ArmCounts::default() };
    for number in 0..requests {
        counts.latency.add(Latency::bucket(number * 1_000), 1);
        counts.users.add(Users::place(Users::hash(&format!("user-{}", number % 5))));
    }
    counts
}

#[tokio::test]
async fn arms_have_figures_of_whole_seconds() {
    let time = Arc::new(AtomicI64::new(1_800_000_000));
    let clock = Arc::clone(&time);
    let counters = MemoryCounters::with_clock(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap());
    let way = Arm::Route { route: "shop".into(), strategy: "canary".into(), upstream: "next".into() };
    let variation = Arm::Variation { flag: "canary".into(), variation: "true".into() };
    for second in 0..10 {
        time.store(1_800_000_000 + second, Ordering::Relaxed);
        for gateway in ["a", "b"] {
            counters.add(gateway, vec![(way.clone(), counts(50, 5)), (variation.clone(), counts(1, 0))]).await.unwrap();
        }
    }
    let admin = serve_counters(Arc::new(counters)).await;
    let told = admin.client.get(format!("http://{}/traffic?seconds=5", admin.address)).send().await.unwrap();
    let told: Value = told.json().await.unwrap();
    // The tenth second is not over.
    assert_eq!(told["from"], "2027-01-15T08:00:04Z");
    assert_eq!((&told["to"], &told["seconds"]), (&json!("2027-01-15T08:00:09Z"), &json!(5)));
    assert_eq!(told["gateways"].as_array().unwrap().len(), 2);
    let (first, second) = (&told["arms"][0], &told["arms"][1]);
    assert_eq!(
        (&first["route"], &first["strategy"], &first["upstream"]),
        (&json!("shop"), &json!("canary"), &json!("next"))
    );
    assert_eq!((&first["requests"], &first["errors"], &first["error_rate"]), (&json!(500), &json!(50), &json!(0.1)));
    assert_eq!((&first["requests_per_second"], &first["users"]), (&json!(100.0), &json!(5)));
    let p95 = first["p95_ms"].as_f64().unwrap();
    assert!((47.0..50.0).contains(&p95), "{p95}");
    assert_eq!(
        (&second["flag"], &second["variation"], &second["requests"]),
        (&json!("canary"), &json!("true"), &json!(10))
    );
    assert_eq!(told["arms"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_looked_back_to_is_refused() {
    let admin = serve().await;
    for (seconds, status) in [("1", 200), ("900", 200), ("0", 422), ("901", 422), ("-1", 422), ("1e3", 422), ("", 422)]
    {
        let url = format!("http://{}/traffic?seconds={seconds}", admin.address);
        assert_eq!(admin.client.get(url).send().await.unwrap().status(), status, "{seconds}");
    }
    let told: Value =
        admin.client.get(format!("http://{}/traffic", admin.address)).send().await.unwrap().json().await.unwrap();
    assert_eq!((&told["arms"], &told["gateways"], &told["seconds"]), (&json!([]), &json!([]), &json!(60)));
}
