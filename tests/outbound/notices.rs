//! Notifications over real sockets.

use std::{fs, net::SocketAddr, time::Duration};

use flaggate::{
    clock,
    outbound::notify::{Notice, Notifier, Told},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    process::PATIENCE,
    server::{client, server, status},
    upstream::free,
};

fn notice() -> Notice {
    Notice {
        id: "n-1".to_owned(),
        kind: "kill_switch_triggered".to_owned(),
        subject: "checkout".to_owned(),
        time: "2026-01-31T12:00:00Z".parse().unwrap(),
        text: "checkout was killed: <!channel> 12 % errors & more".to_owned(),
        data: json!({ "errors": 12 }),
    }
}

/// A notifier with the channels `hook` and `slack`, which both lead to this address.
fn notifier(address: SocketAddr, folder: &std::path::Path) -> Notifier {
    let file = folder.join("slack-url");
    fs::write(&file, format!("http://{address}/services/SECRET\n")).unwrap();
    let lines = format!(
        "channels.hook.url = \"http://{address}/hook?token=SECRET\"\nchannels.slack = {{ kind = \"slack\", url_file = {file:?} }}"
    );
    let client = client(&[address], &lines);
    assert!(!format!("{client:?}").contains("SECRET"));
    Notifier::with_wait(client, "gateway-1", Duration::from_millis(5))
}

async fn until(notifier: &Notifier, expected: Told) {
    let by = clock::monotonic() + PATIENCE;
    while notifier.told() != expected {
        assert!(clock::monotonic() < by, "{:?} is not {expected:?}", notifier.told());
        sleep(Duration::from_millis(5)).await;
    }
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn each_channel_is_told_in_its_way() {
    let (address, asked) = server(vec![status("200 OK", "")]).await;
    let folder = tempfile::tempdir().unwrap();
    let notifier = notifier(address, folder.path());
    notifier.tell(["hook", "nobody"], &notice());
    until(&notifier, Told { sent: 1, unknown: 1, ..Told::default() }).await;
    notifier.tell(["slack"], &notice());
    until(&notifier, Told { sent: 2, unknown: 1, ..Told::default() }).await;
    let asked = asked.all();
    assert!(asked[0].starts_with("POST /hook?token=SECRET HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("content-type: application/cloudevents+json\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&format!("host: {address}\r\n")), "{}", asked[0]);
    assert_eq!(
        body(&asked[0]),
        json!({
            "specversion": "1.0", "id": "n-1", "source": "flaggate/gateway-1", "type": "flaggate.kill_switch_triggered",
            "subject": "checkout", "time": "2026-01-31T12:00:00Z", "datacontenttype": "application/json",
            "data": { "text": "checkout was killed: <!channel> 12 % errors & more", "details": { "errors": 12 } },
        })
    );
    assert!(asked[1].starts_with("POST /services/SECRET HTTP/1.1\r\n"), "{}", asked[1]);
    assert_eq!(body(&asked[1]), json!({ "text": "checkout was killed: &lt;!channel&gt; 12 % errors &amp; more" }));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let answers = ["503 Busy", "429 Slow", "500 Oops", "200 OK"].map(|answer| status(answer, ""));
    let (address, asked) = server(answers.into()).await;
    let patient = notifier(address, folder.path());
    patient.tell(["hook"], &notice());
    until(&patient, Told { sent: 1, ..Told::default() }).await;
    assert_eq!(asked.all().len(), 4);
    for (answer, tries) in [("404 Gone", 1), ("302 Found", 1), ("503 Busy", 6)] {
        let (address, asked) = server(vec![status(answer, "")]).await;
        let notifier = notifier(address, folder.path());
        notifier.tell(["hook"], &notice());
        until(&notifier, Told { failed: 1, ..Told::default() }).await;
        assert_eq!(asked.all().len(), tries, "{answer}");
    }
    let nobody = notifier(free(), folder.path());
    nobody.tell(["slack"], &notice());
    until(&nobody, Told { failed: 1, ..Told::default() }).await;
}

#[tokio::test]
async fn who_tells_never_waits_and_too_many_are_dropped() {
    let (address, _) = server(vec![String::new()]).await;
    let folder = tempfile::tempdir().unwrap();
    let notifier = notifier(address, folder.path());
    let start = clock::monotonic();
    for _ in 0..300 {
        notifier.tell(["hook"], &notice());
    }
    let took = clock::monotonic() - start;
    let registry = prometheus::Registry::new();
    notifier.register(&registry).unwrap();
    let shown = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(shown.contains("flaggate_notifications_total{result=\"dropped\"} 44\n"), "{shown}");
    assert_eq!(notifier.told(), Told { dropped: 44, ..Told::default() });
    assert!(took < Duration::from_secs(1), "{took:?}");
}
