//! What gateways count: one hash a minute, in which each second of each arm is a field with a record from each gateway.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{RedisStore, connection::Live};
use crate::{
    model::{Arm, ArmCounts},
    store::{
        Batch, COUNTS_KEPT, Counted, CounterStore, StoreError,
        counters::{arm, decode, encode, name, seconds},
    },
};

/// How long counts stay: longer than promised, as a minute ends later than it begins.
const KEPT: Duration = Duration::from_secs(COUNTS_KEPT.as_secs() + 5 * 60);

const MINUTE: i64 = 60;

/// The server's time: seconds and microseconds.
type Time = (i64, i64);

#[async_trait]
impl CounterStore for RedisStore {
    async fn deliver(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut call = self.scripts.add_counts.key(self.names.counting());
        call.arg(self.names.minute("")).arg(&*batch.gateway);
        call.arg(batch.number.map(|number| number.to_string()).unwrap_or_default()).arg(KEPT.as_secs());
        for (arm, counts) in &batch.counts {
            call.arg(name(arm)).arg(encode(counts));
        }
        let mut live = self.link.live().await?;
        let delivered: Result<u8, StoreError> = live.script(&call).await;
        self.link.keep(&live, delivered).await.map(drop)
    }

    async fn counts(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        let names: Vec<(String, &Arm)> = arms.iter().map(|arm| (name(arm), arm)).collect();
        let mut live = self.link.live().await?;
        let read = self.read_counts(&mut live, from, to, Some(&names)).await;
        self.link.keep(&live, read).await
    }

    async fn all_counts(&self, from: Timestamp, to: Timestamp) -> Result<Counted, StoreError> {
        let mut live = self.link.live().await?;
        let read = self.read_counts(&mut live, from, to, None).await;
        self.link.keep(&live, read).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let mut live = self.link.live().await?;
        let time: Result<Time, StoreError> = live.command(&redis::cmd("TIME")).await;
        timestamp(self.link.keep(&live, time).await?)
    }
}

impl RedisStore {
    /// Reads the minutes that are needed, one at a time, so that no answer is large. `names`: which arms; none: all.
    async fn read_counts(
        &self,
        live: &mut Live,
        from: Timestamp,
        to: Timestamp,
        names: Option<&[(String, &Arm)]>,
    ) -> Result<Counted, StoreError> {
        let mut look = redis::pipe();
        look.cmd("TIME").cmd("HGETALL").arg(self.names.counting());
        let (time, gateways): (Time, BTreeMap<String, String>) = live.pipeline(&look).await?;
        let now = timestamp(time)?;
        let mut counted = Counted { last_seen: last_seen(gateways, now), ..Counted::default() };
        // Nothing older is there, and nothing from the time to come.
        let seconds = seconds(from.max(now - KEPT), to.min(now + Duration::from_secs(1)));
        if seconds.is_empty() || names.is_some_and(<[_]>::is_empty) {
            return Ok(counted);
        }
        for minute in seconds.start.div_euclid(MINUTE)..=(seconds.end - 1).div_euclid(MINUTE) {
            self.read_minute(live, minute, &seconds, names, &mut counted).await?;
        }
        Ok(counted)
    }

    async fn read_minute(
        &self,
        live: &mut Live,
        minute: i64,
        seconds: &Range<i64>,
        names: Option<&[(String, &Arm)]>,
        counted: &mut Counted,
    ) -> Result<(), StoreError> {
        let key = self.names.minute(&minute.to_string());
        let begin = minute * MINUTE;
        match names {
            Some(names) => {
                let wanted = || begin.max(seconds.start)..(begin + MINUTE).min(seconds.end);
                let fields = names.iter().flat_map(|(name, arm)| wanted().map(move |second| (second, name, *arm)));
                let fields: Vec<(i64, &String, &Arm)> = fields.collect();
                let mut read = redis::cmd("HMGET");
                read.arg(key);
                for (second, name, _) in &fields {
                    read.arg(format!("{}:{name}", second - begin));
                }
                let found: Vec<Option<Vec<u8>>> = live.command(&read).await?;
                for ((second, _, arm), records) in fields.into_iter().zip(found) {
                    if let Some(records) = records {
                        take(counted, arm, second, &records)?;
                    }
                }
            }
            None => {
                let mut read = redis::cmd("HGETALL");
                let found: BTreeMap<String, Vec<u8>> = live.command(read.arg(key)).await?;
                let mut fields: Vec<(i64, Arm, Vec<u8>)> = found
                    .into_iter()
                    .filter_map(|(field, records)| {
                        let (second, name) = field.split_once(':')?;
                        let second = begin + second.parse::<i64>().ok()?;
                        Some((second, arm(name)?, records)).filter(|_| seconds.contains(&second))
                    })
                    .collect();
                fields.sort_unstable_by_key(|(second, _, _)| *second);
                for (second, arm, records) in &fields {
                    take(counted, arm, *second, records)?;
                }
            }
        }
        Ok(())
    }
}

/// Enters the records of an arm's second. Seconds come in order.
fn take(counted: &mut Counted, arm: &Arm, second: i64, records: &[u8]) -> Result<(), StoreError> {
    let mut counts = ArmCounts::default();
    if !decode(records, &mut counts) {
        log::debug!("counts: some of {arm:?} cannot be understood, of another version perhaps");
    }
    let second = timestamp((second, 0))?;
    counted.arms.entry(arm.clone()).or_default().push((second, counts));
    Ok(())
}

/// When each gateway was last here, without those that have long been gone.
fn last_seen(gateways: BTreeMap<String, String>, now: Timestamp) -> BTreeMap<Arc<str>, Timestamp> {
    let seen = gateways.into_iter().filter_map(|(gateway, entry)| {
        let at = Timestamp::from_millisecond(entry.split_once(':')?.1.parse().ok()?).ok()?;
        Some((Arc::from(gateway), at)).filter(|_| at >= now - KEPT)
    });
    seen.collect()
}

fn timestamp((seconds, micros): Time) -> Result<Timestamp, StoreError> {
    let nanos = i32::try_from(micros * 1_000).unwrap_or(0);
    Timestamp::new(seconds, nanos).map_err(|error| StoreError::Damaged(format!("the time of the server: {error}")))
}
