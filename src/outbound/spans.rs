//! Brings spans to an OpenTelemetry collector: OTLP over HTTP, with a body of Protocol Buffers.
//!
//! Where it is says the operator, not a document, so that the guard of other calls does not stand before it.
//! One task, one connection that is kept, one batch at a time. What the collector cannot take now is sent again, later and
//! later; what waits meanwhile is bounded by the queue. Nothing of it is in the way of a request.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use url::{Host, Position, Url};

use super::{OutboundError, client};
use crate::{
    clock,
    config::{Tracing, TracingHeader},
    telemetry::spans::{Encoded, SpanMetrics, Spans, partial_success, request_body},
};

/// Spans of one batch.
const BATCH: u64 = 1024;

/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);

/// The pause before the second try of a batch; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long a batch is tried; then it is given up, so that newer ones have their turn.
const GIVE_UP: Duration = Duration::from_secs(60);

/// An answer may have so many bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Exports spans until there are no more.
pub struct SpanExporter {
    config: Tracing,
    environment: Option<String>,
    instance: Arc<str>,
    metrics: SpanMetrics,
    tls: Arc<ClientConfig>,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// The collector did not take the last batch at once.
    is_failing: bool,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It may be, another time.
    #[error("{cause}")]
    Passing { cause: String, after: Option<Duration> },
    /// It never will be.
    #[error("{0}")]
    Final(String),
}

impl SpanExporter {
    /// An exporter. `instance` tells this process from the others of the service.
    ///
    /// # Errors
    /// The file with the authorities cannot be read.
    pub fn new(
        config: &Tracing,
        environment: Option<&str>,
        instance: Arc<str>,
        metrics: SpanMetrics,
    ) -> Result<Self, OutboundError> {
        let tls = client::tls(config.ca.as_deref(), config.endpoint.scheme() == "https")?;
        Ok(Self {
            config: config.clone(),
            environment: environment.map(str::to_owned),
            instance,
            metrics,
            tls,
            connection: None,
            is_failing: false,
        })
    }

    /// Exports spans until `stop`, and then what is left, as long as the caller has patience.
    pub async fn run(mut self, mut spans: Spans, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                is_open = collect(&mut spans, &mut batch) => {
                    if !is_open {
                        return;
                    }
                }
                () = stop.cancelled() => break,
            }
            self.deliver(&batch, &stop).await;
            batch.clear();
        }
        spans.close();
        fill(&mut spans, &mut batch);
        while !batch.is_empty() {
            self.deliver(&batch, &stop).await;
            batch.clear();
            fill(&mut spans, &mut batch);
        }
    }

    /// Sends a batch until it is taken, refused or too old; after `stop` it is not tried again.
    async fn deliver(&mut self, batch: &[Encoded], stop: &CancellationToken) {
        let body = self.body(batch);
        let (begun, mut pause) = (clock::monotonic(), FIRST_PAUSE);
        loop {
            let wait = match self.send(&body).await {
                Ok(rejected) => return self.taken(batch, rejected),
                Err(Failure::Final(cause)) => return self.lost(batch, &cause),
                Err(Failure::Passing { cause, after }) => {
                    let wait = after.unwrap_or_else(|| jittered(pause));
                    if stop.is_cancelled() || clock::monotonic().duration_since(begun) + wait > GIVE_UP {
                        return self.lost(batch, &cause);
                    }
                    self.is_failing_because(&cause);
                    wait
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn body(&self, batch: &[Encoded]) -> Bytes {
        let spans = batch.iter().map(|encoded| &*encoded.bytes);
        request_body(&self.config, &self.instance, self.environment.as_deref(), spans).into()
    }

    fn taken(&mut self, batch: &[Encoded], rejected: u64) {
        let spans = count(batch);
        self.metrics.exported.inc_by(spans.saturating_sub(rejected));
        self.metrics.rejected.inc_by(rejected.min(spans));
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(endpoint = %self.config.endpoint, "the collector takes spans again");
        }
    }

    fn lost(&mut self, batch: &[Encoded], cause: &str) {
        self.metrics.failed.inc_by(count(batch));
        self.is_failing_because(cause);
    }

    /// Tells it once, until the collector takes spans again.
    fn is_failing_because(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(endpoint = %self.config.endpoint, error = cause, "failed to export spans");
        }
    }

    /// Sends a body once, and says how many spans of it were refused.
    async fn send(&mut self, body: &Bytes) -> Result<u64, Failure> {
        let passing = |cause: String| Failure::Passing { cause, after: None };
        let headers = self.headers().await.map_err(passing)?;
        let sending = timeout(self.config.timeout, self.exchange(headers, body));
        let Ok(answer) = sending.await else {
            self.connection = None;
            return Err(passing(format!("no answer within {:?}", self.config.timeout)));
        };
        let (status, headers, answer) = answer.map_err(|error| passing(error.to_string()))?;
        if status.is_success() {
            return Ok(partial_success(&answer));
        }
        let cause = format!("the collector answered {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Passing { cause, after: retry_after(&headers) }),
            _ => Err(Failure::Final(cause)),
        }
    }

    async fn exchange(
        &mut self,
        headers: HeaderMap,
        body: &Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), OutboundError> {
        let host = name(&self.config.endpoint);
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.config.endpoint.path().parse().map_err(|_| OutboundError::Url)?;
            request.headers_mut().clone_from(&headers);
            Ok(request)
        };
        let kept = self.connection.take().filter(SendRequest::is_ready);
        let asked = match kept {
            // The collector may have closed it just now, so that it never saw the request.
            Some(mut kept) => match kept.send_request(request()?).await {
                Ok(answer) => Some((kept, answer)),
                Err(_) => None,
            },
            None => None,
        };
        let broke_off = |source| OutboundError::Exchange { host: host.clone(), source };
        let (connection, answer) = match asked {
            Some(asked) => asked,
            None => {
                let mut fresh = self.connect().await?;
                let answer = fresh.send_request(request()?).await.map_err(broke_off)?;
                (fresh, answer)
            }
        };
        let (parts, answer) = answer.into_parts();
        let answer = Limited::new(answer, MAX_ANSWER).collect().await;
        let answer = answer.map_err(|_| OutboundError::TooLarge { host: host.clone() })?.to_bytes();
        self.connection = Some(connection);
        Ok((parts.status, parts.headers, answer))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, OutboundError> {
        let url = &self.config.endpoint;
        let host = name(url);
        let failed = |source: io::Error| OutboundError::Connect { host: host.clone(), source };
        let (Some(target), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(OutboundError::Url);
        };
        let stream = match &target {
            Host::Domain(name) => TcpStream::connect((*name, port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
        };
        let stream = stream.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if url.scheme() == "http" {
            return speak(stream, &host).await;
        }
        let server = match target {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| OutboundError::Url)?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(address)),
        };
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(server, stream).await.map_err(failed)?;
        speak(stream, &host).await
    }

    /// The headers, with the secrets as their files say now.
    async fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let host = &self.config.endpoint[Position::BeforeHost..Position::AfterPort];
        let host = HeaderValue::from_str(host).map_err(|_| "the host cannot be in a header")?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("flaggate/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &self.config.headers {
            let text = match value {
                TracingHeader::Text(secret) => secret.expose().to_owned(),
                TracingHeader::File(path) => {
                    let read = tokio::fs::read_to_string(path).await;
                    read.map_err(|error| format!("failed to read {}: {error}", path.display()))?.trim().to_owned()
                }
            };
            let unfit = |_| format!("the header {name} cannot have its value");
            let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }
}

/// Host and port, for messages.
fn name(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

async fn speak<S>(stream: S, host: &str) -> Result<SendRequest<Full<Bytes>>, OutboundError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke_off = |source| OutboundError::Exchange { host: host.to_owned(), source };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke_off)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("the connection to the collector ended: {error}");
        }
    });
    Ok(sender)
}

/// Waits for spans, and for more of them, until the batch is full or old enough; `false`: there are no more.
async fn collect(spans: &mut Spans, batch: &mut Vec<Encoded>) -> bool {
    let Some(first) = spans.next().await else { return false };
    batch.push(first);
    fill(spans, batch);
    let mut held = count(batch);
    let lingering = async {
        while held < BATCH {
            let Some(more) = spans.next().await else { break };
            held += more.spans as u64;
            batch.push(more);
        }
    };
    // Too late is no error: then the batch is not full.
    timeout(LINGER, lingering).await.ok();
    true
}

/// Adds what is there, up to a batch.
fn fill(spans: &mut Spans, batch: &mut Vec<Encoded>) {
    let mut held = count(batch);
    while held < BATCH {
        let Some(more) = spans.next_now() else { break };
        held += more.spans as u64;
        batch.push(more);
    }
}

fn count(batch: &[Encoded]) -> u64 {
    batch.iter().map(|encoded| encoded.spans as u64).sum()
}

/// A pause of half to the whole of this length, so that many gateways do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    pause / 2 + pause / 2 * u32::from(random) / 255
}

/// `Retry-After` in seconds, as far as it is reasonable.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE * 2))
}
