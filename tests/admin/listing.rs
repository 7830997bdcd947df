//! Pages of flags, searching, and flags that are stale.

use std::{collections::BTreeSet, sync::Arc};

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, MemoryStore, Store, Write},
};
use jiff::ToSpan as _;
use reqwest::header;
use serde_json::{Value, json};

use crate::harness::{Served, client, listen, serve};

/// A page: the keys, the path of the next page, and how many there are on all.
async fn page(served: &Served, path: &str) -> (Vec<String>, Option<String>, usize) {
    let response = served.client.get(format!("http://{}{path}", served.address)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let link = response.headers().get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
    let next = link.map(|link| link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned());
    let total = response.headers()["x-total-count"].to_str().unwrap().parse().unwrap();
    let flags: Vec<Value> = response.json().await.unwrap();
    (flags.iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect(), next, total)
}

impl Served {
    /// How often the metrics say that a flag was evaluated.
    async fn evaluations(&self, key: &str) -> u64 {
        let metrics = self.client.get(format!("http://{}/metrics", self.address)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let label = format!("flag=\"{key}\"");
        let lines = metrics.lines().filter(|line| line.starts_with("flaggate_flag_evaluations_total{"));
        let counts = lines.filter(|line| line.contains(&label)).map(|line| line.rsplit(' ').next().unwrap());
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }
}

async fn create(served: &Served, flag: Value) {
    let (status, answer) = served.post("/flags", flag).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn pages_hold_each_flag_once_while_flags_come_and_go() {
    let served = serve().await;
    for number in 0..25 {
        create(&served, json!({ "key": format!("f{number:02}"), "name": "x" })).await;
    }
    let (mut seen, mut path, mut pages) = (Vec::new(), Some("/flags?limit=10".to_owned()), 0);
    while let Some(asked) = path {
        let (keys, next, total) = page(&served, &asked).await;
        assert!(keys.len() <= 10 && total >= 24);
        seen.extend(keys);
        pages += 1;
        // What comes and goes on pages that were read does not move those that are still to come.
        if pages == 1 {
            assert_eq!(served.delete("/flags/f09").await.0, 200);
            create(&served, json!({ "key": "a", "name": "x" })).await;
        }
        path = next;
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, (0..25).map(|number| format!("f{number:02}")).collect::<Vec<_>>());
    let (all, next, total) = page(&served, "/flags?limit=25").await;
    assert_eq!((all.len(), next, total), (25, None, 25), "the last page has no link");
    for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=zz", "state=asleep"] {
        let (status, answer) = served.get(&format!("/flags?{wrong}")).await;
        assert_eq!((status, &answer["detail"][0]["loc"][0]), (422, &json!("query")), "{wrong}");
    }
}

#[tokio::test]
async fn searches() {
    let served = serve().await;
    create(&served, json!({ "key": "checkout", "name": "Ünï", "tags": ["Shop", "eu"], "enabled": false })).await;
    create(&served, json!({ "key": "child", "name": "C", "parent": "checkout", "owner": "Team Blue" })).await;
    create(&served, json!({ "key": "b", "name": "B", "description": "the CHECKOUT", "tags": ["eu"] })).await;
    let broken = r#"{"key": "broken", "name": "Broken", "variants": 7}"#;
    let write = |key: &str, text: &str| Write {
        document: DocumentKey::flag(key),
        text: Some(text.into()),
        expected: Expected::Absent,
        actor: "another program".to_owned(),
        at: clock::now(),
        fence: None,
    };
    served.store.write(write("broken", broken)).await.unwrap();
    served.store.write(write("mad", "{")).await.unwrap();
    // A write through the gateway is answered once everything before it is served too.
    assert_eq!(served.patch("/flags/b", json!({ "name": "b" })).await.0, 200);
    for (query, keys) in [
        ("q=checkout", vec!["b", "checkout"]),
        ("q=%C3%9CN", vec!["checkout"]),
        ("q=team+b", vec!["child"]),
        ("q=shop", vec!["checkout"]),
        ("q=", vec!["b", "broken", "checkout", "child"]),
        ("state=on", vec!["b"]),
        ("state=off", vec!["broken", "checkout", "child"]),
        ("state=faulty", vec!["broken"]),
        ("state=stale", vec![]),
        ("state=on&q=checkout&tags=eu", vec!["b"]),
        ("limit=5&tags=Shop&tags=none", vec!["checkout"]),
        ("q=zzz", vec![]),
    ] {
        assert_eq!(page(&served, &format!("/flags?{query}")).await.0, keys, "{query}");
    }
    let (_, shown) = served.get("/flags?state=faulty").await;
    assert_eq!(shown[0]["variants"], 7, "what cannot be compiled is shown as it is stored");
}

#[tokio::test]
async fn ten_thousand_flags_in_pages() {
    let store = Arc::new(MemoryStore::new());
    for number in 0..10_000 {
        let text = json!({ "key": format!("f{number:05}"), "name": "x", "tags": [format!("t{}", number % 7)] });
        let write = Write {
            document: DocumentKey::flag(format!("f{number:05}")),
            text: Some(text.to_string().into()),
            expected: Expected::Absent,
            actor: "test".to_owned(),
            at: clock::now(),
            fence: None,
        };
        store.write(write).await.unwrap();
    }
    let served = Served { address: listen(store.clone()).await, store, client: client() };
    let (mut seen, mut path) = (BTreeSet::new(), Some("/flags?limit=500".to_owned()));
    let began = clock::monotonic();
    while let Some(asked) = path {
        let (keys, next, total) = page(&served, &asked).await;
        assert_eq!((keys.len(), total), (500, 10_000));
        seen.extend(keys);
        path = next;
    }
    assert_eq!(seen.len(), 10_000);
    println!("20 pages of 500 in {:?}", clock::monotonic().duration_since(began));
    assert_eq!(
        page(&served, "/flags?limit=3&q=f0999&tags=t3").await,
        (vec!["f09992".to_owned(), "f09999".to_owned()], None, 2)
    );
}

#[tokio::test]
async fn stale_flags_with_the_reasons() {
    let served = serve().await;
    let past = (clock::now() - 1.hour()).to_string();
    create(&served, json!({ "key": "old", "name": "Old", "kind": "release", "owner": "us", "expires_at": past })).await;
    create(&served, json!({ "key": "fresh", "name": "Fresh" })).await;
    let (status, report) = served.get("/flags/stale").await;
    assert_eq!((status, &report["days"]), (200, &json!(30)), "{report}");
    let old = json!({ "key": "old", "name": "Old", "kind": "release", "owner": "us",
        "reasons": [{ "reason": "expired", "since": past }] });
    assert_eq!(report["flags"], json!([old]));
    assert_eq!(page(&served, "/flags?state=stale").await.0, ["old"]);
    let (_, report) = served.get("/flags/stale?days=0").await;
    let keys: Vec<&Value> = report["flags"].as_array().unwrap().iter().map(|flag| &flag["key"]).collect();
    assert_eq!(keys, ["fresh", "old"], "nothing was evaluated, nor changed within no time");
    assert_eq!(report["flags"][0]["reasons"][0]["reason"], "unused", "{report}");
    let user = json!({ "user_id": "u" });
    assert_eq!(served.post("/flags/fresh/evaluate", user.clone()).await.0, 200);
    assert_eq!(served.post("/flags/evaluate", json!({ "context": user, "flag_keys": ["fresh"] })).await.0, 200);
    assert_eq!(served.post("/flags/evaluate", json!({ "context": user })).await.0, 200);
    let counts = (served.evaluations("fresh").await, served.evaluations("old").await);
    assert_eq!(counts, (2, 0), "who names a flag uses it, who asks for all does not");
    for wrong in ["days=-1", "days=3651", "days=x"] {
        assert_eq!(served.get(&format!("/flags/stale?{wrong}")).await.0, 422);
    }
    create(&served, json!({ "key": "stale", "name": "A flag" })).await;
    assert_eq!(served.get("/flags/stale").await.1["name"], "A flag");
    assert_eq!(served.get("/flags/stale?report").await.1["flags"], json!([old]));
}
