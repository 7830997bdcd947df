//! Notifications: told to the channels of the configuration, each by itself, tried again, and never waited for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::sleep};

use super::{Client, OutboundError, Request};
use crate::config::{Channel, ChannelKind, ChannelUrl};

/// So many notifications may be under way; more are dropped.
const MOST: usize = 256;

/// How often one is tried.
const ATTEMPTS: u32 = 6;

/// The wait before the second try; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Something that people want to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Unique: who gets it twice can tell.
    pub id: String,
    /// What happened, like `kill_switch_triggered`.
    pub kind: String,
    /// To what: a flag's key, the id of a kill switch or a deployment.
    pub subject: String,
    /// When.
    pub time: Timestamp,
    /// One sentence for people.
    pub text: String,
    /// The rest, for programs.
    pub data: Value,
}

/// What became of notifications so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Taken by their channel.
    pub sent: u64,
    /// Given up: refused, or tried often enough.
    pub failed: u64,
    /// Dropped, as too many were under way.
    pub dropped: u64,
    /// For channels that the configuration does not know.
    pub unknown: u64,
}

/// Tells the channels of the configuration. A clone is the same notifier.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// Who tells it, for `CloudEvents`.
    source: String,
    first_wait: Duration,
    under_way: Arc<Semaphore>,
    all: IntCounterVec,
    sent: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
    unknown: IntCounter,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("failed to read the file with the URL: {0}")]
    File(std::io::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
}

impl Notifier {
    /// A notifier; `source` names this gateway.
    #[must_use]
    pub fn new(client: Client, source: &str) -> Self {
        Self::with_wait(client, source, FIRST_WAIT)
    }

    /// A notifier that waits so long before a second try.
    #[must_use]
    pub fn with_wait(client: Client, source: &str, first_wait: Duration) -> Self {
        let opts = Opts::new("flaggate_notifications_total", "Notifications, by what became of them.");
        let all = IntCounterVec::new(opts, &["result"]).expect("the metric's name and label are right");
        let [sent, failed, dropped, unknown] =
            ["sent", "failed", "dropped", "unknown"].map(|result| all.with_label_values(&[result]));
        Self(Arc::new(Inner {
            client,
            source: format!("flaggate/{source}"),
            first_wait,
            under_way: Arc::new(Semaphore::new(MOST)),
            all,
            sent,
            failed,
            dropped,
            unknown,
        }))
    }

    /// Tells these channels, and returns at once. Must be called within a tokio runtime.
    pub fn tell<'c>(&self, channels: impl IntoIterator<Item = &'c str>, notice: &Notice) {
        for name in channels {
            let Some(channel) = self.0.client.config().channels.iter().find(|channel| channel.name == name) else {
                self.0.unknown(name);
                continue;
            };
            let Ok(permit) = self.0.under_way.clone().try_acquire_owned() else {
                self.0.dropped.inc();
                continue;
            };
            let (inner, channel) = (self.0.clone(), channel.clone());
            let body = inner.body(channel.kind, notice);
            tokio::spawn(async move {
                inner.deliver(&channel, &body).await;
                drop(permit);
            });
        }
    }

    /// Tells these channels, and waits until each of them took it, or was tried often enough.
    pub async fn deliver(&self, channels: &[String], notice: &Notice) {
        let (inner, known) = (&self.0, &self.0.client.config().channels);
        let each = channels.iter().map(async |name| match known.iter().find(|channel| channel.name == *name) {
            Some(channel) => inner.deliver(channel, &inner.body(channel.kind, notice)).await,
            None => inner.unknown(name),
        });
        join_all(each).await;
    }

    /// Shows what became of notifications among these metrics.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.0.all.clone()))
    }

    /// What became of notifications so far.
    #[must_use]
    pub fn told(&self) -> Told {
        let inner = &self.0;
        Told {
            sent: inner.sent.get(),
            failed: inner.failed.get(),
            dropped: inner.dropped.get(),
            unknown: inner.unknown.get(),
        }
    }
}

impl Inner {
    /// The body: CNCF `CloudEvents` 1.0, JSON format, structured mode; or what Slack's incoming webhooks take.
    fn body(&self, kind: ChannelKind, notice: &Notice) -> Bytes {
        let body = match kind {
            ChannelKind::Webhook => json!({
                "specversion": "1.0",
                "id": notice.id,
                "source": self.source,
                "type": format!("flaggate.{}", notice.kind),
                "subject": notice.subject,
                "time": notice.time.to_string(),
                "datacontenttype": "application/json",
                "data": { "text": notice.text, "details": notice.data },
            }),
            // Slack reads these three as markup; a name in a document must not call a whole channel.
            ChannelKind::Slack => {
                json!({ "text": notice.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") })
            }
        };
        body.to_string().into()
    }

    fn unknown(&self, name: &str) {
        self.unknown.inc();
        tracing::warn!(channel = name, "no such channel in `outbound.channels`");
    }

    async fn deliver(&self, channel: &Channel, body: &Bytes) {
        let mut wait = self.first_wait;
        for attempt in 1.. {
            let Err(failure) = self.attempt(channel, body).await else {
                self.sent.inc();
                return;
            };
            if attempt >= ATTEMPTS || !failure.is_passing() {
                self.failed.inc();
                tracing::warn!(channel = channel.name, attempts = attempt, error = %failure, "failed to notify");
                return;
            }
            sleep(jittered(wait)).await;
            wait *= 2;
        }
    }

    async fn attempt(&self, channel: &Channel, body: &Bytes) -> Result<(), Failure> {
        let url = match &channel.url {
            ChannelUrl::Text(url) => url.expose().to_owned(),
            ChannelUrl::File(path) => tokio::fs::read_to_string(path).await.map_err(Failure::File)?,
        };
        let kind = HeaderValue::from_static(match channel.kind {
            ChannelKind::Webhook => "application/cloudevents+json",
            ChannelKind::Slack => "application/json",
        });
        let headers = vec![(header::CONTENT_TYPE, kind)];
        let request = Request { method: Method::POST, url: url.trim(), headers, body: body.clone() };
        let answer = self.client.send(request).await?;
        if answer.status.is_success() { Ok(()) } else { Err(Failure::Status(answer.status)) }
    }
}

impl Failure {
    /// Whether it may be worth another try.
    fn is_passing(&self) -> bool {
        match self {
            Self::Outbound(error) => error.is_passing(),
            Self::File(_) => true,
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
        }
    }
}

/// Between half of it and the whole, so that many gateways do not come back together.
fn jittered(wait: Duration) -> Duration {
    let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait.mul_f64(0.5 + 0.5 * f64::from(drawn) / f64::from(u32::MAX))
}
