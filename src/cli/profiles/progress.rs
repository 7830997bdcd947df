//! How far an import is, told to who watches.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How often it is told where lines stay.
const EVERY: Duration = Duration::from_secs(2);

/// How often it is told where one line is written over and over.
const OFTEN: Duration = Duration::from_millis(200);

/// Tells on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    is_wanted: bool,
    is_terminal: bool,
    began: Instant,
    told: Option<Instant>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Far {
    pub(super) done: u64,
    pub(super) failed: u64,
    /// Of the file.
    pub(super) bytes: u64,
    /// None: nobody knows how long the file is.
    pub(super) of_bytes: Option<u64>,
}

impl Progress {
    pub(super) fn new(is_wanted: bool, now: Instant) -> Self {
        Self { is_wanted, is_terminal: io::stderr().is_terminal(), began: now, told: None }
    }

    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Tells, unless it did a moment ago.
    pub(super) fn tell(&mut self, far: Far, now: Instant) {
        let every = if self.is_terminal { OFTEN } else { EVERY };
        let since = self.told.map(|told| now.saturating_duration_since(told));
        if !self.is_wanted || since.is_some_and(|since| since < every) {
            return;
        }
        self.told = Some(now);
        let text = line(far, self.elapsed(now));
        // Who cannot be told misses nothing that the end does not say as well.
        match self.is_terminal {
            true => write!(io::stderr(), "\r{text}\u{1b}[K").ok(),
            false => writeln!(io::stderr(), "{text}").ok(),
        };
    }

    /// Makes room for what comes after it.
    pub(super) fn end(&self) {
        if self.told.is_some() && self.is_terminal {
            write!(io::stderr(), "\r\u{1b}[K").ok();
        }
    }
}

/// `120000 written, 3 failed, 24531/s, 45 %, 1 min 20 s left`.
fn line(far: Far, elapsed: Duration) -> String {
    let mut text =
        format!("{} written, {} failed, {:.0}/s", far.done, far.failed, rate(far.done + far.failed, elapsed));
    if let Some(of_bytes) = far.of_bytes.filter(|of_bytes| *of_bytes > 0 && far.bytes > 0) {
        let share = (far.bytes as f64 / of_bytes as f64).min(1.0);
        let left = elapsed.mul_f64(1.0 / share - 1.0).as_secs_f64().round();
        let (minutes, seconds) = ((left / 60.0).floor(), left % 60.0);
        let minutes = if minutes > 0.0 { format!("{minutes} min ") } else { String::new() };
        text += &format!(", {:.0} %, {minutes}{seconds} s left", share * 100.0);
    }
    text
}

/// How many a second.
pub(super) fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let far = Far { done: 4000, failed: 1, bytes: 25, of_bytes: Some(100) };
        assert_eq!(line(far, Duration::from_secs(40)), "4000 written, 1 failed, 100/s, 25 %, 2 min 0 s left");
        assert_eq!(
            line(Far { bytes: 100, ..far }, Duration::from_secs(40)),
            "4000 written, 1 failed, 100/s, 100 %, 0 s left"
        );
        assert_eq!(line(Far { of_bytes: None, ..far }, Duration::from_secs(40)), "4000 written, 1 failed, 100/s");
        assert_eq!(line(Far::default(), Duration::ZERO), "0 written, 0 failed, 0/s");
    }
}
