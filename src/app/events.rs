//! Where events go, and who gives them in.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    config::{self, Config},
    happenings,
    outbound::{Client, WebhookEvents},
    store::{Opened, RedisEvents},
    telemetry::{
        EventMetrics, EventSink, Events, Metrics, Observer, Privacy, Tail,
        events::{FileSink, Origin, Running},
    },
};

/// How long the end waits for the last events to reach their sinks.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Who is told of requests for events and for people who watch, and what gives events on.
pub(super) struct Telling {
    events: Option<Events>,
    running: Option<Running>,
    pub(super) tail: Arc<Tail>,
}

impl Telling {
    /// Starts what gives events on, on the runtime that is entered.
    pub(super) fn start(config: &Config, metrics: &Metrics) -> Result<Self> {
        let privacy =
            Privacy::new(&config.privacy).context("failed to read the secret that user ids are hashed with")?;
        let tail = Arc::new(Tail::new(privacy.clone()));
        let counts = EventMetrics::register(metrics.registry()).context("failed to register the metrics")?;
        let origin = Origin {
            service: config.events.service_name.as_str().into(),
            environment: config.context.environment.as_deref().map(Into::into),
            region: config.context.region.as_deref().map(Into::into),
        };
        let started = Events::start(&config.events, origin, privacy, sinks(config)?, &counts);
        let (events, running) = started.unzip();
        Ok(Self { events, running, tail })
    }

    /// Who is told of requests.
    pub(super) fn observers(&self) -> Vec<Arc<dyn Observer>> {
        let events = self.events.iter().map(|events| Arc::new(events.clone()) as Arc<dyn Observer>);
        events.chain([Arc::clone(&self.tail) as Arc<dyn Observer>]).collect()
    }

    /// Where events are given in, if they go anywhere.
    pub(super) fn events(&self) -> Option<&Events> {
        self.events.as_ref()
    }

    /// The same stores, whose writes are told.
    pub(super) fn told(&self, stores: &Opened) -> Opened {
        let mut stores = stores.clone();
        if let Some(events) = &self.events {
            stores.documents = Arc::new(happenings::Telling::new(stores.documents, events.clone()));
        }
        stores
    }

    /// Gives on what still waits.
    pub(super) async fn end(self) {
        if let Some(running) = self.running {
            running.end(LAST_EVENTS).await;
        }
    }
}

fn sinks(config: &Config) -> Result<Vec<Arc<dyn EventSink>>> {
    let config::Events { redis, file, webhook, .. } = &config.events;
    let mut sinks: Vec<Arc<dyn EventSink>> = Vec::new();
    if let (Some(stream), config::StoreKind::Redis(redis)) = (redis, &config.store.kind) {
        sinks.push(Arc::new(RedisEvents::new((**redis).clone(), *stream)));
    }
    if let Some(file) = file {
        sinks.push(Arc::new(FileSink::new(file)));
    }
    if let Some(webhook) = webhook {
        let client = Client::new(config.outbound.clone()).context("failed to prepare calls to other hosts")?;
        sinks.push(Arc::new(WebhookEvents::new(client, webhook.clone(), &config.server.name)));
    }
    Ok(sinks)
}
