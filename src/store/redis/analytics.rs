//! Analytics in Redis: counts of each flag and route in a hash for each hour of minutes and each day of hours, distinct users in
//! Redis' own sketches, and the users of experiments in a hash for each level. All keys end by themselves.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{RedisStore, connection::Live};
use crate::{
    model::{Arm, ArmCounts, Subject},
    store::{
        AnalyticsStore, Experience, Experiment, MOST_EXPERIMENTS, Span, Step, StoreError,
        analytics::{MOST_METRICS, Participants, Record, touched},
        counters::{arm, decode, encode, name, subject, subject_name},
    },
};

/// How many entries a look through a hash gives at a time.
const BATCH: usize = 1_000;

/// How many spans of a step share a key: an hour of minutes, a day of hours.
const fn together(step: Step) -> i64 {
    match step {
        Step::Minute => 60,
        Step::Hour => 24,
    }
}

/// How long a key stays: longer than promised, as its last span ends later than it begins.
const fn kept(step: Step) -> u64 {
    step.kept().as_secs() + ((together(step) + 1) * step.seconds()) as u64
}

#[async_trait]
impl AnalyticsStore for RedisStore {
    async fn put_counts(&self, step: Step, number: i64, counts: &[(Arm, ArmCounts)]) -> Result<(), StoreError> {
        let mut write = redis::pipe();
        write.atomic();
        let hour = (number * step.seconds()).div_euclid(Step::Hour.seconds());
        let (all, hours) = (self.names.analytics(&format!("subjects:{hour}")), kept(Step::Hour));
        for (arm, counts) in counts {
            let subject = subject_name(&arm.subject());
            let key = self.series(step, number.div_euclid(together(step)), &subject);
            write.hset(&key, format!("{number}:{}", name(arm)), encode(counts)).ignore();
            write.cmd("EXPIRE").arg(&key).arg(kept(step)).ignore();
            write.sadd(&all, subject).ignore();
        }
        if !counts.is_empty() {
            write.cmd("EXPIRE").arg(&all).arg(hours).ignore();
        }
        write.cmd("SET").arg(self.marker(step)).arg(number).ignore();
        let mut live = self.link.live().await?;
        let written: Result<(), StoreError> = live.pipeline(&write).await;
        self.link.keep(&live, written).await
    }

    async fn until(&self, step: Step) -> Result<Option<i64>, StoreError> {
        let mut live = self.link.live().await?;
        let read = live.command(redis::cmd("GET").arg(self.marker(step))).await;
        self.link.keep(&live, read).await
    }

    async fn spans(&self, step: Step, of: &Subject, from: i64, to: i64) -> Result<Vec<Span>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_spans(&mut live, step, of, (from, to)).await;
        self.link.keep(&live, read).await
    }

    async fn subjects(&self, from: i64, to: i64) -> Result<Vec<Subject>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut union = redis::cmd("SUNION");
        for hour in from.max(to - 24 * 31)..to {
            union.arg(self.names.analytics(&format!("subjects:{hour}")));
        }
        let mut live = self.link.live().await?;
        let read: Result<Vec<String>, StoreError> = live.command(&union).await;
        let names = self.link.keep(&live, read).await?;
        let mut found: Vec<Subject> = names.iter().filter_map(|name| subject(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    async fn deliver(&self, experience: &Experience) -> Result<usize, StoreError> {
        let mut call = self.scripts.add_experience.key(self.names.analytics("gateways"));
        call.key(self.names.analytics("experiments"));
        call.arg(self.names.analytics("")).arg(&*experience.gateway).arg(experience.number);
        call.arg(Step::Minute.kept().as_secs() + 1_200).arg(kept(Step::Hour));
        call.arg(experience.most).arg(MOST_EXPERIMENTS).arg(MOST_METRICS).arg(told(experience));
        let mut live = self.link.live().await?;
        let delivered = live.script(&call).await;
        self.link.keep(&live, delivered).await
    }

    async fn visitors(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Vec<f64>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.count_visitors(&mut live, arms, from, to).await;
        self.link.keep(&live, read).await
    }

    async fn experiment(&self, flag: &str) -> Result<Option<Experiment>, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_experiment(&mut live, flag).await;
        self.link.keep(&live, read).await
    }

    async fn experiments(&self) -> Result<Vec<Arc<str>>, StoreError> {
        let mut live = self.link.live().await?;
        let read = live.command(redis::cmd("SMEMBERS").arg(self.names.analytics("experiments"))).await;
        let mut flags: Vec<String> = self.link.keep(&live, read).await?;
        flags.sort_unstable();
        Ok(flags.into_iter().map(Into::into).collect())
    }
}

impl RedisStore {
    fn series(&self, step: Step, group: i64, subject: &str) -> String {
        self.names.analytics(&format!("series:{}:{group}:{subject}", step.letter()))
    }

    fn marker(&self, step: Step) -> String {
        self.names.analytics(&format!("until:{}", step.letter()))
    }

    async fn read_spans(
        &self,
        live: &mut Live,
        step: Step,
        of: &Subject,
        (from, to): (i64, i64),
    ) -> Result<Vec<Span>, StoreError> {
        let mut spans: BTreeMap<i64, Vec<(Arm, ArmCounts)>> = BTreeMap::new();
        let subject = subject_name(of);
        let last: Option<i64> = live.command(redis::cmd("GET").arg(self.marker(step))).await?;
        // Nothing is newer or older than this, whoever asks.
        let Some(last) = last else { return Ok(Vec::new()) };
        let (from, to) = (from.max(last - i64::try_from(kept(step)).unwrap_or(0) / step.seconds()), to.min(last + 1));
        if from >= to {
            return Ok(Vec::new());
        }
        for group in from.div_euclid(together(step))..=(to - 1).div_euclid(together(step)) {
            let read = live.command(redis::cmd("HGETALL").arg(self.series(step, group, &subject))).await;
            let found: BTreeMap<String, Vec<u8>> = read?;
            for (field, bytes) in found {
                let Some((number, arm_name)) = field.split_once(':') else { continue };
                let (Ok(number), Some(arm)) = (number.parse(), arm(arm_name)) else { continue };
                if (from..to).contains(&number) {
                    let mut counts = ArmCounts::default();
                    decode(&bytes, &mut counts);
                    spans.entry(number).or_default().push((arm, counts));
                }
            }
        }
        Ok(spans.into_iter().collect())
    }

    async fn count_visitors(
        &self,
        live: &mut Live,
        arms: &[Arm],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<f64>, StoreError> {
        let (now, _): (i64, i64) = live.command(&redis::cmd("TIME")).await?;
        let now = Timestamp::from_second(now).unwrap_or_default() + Duration::from_secs(1);
        let (seconds, numbers) = touched(from, to, now);
        let mut counted = Vec::with_capacity(arms.len());
        for arm in arms {
            let mut count = redis::cmd("PFCOUNT");
            let name = name(arm);
            for number in numbers.clone() {
                count.arg(self.names.analytics(&format!("visitors:{seconds}:{number}:{name}")));
            }
            let found: u64 = if numbers.is_empty() { 0 } else { live.command(&count).await? };
            counted.push(found as f64);
        }
        Ok(counted)
    }

    async fn read_experiment(&self, live: &mut Live, flag: &str) -> Result<Option<Experiment>, StoreError> {
        let key = self.names.analytics(&format!("experiment:{flag}"));
        let level: Option<u32> = live.command(redis::cmd("HGET").arg(&key).arg("level")).await?;
        let Some(level) = level else { return Ok(None) };
        let at = |level: u32| self.names.analytics(&format!("participants:{level}:{flag}"));
        let mut sizes = redis::pipe();
        for level in 0..u64::BITS {
            sizes.cmd("HLEN").arg(at(level));
        }
        let sizes: Vec<u64> = live.pipeline(&sizes).await?;
        let mut participants = Participants::default();
        for (held, _) in (0..).zip(sizes).filter(|(held, size)| *held >= level && *size > 0) {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("HSCAN");
                scan.arg(at(held)).arg(cursor).arg("COUNT").arg(BATCH);
                let (next, found): (u64, Vec<(String, Vec<u8>)>) = live.command(&scan).await?;
                for (user, bytes) in found {
                    // Who comes twice is one.
                    if let Ok(record) = serde_json::from_slice::<Record>(&bytes) {
                        participants.insert(user, record.participant());
                    }
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(Some(Experiment { level, participants: participants.into_values().collect() }))
    }
}

/// What a script reads.
fn told(experience: &Experience) -> String {
    let age = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let user = |user: u64| format!("{user:016x}");
    let visits = experience.visits.iter().map(|(arm, users)| {
        let users: Vec<String> = users.iter().map(|hash| user(*hash)).collect();
        json!([name(arm), users])
    });
    let exposures = experience.exposures.iter().map(|exposure| {
        json!([
            exposure.flag,
            user(exposure.user),
            exposure.user.leading_zeros(),
            exposure.variation,
            age(exposure.age)
        ])
    });
    let actions = experience
        .actions
        .iter()
        .map(|acted| json!([user(acted.user), acted.user.leading_zeros(), acted.event, acted.value, age(acted.age)]));
    json!({
        "visits": visits.collect::<Vec<_>>(),
        "exposures": exposures.collect::<Vec<_>>(),
        "actions": actions.collect::<Vec<_>>(),
    })
    .to_string()
}
