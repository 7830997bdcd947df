//! Durations as people write them.

use std::time::Duration;

/// Reads a duration: `"250ms"`, `"2s"`, `"5m"`, `"1h"` or `"1d"`; fractions are allowed, nothing and zero are not.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        "d" => number * 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

/// A number that is not negative, and the unit behind it.
pub(crate) fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("250ms", 250), ("2s", 2_000), ("1.5s", 1_500), ("5 m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "2", "s", "-2s", "0s", "2 weeks", "1e3s", "1..2s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
