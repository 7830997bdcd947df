//! `/profiles` over stores in memory and in a file.

use std::{sync::Arc, time::Duration};

use flaggate::store::{EmbeddedStore, MAX_PROFILE_BYTES, MemoryProfiles, Moved, ProfileStore};
use reqwest::{Method, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::harness::{Served, serve_profiles};

/// A listener, where its users are, and the folder that they may be in.
struct Home {
    served: Served,
    store: Arc<dyn ProfileStore>,
    _folder: TempDir,
}

async fn homes() -> [Home; 2] {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let file = EmbeddedStore::open(&folders[1].path().join("store.redb")).unwrap();
    let stores: [Arc<dyn ProfileStore>; 2] = [Arc::new(MemoryProfiles::new()), Arc::new(file)];
    let [memory, file] = folders;
    let home = async |store: &Arc<dyn ProfileStore>, folder| Home {
        served: serve_profiles(Arc::clone(store)).await,
        store: Arc::clone(store),
        _folder: folder,
    };
    [home(&stores[0], memory).await, home(&stores[1], file).await]
}

impl Served {
    async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// The lines that an import is answered with.
    async fn import_profiles(&self, body: impl Into<reqwest::Body>) -> Vec<Value> {
        let request = self.client.post(format!("http://{}/profiles:batch", self.address));
        let answer = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(body).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/x-ndjson".parse().unwrap())
        );
        let text = answer.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_profile_lives() {
    for Home { served, .. } in homes().await {
        let (status, answer) = served.get("/profiles/ann").await;
        assert_eq!((status, &answer["status"]), (404, &json!(404)), "{answer}");
        let profile = json!({ "attributes": { "plan": "pro", "gone": null }, "behavioral_data": { "visits": 7.5 } });
        let (status, answer) = served.put("/profiles/ann", profile).await;
        assert_eq!((status, &answer["success"], &answer["user_id"]), (201, &json!(true), &json!("ann")), "{answer}");
        let expected = json!({
            "user_id": "ann",
            "attributes": { "plan": "pro" },
            "behavioral_data": { "visits": 7.5 },
            "segment_memberships": [],
            "last_updated": answer["last_updated"],
            "activity": null,
        });
        assert!(answer["last_updated"].as_str().unwrap().ends_with('Z'), "{answer}");
        assert_eq!(served.get("/profiles/ann").await, (200, expected.clone()));

        // What is shown can be sent back.
        assert_eq!(served.put("/profiles/ann", expected).await.0, 200);
        let patch = json!({ "attributes": { "plan": null, "list": [] }, "behavioral_data": { "n": 1 } });
        assert_eq!(served.patch("/profiles/ann", patch).await.0, 200);
        let (_, found) = served.get("/profiles/ann").await;
        assert_eq!(
            (&found["attributes"], &found["behavioral_data"]),
            (&json!({ "list": [] }), &json!({ "visits": 7.5, "n": 1 }))
        );
        assert_eq!(served.patch("/profiles/bob", json!({})).await.0, 201);

        assert_eq!(served.delete("/profiles/ann").await, (200, json!({ "success": true })));
        assert_eq!((served.delete("/profiles/ann").await.0, served.get("/profiles/ann").await.0), (404, 404));
    }
}

#[tokio::test]
async fn an_activity_lives_for_as_long_as_it_says() {
    for Home { served, .. } in homes().await {
        let activity = json!({ "current_page": "/checkout/pay", "seconds": 420, "ttl_seconds": 900 });
        let (status, answer) = served.post("/profiles/ann/activity", activity).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        let until: jiff::Timestamp = answer["expires_at"].as_str().unwrap().parse().unwrap();
        let left = until.as_second() - flaggate::clock::now().as_second();
        assert!((890..=900).contains(&left), "{left}");
        let (_, found) = served.get("/profiles/ann").await;
        assert_eq!(found["activity"], json!({ "current_page": "/checkout/pay", "seconds": 420 }));
        assert_eq!((&found["attributes"], &found["last_updated"]), (&json!({}), &Value::Null));
        assert_eq!(served.delete("/profiles/ann/activity").await.0, 200);
        assert_eq!((served.delete("/profiles/ann/activity").await.0, served.get("/profiles/ann").await.0), (404, 404));

        assert_eq!(served.post("/profiles/ann/activity", json!({ "ttl_seconds": 1 })).await.0, 200);
        let gone = async {
            while served.get("/profiles/ann").await.0 == 200 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.expect("it ends");
        for ttl in [json!(0), json!(86_401), json!(1.5), json!("1"), json!(null), json!(-1)] {
            let (status, answer) = served.post("/profiles/ann/activity", json!({ "ttl_seconds": ttl })).await;
            assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/ttl_seconds")), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_is_written_decides_at_once() {
    for Home { served, .. } in homes().await {
        let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
        let flag = json!({ "key": "f", "name": "F", "targeting_enabled": true, "targeting_rules": [rule] });
        assert_eq!(served.post("/flags", flag).await.0, 200);
        let value = async || served.post("/flags/f/evaluate", json!({ "user_id": "ann" })).await.1["value"].clone();
        assert_eq!(value().await, false);
        served.put("/profiles/ann", json!({ "attributes": { "plan": "pro" } })).await;
        assert_eq!(value().await, true, "the cache forgot that there is none");
        served.patch("/profiles/ann", json!({ "attributes": { "plan": "free" } })).await;
        assert_eq!(value().await, false);
        served.import_profiles("{\"user_id\": \"ann\", \"attributes\": {\"plan\": \"pro\"}}").await;
        assert_eq!(value().await, true);
        served.delete("/profiles/ann").await;
        assert_eq!(value().await, false);
    }
}

#[tokio::test]
async fn users_are_called_as_they_like() {
    for Home { served, store, .. } in homes().await {
        for (path, user) in [
            ("a%2Fb", "a/b"),
            ("%C3%A9%20%3F", "é ?"),
            ("ann@example.org", "ann@example.org"),
            ("x:batch", "x:batch"),
            ("%0A", "\n"),
            (&*"x".repeat(256), &*"x".repeat(256)),
        ] {
            assert_eq!(served.put(&format!("/profiles/{path}"), json!({ "user_id": user })).await.0, 201, "{path}");
            assert!(store.stored_profile(user).await.unwrap().is_some(), "{path}");
            assert_eq!(served.get(&format!("/profiles/{path}")).await.1["user_id"], user);
        }
        for (path, status) in [("%00", 422), ("a%00b", 422), (&*"x".repeat(257), 422), ("%ff", 400)] {
            for (method, below) in
                [(Method::GET, ""), (Method::PUT, ""), (Method::DELETE, ""), (Method::POST, "/activity")]
            {
                let (found, answer) = served.ask(method, &format!("/profiles/{path}{below}"), Some(json!({}))).await;
                assert_eq!(found, status, "{path}: {answer}");
                assert!(status == 400 || answer["errors"][0]["parameter"] == "id", "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    for Home { served, .. } in homes().await {
        for (body, pointer) in [
            (json!({ "behavioral_data": { "a/b": "7" } }), "/behavioral_data/a~1b"),
            (json!({ "behavioral_data": { "n": true } }), "/behavioral_data/n"),
            (json!({ "attributes": ["a"] }), "/attributes"),
            (json!({ "attribute": {} }), "/attribute"),
            (json!({ "user_id": "bob" }), "/user_id"),
            (json!("text"), ""),
            (json!([1]), ""),
        ] {
            for method in [Method::PUT, Method::PATCH] {
                let (status, answer) = served.ask(method, "/profiles/ann", Some(body.clone())).await;
                assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {answer}");
            }
        }
        let long = "x".repeat(MAX_PROFILE_BYTES);
        for (method, path) in
            [(Method::PUT, "/profiles/ann"), (Method::PATCH, "/profiles/ann"), (Method::POST, "/profiles/ann/activity")]
        {
            let (status, answer) = served.ask(method, path, Some(json!({ "attributes": { "a": long } }))).await;
            assert_eq!((status, &answer["title"]), (413, &json!("Payload Too Large")), "{answer}");
        }
        let huge = json!({ "attributes": { "a": "x".repeat(1 << 20) } });
        assert_eq!(served.put("/profiles/ann", huge).await.0, 413);
        assert_eq!(served.get("/profiles/ann").await.0, 404, "nothing was written");
        let empty = served.client.put(format!("http://{}/profiles/ann", served.address)).send().await.unwrap();
        assert_eq!(
            (empty.status().as_u16(), &empty.headers()["content-type"]),
            (422, &"application/problem+json".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn all_come_in_pages() {
    for Home { served, store, .. } in homes().await {
        assert_eq!(served.get("/profiles").await, (200, json!({ "profiles": [], "next": null, "total": null })));
        let lines: String = (0..250).map(|number| format!("{{\"user_id\": \"u{number}\"}}\n")).collect();
        assert_eq!(served.import_profiles(lines).await.last().unwrap()["done"], 250);
        let [user_id, segment] = ["u7", "vip"].map(str::to_owned);
        let entered = vec![segment];
        let moved = Moved { user_id, segments: entered.clone(), entered, left: Vec::new() };
        store.set_memberships(&[moved]).await.unwrap();
        let (mut users, mut path) = (Vec::new(), "/profiles?limit=100&count=true".to_owned());
        loop {
            let (status, page) = served.get(&path).await;
            assert_eq!((status, &page["total"]), (200, &json!({ "number": 250, "exact": true })), "{page}");
            users.extend(page["profiles"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/profiles?limit=100&count=true&cursor={next}");
        }
        assert_eq!(users.len(), 250);
        let found = users.iter().find(|user| user["user_id"] == "u7").unwrap();
        assert_eq!(found["segment_memberships"], json!(["vip"]));
        for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=", "cursor=xyz", "count=maybe"] {
            let (status, answer) = served.get(&format!("/profiles?{wrong}")).await;
            let name = wrong.split('=').next().unwrap();
            assert_eq!((status, &answer["errors"][0]["parameter"]), (422, &json!(name)), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_bad_line_does_not_stop_the_others() {
    for Home { served, store, .. } in homes().await {
        let long = "x".repeat(MAX_PROFILE_BYTES);
        let body = [
            "\u{feff}{\"user_id\": \"a\", \"attributes\": {\"n\": 1}}\r",
            "{\"user_id\": \"b\", \"behavioral_data\": {\"n\": \"7\"}}",
            "not json",
            "",
            "   ",
            "{\"attributes\": {}}",
            &format!("{{\"user_id\": \"c\", \"attributes\": {{\"long\": \"{long}\"}}}}"),
            "[1]",
            "{\"user_id\": 12}",
            "{\"user_id\": \"a\", \"attributes\": {\"n\": 2}}",
            "{\"user_id\": \"\\u0000\"}",
        ];
        let told = served.import_profiles(body.join("\n")).await;
        let last = told.last().unwrap();
        assert_eq!((&last["done"], &last["failed"], &last["complete"]), (&json!(3), &json!(6), &json!(true)), "{last}");
        let errors = last["errors"].as_array().unwrap();
        let lines: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 3, 6, 7, 8, 11], "{last}");
        assert!(errors[0]["message"].as_str().unwrap().starts_with("/behavioral_data/n: "), "{last}");
        assert_eq!(errors[3]["message"], "the line is longer than 65536 bytes");
        let found = store.stored_profile("a").await.unwrap().unwrap();
        assert_eq!(found.profile.attributes["n"], 2, "the later line stays");
        assert!(store.stored_profile("12").await.unwrap().is_some());
        assert_eq!(store.count_profiles().await.unwrap().number, 2);

        let told = served.import_profiles("").await;
        assert_eq!((told.len(), &told[0]["done"], &told[0]["complete"]), (1, &json!(0), &json!(true)), "{told:?}");
        let request = served.client.post(format!("http://{}/profiles:batch", served.address));
        let refused = request.header(header::CONTENT_TYPE, "text/plain").body("{}").send().await.unwrap();
        assert_eq!(refused.status(), 415);
    }
}

/// A connection on which an import has begun: the head of the answer comes before the body ends.
async fn begin(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "POST /profiles:batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("it did not come to pass that {what}"));
}

#[tokio::test]
async fn an_import_is_done_while_it_is_sent() {
    for Home { served, store, .. } in homes().await {
        let mut stream = begin(&served).await;
        let mut answer = String::new();
        let mut sent = 0;
        // Progress is told although the body has not ended.
        let waiting = async {
            while !answer.contains("\"rate\"") {
                for _ in 0..10 {
                    let lines: String =
                        (0..100).map(|number| format!("{{\"user_id\": \"u{}\"}}\n", sent + number)).collect();
                    send(&mut stream, &lines).await;
                    sent += 100;
                }
                let mut buffer = [0; 4096];
                while let Ok(Ok(read)) = timeout(Duration::from_millis(20), stream.read(&mut buffer)).await {
                    answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                }
            }
        };
        timeout(Duration::from_secs(60), waiting).await.expect("progress is told");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("complete"), "{answer}");
        assert!(store.count_profiles().await.unwrap().number > 0);
        // What is cut off by the end of the body is a line as well.
        send(&mut stream, "{\"user_id\": \"last\"}").await;
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let reading = async {
            let mut buffer = [0; 4096];
            while !answer.ends_with("0\r\n\r\n") {
                let read = stream.read(&mut buffer).await.unwrap();
                answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
        };
        timeout(Duration::from_secs(20), reading).await.expect("it ends");
        assert!(answer.contains(&format!("\"done\":{},\"failed\":0", sent + 1)), "{answer}");
        assert!(answer.contains("\"complete\":true"), "{answer}");
        assert!(store.stored_profile("last").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn who_goes_away_stops_the_import() {
    for Home { served, store, .. } in homes().await {
        let mut stream = begin(&served).await;
        let lines: String = (0..1500).map(|number| format!("{{\"user_id\": \"u{number}\"}}\n")).collect();
        send(&mut stream, &lines).await;
        until("the first batch is written", async || store.count_profiles().await.unwrap().number == 1000).await;
        drop(stream);
        // What came after it was not told to anybody, and is not done.
        assert_eq!(served.import_profiles("{\"user_id\": \"other\"}").await[0]["done"], 1);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(store.count_profiles().await.unwrap().number, 1001);
    }
}
