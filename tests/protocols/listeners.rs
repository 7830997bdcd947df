//! Listeners that encrypt.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use flaggate::clock;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    certificates::Authority,
    clients::{Http2, Tls, exchange, get, mirror, told},
    process::{PATIENCE, Process},
    upstream::free,
};

/// A gateway with a listener that encrypts, besides the one that does not.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) authority: Authority,
    pub(crate) tls: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Gateway {
    /// With a certificate for each of these lists of names. `keys` are further keys of the listener, `top` stands before
    /// everything.
    pub(crate) async fn start(names: &[&[&str]], keys: &str, top: &str) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let pairs = names.iter().enumerate();
        let pairs: Vec<String> =
            pairs.map(|(number, names)| authority.issue(names).write(folder.path(), &format!("{number}"))).collect();
        let (tls, upstream) = (free(), mirror().await);
        let text = format!(
            "{top}\n[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\n\
             [[routes]]\nname = \"all\"\nupstream = \"only\"\nflags = []\n\
             [[listeners]]\nname = \"secure\"\naddress = \"{tls}\"\ntls = [{}]\n{keys}\n",
            pairs.join(", ")
        );
        let process = Process::start(&json!([]), &text).await;
        Self { process, authority, tls, folder }
    }

    pub(crate) fn client<'t>(&self, name: &'t str, protocols: &'t [&'t str]) -> Tls<'t> {
        Tls { roots: self.authority.roots(), name, protocols, pair: None, is_old: false }
    }

    /// Which certificate the gateway shows a client that asks for a name, whatever it is for.
    async fn shown(&self, name: &str) -> Vec<u8> {
        let stream = self.client(name, &[]).connect(self.tls).await;
        match stream {
            Ok(stream) => stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(),
            Err(error) => error.to_string().into_bytes(),
        }
    }

    async fn admin(&self, method: reqwest::Method, path: &str) -> (StatusCode, String) {
        let url = format!("http://{}{path}", self.process.admin);
        let answer = reqwest::Client::new().request(method, url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

fn certificate(folder: &TempDir, name: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_file(folder.path().join(name)).unwrap().to_vec()
}

#[tokio::test]
async fn certificates_are_chosen_by_name() {
    let names: [&[&str]; 3] =
        [&["shop.example", "127.0.0.1"], &["api.example", "*.Wild.example"], &["*.other.example"]];
    let gateway = Gateway::start(&names, "", "").await;
    for (name, number) in [
        ("shop.example", 0),
        ("SHOP.example", 0),
        ("api.example", 1),
        ("a.wild.example", 1),
        ("a.Other.example", 2),
        ("127.0.0.1", 0),
    ] {
        assert_eq!(gateway.shown(name).await, certificate(&gateway.folder, &format!("{number}.pem")), "{name}");
    }
    // The first one is shown, and is not for this name.
    let error = String::from_utf8(gateway.shown("a.b.wild.example").await).unwrap();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn clients_agree_on_a_version_and_a_protocol() {
    let gateway = Gateway::start(&[&["shop.example"]], "", "").await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&[], None),
    ] {
        for is_old in [false, true] {
            let client = Tls { is_old, ..gateway.client("shop.example", offered) };
            let stream = client.connect(gateway.tls).await.unwrap();
            let got = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
            assert_eq!(got.as_deref(), agreed, "{offered:?}");
            let head = match agreed {
                Some("h2") => Http2::over(stream).await.ask(get("/").body(()).unwrap()).await.unwrap().body,
                _ => exchange(stream, b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await,
            };
            assert_eq!(told(&head, "host"), ["shop.example"], "{head}");
            assert_eq!(told(&head, "x-forwarded-proto"), ["https"], "{head}");
        }
    }
    let plain = Http2::connect(gateway.process.web).await.ask(get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(told(&plain.body, "x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn http2_can_be_turned_off() {
    let gateway = Gateway::start(&[&["shop.example"]], "http2 = false", "").await;
    let stream = gateway.client("shop.example", &["h2", "http/1.1"]).connect(gateway.tls).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(gateway.client("shop.example", &["h2"]).connect(gateway.tls).await.is_err());
}

#[tokio::test]
async fn the_name_that_was_asked_for_is_an_attribute() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let top = "inject.context_attributes = [\"tls.sni\"]";
    let gateway = Gateway::start(&[&["shop.example", "127.0.0.1"]], "", top).await;
    for (name, protocol, expected) in [
        ("Shop.example", "h2", Some("shop.example")),
        ("shop.example", "http/1.1", Some("shop.example")),
        ("127.0.0.1", "h2", None),
    ] {
        let protocols = [protocol];
        let stream = gateway.client(name, &protocols).connect(gateway.tls).await.unwrap();
        let head = match protocol {
            "h2" => Http2::over(stream).await.ask(get("/").body(()).unwrap()).await.unwrap().body,
            _ => exchange(stream, b"GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n").await,
        };
        let shown = head.lines().any(|line| line.starts_with("x-user-context: "));
        assert_eq!(shown, expected.is_some(), "{head}");
        if let Some(expected) = expected {
            // The upstream answers in lower case, which base64 does not survive: it is the same value in all cases.
            let value: Value = json!({ "tls.sni": expected });
            let encoded = URL_SAFE_NO_PAD.encode(value.to_string()).to_ascii_lowercase();
            assert_eq!(told(&head, "x-user-context"), [encoded], "{head}");
        }
    }
}

#[tokio::test]
async fn clients_must_show_a_certificate_where_that_is_asked_for() {
    let (believed, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let keys = format!("client_ca = {:?}", believed.write(folder.path(), "clients"));
    let gateway = Gateway::start(&[&["shop.example"]], &keys, "").await;
    let (known, stranger) = (believed.issue(&["client"]), Authority::new().issue(&["client"]));
    for (pair, expected) in [(Some(&known), true), (Some(&stranger), false), (None, false)] {
        for is_old in [false, true] {
            let client = Tls { pair, is_old, ..gateway.client("shop.example", &["http/1.1"]) };
            let answer = match client.connect(gateway.tls).await {
                Ok(stream) => exchange(stream, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await,
                Err(_) => String::new(),
            };
            assert_eq!(answer.starts_with("HTTP/1.1 200"), expected, "{answer}");
        }
    }
}

/// Waits until the gateway shows this certificate.
async fn shows(gateway: &Gateway, expected: &[u8]) {
    let by = clock::monotonic() + PATIENCE;
    while gateway.shown("shop.example").await != expected {
        assert!(clock::monotonic() < by, "the certificate does not change");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn certificates_are_watched_and_a_bad_pair_changes_nothing() {
    let gateway = Gateway::start(&[&["shop.example"]], "", "").await;
    let kept = Http2::over(gateway.client("shop.example", &["h2"]).connect(gateway.tls).await.unwrap()).await;
    let expiry = "flaggate_tls_certificate_expiry_timestamp_seconds{";
    let (_, before) = gateway.admin(reqwest::Method::GET, "/metrics").await;
    let shown = before.lines().find(|line| line.starts_with(expiry)).unwrap();
    assert!(shown.contains("listener=\"secure\"") && shown.contains("0.pem\""), "{shown}");
    // rcgen's certificates hold until the year 4096.
    assert!(shown.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap() > 60_000_000_000, "{shown}");

    let next = gateway.authority.issue(&["shop.example"]);
    next.write(gateway.folder.path(), "0");
    shows(&gateway, &next.cert).await;
    assert_eq!(kept.ask(get("/").body(()).unwrap()).await.unwrap().status, 200, "connections stay");

    let other = gateway.authority.issue(&["shop.example"]);
    fs::write(gateway.folder.path().join("0.key"), other.key.serialize_pem()).unwrap();
    let (status, told) = gateway.admin(reqwest::Method::POST, "/config/reload").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(told.contains("does not belong to the certificate") && told.contains("flaggate.toml:"), "{told}");
    assert_eq!(gateway.shown("shop.example").await, next.cert.to_vec());

    // The certificate that belongs to the key comes later: it is taken without a word.
    other.write(gateway.folder.path(), "0");
    shows(&gateway, &other.cert).await;
    let log = fs::read_to_string(gateway.process.folder.path().join("log")).unwrap();
    assert!(log.contains("does not belong to the certificate"), "{log}");
}

#[tokio::test]
async fn check_names_the_place_of_a_bad_key() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (one, other) = (authority.issue(&["a.example"]), authority.issue(&["b.example"]));
    one.write(folder.path(), "one");
    other.write(folder.path(), "other");
    fs::write(folder.path().join("junk"), "-----BEGIN CERTIFICATE-----\nno\n").unwrap();
    let rest =
        "[upstreams.a]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n[[routes]]\nname = \"all\"\nupstream = \"a\"\n";
    for (cert, key, place, expected) in [
        ("one.pem", "other.key", "5:25", "the key in \"other.key\" does not belong to the certificate in \"one.pem\""),
        ("one.pem", "none.key", "5:25", "failed to read \"none.key\""),
        ("junk", "one.key", "5:9", "there is no certificate in \"junk\""),
        ("one.key", "one.key", "5:9", "there is no certificate in \"one.key\""),
        ("one.pem", "one.pem", "5:25", "there is no private key in \"one.pem\""),
    ] {
        let text = format!(
            "[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\ntls = [\n{{ cert={cert:?},  key={key:?} }}]\n{rest}"
        );
        fs::write(folder.path().join("f.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
        let output = command.args(["check", "f.toml"]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let line = place.split_once(':').unwrap().0;
        assert!(!output.status.success());
        assert!(said.starts_with(&format!("f.toml:{line}:")) && said.contains(expected), "{said}");
    }
}
