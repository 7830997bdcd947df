//! Many clients that change one flag at once, through one gateway or several.

use std::collections::BTreeMap;

use reqwest::{Client, Response, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// So many change the flag at once.
const WRITERS: usize = 100;

/// Fields that can hold a value of each writer's own.
const FIELDS: [&str; 10] = [
    "name",
    "description",
    "created_by",
    "owner",
    "salt",
    "bucket_by",
    "off_variant",
    "tags",
    "rollout_percentage",
    "expires_at",
];

async fn patch(client: Client, url: String, tag: Option<String>, body: Value) -> Response {
    let mut request = client.patch(url).json(&body);
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    request.send().await.unwrap()
}

fn tag(response: &Response) -> String {
    response.headers()[header::ETAG].to_str().unwrap().to_owned()
}

/// The revision that a tag begins with.
fn revision(tag: &str) -> usize {
    tag.trim_start_matches("\"r").split('-').next().unwrap().parse().unwrap()
}

async fn create(client: &Client, base: &str, key: &str) {
    let variants = (0..WRITERS).map(|writer| (format!("v{writer}"), json!(true))).collect::<BTreeMap<_, _>>();
    let flag = json!({ "key": key, "name": "A", "variants": variants });
    assert_eq!(client.post(format!("{base}/flags")).json(&flag).send().await.unwrap().status(), 200);
}

/// Everybody sends the tag of what was read: one wins each round, the others learn what is there now, and nothing that a
/// winner wrote is lost.
pub(crate) async fn one_wins_each_round(client: &Client, bases: &[String], rounds: usize) {
    create(client, &bases[0], "race").await;
    let mut winners = Vec::new();
    for round in 0..rounds {
        let read = client.get(format!("{}/flags/race", bases[0])).send().await.unwrap();
        let expected = tag(&read);
        let document: Value = read.json().await.unwrap();
        assert_eq!(document["tags"], json!(winners), "round {round}");
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let mine = format!("{round}-{writer}");
            let tags: Vec<&String> = winners.iter().chain([&mine]).collect();
            let (client, url, body) =
                (client.clone(), format!("{}/flags/race", bases[writer % bases.len()]), json!({ "tags": tags }));
            let expected = expected.clone();
            writers.spawn(async move { (mine, patch(client, url, Some(expected), body).await) });
        }
        let mut won = Vec::new();
        for (mine, response) in writers.join_all().await {
            let now = tag(&response);
            assert_ne!(now, expected, "the tag is that of the winner's document");
            match response.status().as_u16() {
                200 => won.push((mine, now)),
                status => assert_eq!(status, 412, "{}", response.text().await.unwrap()),
            }
        }
        assert_eq!(won.len(), 1, "one wins round {round}: {won:?}");
        winners.extend(won.into_iter().map(|(mine, _)| mine));
    }
    let read = client.get(format!("{}/flags/race", bases[0])).send().await.unwrap();
    assert_eq!(revision(&tag(&read)), rounds + 1);
    let document: Value = read.json().await.unwrap();
    assert_eq!(document["tags"], json!(winners));
}

/// Nobody says what was read: every change is done, on top of all others.
pub(crate) async fn none_is_lost(client: &Client, bases: &[String]) {
    create(client, &bases[0], "merge").await;
    let value = |field: &str, writer: usize| match field {
        "tags" => json!([format!("t{writer}")]),
        "rollout_percentage" => json!(writer),
        "expires_at" => json!(format!("20{writer:02}-01-01T00:00:00Z")),
        _ => json!(format!("v{writer}")),
    };
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let field = FIELDS[writer % FIELDS.len()];
        let url = format!("{}/flags/merge", bases[writer / FIELDS.len() % bases.len()]);
        writers.spawn(patch(client.clone(), url, None, json!({ field: value(field, writer) })));
    }
    let mut revisions: Vec<usize> = Vec::new();
    for response in writers.join_all().await {
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        revisions.push(revision(&tag(&response)));
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..WRITERS + 2).collect::<Vec<_>>(), "each change made a revision of its own");
    let read = client.get(format!("{}/flags/merge", bases[0])).send().await.unwrap();
    assert_eq!(revision(&tag(&read)), WRITERS + 1);
    let document: Value = read.json().await.unwrap();
    for (position, field) in FIELDS.into_iter().enumerate() {
        let writers = (0..WRITERS).filter(|writer| writer % FIELDS.len() == position);
        let written: Vec<Value> = writers.map(|writer| value(field, writer)).collect();
        let found = &document[field];
        let known = written.iter().any(|value| value == found || value.as_f64().is_some_and(|v| found == &json!(v)));
        assert!(known, "{field}: {found} is what one of its writers wrote");
    }
}
