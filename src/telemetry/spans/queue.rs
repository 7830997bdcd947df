//! The queue between the data plane, which never waits, and the exporter.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The spans of one request, encoded.
#[derive(Debug)]
pub struct Encoded {
    /// Fields of the message `ScopeSpans`.
    pub bytes: Vec<u8>,
    /// How many spans they are.
    pub spans: usize,
    held: Held,
}

/// Bytes of the allowance, given back when dropped.
#[derive(Debug)]
struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

/// What became of spans.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    /// Those that the collector took.
    pub exported: IntCounter,
    /// Those for which there was no room in the queue.
    pub no_room: IntCounter,
    /// Those that could not be sent.
    pub failed: IntCounter,
    /// Those that the collector refused.
    pub rejected: IntCounter,
}

/// Where the data plane puts spans.
///
/// Invariant: what waits, with what the exporter holds, is never more than the allowance.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: UnboundedSender<Encoded>,
    held: Arc<AtomicUsize>,
    allowance: usize,
    no_room: IntCounter,
}

/// Where the exporter takes them. It ends when everybody who puts spans has gone, or after [`Spans::close`].
#[derive(Debug)]
pub struct Spans(UnboundedReceiver<Encoded>);

impl Queue {
    /// A queue for so many bytes.
    pub(super) fn new(allowance: usize, no_room: IntCounter) -> (Self, Spans) {
        let (sender, receiver) = unbounded_channel();
        (Self { sender, held: Arc::default(), allowance, no_room }, Spans(receiver))
    }

    /// Puts spans, or drops and counts them.
    pub(super) fn put(&self, bytes: Vec<u8>, spans: usize) {
        let size = bytes.capacity() + size_of::<Encoded>();
        let held = Held { bytes: size, all: Arc::clone(&self.held) };
        let before = self.held.fetch_add(size, Ordering::Relaxed);
        let encoded = Encoded { bytes, spans, held };
        if before + size > self.allowance || self.sender.send(encoded).is_err() {
            self.no_room.inc_by(spans as u64);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Encoded {
    /// The memory that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.held.bytes
    }
}

impl Spans {
    /// Waits for the spans of the next request; `None`: there will be none.
    pub async fn next(&mut self) -> Option<Encoded> {
        self.0.recv().await
    }

    /// The spans of the next request, if they are there.
    pub fn next_now(&mut self) -> Option<Encoded> {
        self.0.try_recv().ok()
    }

    /// Takes no more than what is there already.
    pub fn close(&mut self) {
        self.0.close();
    }
}

impl SpanMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let exported = IntCounter::new("flaggate_spans_exported_total", "Spans that the collector took.")?;
        let dropped = Opts::new("flaggate_spans_dropped_total", "Spans that were lost, by why.");
        let dropped = IntCounterVec::new(dropped, &["reason"])?;
        registry.register(Box::new(exported.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        let because = |reason: &str| dropped.with_label_values(&[reason]);
        Ok(Self {
            exported,
            no_room: because("queue_full"),
            failed: because("export_failed"),
            rejected: because("rejected"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_by_its_bytes() {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        let size = 100 + size_of::<Encoded>();
        let (queue, mut spans) = Queue::new(3 * size, dropped.clone());
        let put = |count: usize| (0..count).for_each(|_| queue.put(Vec::with_capacity(100), 2));
        put(5);
        assert_eq!(dropped.get(), 4);
        // What the exporter holds counts, until it is sent.
        let first = spans.next_now().unwrap();
        assert_eq!(first.size(), size);
        put(1);
        assert_eq!(dropped.get(), 6);
        drop(first);
        put(2);
        assert_eq!(dropped.get(), 8);
        spans.close();
        put(1);
        assert_eq!(dropped.get(), 10);
        assert_eq!(std::iter::from_fn(|| spans.next_now()).count(), 3);
        assert_eq!(queue.held.load(Ordering::Relaxed), 0);
    }
}
