//! What to do next to keep a snapshot in step with a store: a pure machine, without a clock, a socket or a task.
//!
//! It is told what happened (`handle_message`) and what time it is (`handle_timeout`), and answers what to do
//! (`next_command`, one at a time) and when to be woken (`poll_timeout`). Documents only pass through it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::Timing;
use crate::{
    model::{Change, DocumentKey, DocumentKind, WorldRevision},
    store::{Contents, Hint},
};

/// How many hints may wait before a load in full is the shorter way.
const MOST_PENDING: usize = 10_000;

/// So many hints that waited together are a storm; fewer are writes that come one after the other.
pub(super) const STORM: usize = 4;

/// What happened.
#[derive(Debug)]
pub(super) enum Message {
    /// `Subscribe` was done.
    Subscribed,
    /// The subscription is lost, or hints were missed.
    SubscriptionLost,
    /// A hint came.
    Hint(Hint),
    /// `Load` was done.
    Loaded(Contents),
    /// `Fetch` was done.
    Fetched(Vec<Change>),
    /// `Compare` was done.
    Compared(WorldRevision),
    /// `Replace` or `Apply` was done, and this is whether the world is empty now.
    Published { empty: bool },
    /// The command was not done.
    Failed,
}

/// What to do. One command is done at a time.
#[derive(Debug)]
pub(super) enum Command {
    /// Subscribe, in place of any earlier subscription.
    Subscribe,
    /// Read everything.
    Load,
    /// Read these documents.
    Fetch(Vec<DocumentKey>),
    /// Read the revision.
    Compare,
    /// Replace the world by these contents and publish it.
    Replace(Contents),
    /// Apply these changes to the world and publish it.
    Apply(WorldRevision, Vec<Change>),
}

/// What the store holds and why it does not replace the snapshot that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The revision of the store.
    pub found: WorldRevision,
    /// Why it is refused.
    pub because: RefusedBecause,
}

/// Why the contents of a store are not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBecause {
    /// The store is empty, and not because its documents were removed one by one.
    Empty,
    /// The store went back to an earlier revision.
    Older,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.because {
            RefusedBecause::Empty => {
                write!(out, "it is empty at {}, and not because its documents were removed", self.found)
            }
            RefusedBecause::Older => write!(out, "it went back to {}", self.found),
        }
    }
}

/// What is being done, and the revision that it leads to if that is known.
#[derive(Debug)]
enum Doing {
    Subscribing,
    Loading,
    Fetching(WorldRevision),
    Comparing,
    Publishing(WorldRevision),
}

/// Invariant: an empty store, or an earlier revision of the same epoch, is never published over a snapshot with
/// documents.
#[derive(Debug)]
pub(super) struct SyncMachine {
    timing: Timing,
    random: u64,
    /// What was published last, and whether it was empty.
    applied: Option<(WorldRevision, bool)>,
    refusal: Option<Refusal>,
    doing: Option<Doing>,
    /// Read and accepted, to be published next.
    accepted: Option<(Command, Doing)>,
    /// Hints that were not followed yet.
    pending: Vec<Hint>,
    /// Of these, the kill switches that are to be read ahead of the rest.
    urgent: Vec<DocumentKey>,
    /// The last command read ahead: the rest has its turn.
    was_ahead: bool,
    subscribed: bool,
    /// The store answered last time.
    answers: bool,
    reload: bool,
    compare: bool,
    compare_at: Instant,
    /// How long hints wait after the next publish.
    pause: Duration,
    /// Hints wait until then.
    pause_until: Option<Instant>,
    retry_at: Option<Instant>,
    failures: u32,
    /// A revision that the hints must have led to by then.
    expect: Option<(WorldRevision, Instant)>,
}

impl SyncMachine {
    /// A machine that has published nothing. `seed` is for the jitter.
    pub(super) fn new(timing: Timing, seed: u64, now: Instant) -> Self {
        Self {
            timing,
            random: seed,
            applied: None,
            refusal: None,
            doing: None,
            accepted: None,
            pending: Vec::new(),
            urgent: Vec::new(),
            was_ahead: false,
            subscribed: false,
            answers: false,
            reload: true,
            compare: false,
            compare_at: now + timing.compare_every,
            pause: timing.pause_after_publish,
            pause_until: None,
            retry_at: None,
            failures: 0,
            expect: None,
        }
    }

    /// Something was published that did not come from the store: the backup.
    pub(super) fn restored(&mut self, revision: WorldRevision, empty: bool) {
        self.applied = Some((revision, empty));
    }

    /// Why the contents of the store are not served.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Whether the store answers and the subscription to its hints lives.
    pub(super) fn is_up(&self) -> bool {
        self.subscribed && self.answers
    }

    /// Whether what the store holds is still to be published.
    pub(super) fn is_publishing(&self) -> bool {
        self.accepted.is_some() || matches!(self.doing, Some(Doing::Publishing(_)))
    }

    pub(super) fn handle_message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Subscribed => {
                self.doing = None;
                self.subscribed = true;
                // Up again only once what was missed meanwhile is loaded.
                self.answers = false;
                self.reload = true;
            }
            Message::SubscriptionLost => self.lost(now),
            Message::Hint(hint) => self.heard(hint, now),
            Message::Loaded(contents) => {
                self.doing = None;
                self.answers = true;
                self.judge(contents);
            }
            Message::Fetched(changes) => {
                self.answers = true;
                if let Some(Doing::Fetching(revision)) = self.doing.take() {
                    self.fetched(revision, changes);
                }
            }
            Message::Compared(found) => {
                self.doing = None;
                self.answers = true;
                self.failures = 0;
                self.compared(found, now);
            }
            Message::Published { empty } => {
                if let Some(Doing::Publishing(revision)) = self.doing.take() {
                    // Only what was read ahead leaves the revision as it was.
                    let is_ahead = self.applied.as_ref().is_some_and(|(applied, _)| *applied == revision);
                    self.applied = Some((revision, empty));
                    self.pause_until = (!self.pause.is_zero() && !is_ahead).then(|| now + self.pause);
                }
            }
            Message::Failed => {
                self.doing = None;
                self.answers = false;
                self.lost(now);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if self.pause_until.is_some_and(|until| until <= now) {
            self.pause_until = None;
        }
        if self.compare_at <= now {
            self.compare = true;
            self.compare_at = now + self.jitter(self.timing.compare_every, 0.8);
        }
        if let Some((revision, _)) = self.expect.take_if(|(_, by)| *by <= now)
            && self.is_behind(&revision)
            && !self.will_reach(&revision)
        {
            self.reload = true;
        }
    }

    /// When to call `handle_timeout` next.
    pub(super) fn poll_timeout(&self) -> Instant {
        let expect = self.expect.as_ref().map(|(_, by)| *by);
        [self.retry_at, expect, self.pause_until].into_iter().flatten().fold(self.compare_at, Instant::min)
    }

    /// What to do now; `None`: something is being done, or there is nothing to do.
    pub(super) fn next_command(&mut self) -> Option<Command> {
        if self.doing.is_some() {
            return None;
        }
        let (command, doing) = self.choose()?;
        self.doing = Some(doing);
        Some(command)
    }

    fn choose(&mut self) -> Option<(Command, Doing)> {
        if self.accepted.is_some() {
            return self.accepted.take();
        }
        if !self.subscribed {
            return self.retry_at.is_none().then_some((Command::Subscribe, Doing::Subscribing));
        }
        self.sort_pending();
        if let Some(ahead) = self.ahead() {
            return Some(ahead);
        }
        if self.reload || !self.pending_is_next() {
            (self.reload, self.compare, self.expect) = (false, false, None);
            // What was hinted at before the load begins is part of what it reads.
            self.pending.clear();
            self.urgent.clear();
            return Some((Command::Load, Doing::Loading));
        }
        if let Some(last) = self.pending.last().filter(|_| self.pause_until.is_none()) {
            let revision = last.revision.clone();
            match self.pending.len() {
                1 => self.pause = self.timing.pause_after_publish,
                STORM.. => self.pause = self.timing.pause_most.min(self.pause * 2),
                _ => {}
            }
            let mut documents: Vec<DocumentKey> = self.pending.drain(..).map(|hint| hint.document).collect();
            documents.sort();
            documents.dedup();
            return Some((Command::Fetch(documents), Doing::Fetching(revision)));
        }
        std::mem::take(&mut self.compare).then_some((Command::Compare, Doing::Comparing))
    }

    /// The kill switches that wait behind something else: they are read and applied first, as what they stop must not wait
    /// for what was written before. The revision that is served stays as it is, since what lies between is still to come;
    /// it comes without a pause, so that nobody waits long for the kill to be acknowledged, and before the next that is read
    /// ahead, so that a flood of them holds nothing up.
    fn ahead(&mut self) -> Option<(Command, Doing)> {
        let mut urgent = std::mem::take(&mut self.urgent);
        urgent.retain(|document| self.pending.iter().any(|hint| hint.document == *document));
        let was_ahead = std::mem::take(&mut self.was_ahead);
        let (applied, _) = self.applied.as_ref().filter(|_| self.refusal.is_none())?;
        if was_ahead || !urgent.is_empty() {
            self.pause_until = None;
        }
        let is_of_this_epoch = self.pending.iter().all(|hint| hint.revision.epoch == applied.epoch);
        // With nothing in between, what is next is followed as it is.
        let is_alone = self.pending.iter().all(|hint| urgent.contains(&hint.document));
        let is_next = is_alone && !self.reload && self.pending_is_next();
        if urgent.is_empty() || was_ahead || is_next || !is_of_this_epoch {
            return None;
        }
        urgent.sort();
        urgent.dedup();
        self.was_ahead = true;
        Some((Command::Fetch(urgent), Doing::Fetching(applied.clone())))
    }

    /// Drops hints at what was applied and doubled ones, and sorts the rest.
    fn sort_pending(&mut self) {
        if let Some((applied, _)) = &self.applied {
            self.pending.retain(|hint| !applied.has(&hint.revision));
        }
        self.pending.sort_by_key(|hint| hint.revision.number);
        self.pending.dedup();
    }

    /// Whether the pending hints follow what was applied, one by one and without a gap.
    fn pending_is_next(&self) -> bool {
        let Some((applied, _)) = self.applied.as_ref().filter(|_| self.refusal.is_none()) else {
            return self.pending.is_empty();
        };
        let mut hints = self.pending.iter().zip(applied.number + 1..);
        hints.all(|(hint, next)| hint.revision.epoch == applied.epoch && hint.revision.number == next)
    }

    fn heard(&mut self, hint: Hint, now: Instant) {
        self.compare_at = self.compare_at.min(now + self.timing.compare_after_hint);
        if self.pending.len() >= MOST_PENDING {
            self.pending.clear();
            self.reload = true;
        }
        if hint.document.kind == DocumentKind::KillSwitch {
            self.urgent.push(hint.document.clone());
        }
        self.pending.push(hint);
    }

    fn fetched(&mut self, revision: WorldRevision, mut changes: Vec<Change>) {
        // A kill switch that is gone when it is read ahead goes in its turn: it stops nothing.
        if self.was_ahead {
            changes.retain(|change| change.text.is_some());
        }
        if !(self.was_ahead && changes.is_empty()) {
            self.accepted = Some((Command::Apply(revision.clone(), changes), Doing::Publishing(revision)));
        }
    }

    /// Accepts or refuses what was loaded.
    fn judge(&mut self, contents: Contents) {
        let found = contents.revision.clone();
        let because = self.applied.as_ref().and_then(|(applied, empty)| {
            if !found.may_follow(applied) {
                Some(RefusedBecause::Older)
            } else if contents.documents.is_empty() && !empty && !removed_one_by_one(applied, &found) {
                Some(RefusedBecause::Empty)
            } else {
                None
            }
        });
        self.refusal = because.map(|because| Refusal { found: found.clone(), because });
        if because.is_none() {
            self.accepted = Some((Command::Replace(contents), Doing::Publishing(found)));
        }
    }

    fn compared(&mut self, found: WorldRevision, now: Instant) {
        let applied = self.applied.as_ref().map(|(applied, _)| applied);
        if let Some(refusal) = &self.refusal {
            // As long as it is what was refused, there is nothing new to judge.
            self.reload |= refusal.found != found;
        } else if self.is_behind(&found) {
            if !self.will_reach(&found) {
                self.expect.get_or_insert((found, now + self.timing.hints_within));
            }
        } else if applied != Some(&found) {
            self.reload = true;
        }
    }

    fn lost(&mut self, now: Instant) {
        self.subscribed = false;
        let wait = self.timing.retry_first.saturating_mul(1 << self.failures.min(16)).min(self.timing.retry_most);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + self.jitter(wait, 0.5));
    }

    /// Whether `revision` is a later one of the epoch that is served.
    fn is_behind(&self, revision: &WorldRevision) -> bool {
        let applied = self.applied.as_ref().map(|(applied, _)| applied);
        applied.is_some_and(|applied| applied.epoch == revision.epoch && applied.number < revision.number)
    }

    /// Whether what is under way leads to `revision` by itself.
    fn will_reach(&self, revision: &WorldRevision) -> bool {
        let doing = [self.doing.as_ref(), self.accepted.as_ref().map(|(_, doing)| doing)];
        self.pending.iter().any(|hint| hint.revision.has(revision))
            || doing.into_iter().flatten().any(|doing| match doing {
                Doing::Loading => true,
                Doing::Fetching(to) | Doing::Publishing(to) => to.has(revision),
                Doing::Subscribing | Doing::Comparing => false,
            })
    }

    /// A random share of `whole`, at least `least` of it.
    fn jitter(&mut self, whole: Duration, least: f64) -> Duration {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = f64::from((mixed ^ (mixed >> 31)) as u32) / f64::from(u32::MAX);
        whole.mul_f64(least + (1.0 - least) * share)
    }
}

/// Whether there were writes from `applied` to `found` that can have removed the last document.
fn removed_one_by_one(applied: &WorldRevision, found: &WorldRevision) -> bool {
    applied.epoch == found.epoch && applied.number < found.number
}
