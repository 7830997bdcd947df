//! The way to one sink: a queue of its own, bounded in bytes, and tries until it takes a batch.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Batch, EventMetrics, metrics::SinkMetrics, seen::Seen};

/// So many batches may wait for a sink.
const MOST: usize = 1 << 12;

/// The wait before the second try; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Where events go.
#[async_trait]
pub trait EventSink: fmt::Debug + Send + Sync {
    /// What it is called in metrics and logs.
    fn name(&self) -> &'static str;

    /// Takes a batch, wholly. It is given the same again after a [`SinkError::Passing`].
    async fn deliver(&self, batch: &Batch) -> Result<(), SinkError>;
}

/// Why a sink did not take a batch. Nothing of the events stands in it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It is down: worth another try.
    #[error("{0}")]
    Passing(String),
    /// It will never take it.
    #[error("{0}")]
    Refused(String),
}

/// The end that takes batches.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: mpsc::Sender<Arc<Batch>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: Arc<dyn EventSink>,
    most_bytes: usize,
    /// What waits or is being delivered.
    bytes: AtomicUsize,
    /// Whether something found no place since something was last delivered. What was refused would be so again.
    has_dropped: AtomicBool,
    all: EventMetrics,
    metrics: SinkMetrics,
    seen: Arc<Seen>,
}

impl Outlet {
    pub(super) fn start(
        sink: Arc<dyn EventSink>,
        most_bytes: usize,
        metrics: &EventMetrics,
        seen: Arc<Seen>,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(MOST);
        let own = metrics.of_sink(sink.name());
        let (bytes, has_dropped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared =
            Arc::new(Shared { sink, most_bytes, bytes, has_dropped, all: metrics.clone(), metrics: own, seen });
        let task = tokio::spawn(Arc::clone(&shared).run(receiver, stop));
        (Self { sender, shared }, task)
    }

    /// Gives a batch in, or drops and counts it.
    pub(super) fn push(&self, batch: &Arc<Batch>) {
        let (shared, bytes) = (&self.shared, batch.bytes());
        let before = shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One batch always has its place.
        let fits = before == 0 || before + bytes <= shared.most_bytes;
        if fits && self.sender.try_send(Arc::clone(batch)).is_ok() {
            shared.metrics.waiting.add(batch.events.len() as i64);
            return;
        }
        shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        shared.lose(batch);
        shared.has_dropped.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    async fn run(self: Arc<Self>, mut receiver: mpsc::Receiver<Arc<Batch>>, stop: CancellationToken) {
        // The sender goes with the batching task, when it is stopped and has given on all that there was.
        while let Some(batch) = receiver.recv().await {
            self.deliver(&batch, &stop).await;
            self.bytes.fetch_sub(batch.bytes(), Ordering::Relaxed);
            self.metrics.waiting.sub(batch.events.len() as i64);
        }
    }

    /// Tries until the batch is taken or refused; once that is stopped, once more.
    async fn deliver(&self, batch: &Batch, stop: &CancellationToken) {
        let mut wait = FIRST_WAIT;
        loop {
            let is_last = stop.is_cancelled();
            let name = self.sink.name();
            match self.sink.deliver(batch).await {
                Ok(()) => return self.delivered(batch),
                Err(error) => {
                    self.metrics.failures.inc();
                    let is_news = self.metrics.up.get() == 1;
                    self.metrics.up.set(0);
                    match error {
                        SinkError::Refused(why) => {
                            // One line, and not one for each batch, until it takes something.
                            let level = if is_news { log::Level::Warn } else { log::Level::Debug };
                            log::log!(level, "events: the sink {name} refused {} events: {why}", batch.events.len());
                            return self.lose(batch);
                        }
                        SinkError::Passing(why) if is_last => {
                            log::warn!("events: {} events are lost to the sink {name}: {why}", batch.events.len());
                            return self.lose(batch);
                        }
                        SinkError::Passing(why) if is_news => log::warn!("events: the sink {name} is down: {why}"),
                        SinkError::Passing(why) => log::debug!("events: the sink {name} is still down: {why}"),
                    }
                }
            }
            tokio::select! {
                () = sleep(jittered(wait)) => {}
                () = stop.cancelled() => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn delivered(&self, batch: &Batch) {
        self.metrics.delivered.inc_by(batch.events.len() as u64);
        if self.metrics.up.get() == 0 {
            log::info!("events: the sink {} takes events again", self.sink.name());
            self.metrics.up.set(1);
        }
        // Who was exposed meanwhile and is still here is told of anew.
        if self.has_dropped.swap(false, Ordering::Relaxed) {
            self.seen.forget_all();
        }
    }

    fn lose(&self, batch: &Batch) {
        for (kind, count) in batch.kinds() {
            self.all.dropped(self.sink.name(), kind, count);
        }
    }
}

/// Between half of it and the whole, so that many gateways do not come back together.
fn jittered(wait: Duration) -> Duration {
    let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait.mul_f64(0.5 + 0.5 * f64::from(drawn) / f64::from(u32::MAX))
}
