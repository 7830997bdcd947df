//! What may be called, and what not.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flaggate::{
    clock,
    outbound::{Answer, Client, Names, OutboundError, Request},
};
use http::Method;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    server::{client, outbound, server, status},
    upstream::upstream,
};

async fn get(client: &Client, url: &str) -> Result<Answer, OutboundError> {
    client.send(Request { method: Method::GET, url, headers: Vec::new(), body: Bytes::new() }).await
}

/// A listener on all addresses of this machine that counts who connects.
async fn counting() -> (u16, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let v4 = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = v4.local_addr().unwrap().port();
    // Where there is no IPv6, or the port is taken there, IPv4 has to do.
    let v6 = TcpListener::bind(("::1", port)).await.ok();
    for listener in [Some(v4), v6].into_iter().flatten() {
        let count = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.write_all(status("204 No Content", "").as_bytes()).await.unwrap();
            }
        });
    }
    (port, count)
}

/// `P` stands for the port of the listener. Everything that is listed leads to where it must not.
const REFUSED: &[&str] = &[
    // Not listed, however it is written.
    "http://127.0.0.1:P/",
    "http://127.1:P/",
    "http://2130706433:P/",
    "http://0x7f000001:P/",
    "http://0177.0.0.1:P/",
    "http://127.0.0.2:P/",
    "http://0:P/",
    "http://0.0.0.0:P/",
    "http://localhost:P/",
    "http://LOCALHOST:P/",
    "http://localhost.:P/",
    "http://\u{24db}ocalhost:P/",
    "http://127\u{3002}0\u{3002}0\u{3002}1:P/",
    "http://[::1]:P/",
    "http://[::]:P/",
    "http://[::ffff:127.0.0.1]:P/",
    "http://[::ffff:7f00:1]:P/",
    "http://[fe80::1]:P/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://inside.example.:P/",
    "http://sub.inside.example:P/",
    "http://inside.example:1/",
    "http://inside.example/",
    // Listed here, called there.
    "http://inside.example:P@127.0.0.1:P/",
    "http://inside.example@127.0.0.1:P/",
    "http://127.0.0.1:P#@inside.example:P/",
    "http://127.0.0.1:P\\@inside.example:P/",
    "http://127.0.0.1:P?@inside.example:P/",
    "http://user:password@inside.example:P/",
    // No http.
    "ftp://inside.example:P/",
    "ws://inside.example:P/",
    "gopher://inside.example:P/",
    "file:///etc/passwd",
    "data:text/plain,hello",
    "inside.example:P",
    "//inside.example:P/",
    "http://",
    "http://inside.example:99999/",
    "",
    // Listed names that lead inside, or to where a cloud serves credentials.
    "http://inside.example:P/",
    "https://inside.example:P/",
    "HTTP://Inside.Example:P/",
    "http://other.example:P/",
    "http://six.example:P/",
    "http://mapped.example:P/",
    "http://nat64.example:P/",
    "http://six-to-four.example:P/",
    "http://zero.example:P/",
    "http://private.example:P/",
    "http://metadata.example:P/",
    "http://link.example:P/",
    "http://mixed.example:P/",
    "http://unknown.example:P/",
];

fn names() -> BTreeMap<String, Vec<IpAddr>> {
    let of = |(name, addresses): (&str, &str)| {
        (format!("{name}.example"), addresses.split(' ').map(|address| address.parse().unwrap()).collect())
    };
    let names = [
        ("inside", "127.0.0.1"),
        ("other", "127.9.9.9"),
        ("six", "::1"),
        ("mapped", "::ffff:127.0.0.1"),
        ("nat64", "64:ff9b::7f00:1"),
        ("six-to-four", "2002:7f00:1::"),
        ("zero", "0.0.0.0"),
        ("private", "10.0.0.1"),
        ("metadata", "169.254.169.254"),
        ("link", "fe80::1"),
        ("mixed", "169.254.169.254 127.0.0.1"),
    ];
    names.map(of).into()
}

#[tokio::test]
async fn nothing_but_what_is_listed_is_connected_to() {
    let (port, connections) = counting().await;
    let listed: Vec<String> =
        names().keys().chain(["unknown.example".to_owned()].iter()).map(|name| format!("{name}:{port}")).collect();
    let closed = Client::with_names(outbound(&format!("allow = {listed:?}")), Names::Fixed(names())).unwrap();
    assert!(REFUSED.len() >= 40);
    for url in REFUSED {
        let url = url.replace(":P", &format!(":{port}"));
        let refused = get(&closed, &url).await.unwrap_err();
        let is_refusal = matches!(
            refused,
            OutboundError::Url
                | OutboundError::NotAllowed { .. }
                | OutboundError::Forbidden { .. }
                | OutboundError::Resolve { .. }
        );
        assert!(is_refusal, "{url}: {refused:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    // The listener counts, and what is open is called: at the address that was found, of the two the one that may be.
    let lines = format!("allow = {listed:?}\nnetworks = [\"127.0.0.0/8\"]");
    let open = Client::with_names(outbound(&lines), Names::Fixed(names())).unwrap();
    for (calls, name) in [(1, "inside"), (2, "mixed")] {
        assert_eq!(get(&open, &format!("http://{name}.example:{port}/")).await.unwrap().status, 204);
        assert_eq!(connections.load(Ordering::SeqCst), calls);
    }
    let metadata = get(&open, &format!("http://metadata.example:{port}/")).await;
    assert!(matches!(metadata, Err(OutboundError::Forbidden { .. })), "{metadata:?}");
    // What is listed by its address, and localhost, need no network.
    let lines = format!("allow = [\"127.0.0.1:{port}\", \"LocalHost:{port}\"]");
    let itself = Client::new(outbound(&lines)).unwrap();
    for (calls, host) in [(3, "127.0.0.1"), (4, "localhost")] {
        assert_eq!(get(&itself, &format!("http://{host}:{port}/")).await.unwrap().status, 204);
        assert_eq!(connections.load(Ordering::SeqCst), calls);
    }
    let nothing_listed = Client::new(outbound("")).unwrap();
    assert!(get(&nothing_listed, &format!("http://127.0.0.1:{port}/")).await.is_err());
}

#[tokio::test]
async fn an_answer_is_read_though_the_connection_stays_open() {
    let address = upstream("hello").await;
    let answer = get(&client(&[address], ""), &format!("http://{address}/a?b=c#d")).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"hello"[..]));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (port, connections) = counting().await;
    let to = status("302 Found", &format!("Location: http://127.0.0.1:{port}/\r\n"));
    let (address, _) = server(vec![to]).await;
    let both = [address, SocketAddr::from(([127, 0, 0, 1], port))];
    let answer = get(&client(&both, ""), &format!("http://{address}/")).await;
    assert!(matches!(answer, Err(OutboundError::Redirect { status: 302, .. })), "{answer:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn answers_are_bounded() {
    let sized = |bytes: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat((1 << 20) + 1));
    let (address, _) = server(vec![sized(1 << 20), sized((1 << 20) + 1), endless]).await;
    let client = client(&[address], "");
    let url = format!("http://{address}/");
    assert_eq!(get(&client, &url).await.unwrap().body.len(), 1 << 20);
    for _ in 0..2 {
        let answer = get(&client, &url).await;
        assert!(matches!(answer, Err(OutboundError::TooLarge { .. })), "{:?}", answer.map(|answer| answer.status));
    }
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_five_seconds() {
    let (address, _) = server(vec![String::new()]).await;
    let start = clock::monotonic();
    let answer = get(&client(&[address], ""), &format!("http://{address}/")).await;
    let took = clock::monotonic() - start;
    assert!(matches!(answer, Err(OutboundError::Timeout { seconds: 5, .. })), "{answer:?}");
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
}

/// A URL can be a secret: no error shows its path or query.
#[tokio::test]
async fn errors_show_no_more_than_the_host() {
    let (port, _) = counting().await;
    let to_itself = status("301 Moved", "Location: /SECRET\r\n");
    let (address, _) = server(vec![to_itself, "nonsense SECRET\r\n\r\n".to_owned()]).await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let client = client(&[address, nobody], "");
    for host in
        [address.to_string(), address.to_string(), nobody.to_string(), format!("127.0.0.1:{port}"), "[".to_owned()]
    {
        let error = get(&client, &format!("http://{host}/SECRET?SECRET#SECRET")).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn https_believes_the_authorities_of_the_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = CertificateDer::pem_file_iter("tests/data/tls/server.pem").unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file("tests/data/tls/server.key").unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    tokio::spawn(async move {
        let answer = |stream: TcpStream, acceptor: TlsAcceptor| async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            stream.write_all(status("204 No Content", "").as_bytes()).await.unwrap();
        };
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, acceptor.clone()));
        }
    });
    let with = |lines: &str| Client::new(outbound(&format!("allow = [\"localhost:{port}\"]\n{lines}"))).unwrap();
    let url = format!("https://localhost:{port}/");
    assert_eq!(get(&with("ca = \"tests/data/tls/ca.pem\""), &url).await.unwrap().status, 204);
    for other in ["ca = \"tests/data/tls/another-ca.pem\"", ""] {
        let answer = get(&with(other), &url).await;
        assert!(matches!(answer, Err(OutboundError::Connect { .. })), "{other}: {answer:?}");
    }
    for (file, message) in [("none.pem", "none.pem: "), ("tests/data/tls/server.key", "there is no certificate in it")]
    {
        let error = Client::new(outbound(&format!("ca = {file:?}"))).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
