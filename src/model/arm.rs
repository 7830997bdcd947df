//! What is counted of requests, by the ways that they go: what a judge compares.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// One way that requests go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The requests of a route that one of its strategies sent to an upstream.
    Route {
        /// The route.
        route: Arc<str>,
        /// `features`, `canary`, `blue_green` or `default`.
        strategy: Arc<str>,
        /// The upstream.
        upstream: Arc<str>,
    },
    /// The requests for which a flag gave a variation.
    Variation {
        /// The flag.
        flag: Arc<str>,
        /// The variation.
        variation: Arc<str>,
    },
}

/// What has arms: a flag has its variations, a route its ways.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A flag, by its key.
    Flag(Arc<str>),
    /// A route, by its name.
    Route(Arc<str>),
}

impl Arm {
    /// What this is an arm of.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Route { route, .. } => Subject::Route(Arc::clone(route)),
            Self::Variation { flag, .. } => Subject::Flag(Arc::clone(flag)),
        }
    }
}

/// What became of the requests of one arm in some time. Requests that the client broke off or that the gateway itself
/// refused are not among them: they say nothing about the arm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArmCounts {
    /// How often the flag gave the variation, be it for a request or because an application asked; of a route none.
    pub evaluations: u64,
    /// Requests.
    pub requests: u64,
    /// Of these, answered with 5xx, or not answered.
    pub errors: u64,
    /// How long they took.
    pub latency: Latency,
    /// Who asked.
    pub users: Users,
    /// Who saw an error.
    pub users_with_error: Users,
}

impl ArmCounts {
    /// Adds what was counted elsewhere, or at another time.
    pub fn merge(&mut self, other: &Self) {
        // What comes from a store can be nonsense, and stays at the most then.
        self.evaluations = self.evaluations.saturating_add(other.evaluations);
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.latency.merge(&other.latency);
        self.users.merge(&other.users);
        self.users_with_error.merge(&other.users_with_error);
    }
}

/// The position of a bucket of [`Latency`].
pub type LatencyBucket = u16;

/// How many buckets of latency halve a doubling: each is at most 1/16 wider than the time that it begins with.
const PARTS: u64 = 16;

/// A histogram of latencies: counts by buckets, each between two times that are at most 1/16 apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency(BTreeMap<LatencyBucket, u64>);

impl Latency {
    /// How many buckets there are: the last takes all from 134 seconds on.
    pub const BUCKETS: usize = 385;

    /// The bucket of a time in microseconds.
    #[must_use]
    pub fn bucket(micros: u64) -> LatencyBucket {
        let bucket = if micros < PARTS {
            micros
        } else {
            let doublings = u64::from(micros.ilog2() - PARTS.ilog2());
            PARTS * doublings + (micros >> doublings)
        };
        u16::try_from(bucket.min(Self::BUCKETS as u64 - 1)).unwrap_or(u16::MAX)
    }

    /// Where a bucket ends and the next begins, in microseconds.
    #[must_use]
    pub fn end(bucket: LatencyBucket) -> u64 {
        let next = u64::from(bucket) + 1;
        let doublings = (next / PARTS).saturating_sub(1);
        (next - PARTS * doublings) << doublings
    }

    /// Adds so many requests to a bucket.
    pub fn add(&mut self, bucket: LatencyBucket, requests: u64) {
        if requests > 0 {
            let known = self.0.entry(bucket).or_default();
            *known = known.saturating_add(requests);
        }
    }

    /// The buckets that are not empty, in order.
    pub fn buckets(&self) -> impl Iterator<Item = (LatencyBucket, u64)> {
        self.0.iter().map(|(bucket, requests)| (*bucket, *requests))
    }

    /// How many requests there are.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.values().fold(0, |sum, requests| sum.saturating_add(*requests))
    }

    /// How many requests took longer than the end of a bucket.
    #[must_use]
    pub fn above(&self, bucket: LatencyBucket) -> u64 {
        self.0.range(bucket.saturating_add(1)..).fold(0, |sum, (_, requests)| sum.saturating_add(*requests))
    }

    /// The bucket within which this share of the requests, from 0 to 1, has been answered; none without requests.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<LatencyBucket> {
        let wanted = (share.clamp(0.0, 1.0) * self.requests() as f64).ceil().max(1.0);
        let mut seen = 0;
        self.buckets().find_map(|(bucket, requests)| {
            seen = requests.saturating_add(seen);
            (seen as f64 >= wanted).then_some(bucket)
        })
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, requests) in other.buckets() {
            self.add(bucket, requests);
        }
    }
}

/// Distinct users, counted without keeping them: a `HyperLogLog` sketch. While they are few beside the registers the number
/// is nearly exact, beyond that it is off by 1.04 / √registers (standard error). Sketches of the same users from several
/// gateways merge.
///
/// Flajolet, Fusy, Gandouet, Meunier: `HyperLogLog`: the analysis of a near-optimal cardinality estimation algorithm (2007).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch<const REGISTERS: usize>(BTreeMap<u16, u8>);

/// What each second counts users in: off by 2.3 %.
pub type Users = Sketch<2048>;

/// What counts users over longer times: off by 0.8 %.
pub type Visitors = Sketch<16_384>;

/// Odd numbers that spread bits when multiplied with.
const SPREAD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

impl<const REGISTERS: usize> Sketch<REGISTERS> {
    /// How many registers there are.
    pub const REGISTERS: usize = REGISTERS;

    /// The hash of a user's id: the same in every gateway, with all bits evenly spread. It is no secret and keeps none.
    #[must_use]
    pub fn hash(user_id: &str) -> u64 {
        let mut hash = (user_id.len() as u64).wrapping_mul(SPREAD[0]);
        for chunk in user_id.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(SPREAD[0]);
            hash ^= hash >> 32;
        }
        // The end of splitmix64: Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
        hash = (hash ^ (hash >> 30)).wrapping_mul(SPREAD[1]);
        hash = (hash ^ (hash >> 27)).wrapping_mul(SPREAD[2]);
        hash ^ (hash >> 31)
    }

    /// The register of a user's hash, and the rank to put there. All 64 bits of the hash must be evenly spread.
    #[must_use]
    pub fn place(hash: u64) -> (u16, u8) {
        let register = (hash % Self::REGISTERS as u64) as u16;
        let rest = hash / Self::REGISTERS as u64;
        let bits = u64::BITS - Self::REGISTERS.ilog2();
        let rank = (rest.leading_zeros() - Self::REGISTERS.ilog2()).min(bits) + 1;
        (register, rank as u8)
    }

    /// Takes in what [`Users::place`] gave.
    pub fn add(&mut self, (register, rank): (u16, u8)) {
        let kept = self.0.entry(register).or_default();
        *kept = rank.max(*kept);
    }

    /// The registers that are not empty, in order, with their ranks.
    pub fn registers(&self) -> impl Iterator<Item = (u16, u8)> {
        self.0.iter().map(|(register, rank)| (*register, *rank))
    }

    /// Adds users that were seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        other.registers().for_each(|place| self.add(place));
    }

    /// About how many there are, without bias at any number.
    ///
    /// Ertl: New cardinality estimation algorithms for HyperLogLog sketches (2017), algorithm 6.
    #[must_use]
    pub fn count(&self) -> f64 {
        let registers = REGISTERS as f64;
        let last = u64::BITS - REGISTERS.ilog2() + 1;
        let mut full = 0_u32;
        let mut sum = 0.0;
        for rank in self.0.values() {
            match u32::from(*rank) >= last {
                true => full += 1,
                false => sum += 2_f64.powi(-i32::from(*rank)),
            }
        }
        let empty = (REGISTERS - self.0.len()) as f64;
        let beyond = registers * tau(1.0 - f64::from(full) / registers) * 0.5_f64.powf(f64::from(last) - 1.0);
        let sum = registers * sigma(empty / registers) + sum + beyond;
        registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
    }
}

/// What empty registers say; infinite when all are.
fn sigma(share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// What full registers say.
fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root).powi(2) * weight;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        for micros in (0..100_000).chain((0..130).map(|second| second * 1_000_000)) {
            let bucket = Latency::bucket(micros);
            assert!(micros < Latency::end(bucket), "{micros}");
            assert!(bucket == 0 || Latency::end(bucket - 1) <= micros, "{micros}");
            assert!(Latency::end(bucket) <= micros + 1 + micros / 16, "{micros}");
        }
        assert_eq!(usize::from(Latency::bucket(u64::MAX)), Latency::BUCKETS - 1);
        assert_eq!(Latency::end(Latency::bucket(u64::MAX) - 1), 1 << 27);
    }

    #[test]
    fn quantiles() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        for micros in 1..=100 {
            latency.add(Latency::bucket(micros * 100), 1);
        }
        let p95 = latency.quantile(0.95).unwrap();
        assert_eq!(p95, Latency::bucket(9_500));
        assert!(latency.above(p95) <= 5);
        assert_eq!((latency.above(0), latency.requests()), (100, 100));
    }

    #[test]
    fn users_are_counted_once() {
        let names: [fn(u64) -> String; 4] = [
            |user| user.to_string(),
            |user| format!("user-{user:07}"),
            |user| format!("{:064x}", user << 20),
            |user| "x".repeat((user % 40) as usize) + &(user / 40).to_string(),
        ];
        for (number, within) in [(0_u64, 0.0), (1, 0.01), (50, 0.05), (2_000, 0.06), (50_000, 0.07)] {
            for name in names {
                let (mut left, mut right) = (Users::default(), Users::default());
                for user in 0..number {
                    let sketch = if user % 2 == 0 { &mut left } else { &mut right };
                    sketch.add(Users::place(Users::hash(&name(user))));
                    right.add(Users::place(Users::hash(&name(0))));
                }
                left.merge(&right);
                let off = (left.count() - number as f64).abs();
                assert!(off <= within * number as f64 + 0.01, "{number} like {}: {}", name(7), left.count());
            }
        }
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        let hashes = ["", "a", "user-12345", "a longer name of a user"].map(Users::hash);
        let expected = [0, 0xeda3_ebe2_7e2e_db64, 0x631c_4a30_cf19_f026, 0x94c5_c138_5cf3_8a16];
        assert_eq!(hashes, expected);
    }
}
