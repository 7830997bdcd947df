//! Counts as few bytes: a record says how long it is and which version of this wrote it, so that records can follow each
//! other and those of a later version can be passed over.
//!
//! A record is: its length, the version, requests, errors, how many buckets of latency there are and each as the gap from
//! the one before and its requests, how many registers of users there are and each as 64 × the gap from the one before
//! plus the rank less one, and the same for users with an error. Evaluations are in a record of their own, of version 2, so
//! that who knows only the first passes over them. Numbers are LEB128: seven bits a byte, lowest first.

use crate::model::{ArmCounts, Latency, Sketch};

/// The version of what became of requests.
const VERSION: u8 = 1;

/// The version of a number of evaluations.
const EVALUATIONS: u8 = 2;

/// Ranks that a register can have, rounded up to a power of two.
const RANKS: u64 = 64;

/// One record; another behind it, if there are evaluations.
pub(in crate::store) fn encode(counts: &ArmCounts) -> Vec<u8> {
    let mut encoded = Vec::new();
    if counts.requests > 0 || counts.evaluations == 0 {
        encoded = framed(requests(counts));
    }
    if counts.evaluations > 0 {
        let mut body = vec![EVALUATIONS];
        number(&mut body, counts.evaluations);
        encoded.append(&mut framed(body));
    }
    encoded
}

/// A body behind its length.
fn framed(mut body: Vec<u8>) -> Vec<u8> {
    let mut record = Vec::with_capacity(body.len() + 2);
    number(&mut record, body.len() as u64);
    record.append(&mut body);
    record
}

fn requests(counts: &ArmCounts) -> Vec<u8> {
    let mut body = vec![VERSION];
    number(&mut body, counts.requests);
    number(&mut body, counts.errors);
    number(&mut body, counts.latency.buckets().count() as u64);
    let mut next = 0;
    for (bucket, requests) in counts.latency.buckets() {
        number(&mut body, u64::from(bucket) - next);
        number(&mut body, requests);
        next = u64::from(bucket) + 1;
    }
    users(&mut body, &counts.users);
    users(&mut body, &counts.users_with_error);
    body
}

/// A sketch by itself.
#[cfg(test)]
fn encode_sketch<const REGISTERS: usize>(sketch: &Sketch<REGISTERS>) -> Vec<u8> {
    let mut body = Vec::new();
    users(&mut body, sketch);
    body
}

/// Adds a sketch to one that was written, or begins one; none: nothing changes. This goes over the bytes in order and builds
/// nothing, as a sketch of many users has thousands of registers, and few of them change at a time.
pub(in crate::store) fn add_to_sketch<const REGISTERS: usize>(
    mut bytes: &[u8],
    more: &Sketch<REGISTERS>,
) -> Option<Vec<u8>> {
    let before = bytes;
    let count = read(&mut bytes).unwrap_or_default();
    let mut known = Known { bytes, left: count, next: 0 };
    let mut more = more.registers().peekable();
    let mut merged = Vec::with_capacity(usize::try_from(count).unwrap_or_default().min(REGISTERS) + more.size_hint().0);
    let mut is_changed = false;
    for (register, rank) in known.by_ref() {
        while let Some(new) = more.next_if(|(new, _)| u64::from(*new) < register) {
            merged.push(new);
            is_changed = true;
        }
        let register = u16::try_from(register).ok().filter(|register| usize::from(*register) < REGISTERS);
        let Some(register) = register else { break };
        let new = more.next_if(|(new, _)| *new == register).map_or(0, |(_, rank)| rank);
        is_changed |= new > rank;
        merged.push((register, rank.max(new)));
    }
    is_changed |= more.peek().is_some();
    merged.extend(more);
    if !is_changed && !before.is_empty() {
        return None;
    }
    let mut body = Vec::with_capacity(before.len() + 3 * merged.len() / 2);
    write_registers(&mut body, merged.len(), merged.into_iter());
    Some(body)
}

/// The registers of a sketch that was written, as far as they can be read.
struct Known<'b> {
    bytes: &'b [u8],
    left: u64,
    next: u64,
}

impl Iterator for Known<'_> {
    type Item = (u64, u8);

    fn next(&mut self) -> Option<(u64, u8)> {
        self.left = self.left.checked_sub(1)?;
        let told = read(&mut self.bytes)?;
        let register = self.next.checked_add(told / RANKS)?;
        self.next = register.checked_add(1)?;
        Some((register, u8::try_from(told % RANKS + 1).ok()?))
    }
}

/// The sketch that was written; none: it was not.
pub(in crate::store) fn decode_sketch<const REGISTERS: usize>(mut bytes: &[u8]) -> Option<Sketch<REGISTERS>> {
    registers(&mut bytes).filter(|_| bytes.is_empty())
}

/// Adds all records that are in `bytes`, and says whether all of them could be read; what cannot is left out.
pub(in crate::store) fn decode(mut bytes: &[u8], into: &mut ArmCounts) -> bool {
    let mut all = true;
    while !bytes.is_empty() {
        let Some(body) = read(&mut bytes).and_then(|length| take(&mut bytes, length)) else { return false };
        match record(body) {
            Some(counts) => into.merge(&counts),
            None => all = false,
        }
    }
    all
}

fn users<const REGISTERS: usize>(body: &mut Vec<u8>, users: &Sketch<REGISTERS>) {
    write_registers(body, users.registers().count(), users.registers());
}

fn write_registers(body: &mut Vec<u8>, count: usize, registers: impl Iterator<Item = (u16, u8)>) {
    number(body, count as u64);
    let mut next = 0;
    for (register, rank) in registers {
        number(body, (u64::from(register) - next) * RANKS + u64::from(rank.max(1) - 1));
        next = u64::from(register) + 1;
    }
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn record(mut body: &[u8]) -> Option<ArmCounts> {
    let (version, rest) = body.split_first()?;
    body = rest;
    match *version {
        VERSION => {}
        EVALUATIONS => {
            let counts = ArmCounts { evaluations: read(&mut body)?, ..ArmCounts::default() };
            return body.is_empty().then_some(counts);
        }
        _ => return None,
    }
    let mut counts = ArmCounts { requests: read(&mut body)?, errors: read(&mut body)?, ..ArmCounts::default() };
    let (buckets, mut next) = (read(&mut body)?, 0_u64);
    for _ in 0..buckets {
        let bucket = next.checked_add(read(&mut body)?)?;
        let known = u16::try_from(bucket).ok().filter(|bucket| usize::from(*bucket) < Latency::BUCKETS)?;
        counts.latency.add(known, read(&mut body)?);
        next = bucket + 1;
    }
    counts.users = registers(&mut body)?;
    counts.users_with_error = registers(&mut body)?;
    body.is_empty().then_some(counts)
}

fn registers<const REGISTERS: usize>(body: &mut &[u8]) -> Option<Sketch<REGISTERS>> {
    let (mut users, mut next) = (Sketch::default(), 0_u64);
    for _ in 0..read(body)? {
        let told = read(body)?;
        let register = next.checked_add(told / RANKS)?;
        let known = u16::try_from(register).ok().filter(|register| usize::from(*register) < REGISTERS)?;
        users.add((known, u8::try_from(told % RANKS + 1).ok()?));
        next = register + 1;
    }
    Some(users)
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'b>(bytes: &mut &'b [u8], length: u64) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Users, Visitors};

    fn any_users() -> impl Strategy<Value = Users> {
        prop::collection::vec(any::<u64>(), 0..300).prop_map(|hashes| {
            let mut users = Users::default();
            hashes.into_iter().for_each(|hash| users.add(Users::place(hash)));
            users
        })
    }

    proptest! {
        #[test]
        fn what_is_added_to_bytes_is_what_is_added_to_the_sketch(
            before in prop::collection::vec(any::<u64>(), 0..400),
            after in prop::collection::vec(any::<u64>(), 0..400),
        ) {
            let sketch = |hashes: &[u64]| {
                let mut sketch = Visitors::default();
                hashes.iter().for_each(|hash| sketch.add(Visitors::place(*hash)));
                sketch
            };
            let (written, more) = (encode_sketch(&sketch(&before)), sketch(&after));
            let both = sketch(&[before, after].concat());
            let added = add_to_sketch(&written, &more);
            prop_assert_eq!(decode_sketch::<16_384>(added.as_ref().unwrap_or(&written)), Some(both));
            let again = add_to_sketch(added.as_ref().unwrap_or(&written), &more);
            prop_assert_eq!(again, None, "nothing is new");
            prop_assert_eq!(add_to_sketch(&[], &more), Some(encode_sketch(&more)));
        }
    }

    fn any_counts() -> impl Strategy<Value = ArmCounts> {
        let latency = prop::collection::vec((any::<u64>(), 1..u64::MAX / 1_000), 0..60);
        let numbers = (0..3_u64, 1..u64::from(u32::MAX), any::<u32>());
        (numbers, latency, any_users(), any_users()).prop_map(
            |((evaluations, requests, errors), latencies, users, users_with_error)| {
                let mut latency = Latency::default();
                for (micros, requests) in latencies {
                    latency.add(Latency::bucket(micros >> (micros % 60)), requests);
                }
                ArmCounts { evaluations, requests, errors: errors.into(), latency, users, users_with_error }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in prop::collection::vec(any_counts(), 0..4)) {
            let (mut bytes, mut expected, mut found) = (Vec::new(), ArmCounts::default(), ArmCounts::default());
            for counts in &all {
                bytes.append(&mut encode(counts));
                expected.merge(counts);
            }
            prop_assert!(decode(&bytes, &mut found));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn nonsense_harms_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..50_usize, counts in any_counts()) {
            decode(&bytes, &mut ArmCounts::default());
            let whole = encode(&ArmCounts { evaluations: 0, ..counts });
            let mut found = ArmCounts::default();
            prop_assert!(!decode(&whole[..whole.len() - 1 - cut.min(whole.len() - 2)], &mut found));
            prop_assert_eq!(found, ArmCounts::default());
        }
    }

    #[test]
    fn a_later_version_is_passed_over() {
        let counts = ArmCounts { requests: 3, errors: 1, ..ArmCounts::default() };
        let mut bytes = encode(&counts);
        bytes.extend([3, EVALUATIONS + 1, 200, 200]);
        bytes.append(&mut encode(&counts));
        let mut found = ArmCounts::default();
        assert!(!decode(&bytes, &mut found));
        assert_eq!((found.requests, found.errors), (6, 2));
    }

    #[test]
    fn too_much_stays_at_the_most() {
        let mut counts = ArmCounts { requests: u64::MAX, errors: 9, ..ArmCounts::default() };
        counts.latency.add(3, u64::MAX);
        let bytes = [encode(&counts), encode(&counts)].concat();
        let mut found = ArmCounts::default();
        assert!(decode(&bytes, &mut found));
        assert_eq!((found.requests, found.errors, found.latency.requests()), (u64::MAX, 18, u64::MAX));
        assert_eq!((found.latency.above(2), found.latency.quantile(0.5)), (u64::MAX, Some(3)));
    }

    #[test]
    fn evaluations_need_no_requests() {
        let counts = ArmCounts { evaluations: 300, ..ArmCounts::default() };
        let bytes = encode(&counts);
        assert_eq!(bytes, [3, EVALUATIONS, 0xac, 2]);
        let mut found = ArmCounts::default();
        assert!(decode(&bytes, &mut found));
        assert_eq!(found, counts);
    }

    #[test]
    fn sketches_are_written_by_themselves() {
        let mut visitors = Visitors::default();
        (0..500_u64).for_each(|user| visitors.add(Visitors::place(Visitors::hash(&user.to_string()))));
        let bytes = encode_sketch(&visitors);
        assert_eq!(decode_sketch(&bytes), Some(visitors));
        assert_eq!(decode_sketch::<2048>(&bytes), None, "a register that a smaller one does not have");
        assert_eq!(decode_sketch::<16_384>(&bytes[1..]), None);
    }

    /// The figures of the documentation.
    #[test]
    fn a_second_is_small() {
        for (requests, users, most) in [(10, 10, 60), (300, 300, 750), (10_000, 10_000, 2_400)] {
            let mut counts = ArmCounts { requests, ..ArmCounts::default() };
            for number in 0..requests {
                let spread = Users::hash(&format!("latency-{number}")) % 1_000;
                // From 2 ms on, a tenth of them up to ten times that.
                let micros = 2_000 + if spread < 100 { spread * 180 } else { spread };
                counts.latency.add(Latency::bucket(micros), 1);
                counts.users.add(Users::place(Users::hash(&format!("user-{}", number % users))));
            }
            let bytes = encode(&counts).len();
            println!("{requests} requests/s of {users} users: {bytes} bytes an arm and second");
            assert!(bytes <= most, "{requests} requests take {bytes} bytes");
        }
    }
}
