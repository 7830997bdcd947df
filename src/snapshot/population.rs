//! How many users are in a segment, and in which ones together, from a part of them.

use serde::Serialize;

use super::Snapshot;
use crate::{
    eval::SegmentIndex,
    model::{Context, NoAttributes, Profile, WithProfile},
};

/// How sure an interval is.
const CONFIDENCE: f64 = 0.95;

/// The two-sided quantile of the normal distribution that goes with [`CONFIDENCE`].
const Z: f64 = 1.959_963_984_540_054;

/// How many of all users are something, judged from some who were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// How many of those who were drawn.
    pub matches: u64,
    /// How many were drawn.
    pub sample: u64,
    /// How many there are.
    pub total: u64,
    /// How many of all, most likely.
    pub estimate: u64,
    /// How many of all at least.
    pub low: u64,
    /// How many of all at most.
    pub high: u64,
    /// How often such an interval holds the true number.
    pub confidence: f64,
}

impl Estimate {
    /// Wilson's score interval (E. B. Wilson, 1927) for the share among users who were drawn without preference, times all
    /// users, and within what was counted: those who matched do, and those who did not do not. Nobody else is left when all
    /// were drawn.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "users are fewer than 2^53")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and the total")]
    pub fn new(matches: u64, sample: u64, total: u64) -> Self {
        let total = total.max(sample);
        let matches = matches.min(sample);
        let exact =
            |estimate| Self { matches, sample, total, estimate, low: estimate, high: estimate, confidence: 1.0 };
        if sample == total {
            return exact(matches);
        }
        let all = total as f64;
        let whole = |share: f64, round: fn(f64) -> f64| round(share * all).clamp(0.0, all) as u64;
        let (least, most) = (matches, total - (sample - matches));
        if sample == 0 {
            return Self { matches, sample, total, estimate: 0, low: 0, high: total, confidence: CONFIDENCE };
        }
        let (n, share) = (sample as f64, matches as f64 / sample as f64);
        let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self {
            matches,
            sample,
            total,
            estimate: whole(share, f64::round).clamp(least, most),
            low: whole(middle - half, f64::floor).clamp(least, most),
            high: whole(middle + half, f64::ceil).clamp(least, most),
            confidence: CONFIDENCE,
        }
    }
}

/// Counts, for some segments, who is in which and in which two together, in one pass over users.
#[derive(Clone, Debug)]
pub struct Overlap {
    segments: Vec<SegmentIndex>,
    /// How many are in both, by the positions of the two; on the diagonal, how many are in one.
    together: Vec<u64>,
    users: u64,
}

impl Overlap {
    /// Nobody was counted yet.
    #[must_use]
    pub fn new(segments: Vec<SegmentIndex>) -> Self {
        let together = vec![0; segments.len() * segments.len()];
        Self { segments, together, users: 0 }
    }

    /// Counts one user.
    pub fn count(&mut self, snapshot: &Snapshot, context: Context<'_>) {
        self.users += 1;
        let evaluator = snapshot.evaluator(context);
        let joined = self.segments.iter().enumerate().filter(|(_, segment)| evaluator.is_member(**segment));
        let joined: Vec<usize> = joined.map(|(position, _)| position).collect();
        for one in &joined {
            for other in &joined {
                self.together[one * self.segments.len() + other] += 1;
            }
        }
    }

    /// How many users were counted.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.users
    }

    /// How many are in the segment at a position.
    #[must_use]
    pub fn members(&self, one: usize) -> u64 {
        self.both(one, one)
    }

    /// How many are in both.
    #[must_use]
    pub fn both(&self, one: usize, other: usize) -> u64 {
        self.together[one * self.segments.len() + other]
    }

    /// How alike two segments are: those in both among those in any (P. Jaccard, 1901); `None`: nobody is in any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "users are fewer than 2^53")]
    pub fn jaccard(&self, one: usize, other: usize) -> Option<f64> {
        let both = self.both(one, other);
        let any = self.members(one) + self.members(other) - both;
        (any > 0).then(|| both as f64 / any as f64)
    }
}

impl Snapshot {
    /// The segments that a user is in by what is stored of them, sorted by id.
    #[must_use]
    pub fn stored_memberships(&self, user_id: &str, profile: &Profile, now: jiff::Timestamp) -> Vec<&str> {
        let attributes = WithProfile::new(&NoAttributes, Some(profile));
        let mut joined = self.memberships(Context { user_id, attributes: &attributes, now });
        joined.sort_unstable();
        joined
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{DocumentKey, WorldRevision},
        snapshot::World,
    };

    #[test]
    fn intervals() {
        // The first three from the literature (Newcombe 1998, table I): 81/263, 15/148, 0/20.
        for (matches, sample, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)]
        {
            let found = Estimate::new(matches, sample, 1_000_000);
            for (found, expected) in [(found.low, low), (found.high, high)] {
                #[expect(clippy::cast_precision_loss, reason = "it is small")]
                let share = found as f64 / 1e6;
                assert!((share - expected).abs() < 6e-5, "{matches}/{sample}: {share} for {expected}");
            }
        }
        let all = Estimate::new(7, 20, 20);
        assert_eq!((all.estimate, all.low, all.high, all.confidence.to_bits()), (7, 7, 7, 1.0_f64.to_bits()));
        let nearly = Estimate::new(7, 19, 20);
        assert_eq!((nearly.low, nearly.high), (7, 8), "one is left who may be one more");
        assert_eq!((Estimate::new(0, 0, 5).low, Estimate::new(0, 0, 5).high), (0, 5));
    }

    /// Of 1 000 samples of 500 out of 20 000 the true number is within the interval about as often as it says.
    #[test]
    fn the_true_number_is_within_the_interval() {
        let mut random = 7_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for members in [200_u64, 3_000, 10_000, 19_900] {
            let within = (0..1_000).filter(|_| {
                // Drawn without putting back: each next one is a member with the share of those that are left.
                let (mut left, mut of) = (members, 20_000);
                let matches = (0..500)
                    .filter(|_| {
                        let is_member = draw(of) < left;
                        of -= 1;
                        left -= u64::from(is_member);
                        is_member
                    })
                    .count() as u64;
                let found = Estimate::new(matches, 500, 20_000);
                (found.low..=found.high).contains(&members)
            });
            let within = within.count();
            assert!((935..=985).contains(&within), "{members}: {within}");
        }
    }

    #[test]
    fn overlaps() {
        let segments = [("even", "e"), ("third", "t"), ("none", "n")].map(|(id, field)| {
            let text = json!({"id": id, "rules": [{"field": field, "operator": "equals", "value": 0}]}).to_string();
            (DocumentKey::segment(id), text.into())
        });
        let snapshot = World::new(None).load(WorldRevision { epoch: "test".into(), number: 1 }, segments);
        let ids = ["even", "third", "none"].map(|id| snapshot.segment(id).unwrap());
        let mut overlap = Overlap::new(ids.to_vec());
        for number in 0..600 {
            let attributes = json!({"e": number % 2, "t": number % 3, "n": 1}).as_object().unwrap().clone();
            let context = Context { user_id: "u", attributes: &attributes, now: jiff::Timestamp::UNIX_EPOCH };
            overlap.count(&snapshot, context);
        }
        assert_eq!((overlap.users(), overlap.members(0), overlap.members(1), overlap.both(0, 1)), (600, 300, 200, 100));
        assert_eq!((overlap.jaccard(0, 1), overlap.jaccard(1, 0)), (Some(0.25), Some(0.25)));
        assert_eq!((overlap.both(0, 2), overlap.jaccard(0, 2), overlap.jaccard(2, 2)), (0, Some(0.0), None));
    }
}
