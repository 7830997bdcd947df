//! `GET /events`: the feed as server-sent events.

use flaggate::admin::LiveLimits;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{PATIENCE, Served, number, serve};

/// A reader of the stream.
struct Events {
    response: Response,
    text: String,
    /// The last id that was told.
    last: Option<String>,
}

impl Events {
    async fn open(served: &Served, query: &str, last: Option<&str>) -> Self {
        let mut request = served.http.get(format!("http://{}/events{query}", served.address));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), last: None }
    }

    /// The type and the data of the next event.
    async fn next(&mut self) -> (String, Value) {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                self.last = field("id").map(str::to_owned).or(self.last.take());
                let event = field("event").zip(field("data"));
                let event = event.map(|(kind, data)| (kind.to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                if let Some(event) = event {
                    return event;
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("nothing comes").unwrap();
            self.text += std::str::from_utf8(&chunk.expect("the stream ended")).unwrap();
        }
    }

    async fn update(&mut self) -> String {
        let (kind, told) = self.next().await;
        assert_eq!((kind.as_str(), &told["type"]), ("flag_update", &json!("flag_update")));
        assert_eq!(self.last.as_deref(), told["revision"].as_str(), "a change of one flag has one event");
        told["flag_key"].as_str().unwrap().to_owned()
    }

    async fn snapshot(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        loop {
            let (kind, told) = self.next().await;
            assert_eq!(kind, "snapshot");
            keys.extend(told["flags"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap().to_owned()));
            if told["part"] == told["parts"] {
                assert_eq!(self.last.as_deref(), told["revision"].as_str());
                return keys;
            }
            assert_eq!(self.last, None, "half a snapshot is nothing to go on from");
        }
    }
}

#[tokio::test]
async fn a_snapshot_and_then_changes() {
    let served = serve(LiveLimits::default()).await;
    served.fill(2000).await;
    let mut all = Events::open(&served, "", None).await;
    assert_eq!(all.snapshot().await.len(), 2000);
    let mut some = Events::open(&served, "?subscribe=flags&keys=a,flag-1&keys=b", None).await;
    assert_eq!(some.snapshot().await, ["flag-1"]);
    for key in ["c", "b", "a"] {
        served.put(key, 1).await;
        assert_eq!(all.update().await, key);
    }
    assert_eq!((some.update().await, some.update().await), ("b".to_owned(), "a".to_owned()));
}

#[tokio::test]
async fn who_comes_back_goes_on_where_it_was() {
    let served = serve(LiveLimits::default()).await;
    served.put("a", 0).await;
    let mut events = Events::open(&served, "", None).await;
    events.snapshot().await;
    served.put("a", 1).await;
    events.update().await;
    let last = events.last.take().unwrap();
    drop(events);
    served.put("b", 1).await;
    served.put("c", 1).await;
    served.remove("b").await;
    let mut events = Events::open(&served, "", Some(&last)).await;
    // `b` as it was last is told later.
    assert_eq!((events.update().await, events.update().await), ("c".to_owned(), "b".to_owned()));
    let last = events.last.take().unwrap();
    let mut events = Events::open(&served, "", Some(&last)).await;
    served.put("d", 1).await;
    assert_eq!(events.update().await, "d");
    assert_eq!(number(&json!(events.last)), number(&json!(last)) + 1);
}

#[tokio::test]
async fn who_comes_back_too_late_or_from_elsewhere_begins_anew() {
    let limits = LiveLimits { queue: 4, ..LiveLimits::default() };
    let served = serve(limits).await;
    served.put("a", 0).await;
    let mut events = Events::open(&served, "", None).await;
    events.snapshot().await;
    let last = events.last.take().unwrap();
    let (epoch, _) = last.rsplit_once(':').unwrap();
    for percentage in 1..=limits.queue + 1 {
        served.put("a", percentage).await;
    }
    for gone in [last.as_str(), "elsewhere:3", "nonsense", "", &format!("{epoch}:x")] {
        assert_eq!(Events::open(&served, "", Some(gone)).await.snapshot().await, ["a"], "{gone:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_told() {
    let served = serve(LiveLimits::default()).await;
    let many = (0..1001).map(|key| format!("&keys={key}")).collect::<String>();
    for query in ["?subscribe=flag", "?subscribe=flags,traffic", &format!("?subscribe=flags{many}")] {
        let answer = served.http.get(format!("http://{}/events{query}", served.address)).send().await.unwrap();
        let (status, told) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
        assert_eq!((status, &told["detail"][0]["loc"][0]), (422, &json!("query")), "{told}");
    }
}
