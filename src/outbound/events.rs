//! Events as CloudEvents, a batch in each POST.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Client, Request};
use crate::{
    config::{ChannelUrl, EventWebhook},
    telemetry::events::{Batch, Event, EventSink, SinkError},
};

/// A web hook that takes batches: CNCF `CloudEvents` 1.0, JSON batch format.
///
/// 2xx takes a batch. What may be over the next time (no connection, 408, 429, 5xx) is tried again, all else is refused.
#[derive(Debug)]
pub struct WebhookEvents {
    client: Client,
    config: EventWebhook,
    /// Who tells it.
    source: String,
}

#[derive(Serialize)]
struct CloudEvent<'e> {
    specversion: &'static str,
    id: &'e str,
    source: &'e str,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    datacontenttype: &'static str,
    data: &'e RawValue,
}

impl WebhookEvents {
    /// A web hook that the client may call; `gateway` names this gateway.
    #[must_use]
    pub fn new(client: Client, config: EventWebhook, gateway: &str) -> Self {
        Self { client, config, source: format!("flaggate/{gateway}") }
    }

    fn body(&self, batch: &Batch) -> Result<Bytes, serde_json::Error> {
        let told = batch.events.iter().map(|event| self.told(event)).collect::<Result<Vec<_>, _>>()?;
        serde_json::to_vec(&told).map(Bytes::from)
    }

    fn told<'e>(&'e self, event: &'e Event) -> Result<CloudEvent<'e>, serde_json::Error> {
        Ok(CloudEvent {
            specversion: "1.0",
            id: &event.id,
            source: &self.source,
            kind: format!("flaggate.{}", event.kind.as_str()),
            time: event.time.to_string(),
            datacontenttype: "application/json",
            data: serde_json::from_str(&event.json)?,
        })
    }

    async fn url(&self) -> Result<String, SinkError> {
        match &self.config.url {
            ChannelUrl::Text(url) => Ok(url.expose().to_owned()),
            ChannelUrl::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map_err(|error| passing(&format!("failed to read the file with the URL: {error}")))
            }
        }
    }

    async fn token(&self) -> Result<Option<HeaderValue>, SinkError> {
        let Some(path) = &self.config.token_file else { return Ok(None) };
        let read = tokio::fs::read_to_string(path).await;
        let token = read.map_err(|error| passing(&format!("failed to read the file with the token: {error}")))?;
        let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut header = header.map_err(|_| passing("the file with the token has more than a token"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

#[async_trait]
impl EventSink for WebhookEvents {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), SinkError> {
        let body = self.body(batch).map_err(|error| SinkError::Refused(error.to_string()))?;
        let kind = HeaderValue::from_static("application/cloudevents-batch+json");
        let mut headers = vec![(header::CONTENT_TYPE, kind)];
        headers.extend(self.token().await?.map(|token| (header::AUTHORIZATION, token)));
        let url = self.url().await?;
        let request = Request { method: Method::POST, url: url.trim(), headers, body };
        match self.client.send(request).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => {
                let why = format!("it answered {}", answer.status);
                let is_passing = answer.status.is_server_error()
                    || matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                Err(if is_passing { SinkError::Passing(why) } else { SinkError::Refused(why) })
            }
            Err(error) if error.is_passing() => Err(passing(&error.to_string())),
            Err(error) => Err(SinkError::Refused(error.to_string())),
        }
    }
}

fn passing(why: &str) -> SinkError {
    SinkError::Passing(why.to_owned())
}
