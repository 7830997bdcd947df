//! Events to a web hook and a file, by a gateway of the real binary.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use flaggate::{clock, telemetry::Privacy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    process::{PATIENCE, Process},
    server::{Asked, server, status},
};

const SECRET: &str = "nobody guesses this secret";

/// A gateway that tells a web hook and a file of `ann` and `bob`, and the folder with its secrets.
async fn told(answers: Vec<String>) -> (Process, Asked, TempDir) {
    let (hook, asked) = server(answers).await;
    let folder = tempfile::tempdir().unwrap();
    let (secret, token) = (folder.path().join("secret"), folder.path().join("token"));
    fs::write(&secret, SECRET).unwrap();
    fs::write(&token, "shibboleth\n").unwrap();
    let events = folder.path().join("events.jsonl");
    let more = format!(
        "[events]\nsinks = [\"file\", \"webhook\"]\nfile.path = {events:?}\nsession_id = {{ cookie = \"sid\" }}\n\
         webhook = {{ url = \"http://{hook}/in?key=SECRET\", token_file = {token:?} }}\n\
         [privacy]\nhash_user_ids = true\nsecret_file = {secret:?}\n[outbound]\nallow = [\"{hook}\"]\n\
         [upstreams.one]\nendpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
         [[routes]]\nname = \"all\"\nupstream = \"one\"\nflags = [\"theme\"]\n"
    );
    let flags = json!([{ "key": "theme", "name": "Theme", "rollout_enabled": true, "rollout_percentage": 100 }]);
    let gateway = Process::start(&flags, &more).await;
    let client = reqwest::Client::new();
    for user in ["ann@example.org", "ann@example.org"] {
        let request = client.get(format!("http://{}/?mail=ann", gateway.web)).header("X-User-Id", user);
        let answered = request.header("Cookie", "a=1; sid=my-session").send().await.unwrap();
        assert_eq!(answered.status(), 502, "nobody is there");
    }
    // A request is told of after its answer.
    lines(&events, 3).await;
    let track = json!({ "user_id": "bob@example.org", "event": "bought", "value": 3.5 });
    let answered = client.post(format!("http://{}/track", gateway.admin)).json(&track).send().await.unwrap();
    assert_eq!(answered.status(), 202);
    let lines = lines(&events, 4).await;
    let privacy = Privacy::hashing(SECRET.as_bytes());
    let (ann, bob) = (privacy.shown("ann@example.org").into_owned(), privacy.shown("bob@example.org").into_owned());
    let kinds: Vec<_> = lines
        .iter()
        .map(|event| (event["event_type"].as_str().unwrap().to_owned(), event["user_id"].clone()))
        .collect();
    let of = |kind: &str, user: &str| (kind.to_owned(), json!(user));
    assert_eq!(
        kinds,
        [
            of("flag_evaluated", &ann),
            of("error_occurred", &ann),
            of("error_occurred", &ann),
            of("metric_recorded", &bob)
        ]
    );
    let (exposure, error) = (&lines[0], &lines[1]);
    assert_eq!(exposure["session_id"], *privacy.shown("my-session"));
    assert_eq!((&exposure["data"]["route"], &exposure["data"]["variation"]), (&json!("all"), &json!("true")));
    assert_eq!((&error["data"]["error"], &error["data"]["upstream"]), (&json!("connect_failed"), &json!("one")));
    assert_eq!(error["data"]["flags"], json!({ "theme": "true" }));
    let text = lines.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains("example.org") && !text.contains("mail"), "{text}");
    (gateway, asked, folder)
}

/// Waits until a file has so many lines, and gives them.
async fn lines(path: &Path, least: usize) -> Vec<Value> {
    let by = clock::monotonic() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.len() >= least {
            return lines;
        }
        assert!(clock::monotonic() < by, "{lines:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The CloudEvents of a request.
fn batch(request: &str) -> Vec<Value> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /in?key=secret "), "{head}");
    assert!(head.contains("content-type: application/cloudevents-batch+json"), "{head}");
    assert!(head.contains("authorization: bearer shibboleth"), "{head}");
    let events: Vec<Value> = serde_json::from_str(body).unwrap();
    for event in &events {
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &event["data"]["event_id"]));
        assert_eq!(event["type"], format!("flaggate.{}", event["data"]["event_type"].as_str().unwrap()));
        assert!(event["source"].as_str().unwrap().starts_with("flaggate/"), "{event}");
        assert_eq!(
            (&event["time"], &event["datacontenttype"]),
            (&event["data"]["timestamp"], &json!("application/json"))
        );
    }
    events
}

/// Waits until the web hook was asked with so many events in all, and gives the requests.
async fn until_asked(asked: &Asked, events: usize) -> Vec<Vec<Value>> {
    let by = clock::monotonic() + PATIENCE;
    loop {
        let batches: Vec<Vec<Value>> = asked.all().iter().map(|request| batch(request)).collect();
        if batches.iter().map(Vec::len).sum::<usize>() >= events {
            return batches;
        }
        assert!(clock::monotonic() < by, "{batches:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_hook_gets_each_event_once_and_nothing_tells_who_it_is_of() {
    let (gateway, asked, _folder) = told(vec![status("202 Accepted", "")]).await;
    let batches = until_asked(&asked, 4).await;
    // A second batch, or a doubled one, would come within this.
    sleep(Duration::from_millis(1_500)).await;
    let ids: Vec<String> = batches.iter().flatten().map(|event| event["id"].to_string()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), asked.all().len()), (4, 4, batches.len()));
    let log = fs::read_to_string(gateway.folder.path().join("log")).unwrap();
    for personal in ["ann", "bob", "my-session", "SECRET", "shibboleth"] {
        assert!(!log.contains(personal), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_hook_that_fails_is_asked_again() {
    let answers = ["500 Broken", "503 Away", "429 Slower", "200 OK"].map(|answer| status(answer, "")).to_vec();
    let (gateway, asked, _folder) = told(answers).await;
    let by = clock::monotonic() + PATIENCE;
    let metrics = loop {
        let metrics = reqwest::get(format!("http://{}/metrics", gateway.admin)).await.unwrap().text().await.unwrap();
        if metrics.contains("flaggate_events_delivered_total{sink=\"webhook\"} 4") {
            break metrics;
        }
        assert!(clock::monotonic() < by, "{metrics}");
        sleep(Duration::from_millis(20)).await;
    };
    let batches = until_asked(&asked, 4).await;
    assert!(batches[..4].windows(2).all(|pair| pair[0] == pair[1]), "the same batch is given again: {batches:?}");
    for line in [
        "flaggate_event_sink_failures_total{sink=\"webhook\"} 3",
        "flaggate_events_delivered_total{sink=\"file\"} 4",
        "flaggate_events_delivered_total{sink=\"webhook\"} 4",
        "flaggate_event_sink_up{sink=\"webhook\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let log = fs::read_to_string(gateway.folder.path().join("log")).unwrap();
    assert!(log.contains("the sink webhook is down: it answered 500") && !log.contains("SECRET"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_hook_that_refuses_is_not_asked_again() {
    let (gateway, asked, _folder) = told(vec![status("403 Forbidden", "")]).await;
    let count = until_asked(&asked, 4).await.len();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(asked.all().len(), count);
    let metrics = reqwest::get(format!("http://{}/metrics", gateway.admin)).await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("flaggate_events_dropped_total{sink=\"webhook\",type=\"metric_recorded\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("flaggate_exposures_dropped_total 1"), "{metrics}");
}
