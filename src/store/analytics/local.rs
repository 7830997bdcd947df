//! Analytics of one gateway that has its store for itself: rows in memory, or in a file.
//!
//! Everything is a row of a key and bytes, so that what is done with rows is written once. Keys are the parts of a name with
//! NUL between them; the parts are JSON where they are not ours, so that none has a NUL.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;

use super::{EXPERIMENT_KEPT, Experience, Experiment, MOST_EXPERIMENTS, Record, SHORT, Span, Step, touched};
use crate::{
    model::{Arm, ArmCounts, Subject, Visitors},
    store::counters::{add_to_sketch, arm, decode, decode_sketch, encode, name, subject, subject_name},
};

/// Rows to be read.
pub(in crate::store) trait Read {
    /// What reading fails with.
    type Error;

    /// The bytes of a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The rows from a key on and before another, in order.
    fn range(&self, from: &str, to: &str) -> Result<Vec<(String, Vec<u8>)>, Self::Error>;

    /// The same without their bytes.
    fn keys(&self, from: &str, to: &str) -> Result<Vec<String>, Self::Error>;
}

/// Rows to be written.
pub(in crate::store) trait Write: Read {
    /// Puts a row.
    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Removes a row.
    fn remove(&mut self, key: &str) -> Result<(), Self::Error>;
}

/// A key of these parts.
fn key(parts: &[&str]) -> String {
    parts.join("\0")
}

/// A number in a key: sorted as numbers are.
fn sorted(number: i64) -> String {
    format!("{:015}", number.max(0))
}

/// Behind all keys that begin so and go on.
fn behind(begin: &str) -> String {
    format!("{begin}\u{1}")
}

/// The rows below a key.
fn below<R: Read>(rows: &R, begin: &str) -> Result<Vec<(String, Vec<u8>)>, R::Error> {
    rows.range(&format!("{begin}\0"), &behind(begin))
}

/// Writes the counts of a span.
pub(in crate::store) fn put_counts<W: Write>(
    rows: &mut W,
    step: Step,
    number: i64,
    counts: &[(Arm, ArmCounts)],
) -> Result<(), W::Error> {
    for (arm, counts) in counts {
        let subject = subject_name(&arm.subject());
        let row = key(&["series", step.letter(), &subject, &sorted(number), &name(arm)]);
        rows.put(&row, &encode(counts))?;
        let hour = number * step.seconds() / Step::Hour.seconds();
        rows.put(&key(&["subject", &sorted(hour), &subject]), &[])?;
    }
    rows.put(&key(&["until", step.letter()]), number.to_string().as_bytes())
}

/// The last span that was written.
pub(in crate::store) fn until<R: Read>(rows: &R, step: Step) -> Result<Option<i64>, R::Error> {
    let found = rows.get(&key(&["until", step.letter()]))?;
    Ok(found.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()))
}

/// The spans of a flag or a route.
pub(in crate::store) fn spans<R: Read>(
    rows: &R,
    step: Step,
    of: &Subject,
    (from, to): (i64, i64),
) -> Result<Vec<Span>, R::Error> {
    let row = |number| key(&["series", step.letter(), &subject_name(of), &sorted(number)]);
    let mut spans: BTreeMap<i64, Vec<(Arm, ArmCounts)>> = BTreeMap::new();
    for (row, bytes) in rows.range(&row(from), &row(to))? {
        let parts: Vec<&str> = row.split('\0').collect();
        let [.., number, arm_name] = parts.as_slice() else { continue };
        let (Ok(number), Some(arm)) = (number.parse(), arm(arm_name)) else { continue };
        let mut counts = ArmCounts::default();
        decode(&bytes, &mut counts);
        spans.entry(number).or_default().push((arm, counts));
    }
    Ok(spans.into_iter().collect())
}

/// The flags and routes of some hours.
pub(in crate::store) fn subjects<R: Read>(rows: &R, from: i64, to: i64) -> Result<Vec<Subject>, R::Error> {
    let keys = rows.keys(&key(&["subject", &sorted(from)]), &key(&["subject", &sorted(to)]))?;
    let found: BTreeSet<Subject> = keys.iter().filter_map(|key| subject(key.rsplit('\0').next()?)).collect();
    Ok(found.into_iter().collect())
}

/// Takes in what users met and did; says how many exposures there was no room for.
pub(in crate::store) fn deliver<W: Write>(
    rows: &mut W,
    experience: &Experience,
    now: Timestamp,
) -> Result<usize, W::Error> {
    let seen = key(&["gateway", &experience.gateway]);
    let last = rows.get(&seen)?.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0_u64);
    if experience.number <= last {
        return Ok(0);
    }
    rows.put(&seen, experience.number.to_string().as_bytes())?;
    let second = now.as_second();
    for (arm, users) in &experience.visits {
        let mut new = Visitors::default();
        users.iter().for_each(|user| new.add(Visitors::place(*user)));
        for seconds in [SHORT, Step::Hour.seconds()] {
            let row = visitors_key(seconds, second.div_euclid(seconds), arm);
            if let Some(bytes) = add_to_sketch(&rows.get(&row)?.unwrap_or_default(), &new) {
                rows.put(&row, &bytes)?;
            }
        }
    }
    let mut open = Open { metas: BTreeMap::new(), begun: 0, now: now.as_millisecond() };
    let left_out = open.exposures(rows, experience)?;
    open.actions(rows, experience)?;
    for (flag, meta) in &open.metas {
        rows.put(&key(&["experiment", flag]), meta.to_string().as_bytes())?;
    }
    Ok(left_out)
}

fn visitors_key(seconds: i64, number: i64, arm: &Arm) -> String {
    key(&["visitors", &seconds.to_string(), &sorted(number), &name(arm)])
}

/// How an experiment is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Meta {
    level: u32,
    users: usize,
    /// When somebody was last shown it, in milliseconds since 1970.
    at: i64,
}

impl fmt::Display for Meta {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.level, self.users, self.at)
    }
}

impl Meta {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split(' ');
        Some(Self {
            level: parts.next()?.parse().ok()?,
            users: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
        })
    }
}

/// Experiments that are being written to.
struct Open {
    metas: BTreeMap<Arc<str>, Meta>,
    /// How many of them have no row yet.
    begun: usize,
    now: i64,
}

fn participant_key(flag: &str, user: u64) -> String {
    key(&["participant", &serde_json::json!(flag).to_string(), &format!("{user:016x}")])
}

impl Open {
    fn at(&self, age: std::time::Duration) -> i64 {
        self.now - i64::try_from(age.as_millis()).unwrap_or(self.now)
    }

    /// How a flag's users are kept; none: there are too many flags.
    fn meta<W: Write>(&mut self, rows: &W, flag: &Arc<str>) -> Result<Option<Meta>, W::Error> {
        if let Some(meta) = self.metas.get(flag) {
            return Ok(Some(*meta));
        }
        let meta = match rows.get(&key(&["experiment", flag]))?.and_then(|bytes| Meta::read(&bytes)) {
            Some(meta) => meta,
            None if experiments(rows)?.len() + self.begun >= MOST_EXPERIMENTS => return Ok(None),
            None => {
                self.begun += 1;
                Meta::default()
            }
        };
        self.metas.insert(Arc::clone(flag), meta);
        Ok(Some(meta))
    }

    fn exposures<W: Write>(&mut self, rows: &mut W, experience: &Experience) -> Result<usize, W::Error> {
        let mut left_out = 0;
        for exposure in &experience.exposures {
            let Some(mut meta) = self.meta(rows, &exposure.flag)? else {
                left_out += 1;
                continue;
            };
            if exposure.user.leading_zeros() < meta.level {
                continue;
            }
            let (row, at) = (participant_key(&exposure.flag, exposure.user), self.at(exposure.age));
            let known: Option<Record> = rows.get(&row)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let is_new = known.is_none();
            let mut record = known.unwrap_or_else(|| Record::new(Arc::clone(&exposure.variation), at));
            if record.shown(&exposure.variation, at) || is_new {
                rows.put(&row, &serde_json::to_vec(&record).unwrap_or_default())?;
            }
            meta.users += usize::from(is_new);
            meta.at = self.now;
            while meta.users > experience.most && meta.level < u64::BITS {
                meta = rise(rows, &exposure.flag, meta)?;
            }
            self.metas.insert(Arc::clone(&exposure.flag), meta);
        }
        Ok(left_out)
    }

    fn actions<W: Write>(&mut self, rows: &mut W, experience: &Experience) -> Result<(), W::Error> {
        if experience.actions.is_empty() {
            return Ok(());
        }
        let flags: BTreeSet<Arc<str>> = experiments(rows)?.into_iter().chain(self.metas.keys().cloned()).collect();
        for flag in flags {
            for acted in &experience.actions {
                let row = participant_key(&flag, acted.user);
                let known: Option<Record> = rows.get(&row)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let Some(mut record) = known else { continue };
                if record.did(&acted.event, self.at(acted.age), acted.value) {
                    rows.put(&row, &serde_json::to_vec(&record).unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }
}

/// Forgets the users of the lowest level: those whose hashes are the highest.
fn rise<W: Write>(rows: &mut W, flag: &str, meta: Meta) -> Result<Meta, W::Error> {
    let lowest = participant_key(flag, (u64::MAX >> meta.level).div_ceil(2));
    let end = behind(&key(&["participant", &serde_json::json!(flag).to_string()]));
    let gone = rows.keys(&lowest, &end)?;
    for row in &gone {
        rows.remove(row)?;
    }
    Ok(Meta { level: meta.level + 1, users: meta.users.saturating_sub(gone.len()), ..meta })
}

/// About how many users arms had.
pub(in crate::store) fn visitors<R: Read>(
    rows: &R,
    arms: &[Arm],
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<f64>, R::Error> {
    let (seconds, numbers) = touched(from, to, now);
    let mut counted = Vec::with_capacity(arms.len());
    for arm in arms {
        let mut all = Visitors::default();
        for number in numbers.clone() {
            let found = rows.get(&visitors_key(seconds, number, arm))?;
            if let Some(sketch) = found.and_then(|bytes| decode_sketch(&bytes)) {
                all.merge(&sketch);
            }
        }
        counted.push(all.count());
    }
    Ok(counted)
}

/// Who took part in an experiment.
pub(in crate::store) fn experiment<R: Read>(rows: &R, flag: &str) -> Result<Option<Experiment>, R::Error> {
    let Some(meta) = rows.get(&key(&["experiment", flag]))?.and_then(|bytes| Meta::read(&bytes)) else {
        return Ok(None);
    };
    let found = below(rows, &key(&["participant", &serde_json::json!(flag).to_string()]))?;
    let read = |(_, bytes): (String, Vec<u8>)| Some(serde_json::from_slice::<Record>(&bytes).ok()?.participant());
    Ok(Some(Experiment { level: meta.level, participants: found.into_iter().filter_map(read).collect() }))
}

/// The flags of which users are kept.
pub(in crate::store) fn experiments<R: Read>(rows: &R) -> Result<Vec<Arc<str>>, R::Error> {
    let found = rows.keys("experiment\0", &behind("experiment"))?;
    Ok(found.iter().filter_map(|key| Some(key.split_once('\0')?.1.into())).collect())
}

/// Forgets what is older than anybody may ask for.
pub(in crate::store) fn prune<W: Write>(rows: &mut W, now: Timestamp) -> Result<(), W::Error> {
    let is_over = |number: &str, seconds: i64, kept: std::time::Duration| {
        let kept = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
        number.parse().is_ok_and(|number: i64| (number + 2) * seconds < now.as_second() - kept)
    };
    let hour = Step::Hour;
    for row in rows.keys("", "\u{10ffff}")? {
        let parts: Vec<&str> = row.split('\0').collect();
        let is_old = match parts.as_slice() {
            ["series", "m", _, number, _] => is_over(number, Step::Minute.seconds(), Step::Minute.kept()),
            ["series", "h", _, number, _] | ["subject", number, _] => is_over(number, hour.seconds(), hour.kept()),
            ["visitors", "600", number, _] => is_over(number, SHORT, Step::Minute.kept()),
            ["visitors", _, number, _] => is_over(number, hour.seconds(), hour.kept()),
            _ => false,
        };
        if is_old {
            rows.remove(&row)?;
        }
    }
    for flag in experiments(rows)? {
        let row = key(&["experiment", &flag]);
        let meta = rows.get(&row)?.and_then(|bytes| Meta::read(&bytes)).unwrap_or_default();
        let kept = i64::try_from(EXPERIMENT_KEPT.as_millis()).unwrap_or(i64::MAX);
        if meta.at < now.as_millisecond() - kept {
            let participants = key(&["participant", &serde_json::json!(&*flag).to_string()]);
            for row in rows.keys(&format!("{participants}\0"), &behind(&participants))? {
                rows.remove(&row)?;
            }
            rows.remove(&row)?;
        }
    }
    Ok(())
}
