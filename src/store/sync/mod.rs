//! The sync: keeps the published snapshot in step with a store, and goes on serving when there is no store.

mod applied;
mod background;
mod compiler;
mod machine;
#[cfg(test)]
mod machine_bench;
#[cfg(test)]
mod machine_tests;
mod metrics;
mod status;
mod timing;

use std::{collections::BTreeMap, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    clock,
    model::{Change, DocumentKey, WorldRevision},
    snapshot::Publisher,
};

use self::{
    background::in_background,
    compiler::{Compilation, Compiler},
    machine::{Command, Message, STORM, SyncMachine},
    metrics::SyncMetrics,
};
use super::{
    Contents, Hint, Hints, Store, StoreError,
    backup::{self, LastGood},
};

pub use applied::Applied;
pub use machine::{Refusal, RefusedBecause};
pub use status::{SyncHandle, SyncStatus};
pub use timing::Timing;

/// How a store is followed.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// Names the overrides (`environments` of a flag) that apply here.
    pub environment: Option<String>,
    /// Kill switches of this region apply here.
    pub region: Option<String>,
    /// Where the last good world is kept.
    pub backup: Option<PathBuf>,
    /// How long to wait for what.
    pub timing: Timing,
    /// The store answers each question within this, or is lost.
    pub answer_within: Duration,
    /// The backup is written at most this often.
    pub backup_every: Duration,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            environment: None,
            region: None,
            backup: None,
            timing: Timing::default(),
            answer_within: Duration::from_secs(5),
            backup_every: Duration::from_secs(5),
        }
    }
}

/// Follows a store and publishes what it holds, until it is told to stop.
///
/// Invariant: it is the only one that publishes into its cell.
pub struct Follower {
    store: Arc<dyn Store>,
    options: SyncOptions,
    compiler: Arc<Compiler>,
    machine: SyncMachine,
    hints: Option<Hints>,
    status: watch::Sender<SyncStatus>,
    applied: watch::Sender<Option<WorldRevision>>,
    changes: broadcast::Sender<Arc<Applied>>,
    metrics: SyncMetrics,
}

/// How a command went.
enum Done {
    Subscribed(Hints),
    Told(Message),
    Published(WorldRevision, Compilation),
    Failed(String),
}

impl Follower {
    /// A follower that has not begun, and the handle that watches it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, publisher: Publisher, options: SyncOptions) -> (Self, SyncHandle) {
        let (status, status_seen) = watch::channel(SyncStatus::default());
        let (applied, applied_seen) = watch::channel(None);
        let changes = broadcast::Sender::new(applied::MOST_BEHIND);
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let metrics = SyncMetrics::new();
        let place = (options.environment.clone(), options.region.clone());
        let compiler = Arc::new(Compiler::new(place, publisher, metrics.clone()));
        let follower = Self {
            store,
            compiler: Arc::clone(&compiler),
            machine: SyncMachine::new(options.timing, seed, clock::monotonic()),
            hints: None,
            status,
            applied,
            changes: changes.clone(),
            metrics: metrics.clone(),
            options,
        };
        (follower, SyncHandle { status: status_seen, applied: applied_seen, changes, compiler, metrics })
    }

    /// Serves the backup, then follows the store until `stop` is ready; then the backup is brought up to date.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        self.restore().await;
        self.report();
        let Some(path) = self.options.backup.clone() else { return self.follow(stop).await };
        let keeper = Keeper { path, compiler: self.compiler.clone(), every: self.options.backup_every };
        let applied = self.applied.subscribe();
        let following = async move {
            self.follow(stop).await;
            // The keeper's channel ends with this, and so does the keeper.
            drop(self);
        };
        tokio::join!(following, keeper.keep(applied));
    }

    async fn follow(&mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut doing = None;
        loop {
            if let Some(command) = self.machine.next_command() {
                let work = perform(self.store.clone(), self.compiler.clone(), command, self.options.answer_within);
                doing = Some(Box::pin(work));
            }
            let wake = Instant::from_std(self.machine.poll_timeout());
            tokio::select! {
                () = &mut stop => return,
                done = async { doing.as_mut().expect("checked by the guard").await }, if doing.is_some() => {
                    doing = None;
                    self.finish(done);
                }
                hint = next(&mut self.hints), if self.hints.is_some() => self.hear(hint),
                () = sleep_until(wake) => self.machine.handle_timeout(clock::monotonic()),
            }
        }
    }

    fn hear(&mut self, hint: Option<Hint>) {
        match hint {
            Some(hint) => {
                self.metrics.heard(&hint);
                self.machine.handle_message(Message::Hint(hint), clock::monotonic());
            }
            None => {
                self.hints = None;
                self.failed("the subscription to changes was lost".to_owned(), Message::SubscriptionLost);
            }
        }
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Subscribed(hints) => {
                self.hints = Some(hints);
                self.machine.handle_message(Message::Subscribed, clock::monotonic());
            }
            Done::Told(message) => self.machine.handle_message(message, clock::monotonic()),
            Done::Published(revision, compilation) => {
                let empty = compilation.empty;
                self.machine.handle_message(Message::Published { empty }, clock::monotonic());
                self.published(revision, compilation, false);
            }
            Done::Failed(error) => {
                self.hints = None;
                self.failed(error, Message::Failed);
            }
        }
        self.report();
    }

    fn failed(&mut self, error: String, message: Message) {
        if self.machine.is_up() {
            log::warn!("store: {error}; what was loaded is served on");
        }
        self.status.send_modify(|status| status.last_error = Some(error));
        self.machine.handle_message(message, clock::monotonic());
        self.report();
    }

    fn published(&self, revision: WorldRevision, compilation: Compilation, from_backup: bool) {
        let at = clock::now();
        self.metrics.served(&revision, at);
        self.status.send_modify(|status| {
            status.applied = Some(revision.clone());
            status.applied_at = Some(at);
            status.from_backup = from_backup;
        });
        let previous = self.applied.borrow().clone();
        let applied = Applied { revision: revision.clone(), previous, at, changes: compilation.changed };
        // An error says that nobody listens.
        self.changes.send(Arc::new(applied)).ok();
        self.applied.send_replace(Some(revision));
    }

    /// Brings the status in line with the machine, and logs what changed.
    fn report(&self) {
        let (up, alarm) = (self.machine.is_up(), self.machine.refusal().cloned());
        self.status.send_if_modified(|status| {
            if up && !status.store_up {
                log::info!("store: it answers");
            }
            if let Some(refusal) = alarm.as_ref().filter(|_| alarm != status.alarm) {
                log::error!("store: ALARM: {refusal}; what was loaded is served on");
            }
            let stale_since = match up && alarm.is_none() && status.applied.is_some() && !status.from_backup {
                // What was stale is so until the store's own is served.
                true => status.stale_since.filter(|_| self.machine.is_publishing()),
                false => status.stale_since.or_else(|| Some(clock::now())),
            };
            let before = status.clone();
            (status.store_up, status.alarm, status.stale_since) = (up, alarm, stale_since);
            before != *status
        });
    }

    async fn restore(&mut self) {
        let Some(path) = self.options.backup.clone() else { return };
        let compiler = self.compiler.clone();
        let shown = path.display().to_string();
        let restored = spawn_blocking(move || {
            let Some(last) = backup::read(&path).map_err(|error| error.to_string())? else { return Ok(None) };
            let revision = last.revision.clone();
            Ok(Some((revision, compiler.replace(last)?)))
        });
        match restored.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(Some((revision, compilation))) => {
                log::info!("store: the backup {shown} of {revision} is served until the store is loaded");
                self.machine.restored(revision.clone(), compilation.empty);
                self.published(revision, compilation, true);
            }
            Ok(None) => {}
            Err(error) => log::error!("store: the backup {shown} is ignored: {error}"),
        }
    }
}

async fn next(hints: &mut Option<Hints>) -> Option<Hint> {
    hints.as_mut()?.next().await
}

async fn perform(store: Arc<dyn Store>, compiler: Arc<Compiler>, command: Command, within: Duration) -> Done {
    let by = Instant::from_std(clock::monotonic()) + within;
    let asked = match command {
        Command::Subscribe => ask(by, store.subscribe()).await.map(Done::Subscribed),
        Command::Load => ask(by, store.load()).await.map(|contents| Done::Told(Message::Loaded(contents))),
        Command::Compare => ask(by, store.revision()).await.map(|found| Done::Told(Message::Compared(found))),
        Command::Fetch(documents) => {
            ask(by, async {
                let read = store.read(&documents).await?.into_iter().map(|stored| (stored.document, stored.text));
                let mut texts: BTreeMap<DocumentKey, Arc<str>> = read.collect();
                let change = |document| Change { text: texts.remove(&document), document };
                Ok(Done::Told(Message::Fetched(documents.into_iter().map(change).collect())))
            })
            .await
        }
        Command::Replace(Contents { revision, documents }) => {
            let documents = documents.into_iter().map(|stored| (stored.document, stored.text)).collect();
            let last = LastGood { revision: revision.clone(), documents };
            publish(revision, true, move || compiler.replace(last)).await
        }
        Command::Apply(revision, changes) => {
            let is_storm = changes.len() >= STORM;
            publish(revision.clone(), is_storm, move || compiler.apply(revision, &changes)).await
        }
    };
    asked.unwrap_or_else(Done::Failed)
}

async fn ask<T>(by: Instant, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match timeout_at(by, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the store does not answer".to_owned()),
    }
}

/// Compiles off the threads that serve requests, and behind them if it `takes_long`.
async fn publish(
    revision: WorldRevision,
    takes_long: bool,
    compile: impl FnOnce() -> Result<Compilation, String> + Send + 'static,
) -> Result<Done, String> {
    let compiled = match takes_long {
        true => in_background(compile).await,
        false => spawn_blocking(compile).await.map_err(|panic| panic.to_string()),
    };
    let compiled = compiled.unwrap_or_else(|why| Err(format!("a compile failed: {why}")));
    compiled.map(|compilation| Done::Published(revision, compilation))
}

/// Writes the backup after what is served changed.
struct Keeper {
    path: PathBuf,
    compiler: Arc<Compiler>,
    every: Duration,
}

impl Keeper {
    /// Ends when the sync does, after what was published last is written.
    async fn keep(self, mut applied: watch::Receiver<Option<WorldRevision>>) {
        // What was restored, and only that, is in the file already.
        while applied.changed().await.is_ok() {
            self.write().await;
            // Changes during this wait are written together after it; the end of the sync cuts it short.
            let mut ending = applied.clone();
            let ended = async { while ending.changed().await.is_ok() {} };
            timeout(self.every, ended).await.ok();
        }
    }

    async fn write(&self) {
        let (path, compiler) = (self.path.clone(), self.compiler.clone());
        let written = in_background(move || match compiler.last_good() {
            Some(last) => backup::write(&path, last).map_err(|error| error.to_string()),
            None => Ok(()),
        });
        if let Err(error) = written.await.unwrap_or_else(Err) {
            log::error!("store: the backup {} was not written, the earlier one stays: {error}", self.path.display());
        }
    }
}
