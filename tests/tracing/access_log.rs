//! The access log: what a line says, which requests have one, and rotation.

use std::{fs, path::Path, thread, time::Duration};

use flaggate::clock;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    collector::{Collector, PATIENCE},
    harness::{Gateway, HASHED, hashing, header, secret},
};

/// Waits for so many lines, and gives all.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let by = clock::monotonic() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        if whole.len() >= count {
            return whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(clock::monotonic() < by, "{count} lines are wanted: {text}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_line_tells_of_flags_and_trace_and_of_nobody() {
    let (collector, secret) = (Collector::start(), secret());
    for (more, user_id, recorded) in [
        ("", None, None),
        ("access_log.user_id = true", Some("ada"), None),
        (&format!("access_log.user_id = true\n{}", hashing(&secret)), Some(HASHED), None),
        (&format!("tracing = {{ endpoint = \"http://{}\", sample = \"100%\" }}", collector.address), None, Some(true)),
        (&format!("tracing = {{ endpoint = \"http://{}\", sample = \"0%\" }}", collector.address), None, Some(false)),
    ] {
        let gateway = Gateway::start(more);
        let (status, head) = gateway.get("/shop/a?secret=1", "X-User-Id: ada\r\n");
        let (missed, _) = gateway.get("/nowhere", "");
        assert_eq!((status, missed), (200, 404));
        // A line is written after its answer: the two may stand in either order.
        let mut lines = lines(&gateway.folder.path().join("out"), 2);
        lines.sort_by_key(|line| line["status"].as_u64());
        let line = &lines[0];
        assert_eq!(line["flags"], "canary=true,theme=red, \"1\",off=false", "{line}");
        assert_eq!(
            (line["path"].as_str(), line["strategy"].as_str(), line["route"].as_str()),
            (Some("/a"), Some("canary"), Some("shop"))
        );
        assert_eq!(line["revision"], 3);
        assert_eq!(line.get("user_id").and_then(Value::as_str), user_id, "{line}");
        let told = header(&head, "traceparent").first().map(|told| told[3..35].to_owned());
        assert_eq!(line.get("trace_id").and_then(Value::as_str), told.as_deref());
        assert_eq!((told.is_some(), line.get("trace").is_some()), (recorded.is_some(), recorded == Some(true)));
        assert!(lines[1].get("flags").is_none() && lines[1]["status"] == 404, "{}", lines[1]);
        assert!(!format!("{lines:?}").contains("secret"));
    }
}

#[test]
fn a_share_is_logged_and_all_errors() {
    let gateway = Gateway::start("access_log.sample = \"10%\"");
    let mut client = gateway.client();
    for _ in 0..500 {
        client.get("/shop/", "");
    }
    for _ in 0..5 {
        assert_eq!(client.get("/shop/fail", "").0, 503);
    }
    assert_eq!(gateway.get("/dead", "").0, 502);
    let count = |lines: &[Value], status: u16| lines.iter().filter(|line| line["status"] == status).count();
    let by = clock::monotonic() + PATIENCE;
    let lines = loop {
        let lines = lines(&gateway.folder.path().join("out"), 6);
        if count(&lines, 502) == 1 {
            break lines;
        }
        assert!(clock::monotonic() < by, "{lines:?}");
    };
    assert_eq!(count(&lines, 503), 5);
    let sampled = count(&lines, 200);
    assert!((15..90).contains(&sampled), "{sampled}");
}

#[test]
fn a_rotation_moves_the_file_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let gateway = Gateway::start(&format!("access_log.path = {path:?}"));
    gateway.get("/shop/one", "");
    assert_eq!(lines(&path, 1)[0]["path"], "/one");
    fs::rename(&path, &moved).unwrap();
    gateway.signal(Signal::HUP);
    // The signal is taken when it is taken: until then lines go where they went.
    let by = clock::monotonic() + PATIENCE;
    let mut sent = 1;
    while !path.exists() {
        assert!(clock::monotonic() < by);
        gateway.get("/shop/two", "");
        sent += 1;
        thread::sleep(Duration::from_millis(5));
    }
    let before = fs::read_to_string(&moved).unwrap().lines().count();
    assert_eq!(before + lines(&path, sent - before).len(), sent);
    // A file that is cut off (`copytruncate`) is gone on with, from its beginning.
    fs::File::create(&path).unwrap();
    gateway.get("/shop/three", "");
    assert_eq!(lines(&path, 1)[0]["path"], "/three");
}
