//! Clients that others wrote: nghttp2's.

use std::process::Command;

use crate::listeners::Gateway;

/// Runs a tool of nghttp2's; gives what it says.
async fn run(program: &'static str, arguments: Vec<String>) -> String {
    let running = tokio::task::spawn_blocking(move || {
        let output = Command::new(program).args(&arguments).output().expect("it is installed: scripts/setup test");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        said
    });
    running.await.unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once_with_and_without_tls() {
    let gateway = Gateway::start(&[&["localhost", "127.0.0.1"]], "", "").await;
    let (tls, web) = (gateway.tls, gateway.process.web);
    for (more, protocol) in [
        (format!("-m 40 https://{tls}/"), "h2\n"),
        (format!("-m 40 http://{web}/"), "h2c"),
        (format!("--h1 https://{tls}/"), "http/1.1"),
        (format!("--h1 http://{web}/"), "http/1.1"),
    ] {
        let said = run("h2load", words(&format!("-n 3000 -c 4 {more}"))).await;
        let summary = "requests: 3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(said.contains(summary), "{more}: {said}");
        assert!(said.contains(&format!("Application protocol: {protocol}")), "{more}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frames_are_in_order() {
    let gateway = Gateway::start(&[&["localhost", "127.0.0.1"]], "", "").await;
    for url in [format!("https://{}/one", gateway.tls), format!("http://{}/one", gateway.process.web)] {
        let said = run("nghttp", vec!["-nv".to_owned(), "--no-verify-peer".to_owned(), url.clone()]).await;
        for part in [
            "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100",
            "SETTINGS_MAX_HEADER_LIST_SIZE(0x06):65536",
            ":status: 200",
            "server: flaggate",
        ] {
            assert!(said.contains(part), "{url}: {said}");
        }
        assert!(!said.contains("RST_STREAM"), "{url}: {said}");
    }
}
