//! Imports that a server breaks off: what is said of each flag is true of the store.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    replicas::{Gateway, until, upstream},
    server::Server,
};

async fn gateway(server: &Server) -> Gateway {
    let store = format!("kind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\nanswer_timeout = \"1s\"", server.port);
    Gateway::start([upstream("stable").await, upstream("canary").await], &store, "").await
}

/// As many flags, with a text of this length.
fn flags(count: usize, length: usize) -> Value {
    let text = "x".repeat(length);
    (0..count).map(|number| json!({ "key": format!("f{number}"), "name": "F", "description": text })).collect()
}

/// The keys that an answer tells under a name.
fn told(answer: &Value, name: &str) -> BTreeSet<String> {
    let entries = answer[name].as_array().unwrap_or_else(|| panic!("{answer}"));
    entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
}

/// Holds what an import said against what is stored; gives how many were written.
fn check(server: &Server, count: usize, answer: &Value) -> usize {
    let (written, not_written) = (told(answer, "written"), told(answer, "not_written"));
    let failed = answer["failed"]["key"].as_str().unwrap();
    assert!(answer["failed"]["why"].is_string() && answer["failed"]["action"] == "created", "{}", answer["failed"]);
    assert_eq!(written.len() + 1 + not_written.len(), count, "each flag is told once");
    assert!(written.is_disjoint(&not_written) && !written.contains(failed) && !not_written.contains(failed));
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("{} of {count} writes were done", written.len())), "{detail}");
    let stored: BTreeSet<String> = (0..count)
        .map(|number| format!("f{number}"))
        .filter(|key| server.ask(&["EXISTS", &format!("flag:{key}")]) == "1")
        .collect();
    assert!(written.is_subset(&stored), "what is told as written is there");
    assert!(stored.is_disjoint(&not_written), "what is told as not written is not there");
    written.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_server_that_is_full() {
    const COUNT: usize = 400;
    let server = Server::start(&["--maxmemory", "6mb", "--maxmemory-policy", "noeviction"]);
    let gateway = gateway(&server).await;
    let (status, answer) = gateway.ask("POST", "/import", Some(flags(COUNT, 20_000))).await;
    assert_eq!(status, 503, "{}", answer["detail"]);
    let written = check(&server, COUNT, &answer);
    assert!((1..COUNT).contains(&written), "{written}");
    // With room again it goes on where it broke off.
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let (status, answer) = gateway.ask("POST", "/import", Some(flags(COUNT, 20_000))).await;
    assert_eq!(status, 200, "{}", answer["detail"]);
    let counts = (answer["counts"]["unchanged"].as_u64().unwrap(), answer["counts"]["created"].as_u64().unwrap());
    assert!(counts.0 >= written as u64 && counts.0 + counts.1 == COUNT as u64, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_server_that_dies() {
    const COUNT: usize = 1_500;
    // What it acknowledged it still has when it is back.
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let gateway = gateway(&server).await;
    let import = gateway.ask("POST", "/import", Some(flags(COUNT, 100)));
    let mut import = std::pin::pin!(import);
    let some = async {
        while server.ask(&["XLEN", "flaggate:audit"]).parse::<usize>().unwrap() < 200 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        (status, _) = &mut import => panic!("it was done before the server died: {status}"),
        () = some => server.kill(),
    }
    let (status, answer) = import.await;
    assert_eq!(status, 503, "{}", answer["detail"]);
    server.resume();
    let written = check(&server, COUNT, &answer);
    // The last one may have been written and not been answered.
    assert!((199..COUNT).contains(&written), "{written}");
    until("the gateway is back", async || gateway.ask("GET", "/export", None).await.0 == 200).await;
    let (status, answer) = gateway.ask("POST", "/import", Some(flags(COUNT, 100))).await;
    assert_eq!(status, 200, "{}", answer["detail"]);
    assert!(answer["counts"]["unchanged"].as_u64().unwrap() >= written as u64);
}
