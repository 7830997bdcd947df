//! Questions to a real Prometheus that scrapes a real gateway.

use std::time::Duration;

use flaggate::{
    clock,
    outbound::{
        Client, OutboundError,
        prometheus::{QueryError, query},
    },
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    process::{PATIENCE, Process},
    prometheus::Prometheus,
    server::{client, server, status},
    upstream::free,
};

/// Waits until it has scraped.
async fn has_scraped(prometheus: &Prometheus, client: &Client) {
    let by = clock::monotonic() + PATIENCE;
    while !matches!(query(client, &prometheus.url(), "sum(up)").await, Ok(Some(1.0))) {
        assert!(clock::monotonic() < by, "{}", prometheus.log());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_finite_number_or_why_not() {
    let flags =
        json!([{ "key": "new", "name": "New", "flag_type": "boolean", "default_value": false, "enabled": true }]);
    let more =
        "routes = [{ name = \"all\", upstream = \"u\" }]\nupstreams.u.endpoints = [{ address = \"127.0.0.1:9\" }]";
    let gateway = Process::start(&flags, more).await;
    let prometheus = Prometheus::start(free(), &[gateway.admin]);
    let (other, _) = server(vec![status("200 OK", "")]).await;
    let client = client(&[prometheus.address, other], "");
    has_scraped(&prometheus, &client).await;
    let ask = async |expression: &str| match query(&client, &prometheus.url(), expression).await {
        Ok(found) => format!("{found:?}"),
        Err(error) => error.to_string(),
    };
    let not_one = "where one number is needed";
    for (expression, expected) in [
        ("up{job=\"flaggate\"}", "Some(1.0)"),
        ("sum(up) / 4", "Some(0.25)"),
        ("scalar(vector(7))", "Some(7.0)"),
        ("1e-3", "Some(0.001)"),
        ("nothing_of_this_name", "None"),
        ("vector(0) / 0", "the query gives NaN, which is not a number that can be compared"),
        ("1 / 0", "the query gives +Inf, which is not a number that can be compared"),
        ("-1 / 0", "the query gives -Inf, which is not a number that can be compared"),
        ("up[1m]", &format!("the query gives a matrix {not_one}")),
        ("\"text\"", &format!("the query gives a string {not_one}")),
    ] {
        assert_eq!(ask(expression).await, expected, "{expression}");
    }
    let several = query(&client, &prometheus.url(), "{job=\"flaggate\"}").await;
    assert!(matches!(several, Err(QueryError::Several { count }) if count > 5), "{several:?}");
    let refused = query(&client, &prometheus.url(), "sum(").await;
    assert!(matches!(&refused, Err(QueryError::Refused { kind, .. }) if kind == "bad_data"), "{refused:?}");
    let other = query(&client, &format!("http://{other}/prefix"), "up").await;
    assert!(matches!(other, Err(QueryError::NotPrometheus { status: 200 })), "{other:?}");
    let url = prometheus.url();
    drop(prometheus);
    let gone = query(&client, &url, "up").await;
    assert!(matches!(gone, Err(QueryError::Outbound(OutboundError::Connect { .. }))), "{gone:?}");
}
