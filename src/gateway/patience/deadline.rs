//! Until when something must be there that a client or an upstream owes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use pingora::protocols::Stream;

use super::PatientStream;
use crate::clock;

/// A request's header must be complete this long after its first byte.
pub(super) const HEADER: Duration = Duration::from_secs(10);

/// A connection without a request is kept this long.
pub(in crate::gateway) const IDLE: Duration = Duration::from_secs(75);

/// The time after which reading fails, and what is being waited for.
#[derive(Debug)]
pub(in crate::gateway) struct Deadline {
    pub(super) start: Instant,
    /// Milliseconds after `start`, with what it is for in the lowest bits; 0: there is none.
    pub(super) at: AtomicU64,
    /// Whether somebody may end it, and whether it is ended.
    may_end: AtomicBool,
    is_ended: AtomicBool,
    /// Who reads, where somebody may end it.
    reader: AtomicWaker,
    /// What is under way besides.
    body: AtomicU8,
}

/// No body is awaited.
const NO_BODY: u8 = 0;
/// The body of a request is to come.
const BODY: u8 = 1;
/// It came too slowly.
const LATE_BODY: u8 = 2;
/// Both sides send and read what they like, when they like.
const TUNNEL: u8 = 3;
/// The head was longer than is read, and was cut off.
const LONG_HEAD: u8 = 4;

/// What a deadline is for is kept in the lowest bits of its number.
pub(super) const KIND_BITS: u32 = 2;
/// For the first byte of a request.
pub(super) const BETWEEN: u64 = 1;
/// For the rest of a request's header.
pub(super) const HEAD: u64 = 2;
/// For the header of the response.
const REQUEST: u64 = 3;

impl Deadline {
    pub(super) fn new() -> Self {
        let (may_end, is_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let (start, at) = (clock::monotonic(), AtomicU64::new(0));
        let body = AtomicU8::new(NO_BODY);
        let deadline = Self { start, at, body, may_end, is_ended, reader: AtomicWaker::new() };
        deadline.set(BETWEEN, HEADER);
        deadline
    }

    /// The deadline of a client's connection, if it has one.
    pub(in crate::gateway) fn of(stream: Option<&Stream>) -> Option<&Arc<Self>> {
        stream?.as_any().downcast_ref::<PatientStream>().map(|stream| &stream.deadline)
    }

    /// The request's header is there: its body may take its time.
    pub(in crate::gateway) fn header_complete(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// The request's body is to come, and must come at a rate.
    pub(in crate::gateway) fn await_body(&self) {
        self.body.store(BODY, Ordering::Relaxed);
    }

    /// The request's body is there.
    pub(in crate::gateway) fn body_complete(&self) {
        self.body.store(NO_BODY, Ordering::Relaxed);
    }

    pub(super) fn awaits_body(&self) -> bool {
        self.body.load(Ordering::Relaxed) == BODY
    }

    /// The body comes too slowly.
    pub(super) fn give_body_up(&self) {
        self.body.store(LATE_BODY, Ordering::Relaxed);
    }

    /// Whether the body came too slowly.
    pub(in crate::gateway) fn body_is_late(&self) -> bool {
        self.body.load(Ordering::Relaxed) == LATE_BODY
    }

    /// The head was cut off.
    pub(super) fn head_is_too_long(&self) {
        self.body.store(LONG_HEAD, Ordering::Relaxed);
    }

    /// Whether the head was cut off: what was read of it is no request.
    pub(in crate::gateway) fn head_was_cut(&self) -> bool {
        self.body.load(Ordering::Relaxed) == LONG_HEAD
    }

    /// The connection is a tunnel from now on.
    pub(in crate::gateway) fn begin_tunnel(&self) {
        self.body.store(TUNNEL, Ordering::Relaxed);
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.body.load(Ordering::Relaxed) == TUNNEL
    }

    /// The response's header must be there within `time` from now.
    pub(in crate::gateway) fn await_response(&self, time: Duration) {
        self.set(REQUEST, time);
    }

    /// The response's header is there.
    pub(in crate::gateway) fn response_started(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// The request is over: the next one may come.
    pub(in crate::gateway) fn between_requests(&self) {
        self.body_complete();
        self.set(BETWEEN, IDLE);
    }

    /// Whether the time until the response's header is over.
    pub(in crate::gateway) fn response_is_late(&self) -> bool {
        self.kind() == REQUEST && self.now() >= self.at.load(Ordering::Relaxed) >> KIND_BITS
    }

    /// From now on it may be ended before its time.
    pub(in crate::gateway) fn may_end(&self) {
        self.may_end.store(true, Ordering::Release);
    }

    /// Ends the connection: reading it fails, and whoever waits for that is woken.
    pub(in crate::gateway) fn end(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Whether it is ended; if it may be, the reader is woken then.
    pub(super) fn is_ended(&self, context: &Context<'_>) -> bool {
        if !self.may_end.load(Ordering::Acquire) {
            return false;
        }
        self.reader.register(context.waker());
        self.is_ended.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, kind: u64, time: Duration) {
        let at = self.now().saturating_add(millis(time)) << KIND_BITS | kind;
        self.at.store(at, Ordering::Relaxed);
    }

    /// Milliseconds since the start.
    pub(super) fn now(&self) -> u64 {
        millis(clock::monotonic().duration_since(self.start))
    }

    pub(super) fn kind(&self) -> u64 {
        self.at.load(Ordering::Relaxed) & ((1 << KIND_BITS) - 1)
    }

    /// A byte was read: the first one of a request starts the time for its header.
    pub(super) fn byte_read(&self) {
        if self.kind() == BETWEEN {
            self.set(HEAD, HEADER);
        }
    }
}

/// Milliseconds, at most some thousands of years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}
