//! The stream of changes.

use std::time::Duration;

use reqwest::{Response, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ALL, Served, served};

/// Reads a stream as a browser does.
struct EventSource {
    response: Response,
    buffer: String,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    name: Option<String>,
    data: Option<Value>,
    retry: Option<u64>,
}

impl EventSource {
    async fn connect(served: &Served, last: Option<&str>) -> Self {
        let mut request = served.client.get(format!("http://{}/ofrep/v1/events", served.address));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next block; `None`: the stream ended.
    async fn next(&mut self) -> Option<Event> {
        let block = loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = block.to_owned();
                self.buffer = rest.to_owned();
                break block;
            }
            let bytes =
                timeout(Duration::from_secs(20), self.response.chunk()).await.expect("no event came").unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        };
        let mut event = Event::default();
        for line in block.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "id" => event.id = Some(value.to_owned()),
                "event" => event.name = Some(value.to_owned()),
                "data" => event.data = Some(serde_json::from_str(value).unwrap()),
                "retry" => event.retry = Some(value.parse().unwrap()),
                "" => {}
                other => panic!("{other}"),
            }
        }
        Some(event)
    }
}

async fn revision(served: &Served) -> String {
    let answer: Value = served.ofrep(ALL, &[], "{}").await.json().await.unwrap();
    answer["metadata"]["flaggate_revision"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_is_told() {
    let served = served().await;
    let before = revision(&served).await;
    let mut events = EventSource::connect(&served, Some(&before)).await;
    let greeting = events.next().await.unwrap();
    // Who missed nothing is told how far it is, and no more.
    assert_eq!((greeting.id, greeting.name, greeting.data), (Some(before.clone()), None, None));
    assert!((1_000..6_000).contains(&greeting.retry.unwrap()), "{:?}", greeting.retry);
    assert_eq!(served.patch("/flags/on", json!({ "default_value": false })).await.0, 200);
    let event = events.next().await.unwrap();
    let after = revision(&served).await;
    assert_ne!(before, after);
    assert_eq!((event.id.as_deref(), event.name.as_deref()), (Some(&*after), Some("message")));
    let data = event.data.unwrap();
    assert_eq!((&data["type"], &data["etag"]), (&json!("refetchEvaluation"), &json!(after)));
    let now = flaggate::clock::now().as_second();
    assert!((now - 60..=now).contains(&data["lastModified"].as_i64().unwrap()), "{data}");
}

#[tokio::test]
async fn what_was_missed_is_told_at_once() {
    let served = served().await;
    let now = revision(&served).await;
    // A change so young may be missing in what a client that connects for the first time evaluated.
    for last in [None, Some("another:1"), Some("")] {
        let event = EventSource::connect(&served, last).await.next().await.unwrap();
        assert_eq!((event.id.as_deref(), event.name.as_deref()), (Some(&*now), Some("message")), "{last:?}");
    }
}

#[tokio::test]
async fn changes_are_told_together_and_the_newest_last() {
    let served = served().await;
    let mut events = EventSource::connect(&served, None).await;
    events.next().await.unwrap();
    for round in 0..50 {
        assert_eq!(served.patch("/flags/on", json!({ "default_value": round % 2 == 0 })).await.0, 200);
    }
    let last = revision(&served).await;
    let mut told = Vec::new();
    while told.last() != Some(&last) {
        told.push(events.next().await.unwrap().id.unwrap());
    }
    assert!(told.len() < 50, "{told:?}");
}
