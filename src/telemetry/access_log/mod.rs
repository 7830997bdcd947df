//! The access log: one line a request, written by a thread of its own from a bounded queue.
//!
//! A line holds nothing personal unless that is asked for: no user id, no query, no address of the client. What comes from
//! the request is escaped, so that a request cannot forge a line.

mod line;
mod out;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use prometheus::IntCounter;

pub use self::line::{AccessLine, flags};
use self::out::Out;
use crate::{
    config::{self, AccessLogFormat, Share},
    telemetry::Privacy,
};

/// Lines that may wait; more are dropped and counted.
const QUEUE: usize = 8192;

/// After a pause lines are gathered for so long: to wake the writer costs more than to write a line.
const GATHER: Duration = Duration::from_millis(5);

/// Takes access lines; cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: Option<SyncSender<Queued>>,
    dropped: IntCounter,
    sample: Share,
    errors: bool,
    user_id: bool,
    privacy: Privacy,
    /// The file is to be opened anew.
    reopen: Arc<AtomicBool>,
}

/// The writing thread. Dropping it waits until the lines that were taken are written; later ones are dropped.
#[derive(Debug)]
pub struct Writer(Option<(SyncSender<Queued>, JoinHandle<()>)>);

/// What the writing thread is given; nothing is the end.
type Queued = Option<AccessLine>;

impl AccessLog {
    /// Starts the writing thread. `privacy` says how users are named; `dropped` counts the lines that found the queue full.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn start(config: &config::AccessLog, privacy: Privacy, dropped: IntCounter) -> io::Result<(Self, Writer)> {
        let mut log = Self {
            sample: config.sample,
            errors: config.errors,
            user_id: config.user_id,
            privacy,
            ..Self::off(dropped)
        };
        if !config.enabled {
            return Ok((log, Writer(None)));
        }
        let out = Out::open(config.path.as_deref(), Arc::clone(&log.reopen))?;
        let (queue, lines) = sync_channel(QUEUE);
        let format = config.format;
        let writer = thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&lines, out, format))?;
        log.queue = Some(queue.clone());
        Ok((log, Writer(Some((queue, writer)))))
    }

    /// A log that takes nothing.
    #[must_use]
    pub fn off(dropped: IntCounter) -> Self {
        Self {
            queue: None,
            dropped,
            sample: Share::ALL,
            errors: true,
            user_id: false,
            privacy: Privacy::default(),
            reopen: Arc::default(),
        }
    }

    /// Opens the file anew before the next line is written: the one that there was has been moved away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Whether a line is written of a request. All gateways take the same ones.
    #[must_use]
    pub fn takes(&self, request_id: &str, failed: bool) -> bool {
        let is_sampled = || self.sample == Share::ALL || draw(request_id) < self.sample.millionths();
        self.queue.is_some() && ((failed && self.errors) || is_sampled())
    }

    /// Whether lines name the user.
    #[must_use]
    pub fn tells_user_ids(&self) -> bool {
        self.queue.is_some() && self.user_id
    }

    /// How lines name a user, if they do.
    #[must_use]
    pub fn shown(&self, user_id: &str) -> Option<Box<str>> {
        self.tells_user_ids().then(|| self.privacy.shown(user_id).into())
    }

    /// Hands a line to the writer; never waits.
    pub fn push(&self, line: AccessLine) {
        if let Some(queue) = &self.queue
            && queue.try_send(Some(line)).is_err()
        {
            self.dropped.inc();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some((queue, thread)) = self.0.take() else { return };
        // It is told to end: somebody may hold the log for as long as the process lives.
        if queue.send(None).is_err() || thread.join().is_err() {
            log::error!("the access log's thread panicked");
        }
    }
}

/// Writes lines until the end; flushes whenever the queue is empty.
fn write(lines: &Receiver<Queued>, mut out: Out, format: AccessLogFormat) {
    let mut buffer = String::with_capacity(64 * 1024);
    let (mut failing, mut ended) = (false, false);
    while !ended {
        buffer.clear();
        let mut next = lines.try_recv().ok().or_else(|| {
            let first = lines.recv().ok();
            thread::sleep(GATHER);
            first
        });
        ended = next.is_none();
        while let Some(queued) = next {
            match queued {
                Some(line) => line.render(format, &mut buffer),
                None => ended = true,
            }
            next = if ended || buffer.len() >= 60 * 1024 { None } else { lines.try_recv().ok() };
        }
        let outcome = out.write(buffer.as_bytes());
        if let Err(error) = &outcome
            && !failing
        {
            log::error!("failed to write the access log: {error}");
        }
        failing = outcome.is_err();
    }
}

/// A number below a million that hangs on the id alone: FNV-1a, then the end of splitmix64.
fn draw(request_id: &str) -> u32 {
    let hash = request_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((mixed ^ (mixed >> 31)) % 1_000_000).expect("it is below a million")
}

#[cfg(test)]
mod tests {
    use super::{line::tests::line, *};

    fn config(more: impl FnOnce(&mut config::AccessLog)) -> (tempfile::TempDir, config::AccessLog) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config::Config::for_testing().access_log;
        config.path = Some(dir.path().join("access.log"));
        more(&mut config);
        (dir, config)
    }

    fn dropped() -> IntCounter {
        IntCounter::new("dropped", "dropped").unwrap()
    }

    #[test]
    fn lines_reach_the_file_and_too_many_are_counted() {
        let ((dir, config), dropped) = (config(|_| ()), dropped());
        let (log, writer) = AccessLog::start(&config, Privacy::default(), dropped.clone()).unwrap();
        for _ in 0..QUEUE * 4 {
            log.push(line("/"));
        }
        drop(log);
        drop(writer);
        let written = std::fs::read_to_string(dir.path().join("access.log")).unwrap().lines().count() as u64;
        assert_eq!(written + dropped.get(), QUEUE as u64 * 4);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let (dir, config) = config(|_| ());
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let (log, writer) = AccessLog::start(&config, Privacy::default(), dropped()).unwrap();
        let lines = |path| std::fs::read_to_string(path).map_or(0, |text: String| text.lines().count());
        log.push(line("/before"));
        while lines(&path) == 0 {
            thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.push(line("/after"));
        drop(log);
        drop(writer);
        assert_eq!((lines(&moved), lines(&path)), (1, 1));
    }

    #[test]
    fn a_share_is_logged_and_what_failed_as_configured() {
        let taken = |sample: Share, errors: bool, failed: bool| {
            let (_dir, config) = config(|config| (config.errors, config.sample) = (errors, sample));
            let (log, writer) = AccessLog::start(&config, Privacy::default(), dropped()).unwrap();
            let taken = (0..10_000).filter(|number| log.takes(&format!("0192-{number}"), failed)).count();
            // The writer waits for the end of the log.
            drop(log);
            drop(writer);
            taken
        };
        assert_eq!(taken(Share::ALL, true, false), 10_000);
        assert_eq!(taken(Share::ONE_PERCENT, true, true), 10_000);
        for (errors, failed) in [(true, false), (false, true)] {
            let some = taken(Share::ONE_PERCENT, errors, failed);
            assert!((60..150).contains(&some), "{some}");
        }
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let log = AccessLog::off(dropped());
        assert!(!log.takes("a", true) && !log.tells_user_ids());
    }
}
