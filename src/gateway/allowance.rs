//! How long a client may keep the gateway waiting for bytes: ten seconds, and each byte that moves gives some of them back,
//! so that on average it moves at a rate. What the gateway itself or an upstream takes its time for does not count.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

use crate::clock;

/// How long a client may move nothing at all.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// What a client has left that was waited for longer than it had: nobody was there to notice in time, so that it was not
/// the client who took so long.
const ANEW: Duration = Duration::from_secs(1);

/// One way of a connection, to the client or from it.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Bytes a second; 0: any.
    rate: u64,
    left: Duration,
    since: Option<Instant>,
}

impl Allowance {
    pub(super) fn new(rate: u64) -> Self {
        Self { rate, left: GRACE, since: None }
    }

    /// Nothing moves until the client does something; gives when its time is over. The clock is asked when a wait begins.
    pub(super) fn wait(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        (self.rate > 0).then(|| *self.since.get_or_insert_with(now) + self.left)
    }

    /// Bytes moved. The clock is asked only if they were waited for.
    pub(super) fn moved(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.checked_sub(now().saturating_duration_since(since)).unwrap_or(ANEW);
        }
        if self.rate > 0 && self.left < GRACE {
            let earned = Duration::from_millis((bytes as u64).saturating_mul(1_000) / self.rate);
            self.left = self.left.saturating_add(earned).min(GRACE);
        }
    }
}

/// Both ways of a connection.
pub(super) struct Flow {
    /// For the bytes of a body.
    pub(super) reading: Allowance,
    /// For those of answers.
    writing: Allowance,
    /// Wakes the writer; none until it had to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Flow {
    pub(super) fn new(rate: u64) -> Self {
        Self { reading: Allowance::new(rate), writing: Allowance::new(rate), alarm: None }
    }

    /// What became of sending bytes: an error when the client takes them too slowly, unless both sides may do what they
    /// like. Of a flush nobody says how many they were, but there are no more than pingora's small buffer has.
    pub(super) fn poll_sent<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
        is_free: bool,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Ok(sent)) => {
                self.writing.moved(bytes(&sent), clock::monotonic);
                Poll::Ready(Ok(sent))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if is_free => Poll::Pending,
            Poll::Pending => {
                let Some(due) = self.writing.wait(clock::monotonic).map(tokio::time::Instant::from) else {
                    return Poll::Pending;
                };
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if alarm.deadline() != due {
                    alarm.as_mut().reset(due);
                }
                ready!(alarm.as_mut().poll(context));
                Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a client is given up that moves so many bytes every so many seconds; none: never within ten minutes.
    fn given_up(rate: u64, bytes: usize, pause: u64) -> Option<u64> {
        let start = clock::monotonic();
        let mut allowance = Allowance::new(rate);
        for step in 0..600 / pause {
            let (now, next) =
                (start + Duration::from_secs(step * pause), start + Duration::from_secs((step + 1) * pause));
            let due = allowance.wait(|| now)?;
            if due < next {
                return Some(due.duration_since(start).as_secs());
            }
            allowance.moved(bytes, || next);
        }
        None
    }

    #[test]
    fn who_is_slower_than_the_rate_is_given_up() {
        for (rate, bytes, pause, expected) in [
            (100, 0, 1, Some(10)),
            (100, 1, 9, Some(10)),
            (100, 10, 1, Some(11)),
            (100, 50, 1, Some(19)),
            (100, 100, 1, None),
            (100, 900, 9, None),
            (100, 1_000_000, 11, Some(10)),
            (0, 0, 60, None),
        ] {
            assert_eq!(given_up(rate, bytes, pause), expected, "{bytes} bytes every {pause} s at {rate}");
        }
    }

    #[test]
    fn what_nobody_looked_at_does_not_count() {
        let start = clock::monotonic();
        let mut allowance = Allowance::new(100);
        allowance.wait(|| start);
        // The upstream took a minute, and the client's bytes were there all the while.
        allowance.moved(1_000, || start + Duration::from_secs(60));
        let later = start + Duration::from_secs(60);
        assert_eq!(allowance.wait(|| later), Some(later + GRACE));
    }
}
