//! What waits for the batching task: bounded in number and bytes, given in without waiting.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::{EventKind, EventMetrics, Happening};
use crate::{
    model::{Detail, Reason},
    telemetry::ObservedFlag,
};

/// So many messages may wait.
const MOST: usize = 1 << 16;

/// What the name of this queue is among those that drop.
const NAME: &str = "queue";

/// What is handed over: as little as possible is made of it on the way of a request.
#[derive(Debug)]
pub(super) enum Message {
    /// What a user was given.
    Exposures(Box<Exposures>),
    /// Anything else.
    Happening(Box<Happening>),
}

/// What a user was given at one time.
#[derive(Debug)]
pub(super) struct Exposures {
    pub(super) time: Timestamp,
    pub(super) user_id: Box<str>,
    pub(super) session_id: Option<Box<str>>,
    pub(super) request_id: Option<Box<str>>,
    pub(super) revision: Option<u64>,
    pub(super) route: Option<Arc<str>>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) strategy: Option<&'static str>,
    /// Whether an application asked for all flags.
    pub(super) all: bool,
    pub(super) flags: SmallVec<[Exposed; 2]>,
}

/// What one flag gave.
#[derive(Debug)]
pub(super) struct Exposed {
    pub(super) flag: Arc<str>,
    pub(super) variation: Box<str>,
    pub(super) reason: Reason,
    pub(super) detail: Option<Detail>,
}

impl Exposed {
    pub(super) fn of(flag: &ObservedFlag<'_>) -> Self {
        Self { flag: Arc::clone(flag.key), variation: flag.variation.into(), reason: flag.reason, detail: flag.detail }
    }
}

impl Message {
    /// About how much memory it takes, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Exposures(exposures) => {
                let flags = exposures.flags.iter().map(|flag| size_of::<Exposed>() + flag.variation.len());
                size_of::<Exposures>() + exposures.user_id.len() + flags.sum::<usize>()
            }
            // Its data are an event's: short, but for the properties that an application gives, which are bounded.
            Self::Happening(happening) => size_of::<Happening>() + 128 + bytes_of(&happening.data),
        }
    }

    /// Its kind, and how many events it is.
    pub(super) fn events(&self) -> (EventKind, usize) {
        match self {
            Self::Exposures(exposures) => (EventKind::FlagEvaluated, exposures.flags.len()),
            Self::Happening(happening) => (happening.kind, 1),
        }
    }
}

/// About how much memory an object takes.
fn bytes_of(data: &serde_json::Map<String, serde_json::Value>) -> usize {
    use serde_json::Value;
    fn of(value: &Value) -> usize {
        mem::size_of::<Value>()
            + match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => 0,
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(of).sum(),
                Value::Object(fields) => bytes_of(fields),
            }
    }
    data.iter().map(|(name, value)| mem::size_of::<String>() + name.len() + of(value)).sum()
}

/// The end that takes.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Message>,
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
    metrics: EventMetrics,
}

/// The end that gives.
#[derive(Debug)]
pub(super) struct Waiting {
    receiver: mpsc::Receiver<Message>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// A queue for about so many bytes.
    pub(super) fn new(most_bytes: usize, metrics: EventMetrics) -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(MOST);
        let bytes = Arc::new(AtomicUsize::new(0));
        (Self { sender, bytes: Arc::clone(&bytes), most_bytes, metrics }, Waiting { receiver, bytes })
    }

    /// Gives a message in; `false`: there was no place, which is counted.
    pub(super) fn push(&self, message: Message) -> bool {
        let ((kind, count), bytes) = (message.events(), message.bytes());
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.most_bytes && self.sender.try_send(message).is_ok() {
            self.metrics.told(kind, count);
            return true;
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.dropped(NAME, kind, count);
        false
    }
}

impl Waiting {
    /// Waits for messages and takes at most so many; none: there will be no more.
    pub(super) async fn take(&mut self, most: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        self.receiver.recv_many(&mut taken, most).await;
        self.release(&taken);
        taken
    }

    /// Takes at most so many of those that are there.
    pub(super) fn take_ready(&mut self, most: usize) -> Vec<Message> {
        let ready = std::iter::from_fn(|| self.receiver.try_recv().ok()).take(most);
        let taken: Vec<Message> = ready.collect();
        self.release(&taken);
        taken
    }

    fn release(&self, taken: &[Message]) {
        self.bytes.fetch_sub(taken.iter().map(Message::bytes).sum(), Ordering::Relaxed);
    }
}
