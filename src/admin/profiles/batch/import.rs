//! An import while it runs.

use std::{
    mem,
    time::{Duration, Instant},
};

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    super::document::Given,
    lines::{LONGEST, Line, Lines},
    tally::{Stopped, Tally},
};
use crate::{admin::Admin, clock, model::Profile};

/// How many profiles are written at once.
const BATCH: usize = 1000;

/// They are written earlier when their lines have so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// How often it is told how it goes on.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How long nothing may come.
const IDLE: Duration = Duration::from_secs(30);

/// What some editors write at the beginning of a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads, writes and tells in turn, each time that the answer is asked for more: who does not listen is not read from, and
/// when the connection goes, so does this.
pub(super) struct Import {
    admin: Admin,
    body: BodyDataStream,
    piece: Bytes,
    lines: Lines,
    batch: Vec<(String, Profile)>,
    /// Of each profile of the batch.
    numbers: Vec<u64>,
    bytes: usize,
    tally: Tally,
    told: Instant,
    has_ended: bool,
}

impl Import {
    pub(super) fn new(admin: Admin, body: Body) -> Self {
        let now = clock::monotonic();
        Self {
            admin,
            body: body.into_data_stream(),
            piece: Bytes::new(),
            lines: Lines::default(),
            batch: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
            tally: Tally::new(now),
            told: now,
            has_ended: false,
        }
    }

    /// The next line of the answer; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        match self.go_on().await {
            Ok(true) => {
                self.told = clock::monotonic();
                return Some(self.tally.progress(self.told));
            }
            Ok(false) => self.has_ended = true,
            Err(stopped) => {
                log::warn!("admin: an import of profiles stopped: {}", stopped.why);
                self.has_ended = true;
                return Some(self.tally.end(clock::monotonic(), Some(&stopped)));
            }
        }
        Some(self.tally.end(clock::monotonic(), None))
    }

    /// Goes on until there is something to tell, or to the end: then `false`.
    async fn go_on(&mut self) -> Result<bool, Stopped> {
        loop {
            while let Some(line) = self.lines.take(&mut self.piece) {
                self.line(line);
                if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES {
                    self.write().await?;
                    if self.is_due() {
                        return Ok(true);
                    }
                }
            }
            match timeout(IDLE, self.body.next()).await {
                Ok(Some(Ok(piece))) => {
                    self.piece = piece;
                    if self.is_due() {
                        return Ok(true);
                    }
                }
                Ok(Some(Err(error))) => return Err(self.stopped(format!("the body broke off: {error}"))),
                Ok(None) => {
                    if let Some(line) = self.lines.end() {
                        self.line(line);
                    }
                    self.write().await?;
                    return Ok(false);
                }
                Err(_) => {
                    self.write().await?;
                    return Err(self.stopped(format!("nothing came for {IDLE:?}")));
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        clock::monotonic() - self.told >= TELL_EVERY
    }

    /// Puts a line into the batch, if it says a profile.
    fn line(&mut self, Line { number, text }: Line) {
        let Some(text) = text else {
            return self.tally.failed(number, format!("the line is longer than {LONGEST} bytes"));
        };
        let text = match number {
            1 => text.strip_prefix(MARK).unwrap_or(&text),
            _ => &text,
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match read(text) {
            Ok(profile) => {
                self.batch.push(profile);
                self.numbers.push(number);
                self.bytes += text.len();
            }
            Err(why) => self.tally.failed(number, why),
        }
    }

    async fn write(&mut self) -> Result<(), Stopped> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let written = self.admin.profile_store.put_profiles(&self.batch, clock::now()).await;
        let unwritten = written.map_err(|error| self.stopped(error.to_string()))?;
        for (user_id, _) in mem::take(&mut self.batch) {
            self.admin.forget(&user_id);
        }
        let numbers = mem::take(&mut self.numbers);
        self.tally.done(numbers.len() - unwritten.len());
        for failed in unwritten {
            self.tally.failed(numbers.get(failed.position).copied().unwrap_or_default(), failed.why);
        }
        self.bytes = 0;
        Ok(())
    }

    fn stopped(&self, why: String) -> Stopped {
        let resume_at = self.numbers.first().copied().unwrap_or_else(|| self.lines.next_number());
        Stopped { why, resume_at }
    }
}

/// The profile that a line says.
fn read(text: &[u8]) -> Result<(String, Profile), String> {
    let body: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(body) = body else { return Err("expected an object".to_owned()) };
    let given = Given::read(body).map_err(|issues| {
        let told: Vec<String> = issues.iter().map(|issue| told(issue.place())).collect();
        told.join("; ")
    })?;
    let user_id = given.user_id.clone().ok_or_else(|| "/user_id: field required".to_owned())?;
    Ok((user_id, given.profile()))
}

fn told((pointer, message): (String, &str)) -> String {
    format!("{pointer}: {message}")
}
