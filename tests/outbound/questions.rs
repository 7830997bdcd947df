//! Questions to a real Prometheus that scrapes a real gateway.

use std::{net::SocketAddr, time::Duration};

use flaggate::{
    clock,
    outbound::{
        Client, OutboundError,
        prometheus::{QueryError, query},
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

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
    // What stands behind the place of the API would make another call of it.
    for more in ["/api/v1/admin/tsdb/snapshot?x=", "/-/quit#", "?"] {
        let other = query(&client, &format!("{}{more}", prometheus.url()), "up").await;
        assert!(matches!(other, Err(QueryError::Outbound(OutboundError::Url))), "{more}: {other:?}");
    }
    let url = prometheus.url();
    drop(prometheus);
    let gone = query(&client, &url, "up").await;
    assert!(matches!(gone, Err(QueryError::Outbound(OutboundError::Connect { .. }))), "{gone:?}");
}

/// A server that answers 401 to who does not show the right header.
async fn guarded(expected: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"timeout=4s") && stream.read_buf(&mut asked).await.unwrap() > 0 {}
            let asked = String::from_utf8(asked).unwrap();
            let shown = asked.lines().find_map(|line| line.strip_prefix("authorization: "));
            let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"7"]}}"#;
            let answer = if shown == Some(expected) {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            } else {
                status("401 Unauthorized", "")
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_asks_who_it_is_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "s3cr3t-t0ken\n").unwrap();
    let (bearer, basic) = (guarded("Bearer s3cr3t-t0ken").await, guarded("Basic YW5uOnMzY3IzdC10MGtlbg==").await);
    let plain = client(&[bearer, basic], "");
    for address in [bearer, basic] {
        let refused = query(&plain, &format!("http://{address}"), "up").await.unwrap_err();
        assert!(matches!(refused, QueryError::Unauthorized { status: 401 }), "{refused}");
    }
    let credentials = format!(
        "[outbound.credentials.\"http://{bearer}\"]\nbearer_file = {file:?}\n\
         [outbound.credentials.\"http://{basic}\"]\nusername = \"ann\"\npassword_file = {file:?}\n"
    );
    let known = client(&[bearer, basic], &credentials);
    for address in [bearer, basic] {
        assert_eq!(query(&known, &format!("http://{address}/"), "up").await.unwrap(), Some(7.0));
    }
    // Neither the configuration nor an error shows it, and the file is read anew.
    assert!(!format!("{known:?}").contains("s3cr3t"), "{known:?}");
    std::fs::write(&file, "s3cr3t-\u{7f}").unwrap();
    let broken = query(&known, &format!("http://{bearer}"), "up").await.unwrap_err();
    assert_eq!(broken.to_string(), format!("failed to read the credentials for http://{bearer}: invalid data"));
    std::fs::remove_file(&file).unwrap();
    let gone = query(&known, &format!("http://{basic}"), "up").await.unwrap_err().to_string();
    assert!(gone.starts_with(&format!("failed to read the credentials for http://{basic}: ")), "{gone}");
}

/// Credentials go where they belong: not to another port, and not over another scheme.
#[tokio::test]
async fn nobody_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "s3cr3t").unwrap();
    let (other, asked) = server(vec![status("200 OK", "")]).await;
    let place = free();
    let lines = format!(
        "[outbound.credentials.\"https://{other}\"]\nbearer_file = {file:?}\n\
         [outbound.credentials.\"http://{place}\"]\nbearer_file = {file:?}\n"
    );
    query(&client(&[other, place], &lines), &format!("http://{other}"), "up").await.unwrap_err();
    let asked = asked.all();
    assert!(asked.len() == 1 && !asked[0].contains("s3cr3t") && !asked[0].contains("authorization"), "{asked:?}");
}
