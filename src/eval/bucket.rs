//! Buckets: where a user falls in a percentage or split. A bucket is a whole number of basis points, 0 to 9 999.

use std::io::Read;

use md5::{Digest, Md5};
use serde_json::Value;
use sha1::Sha1;

/// One more than the highest bucket: all users.
pub(crate) const BUCKETS: u16 = 10_000;

/// Unleash draws variants with a seed of its own, so that they do not depend on the rollout.
const UNLEASH_VARIANT_SEED: u32 = 86_028_157;

/// How the hash input becomes a bucket. All but the first are for migrations that must not move users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// `int(md5("{salt}:{unit}")) mod 10000`, all 128 bits, big-endian.
    #[default]
    Md5,
    /// Unleash: `murmur3_32("{salt}:{unit}") mod 100`, whole percents; variants `mod 1000` with a seed of their own.
    Murmur3,
    /// LaunchDarkly: the first 15 hexadecimal digits of `sha1("{salt}.{unit}")` over `0xFFFFFFFFFFFFFFF`. The salt
    /// there is `"{flag key}.{flag salt}"`.
    Sha1,
    /// GrowthBook (hash version 2): `fnv1a_32(str(fnv1a_32("{salt}{unit}"))) mod 10000`.
    Fnv1a,
    /// GrowthBook (hash version 1): `fnv1a_32("{unit}{salt}") mod 1000`.
    Fnv1aV1,
    /// flagd: `murmur3_32("{salt}{unit}") * parts / 2^32`. The salt there is the flag's key.
    Murmur3Flagd,
}

impl Hash {
    /// Every hash, by the name that documents use.
    pub(crate) const NAMED: [(&str, Self); 6] = [
        ("md5", Self::Md5),
        ("murmur3", Self::Murmur3),
        ("sha1", Self::Sha1),
        ("fnv1a", Self::Fnv1a),
        ("fnv1a_v1", Self::Fnv1aV1),
        ("murmur3_flagd", Self::Murmur3Flagd),
    ];

    /// The hash of that name.
    pub(crate) fn of_json(value: &Value) -> Option<Self> {
        Self::NAMED.iter().find(|(name, _)| value == *name).map(|(_, hash)| *hash)
    }

    /// What a document may say, for messages.
    pub(crate) fn names() -> String {
        let names: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }

    /// The bucket of `unit` (a user id, mostly) for a percentage.
    #[must_use]
    pub fn bucket(self, salt: &str, unit: &str) -> u16 {
        match self {
            Self::Md5 => md5_bucket(salt, unit),
            Self::Murmur3 => narrow(u64::from(murmur3(salt, ":", unit, 0) % 100) * 100),
            Self::Sha1 => sha1_bucket(salt, unit),
            Self::Fnv1a | Self::Fnv1aV1 | Self::Murmur3Flagd => {
                narrow(u64::from(self.part(salt, unit, BUCKETS.into())))
            }
        }
    }

    /// In which of `parts` equal parts `unit` falls, for a split that draws by itself. Below `parts`, which is not 0.
    #[must_use]
    pub(crate) fn part(self, salt: &str, unit: &str, parts: u32) -> u32 {
        // The hash is one of `of`.
        let scaled = |hash: u32, of: u64| {
            u32::try_from(u64::from(hash) * u64::from(parts) / of).unwrap_or(u32::MAX).min(parts.saturating_sub(1))
        };
        match self {
            Self::Md5 => {
                let part = u128::from_be_bytes(md5_digest(salt, unit)) % u128::from(parts.max(1));
                u32::try_from(part).unwrap_or_default()
            }
            Self::Murmur3 => murmur3(salt, ":", unit, UNLEASH_VARIANT_SEED) % parts.max(1),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of parts")]
            Self::Sha1 => ((sha1_fraction(salt, unit) * f64::from(parts)) as u32).min(parts.saturating_sub(1)),
            Self::Fnv1a => {
                let first = fnv1a(salt.bytes().chain(unit.bytes()));
                let mut digits = [0; 10];
                scaled(fnv1a(decimal(first, &mut digits).iter().copied()) % 10_000, 10_000)
            }
            Self::Fnv1aV1 => scaled(fnv1a(unit.bytes().chain(salt.bytes())) % 1_000, 1_000),
            Self::Murmur3Flagd => scaled(murmur3(salt, "", unit, 0), 1 << 32),
        }
    }

    /// The bucket for a weighted split, and whether it is drawn apart from the percentage's.
    #[must_use]
    pub(crate) fn variant_bucket(self, salt: &str, unit: &str) -> Option<u16> {
        match self {
            Self::Murmur3 => Some(narrow(u64::from(self.part(salt, unit, 1_000)) * 10)),
            Self::Md5 | Self::Sha1 | Self::Fnv1a | Self::Fnv1aV1 | Self::Murmur3Flagd => None,
        }
    }
}

/// How many buckets lie below `percentage`: a user is in when `bucket < threshold(percentage)`.
///
/// A bucket `b` lies below when `b / 100 < percentage` in double precision, as the existing service compares.
#[must_use]
pub fn threshold(percentage: f64) -> u16 {
    let below = |bucket: u16| f64::from(bucket) / 100.0 < percentage;
    let (mut low, mut high) = (0, BUCKETS);
    while low < high {
        let middle = low.midpoint(high);
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// One variant's part of a split: buckets from `start` on, `weight` wide at full coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share<T> {
    pub(crate) start: u16,
    pub(crate) weight: u16,
    pub(crate) what: T,
}

/// The share that a bucket falls into when `coverage` (basis points) of each share is handed out.
///
/// Invariant: raising the coverage never moves a bucket out of its share.
pub(crate) fn share<T: Copy>(shares: &[Share<T>], coverage: u16, bucket: u16) -> Option<T> {
    let share = shares.iter().rev().find(|share| share.start <= bucket && share.weight > 0)?;
    let wide = u32::from(share.weight) * u32::from(coverage) / u32::from(BUCKETS);
    (u32::from(bucket) < u32::from(share.start) + wide).then_some(share.what)
}

fn md5_bucket(salt: &str, unit: &str) -> u16 {
    bucket_of_digest(md5_digest(salt, unit))
}

fn md5_digest(salt: &str, unit: &str) -> [u8; 16] {
    let mut hasher = Md5::new();
    hasher.update(salt.as_bytes());
    hasher.update(b":");
    hasher.update(unit.as_bytes());
    hasher.finalize().into()
}

/// All 128 bits, big-endian, modulo 10 000.
pub(super) fn bucket_of_digest(digest: [u8; 16]) -> u16 {
    let number = u128::from_be_bytes(digest);
    // 2^64 mod 10000 = 1616: two 64-bit remainders cost a fraction of one 128-bit division.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a 128-bit number")]
    let (high, low) = ((number >> 64) as u64, number as u64);
    narrow((high % 10_000 * 1_616 + low % 10_000) % 10_000)
}

fn sha1_bucket(salt: &str, unit: &str) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10000")]
    let bucket = (sha1_fraction(salt, unit) * f64::from(BUCKETS)) as u16;
    bucket.min(BUCKETS - 1)
}

fn sha1_fraction(salt: &str, unit: &str) -> f64 {
    let mut hasher = Sha1::new();
    hasher.update(salt.as_bytes());
    hasher.update(b".");
    hasher.update(unit.as_bytes());
    let digest: [u8; 20] = hasher.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let fifteen_digits = u64::from_be_bytes(first) >> 4;
    #[expect(clippy::cast_precision_loss, reason = "LaunchDarkly divides in double precision too")]
    let fraction = fifteen_digits as f64 / 0x0FFF_FFFF_FFFF_FFFF_u64 as f64;
    fraction
}

fn murmur3(salt: &str, between: &str, unit: &str, seed: u32) -> u32 {
    let mut input = salt.as_bytes().chain(between.as_bytes()).chain(unit.as_bytes());
    murmur3::murmur3_32(&mut input, seed).expect("reading from memory cannot fail")
}

fn fnv1a(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The decimal digits of a number, without an allocation.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

fn narrow(bucket: u64) -> u16 {
    u16::try_from(bucket).expect("a bucket is below 10000")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thresholds_are_exact() {
        for (percentage, expected) in
            [(0.0, 0), (0.001, 1), (0.4923, 50), (10.0, 1000), (33.33, 3333), (99.995, 10_000), (100.0, 10_000)]
        {
            assert_eq!(threshold(percentage), expected, "{percentage}");
        }
        for bucket in 0..BUCKETS {
            assert_eq!(threshold(f64::from(bucket) / 100.0), bucket);
        }
        assert_eq!(threshold(f64::NAN), 0);
    }

    #[test]
    fn other_vendors_hashes() {
        // Unleash's client specification: normalizedValue("123", "gr1") is 73, so the bucket is the 73rd percent.
        assert_eq!(Hash::Murmur3.bucket("gr1", "123"), 7_200);
        assert_eq!(Hash::Murmur3.bucket("groupX", "999"), 2_400);
        // LaunchDarkly's SDK tests: bucket of userKeyA for hashKey.saltyA is 0.42157587.
        assert_eq!(Hash::Sha1.bucket("hashKey.saltyA", "userKeyA"), 4_215);
        assert_eq!(Hash::Sha1.bucket("hashKey.saltyA", "userKeyB"), 6_708);
        assert_eq!(Hash::Sha1.bucket("hashKey.saltyA", "userKeyC"), 1_034);
        // GrowthBook's definition of hash version 2, worked out apart from this code: 0.0216, 0.8601, 0.7846.
        assert_eq!(Hash::Fnv1a.bucket("", "a"), 216);
        assert_eq!(Hash::Fnv1a.bucket("ef", "d"), 8_601);
        assert_eq!(Hash::Fnv1a.bucket("asdf", "8722375"), 7_846);
    }

    #[test]
    fn splits_cover_every_bucket_once() {
        let shares = [
            Share { start: 0, weight: 3_333, what: 'a' },
            Share { start: 3_333, weight: 0, what: 'z' },
            Share { start: 3_333, weight: 6_667, what: 'b' },
        ];
        let counts = (0..BUCKETS).fold((0, 0), |(a, b), bucket| match share(&shares, BUCKETS, bucket) {
            Some('a') => (a + 1, b),
            Some('b') => (a, b + 1),
            other => panic!("{other:?}"),
        });
        assert_eq!(counts, (3_333, 6_667));
    }

    proptest! {
        #[test]
        fn raising_a_percentage_keeps_users_in(user in ".{0,40}", key in "[a-z-]{1,20}", low in 0.0..100.0, more in 0.0..100.0) {
            let high = f64::min(low + more, 100.0);
            for (_, hash) in Hash::NAMED {
                let bucket = hash.bucket(&key, &user);
                prop_assert!(bucket < BUCKETS);
                prop_assert!(bucket >= threshold(low) || bucket < threshold(high));
            }
        }

        #[test]
        fn raising_the_coverage_keeps_users_in(bucket in 0..BUCKETS, low in 0..=BUCKETS, high in 0..=BUCKETS, cut in 0..=BUCKETS) {
            let (low, high) = (low.min(high), low.max(high));
            let shares = [Share { start: 0, weight: cut, what: 'a' }, Share { start: cut, weight: BUCKETS - cut, what: 'b' }];
            if let Some(before) = share(&shares, low, bucket) {
                prop_assert_eq!(share(&shares, high, bucket), Some(before));
            }
        }
    }

    #[test]
    fn buckets_of_two_flags_are_independent() {
        // Pearson's statistic over a 10 × 10 table has 81 degrees of freedom; 130 is beyond its 99.9th percentile.
        let mut table = [[0_f64; 10]; 10];
        for user in 0..20_000 {
            let user = format!("user-{user}");
            let cell = |key: &str| usize::from(Hash::Md5.bucket(key, &user) / 1_000);
            table[cell("one")][cell("two")] += 1.0;
        }
        let rows: Vec<f64> = table.iter().map(|row| row.iter().sum()).collect();
        let columns: Vec<f64> = (0..10).map(|column| table.iter().map(|row| row[column]).sum()).collect();
        let statistic: f64 = (0..100)
            .map(|cell| {
                let expected = rows[cell / 10] * columns[cell % 10] / 20_000.0;
                (table[cell / 10][cell % 10] - expected).powi(2) / expected
            })
            .sum();
        assert!(statistic < 130.0, "{statistic}");
    }
}
