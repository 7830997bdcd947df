//! Patterns: regular expressions whose time on any text is bounded.
//!
//! A search takes linear time, but the factor is the pattern's: each byte of the text may be at each of its positions at once. So
//! the product of both is bounded, by which all gateways decide alike, whatever their machine.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 10;
/// The largest compiled pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// The longest text that a pattern is tried on, in bytes.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// The most positions of a pattern times bytes of a text.
const MAX_WORK: usize = 1 << 15;
/// The least text that a pattern must be good for, in bytes.
const MIN_TEXT_BYTES: usize = 64;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// The longest text that it is tried on, in bytes.
    longest: usize,
}

impl Pattern {
    /// A regular expression, anchored at the start only.
    pub(super) fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!(
                "the pattern is {} bytes long; at most {MAX_PATTERN_BYTES} are allowed",
                pattern.len()
            ));
        }
        // Compiled first: it says better what is wrong, and is bounded itself.
        let regex = build(&format!("\\A(?:{pattern})"), ignore_case)?;
        let parsed = regex_syntax::ParserBuilder::new().case_insensitive(ignore_case).build().parse(pattern);
        let positions = parsed.map(|hir| positions(&hir)).map_err(|error| error.to_string())?;
        let longest = MAX_WORK / positions.max(1);
        if longest < MIN_TEXT_BYTES {
            let most = MAX_WORK / MIN_TEXT_BYTES;
            return Err(format!(
                "the pattern has {positions} positions, as repetitions with a count multiply; at most {most} are allowed: \
                 use `*` or `+` where the count does not matter"
            ));
        }
        Ok(Self { regex, longest: longest.min(MAX_TEXT_BYTES) })
    }

    /// Finds literal text in any case: `@` in `parts` stands for the text, the rest are anchors.
    pub(super) fn literal(parts: &[&str], text: &str) -> Result<Self, String> {
        let source: String =
            parts.iter().map(|part| if *part == "@" { regex::escape(text) } else { (*part).to_owned() }).collect();
        Ok(Self { regex: build(&source, true)?, longest: MAX_TEXT_BYTES })
    }

    /// Whether a text matches; none: it is too long to be tried.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        (text.len() <= self.longest).then(|| self.regex.is_match(text))
    }
}

fn build(source: &str, ignore_case: bool) -> Result<Regex, String> {
    let built = RegexBuilder::new(source).case_insensitive(ignore_case).size_limit(MAX_PROGRAM_BYTES).build();
    built.map_err(|error| {
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the pattern cannot be used: {reason}")
    })
}

/// In how many places of a pattern a search can be at once, at most. A class of letters beyond ASCII has places within a letter.
fn positions(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) if class.maximum_len().is_some_and(|bytes| bytes > 1) => 2,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            positions(&repetition.sub).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(0, |sum, part| sum.saturating_add(positions(part)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(pattern: &str) -> Option<usize> {
        Pattern::new(pattern, false).ok().map(|pattern| pattern.longest)
    }

    #[test]
    fn what_people_write_is_taken() {
        let list = (0..120).map(|number| format!("{number:03}")).collect::<Vec<_>>().join("|");
        for (pattern, least) in [
            ("a+", 4096),
            (r"^[\w.+-]+@[\w-]+\.[\w.-]+$", 3600),
            (r"(?i).*@example\.com$", 2000),
            (r"Mozilla/5\.0 .*(Chrome|Firefox|Safari)/\d+", 700),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", 900),
            (r"\d{1,3}(\.\d{1,3}){3}", 1000),
            ("/api/v[12]/.*", 2900),
            (&list, 90),
            (".{0,100}", 160),
            (r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", 1900),
        ] {
            assert!(longest(pattern).is_some_and(|longest| longest >= least), "{pattern}: {:?}", longest(pattern));
        }
    }

    #[test]
    fn what_would_take_long_is_refused() {
        for pattern in ["(a{0,100}){0,100}b", "[ab]*a[ab]{600}c", "(x{1,30}){1,30}", "(?:a?){500}a{500}", ".{0,1000}"] {
            let error = Pattern::new(pattern, false).unwrap_err();
            assert!(error.contains("positions") || error.contains("size limit"), "{pattern}: {error}");
        }
        assert!(Pattern::new("(", false).unwrap_err().contains("unclosed group"));
        assert!(Pattern::new(&"a".repeat(1025), false).unwrap_err().contains("1025 bytes"));
    }
}
