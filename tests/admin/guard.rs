//! Who is not let in.

use reqwest::header;

use crate::harness::serve;

#[tokio::test]
async fn other_hosts_and_other_origins_are_refused() {
    let served = serve().await;
    let own = format!("http://{}", served.address);
    for (name, value, status) in [
        (header::HOST, "rebound.example", 403),
        (header::HOST, "localhost", 200),
        (header::HOST, "[::1]:9090", 200),
        (header::ORIGIN, "https://elsewhere.example", 403),
        (header::ORIGIN, "null", 403),
        (header::ORIGIN, own.as_str(), 200),
    ] {
        let response = served.client.get(format!("{own}/flags")).header(&name, value).send().await.unwrap();
        assert_eq!(response.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let served = serve().await;
    let body = format!(r#"{{"key": "a", "name": "{}"}}"#, "x".repeat(1 << 20));
    let response = served.client.post(format!("http://{}/flags", served.address)).body(body).send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.text().await.unwrap(), r#"{"detail":"the body is larger than 1 MiB"}"#);
}

#[tokio::test]
async fn a_document_that_would_grow_too_large_is_refused() {
    let served = serve().await;
    let description = |text: &str| serde_json::json!({ "description": text.repeat(600_000) });
    let name = serde_json::json!({ "key": "a", "name": "x".repeat(600_000) });
    assert_eq!(served.post("/flags", name).await.0, 200);
    let (status, answer) = served.patch("/flags/a", description("x")).await;
    assert_eq!(status, 413, "{answer}");
}
