//! What came of an import so far.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Value, json};

/// How many lines that are wrong are told of.
const ERRORS: usize = 100;

/// Counts lines.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    done: u64,
    failed: u64,
    /// The first ones, by line.
    errors: Vec<(u64, String)>,
}

/// Why an import ended before its body did.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) why: String,
    /// The first line that may not be written.
    pub(super) resume_at: u64,
}

impl Tally {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, done: 0, failed: 0, errors: Vec::new() }
    }

    pub(super) fn done(&mut self, count: usize) {
        self.done += count as u64;
    }

    pub(super) fn failed(&mut self, line: u64, why: String) {
        self.failed += 1;
        // What the store refuses comes after lines that were not even sent there.
        let place = self.errors.partition_point(|(earlier, _)| *earlier <= line);
        if place < ERRORS {
            self.errors.insert(place, (line, why));
            self.errors.truncate(ERRORS);
        }
    }

    pub(super) fn progress(&self, now: Instant) -> Bytes {
        line(&self.told(now))
    }

    pub(super) fn end(&self, now: Instant, stopped: Option<&Stopped>) -> Bytes {
        let mut told = self.told(now);
        told["seconds"] = rounded(self.elapsed(now).as_secs_f64(), 1000.0);
        told["complete"] = stopped.is_none().into();
        told["errors"] =
            self.errors.iter().map(|(line, message)| json!({ "line": line, "message": message })).collect();
        if let Some(Stopped { why, resume_at }) = stopped {
            told["error"] = why.as_str().into();
            told["resume_at_line"] = (*resume_at).into();
        }
        line(&told)
    }

    fn told(&self, now: Instant) -> Value {
        let rate = (self.done + self.failed) as f64 / self.elapsed(now).as_secs_f64().max(0.001);
        json!({ "done": self.done, "failed": self.failed, "rate": rounded(rate, 10.0) })
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

fn rounded(number: f64, parts: f64) -> Value {
    json!((number * parts).round() / parts)
}

fn line(told: &Value) -> Bytes {
    format!("{told}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_told() {
        let began = clock::monotonic();
        let mut tally = Tally::new(began);
        tally.done(3);
        for line in (1..=ERRORS as u64 + 5).rev() {
            tally.failed(line, "no".to_owned());
        }
        let later = began + Duration::from_millis(1500);
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
        assert_eq!(read(tally.progress(later)), json!({ "done": 3, "failed": 105, "rate": 72.0 }));
        let end = read(tally.end(later, None));
        assert_eq!(
            (&end["seconds"], &end["complete"], end["errors"].as_array().unwrap().len()),
            (&json!(1.5), &json!(true), ERRORS)
        );
        assert_eq!(end["errors"][0], json!({ "line": 1, "message": "no" }));
        let stopped = Stopped { why: "gone".to_owned(), resume_at: 4 };
        let end = read(tally.end(later, Some(&stopped)));
        assert_eq!(
            (&end["complete"], &end["error"], &end["resume_at_line"]),
            (&json!(false), &json!("gone"), &json!(4))
        );
    }
}
