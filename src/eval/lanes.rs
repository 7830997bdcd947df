//! Buckets of several flags at once. MD5 is one long chain of steps, each of which waits for the one before; the chains of
//! four inputs side by side take hardly longer than one, as the compiler makes vectors of them.

use super::bucket::bucket_of_digest;

/// So many at once.
pub(super) const LANES: usize = 4;

/// One word of each lane.
type Words = [u32; LANES];

const BLOCK: usize = 64;
/// Where the length of the input stands in the last block.
const LENGTH_AT: usize = 56;

/// The state before the first block (RFC 1321, 3.3).
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// How far each step of a round rotates, by turns.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// `floor(2^32 * abs(sin(step + 1)))` (RFC 1321, 3.4).
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The buckets of `"{salt}:{unit}"`, as [`Hash::Md5`](super::bucket::Hash) has them. `None` where there is no input, or
/// one that is too long for a block of its own.
pub(super) fn md5_buckets(inputs: [Option<(&str, &str)>; LANES]) -> [Option<u16>; LANES] {
    let fits = |(salt, unit): &(&str, &str)| salt.len() + 1 + unit.len() < LENGTH_AT;
    let blocks = inputs.map(|input| input.filter(fits).map(|(salt, unit)| padded(salt.as_bytes(), unit.as_bytes())));
    let state = compress(&std::array::from_fn(|word| {
        std::array::from_fn(|lane| blocks[lane].as_ref().map_or(0, |block| word_of(block, word)))
    }));
    std::array::from_fn(|lane| {
        blocks[lane].as_ref()?;
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word[lane].to_le_bytes());
        }
        Some(bucket_of_digest(digest))
    })
}

fn padded(salt: &[u8], unit: &[u8]) -> [u8; BLOCK] {
    let length = salt.len() + 1 + unit.len();
    let mut block = [0; BLOCK];
    block[..salt.len()].copy_from_slice(salt);
    block[salt.len()] = b':';
    block[salt.len() + 1..length].copy_from_slice(unit);
    block[length] = 0x80;
    block[LENGTH_AT..].copy_from_slice(&(length as u64 * 8).to_le_bytes());
    block
}

fn word_of(block: &[u8; BLOCK], word: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&block[word * 4..word * 4 + 4]);
    u32::from_le_bytes(bytes)
}

fn compress(message: &[Words; 16]) -> [Words; 4] {
    let start = START.map(|word| [word; LANES]);
    let state = round(start, message, 0, |step| step, |b, c, d| (b & c) | (!b & d));
    let state = round(state, message, 1, |step| 5 * step + 1, |b, c, d| (d & b) | (!d & c));
    let state = round(state, message, 2, |step| 3 * step + 5, |b, c, d| b ^ c ^ d);
    let state = round(state, message, 3, |step| 7 * step, |b, c, d| c ^ (b | !d));
    std::array::from_fn(|word| std::array::from_fn(|lane| start[word][lane].wrapping_add(state[word][lane])))
}

/// One round of sixteen steps: `pick` says which word of the message a step takes, `mix` how the state is mixed.
#[inline(always)]
fn round(
    [mut a, mut b, mut c, mut d]: [Words; 4],
    message: &[Words; 16],
    number: usize,
    pick: impl Fn(usize) -> usize,
    mix: impl Fn(u32, u32, u32) -> u32,
) -> [Words; 4] {
    for step in 0..16 {
        let (word, sine) = (&message[pick(step) % 16], SINES[number * 16 + step]);
        let rotation = ROTATIONS[number][step % 4];
        let next = std::array::from_fn(|lane| {
            let sum = a[lane].wrapping_add(mix(b[lane], c[lane], d[lane])).wrapping_add(word[lane]).wrapping_add(sine);
            b[lane].wrapping_add(sum.rotate_left(rotation))
        });
        (a, d, c, b) = (d, c, b, next);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eval::bucket::Hash;

    proptest! {
        #[test]
        fn each_lane_is_as_if_alone(inputs in prop::array::uniform4(prop::option::of((".{0,30}", ".{0,40}")))) {
            let inputs: [Option<(&str, &str)>; LANES] =
                std::array::from_fn(|lane| inputs[lane].as_ref().map(|(salt, unit)| (salt.as_str(), unit.as_str())));
            for (input, bucket) in inputs.into_iter().zip(md5_buckets(inputs)) {
                let fits = input.filter(|(salt, unit)| salt.len() + unit.len() <= 54);
                prop_assert_eq!(bucket, fits.map(|(salt, unit)| Hash::Md5.bucket(salt, unit)));
            }
        }
    }
}
