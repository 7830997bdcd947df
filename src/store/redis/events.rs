//! Events in a stream of the store's Redis.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use redis::Script;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{connection::Link, names::Names};
use crate::{
    config,
    store::StoreError,
    telemetry::events::{Batch, Event, EventSink, SinkError},
};

/// So many events are appended in one step: the server does nothing else meanwhile.
const TOGETHER: usize = 100;

/// How long it is known which part of a writer came last: longer than a try takes.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// The stream `flaggate:exposures`, over a connection of its own: what waits for it holds up no flag.
///
/// Invariant: a part of a batch that was appended is not appended again, however its answer was lost.
pub struct RedisEvents {
    link: Link,
    stream: String,
    /// Where the number of the last part is.
    writer: String,
    max_len: u64,
    script: Script,
    progress: Mutex<Progress>,
}

/// How far a batch is.
#[derive(Debug, Default)]
struct Progress {
    /// The first event of the batch that is delivered.
    batch: Box<str>,
    /// How many parts were numbered before it.
    before: u64,
    /// How many were numbered in all.
    numbered: u64,
}

impl RedisEvents {
    /// Connects when there is something to deliver.
    #[must_use]
    pub fn new(config: config::Redis, stream: config::EventStream) -> Self {
        let names = Names::new(&config.key_prefix);
        Self {
            link: Link::new(config, names.index()),
            stream: names.exposures(),
            writer: names.exposures_writer(&Uuid::new_v4().to_string()),
            max_len: stream.max_len,
            script: Script::new(include_str!("scripts/add_events.lua")),
            progress: Mutex::default(),
        }
    }

    async fn append(&self, number: u64, events: &[Event]) -> Result<(), StoreError> {
        let mut call = self.script.key(&self.stream);
        call.key(&self.writer).arg(number).arg(self.max_len).arg(REMEMBERED.as_secs());
        for event in events {
            call.arg(event.kind.as_str()).arg(&*event.json);
        }
        let mut live = self.link.live().await?;
        let appended: Result<u8, StoreError> = live.script(&call).await;
        self.link.keep(&live, appended).await.map(drop)
    }
}

#[async_trait]
impl EventSink for RedisEvents {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), SinkError> {
        let mut progress = self.progress.lock().await;
        let Some(first) = batch.events.first() else { return Ok(()) };
        if progress.batch != first.id {
            progress.batch.clone_from(&first.id);
            progress.before = progress.numbered;
        }
        for (part, events) in (1..).zip(batch.events.chunks(TOGETHER)) {
            let number = progress.before + part;
            progress.numbered = progress.numbered.max(number);
            self.append(number, events).await.map_err(|error| SinkError::Passing(error.to_string()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisEvents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisEvents").field("stream", &self.stream).finish_non_exhaustive()
    }
}
