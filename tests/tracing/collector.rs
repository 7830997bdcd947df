//! A collector that answers as it is told, and keeps what it gets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use prost::Message as _;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An answer of the collector: status line, headers, body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A status with headers.
    Status(&'static str),
    /// A success that says how many spans were refused.
    Rejected(u8),
    /// None, ever.
    Never,
    /// The connection ends.
    HangUp,
}

pub(crate) const OK: Answer = Answer::Status("200 OK\r\n");

/// What a collector got.
#[derive(Default)]
struct Got {
    /// The heads of all requests, with those that were not taken.
    heads: Vec<String>,
    taken: Vec<ResourceSpans>,
    connections: usize,
}

/// A running collector.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    got: Arc<(Mutex<Got>, Condvar)>,
}

impl Collector {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::answering(vec![OK])
    }

    /// One that answers so in turn, and for ever with the last answer.
    pub(crate) fn answering(answers: Vec<Answer>) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), answers, None)
    }

    /// The same with TLS, as `localhost`.
    pub(crate) fn with_tls() -> Self {
        let chain = CertificateDer::pem_file_iter("tests/data/tls/server.pem").unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file("tests/data/tls/server.key").unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), vec![OK], Some(Arc::new(config)))
    }

    pub(crate) fn at(address: SocketAddr, answers: Vec<Answer>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), got: Arc::default() };
        let serving = collector.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serving, answers, tls, stream) = (serving.clone(), answers.clone(), tls.clone(), stream.unwrap());
                serving.got.0.lock().unwrap().connections += 1;
                thread::spawn(move || match tls {
                    None => serving.serve(stream, &answers),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serving.serve(StreamOwned::new(connection, stream), &answers);
                    }
                });
            }
        });
        collector
    }

    fn serve(&self, stream: impl Read + Write, answers: &[Answer]) {
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = request(&mut reader) {
            let decoded = ExportTraceServiceRequest::decode(&*body).expect("the body is right");
            let (got, changed) = &*self.got;
            let mut got = got.lock().unwrap();
            let answer = answers.get(got.heads.len()).or(answers.last()).copied().unwrap();
            got.heads.push(head);
            let (head, body) = match answer {
                Answer::Status(head) => (head, vec![]),
                Answer::Rejected(spans) => ("200 OK\r\n", vec![0x0a, 2, 8, spans]),
                Answer::HangUp => return,
                Answer::Never => {
                    drop(got);
                    changed.notify_all();
                    thread::sleep(PATIENCE * 10);
                    return;
                }
            };
            if head.starts_with("200") {
                got.taken.extend(decoded.resource_spans);
            }
            drop(got);
            changed.notify_all();
            let answer = format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n", body.len());
            let writer = reader.get_mut();
            if writer.write_all(answer.as_bytes()).and_then(|()| writer.write_all(&body)).is_err() {
                return;
            }
            writer.flush().ok();
        }
    }

    fn wait<T>(&self, what: &str, mut found: impl FnMut(&Got) -> Option<T>) -> T {
        let (got, changed) = &*self.got;
        let mut got = got.lock().unwrap();
        loop {
            if let Some(found) = found(&got) {
                return found;
            }
            let (next, waited) = changed.wait_timeout(got, PATIENCE).unwrap();
            got = next;
            assert!(!waited.timed_out() || found(&got).is_some(), "{what}: {} spans came", spans_of(&got.taken).len());
        }
    }

    /// Waits for so many spans, and gives all.
    pub(crate) fn spans(&self, count: usize) -> Vec<Span> {
        self.wait("spans", |got| Some(spans_of(&got.taken)).filter(|spans| spans.len() >= count))
    }

    /// The spans that came so far.
    pub(crate) fn spans_now(&self) -> Vec<Span> {
        spans_of(&self.got.0.lock().unwrap().taken)
    }

    /// Waits for so many requests, taken or not, and gives their heads.
    pub(crate) fn heads(&self, count: usize) -> Vec<String> {
        self.wait("requests", |got| Some(got.heads.clone()).filter(|heads| heads.len() >= count))
    }

    /// The resource of the first spans.
    pub(crate) fn resource(&self) -> ResourceSpans {
        self.wait("a resource", |got| got.taken.first().cloned())
    }

    pub(crate) fn connections(&self) -> usize {
        self.got.0.lock().unwrap().connections
    }
}

fn spans_of(taken: &[ResourceSpans]) -> Vec<Span> {
    taken.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

fn request(reader: &mut BufReader<impl Read>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The attributes of a span or an event as text, sorted.
pub(crate) fn texts(attributes: &[KeyValue]) -> Vec<String> {
    let mut texts: Vec<String> = attributes
        .iter()
        .map(|pair| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => format!("{}={text}", pair.key),
            Some(Value::IntValue(number)) => format!("{}=#{number}", pair.key),
            other => panic!("{}: {other:?}", pair.key),
        })
        .collect();
    texts.sort();
    texts
}

/// One attribute as text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let prefix = format!("{key}=");
    texts(attributes).into_iter().find_map(|text| text.strip_prefix(&prefix).map(str::to_owned))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
