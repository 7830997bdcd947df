//! Which endpoint belongs to whom: weighted rendezvous hashing (Thaler, Ravishankar: Using name-based mappings to increase
//! hit rates, 1998; Schindelhauer, Schomaker: Weighted distributed hash tables, 2005).
//!
//! Each endpoint draws a number for each subject, and the highest takes it. Where an endpoint cannot take requests, its
//! subjects go to whoever drew next for each of them, spread over all others; nobody else moves. pingora's ketama ring would
//! need addresses, which those of a name do change.

use crate::model::Users;

/// Endpoints by the numbers that they draw.
///
/// Invariant: a draw depends on nothing but the endpoint's configured address, its weight and the subject, so that all
/// gateways agree and a restart moves nobody.
#[derive(Debug)]
pub(super) struct Rendezvous(Vec<(u64, f64)>);

impl Rendezvous {
    /// Of these configured addresses and weights.
    pub(super) fn new<'a>(endpoints: impl Iterator<Item = (&'a str, usize)>) -> Self {
        Self(endpoints.map(|(address, weight)| (Users::hash(address), weight as f64)).collect())
    }

    /// The eligible endpoint to which a subject belongs, by the subject's hash.
    pub(super) fn owner(&self, subject: u64, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let draws = self.0.iter().enumerate().filter(|(position, _)| eligible(*position));
        let draws = draws.map(|(position, &(seed, weight))| (position, draw(seed, weight, subject)));
        draws.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(position, _)| position)
    }
}

/// A number that is the highest of several with a chance proportional to its weight.
fn draw(seed: u64, weight: f64, subject: u64) -> f64 {
    // The end of splitmix64, twice: neither part alone may decide.
    let mut bits = subject.wrapping_add(seed.rotate_left(32));
    for _ in 0..2 {
        bits = (bits ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
    }
    // Evenly between 0 and 1, without either end.
    let even = ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -weight / even.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subjects() -> impl Iterator<Item = u64> {
        (0..20_000).map(|number| Users::hash(&format!("user-{number}")))
    }

    fn of(endpoints: &[(&str, usize)]) -> Rendezvous {
        Rendezvous::new(endpoints.iter().copied())
    }

    #[test]
    fn shares_follow_the_weights() {
        let all = of(&[("a:1", 1), ("b:1", 2), ("c:1", 5)]);
        let mut counts = [0.0_f64; 3];
        subjects().for_each(|subject| counts[all.owner(subject, |_| true).unwrap()] += 1.0);
        for (count, share) in counts.iter().zip([0.125, 0.25, 0.625]) {
            // Five standard deviations.
            let expected = 20_000.0 * share;
            assert!((count - expected).abs() < 5.0 * f64::sqrt(expected * (1.0 - share)), "{counts:?}");
        }
    }

    #[test]
    fn a_new_endpoint_takes_its_share_and_moves_nobody_else() {
        let (before, after) =
            (of(&[("a:1", 1), ("b:1", 1), ("c:1", 1)]), of(&[("a:1", 1), ("d:1", 1), ("b:1", 1), ("c:1", 1)]));
        let names = [["a", "b", "c", ""], ["a", "d", "b", "c"]];
        let moved = subjects().filter(|subject| {
            let was = names[0][before.owner(*subject, |_| true).unwrap()];
            let is = names[1][after.owner(*subject, |_| true).unwrap()];
            assert!(is == was || is == "d", "{was} {is}");
            is != was
        });
        let moved = moved.count();
        assert!((4_600..5_400).contains(&moved), "{moved} of 20 000 moved");
    }

    proptest! {
        #[test]
        fn only_those_of_a_lost_endpoint_move(
            weights in prop::collection::vec(1_usize..100, 2..12), lost in any::<prop::sample::Index>(), subject: u64,
        ) {
            let addresses: Vec<String> = (0..weights.len()).map(|number| format!("10.0.0.{number}:80")).collect();
            let all = Rendezvous::new(addresses.iter().map(String::as_str).zip(weights.iter().copied()));
            let lost = lost.index(weights.len());
            let before = all.owner(subject, |_| true);
            let after = all.owner(subject, |position| position != lost);
            prop_assert_ne!(after, Some(lost));
            prop_assert!(before == after || before == Some(lost));
        }
    }

    #[test]
    fn nobody_owns_without_endpoints() {
        assert_eq!(of(&[]).owner(1, |_| true), None);
        assert_eq!(of(&[("a:1", 1)]).owner(1, |_| false), None);
    }
}
