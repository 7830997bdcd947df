//! Questions about all users, and who enters and leaves segments.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flaggate::{
    model::{DocumentKey, Profile},
    snapshot::Estimate,
    store::{EmbeddedStore, Expected, MemoryProfiles, Moved, ProfileStore, Store, StoredProfile, Write},
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{Served, serve_profiles};

/// A listener and its users.
struct Home {
    served: Served,
    profiles: Arc<dyn ProfileStore>,
}

impl Home {
    async fn new(profiles: Arc<dyn ProfileStore>) -> Self {
        let home = Self { served: serve_profiles(profiles.clone()).await, profiles };
        let rule = |field: &str, operator: &str, value: Value| json!([{ "field": field, "operator": operator, "value": value }]);
        home.write(json!({ "id": "even", "name": "Even", "rules": rule("even", "equals", json!(true)), "note": 1 }))
            .await;
        home.write(json!({ "id": "third", "rules": rule("third", "equals", json!(true)) })).await;
        home.write(json!({ "id": "none", "rules": rule("absent", "equals", json!(true)) })).await;
        home.write(json!({ "id": "reading", "type": "dynamic", "rules": rule("activity.page", "starts_with", json!("/docs")) }))
            .await;
        home
    }

    /// Writes a segment, and waits until it is served.
    async fn write(&self, segment: Value) {
        let document = DocumentKey::segment(segment["id"].as_str().unwrap());
        let write = Write {
            document,
            text: Some(segment.to_string().into()),
            expected: Expected::Any,
            actor: "tester".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            fence: None,
        };
        let revision = self.served.store.write(write).await.unwrap().world.to_string();
        until("the segment is served", async || self.served.get("/diagnostics").await.1["revision"] == revision).await;
    }

    async fn fill(&self, users: usize) {
        let users: Vec<(String, Profile)> = (0..users).map(|number| (format!("u{number}"), profile(number))).collect();
        assert_eq!(self.profiles.put_profiles(&users, Timestamp::UNIX_EPOCH).await.unwrap(), []);
    }

    async fn segment(&self, id: &str) -> (Value, u64) {
        let stored = self.served.store.get(&DocumentKey::segment(id)).await.unwrap().unwrap();
        (serde_json::from_str(&stored.text).unwrap(), stored.revision)
    }

    async fn memberships(&self, user: &str) -> Vec<String> {
        self.profiles.stored_profile(user).await.unwrap().map_or_else(Vec::new, |stored| stored.segment_memberships)
    }

    /// Waits until a user is kept in these segments.
    async fn until_in(&self, user: &str, segments: &[&str]) {
        until(user, async || self.memberships(user).await == segments).await;
    }

    /// Waits until the last run of a segment has this state, and answers with it.
    async fn until_run(&self, id: &str, state: &str) -> Value {
        let path = format!("/segments/{id}/recompute");
        until(state, async || self.served.get(&path).await.1["state"] == state).await;
        self.served.get(&path).await.1
    }
}

fn profile(number: usize) -> Profile {
    let attributes = json!({ "even": number.is_multiple_of(2), "third": number.is_multiple_of(3) });
    Profile { attributes: attributes.as_object().unwrap().clone(), ..Profile::default() }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let seen = async {
        while !is_so().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), seen).await.unwrap_or_else(|_| panic!("not seen in time: {what}"));
}

#[tokio::test]
async fn a_small_population_is_counted() {
    let home = Home::new(Arc::new(MemoryProfiles::new())).await;
    home.fill(300).await;
    let (before, revision) = home.segment("even").await;
    let (status, answer) = home.served.post("/segments/even/estimate", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let expected = json!({ "segment_id": "even", "matches": 150, "sample": 300, "total": 300, "estimate": 150, "low": 150,
        "high": 150, "confidence": 1.0 });
    assert_eq!(answer, expected);
    // Nothing but the size and the time is touched.
    let (mut after, written) = home.segment("even").await;
    assert_eq!(written, revision + 1);
    assert_eq!(after["estimated_size"], 150);
    assert!(after["last_computed"].as_str().unwrap().parse::<Timestamp>().is_ok());
    for field in ["estimated_size", "last_computed"] {
        after.as_object_mut().unwrap().shift_remove(field);
    }
    assert_eq!(after, before);
    // Without a body as well, and for who is in none.
    let (status, answer) = home.served.ask(Method::POST, "/segments/none/estimate", None).await;
    assert_eq!((status, &answer["estimate"]), (200, &json!(0)), "{answer}");
    assert_eq!(home.served.post("/segments/nowhere/estimate", json!({})).await.0, 404);
    for (body, pointer) in
        [(json!({ "sample": 0 }), "/sample"), (json!({ "sample": "x" }), "/sample"), (json!({ "size": 1 }), "/size")]
    {
        let (status, answer) = home.served.post("/segments/even/estimate", body).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{answer}");
    }
}

#[tokio::test]
async fn a_large_population_is_estimated() {
    let home = Home::new(Arc::new(MemoryProfiles::new())).await;
    home.fill(8_000).await;
    let (status, answer) = home.served.post("/segments/third/estimate", json!({ "sample": 1000 })).await;
    let number = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!((status, number("sample"), number("total")), (200, 1_000, 8_000), "{answer}");
    assert!(number("low") <= 2_667 && 2_667 <= number("high") && number("high") - number("low") < 600, "{answer}");
    assert_eq!(answer["confidence"], 0.95);
    // The same users are drawn again, so that nothing but a change of theirs changes the answer.
    assert_eq!(home.served.post("/segments/third/estimate", json!({ "sample": 1000 })).await.1, answer);
}

/// A hundred draws of 500 out of 20 000 users, each with another seed: the true number is within the interval as often as
/// that says.
#[tokio::test]
async fn the_interval_holds_the_true_number_95_times_of_100() {
    let store = MemoryProfiles::new();
    let users: Vec<(String, Profile)> = (0..20_000).map(|number| (format!("user-{number}"), profile(number))).collect();
    assert_eq!(store.put_profiles(&users, Timestamp::UNIX_EPOCH).await.unwrap(), []);
    let mut within = 0;
    for seed in 0..100 {
        let drawn = store.sample(500, seed).await.unwrap();
        let found = store.stored_profiles(&drawn.user_ids).await.unwrap();
        let is_third = |stored: &StoredProfile| stored.profile.attributes["third"] == true;
        let matches = found.iter().flatten().filter(|stored| is_third(stored)).count();
        let estimate = Estimate::new(u64::try_from(matches).unwrap(), 500, drawn.total);
        within += u32::from((estimate.low..=estimate.high).contains(&6_667));
    }
    assert!(within >= 93, "{within}");
}

#[tokio::test]
async fn segments_are_laid_over_each_other() {
    let home = Home::new(Arc::new(MemoryProfiles::new())).await;
    home.fill(600).await;
    let (status, answer) = home.served.get("/segments/overlap?ids=even,third&ids=none,even").await;
    assert_eq!(status, 200, "{answer}");
    let members =
        json!([{ "id": "even", "members": 300 }, { "id": "third", "members": 200 }, { "id": "none", "members": 0 }]);
    assert_eq!((&answer["segments"], &answer["sample"], &answer["total"]), (&members, &json!(600), &json!(600)));
    let pair = json!({ "a": "even", "b": "third", "both": 100, "of_a": 100.0 / 3.0, "of_b": 50.0, "jaccard": 0.25 });
    assert_eq!((&answer["pairs"][0], answer["pairs"].as_array().unwrap().len()), (&pair, 3));
    assert_eq!((&answer["pairs"][1]["of_b"], &answer["pairs"][1]["jaccard"]), (&Value::Null, &json!(0.0)));
    let (_, all) = home.served.get("/segments/overlap").await;
    assert_eq!(all["segments"].as_array().unwrap().len(), 4);
    assert_eq!(home.served.get("/segments/overlap?ids=even,nowhere").await.0, 404);
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    for wrong in ["sample=0", "sample=x", &format!("ids={}", many.join(","))] {
        assert_eq!(home.served.get(&format!("/segments/overlap?{wrong}")).await.0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn who_is_written_enters_and_leaves_segments() {
    let folder = tempfile::tempdir().unwrap();
    let file = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    let stores: [Arc<dyn ProfileStore>; 2] = [Arc::new(MemoryProfiles::new()), Arc::new(file)];
    for store in stores {
        let home = Home::new(store).await;
        let mut moved = home.profiles.moved_users().await.unwrap();
        let mut next = async || {
            let moved = timeout(Duration::from_secs(20), moved.next()).await.unwrap().unwrap();
            moved
                .iter()
                .map(|Moved { user_id, entered, left, .. }| (user_id.clone(), entered.join(" "), left.join(" ")))
                .collect::<Vec<_>>()
        };
        let one = |user: &str, entered: &str, left: &str| vec![(user.to_owned(), entered.to_owned(), left.to_owned())];
        let put = json!({ "attributes": { "even": true, "third": true } });
        assert_eq!(home.served.ask(Method::PUT, "/profiles/ann", Some(put)).await.0, 201);
        assert_eq!(next().await, one("ann", "even third", ""));
        home.until_in("ann", &["even", "third"]).await;
        assert_eq!(home.served.patch("/profiles/ann", json!({ "attributes": { "third": null } })).await.0, 200);
        assert_eq!(next().await, one("ann", "", "third"));
        let activity = json!({ "page": "/docs/a" });
        assert_eq!(home.served.post("/profiles/ann/activity", activity).await.0, 200);
        assert_eq!(next().await, one("ann", "reading", ""));
        home.until_in("ann", &["even", "reading"]).await;
        home.served.delete("/profiles/ann/activity").await;
        assert_eq!(next().await, one("ann", "", "reading"));
        // What changes nothing moves nobody; then the profile goes.
        assert_eq!(home.served.patch("/profiles/ann", json!({ "attributes": { "x": 1 } })).await.0, 200);
        home.served.delete("/profiles/ann").await;
        assert_eq!(next().await, one("ann", "", "even"));
        // An import moves all whom it brings.
        let lines: String = (0..600)
            .map(|number| {
                format!("{}\n", json!({ "user_id": format!("u{number}"), "attributes": profile(number).attributes }))
            })
            .collect();
        let request = home.served.client.post(format!("http://{}/profiles:batch", home.served.address));
        let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
        let mut entered = BTreeSet::new();
        while entered.len() < 400 {
            entered.extend(next().await.into_iter().map(|(user, ..)| user));
        }
        home.until_in("u6", &["even", "third"]).await;
        home.until_in("u7", &[]).await;
        let metrics = home.served.client.get(format!("http://{}/metrics", home.served.address)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        for line in [
            r#"flaggate_segment_moves_total{change="entered",segment="even"} 301"#,
            r#"flaggate_segment_moves_total{change="left",segment="even"} 1"#,
            r#"flaggate_segment_moves_total{change="entered",segment="third"} 201"#,
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    }
}

#[tokio::test]
async fn a_segment_is_worked_out_anew_for_everybody() {
    let home = Home::new(Arc::new(MemoryProfiles::new())).await;
    home.fill(2_000).await;
    assert_eq!(home.served.get("/segments/even/recompute").await.0, 404);
    let (status, begun) = home.served.post("/segments/even/recompute", json!({ "rate": 1_000_000 })).await;
    assert_eq!((status, &begun["state"], &begun["total"]), (202, &json!("running"), &json!(2_000)), "{begun}");
    let done = home.until_run("even", "finished").await;
    let counts = ["done", "members", "entered", "left"].map(|name| done[name].as_u64().unwrap());
    assert_eq!((counts, &done["resume"]), ([2_000, 1_000, 1_000, 0], &Value::Null), "{done}");
    assert_eq!((home.memberships("u4").await, home.memberships("u5").await), (vec!["even".to_owned()], vec![]));
    assert_eq!(home.segment("even").await.0["estimated_size"], 1_000);

    // The segment changes, and those who are in it for nothing leave; another one that they are in is not touched.
    home.served.post("/segments/third/recompute", json!({})).await;
    home.until_run("third", "finished").await;
    home.write(json!({ "id": "even", "rules": [{ "field": "third", "operator": "equals", "value": true }] })).await;
    // A run that is stopped on the way goes on from there.
    let slow = json!({ "rate": 1_000 });
    assert_eq!(home.served.post("/segments/even/recompute", slow.clone()).await.0, 202);
    assert_eq!(home.served.post("/segments/even/recompute", slow).await.0, 409);
    until("it is on its way", async || home.served.get("/segments/even/recompute").await.1["done"] != 0).await;
    assert_eq!(home.served.delete("/segments/even/recompute").await.0, 202);
    let stopped = home.until_run("even", "stopped").await;
    let so_far = stopped["done"].as_u64().unwrap();
    assert!(so_far > 0 && so_far < 2_000, "{stopped}");
    let rest = json!({ "rate": 1_000_000, "resume": stopped["resume"] });
    let (status, resumed) = home.served.post("/segments/even/recompute", rest).await;
    assert_eq!((status, resumed["done"].as_u64()), (202, Some(so_far)), "{resumed}");
    let done = home.until_run("even", "finished").await;
    assert_eq!((&done["done"], &done["members"]), (&json!(2_000), &json!(667)), "{done}");
    for (user, segments) in [("u4", vec![]), ("u6", vec!["even", "third"]), ("u9", vec!["even", "third"])] {
        assert_eq!(home.memberships(user).await, segments, "{user}");
    }
    for (body, pointer) in
        [(json!({ "rate": 0 }), "/rate"), (json!({ "resume": "x" }), "/resume"), (json!({ "x": 1 }), "/x")]
    {
        let (status, answer) = home.served.post("/segments/even/recompute", body).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{answer}");
    }
    assert_eq!(home.served.post("/segments/nowhere/recompute", json!({})).await.0, 404);
}

/// What the live feed tells of segments, one event after the other.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(home: &Home) -> Self {
        let url = format!("http://{}/events?subscribe=segments", home.served.address);
        let response = home.served.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut events = Self { response, text: String::new() };
        assert_eq!(events.next().await["type"], "snapshot");
        events
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return serde_json::from_str(&data).unwrap(),
                    None => continue,
                }
            }
            let more = timeout(Duration::from_secs(20), self.response.chunk()).await.unwrap().unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }
}

#[tokio::test]
async fn the_live_feed_tells_who_moves() {
    let home = Home::new(Arc::new(MemoryProfiles::new())).await;
    let mut events = Events::open(&home).await;
    let put = json!({ "attributes": { "even": true } });
    home.served.ask(Method::PUT, "/profiles/ann", Some(put)).await;
    let entered = events.next().await;
    let told = ["type", "segment_id", "user_id"].map(|name| entered[name].as_str().unwrap());
    assert_eq!(told, ["segment_entered", "even", "ann"], "{entered}");
    assert!(entered["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
    home.served.delete("/profiles/ann").await;
    assert_eq!(events.next().await["type"], "segment_left");
    // Many at once are told as numbers, so that an import drowns nobody.
    home.fill(900).await;
    home.served.post("/segments/third/recompute", json!({ "rate": 1_000_000 })).await;
    let mut entered = 0;
    let mut finished = false;
    while entered < 300 || !finished {
        let told = events.next().await;
        match told["type"].as_str().unwrap() {
            "segment_moves" => {
                assert_eq!(told["segment_id"], "third");
                entered += told["entered"].as_u64().unwrap();
            }
            "recompute_progress" => {
                finished = told["state"] == "finished";
                assert_eq!((&told["segment_id"], &told["total"]), (&json!("third"), &json!(900)));
            }
            // The size that was found.
            "segment_update" => assert_eq!(told["segment_id"], "third"),
            other => panic!("{other}: {told}"),
        }
    }
    assert_eq!(entered, 300);
}
