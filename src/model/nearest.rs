//! Names that are called alike, for messages about one that there is not.

/// How alike two names have to be (Jaro-Winkler, 0 to 1) for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// The one of the known names that was perhaps meant. Of two that are as near the first in the order of letters, so that
/// the answer is always the same.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0).then_with(|| right.1.cmp(left.1)));
    best.filter(|(score, _)| *score > ALIKE).map(|(_, known)| known)
}

/// `, did you mean "…"?` for the end of a sentence; nothing if no name is near enough.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!(", did you mean {known:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_alike_is_meant() {
        let check = |name: &str, expected: &str| {
            assert_eq!(did_you_mean(name, ["checkout", "checkin", "canary", "canarz"]), expected, "{name}");
        };
        check("chekout", ", did you mean \"checkout\"?");
        check("canar", ", did you mean \"canary\"?");
        check("CHECKOUT", "");
        check("xyz", "");
        check("", "");
        assert_eq!(nearest("a", []), None);
    }
}
