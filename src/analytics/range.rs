//! Over which time, and in which steps.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model;

/// How far is looked back unless somebody says otherwise.
const LAST: SignedDuration = SignedDuration::from_hours(24);

/// What is kept.
const MOST: SignedDuration = SignedDuration::from_hours(24 * 30);

/// At most so many steps are told.
const MOST_STEPS: i64 = 1_500;

/// The steps that are chosen from, in seconds.
const STEPS: [i64; 8] = [60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400];

/// So many steps are enough for people.
const ENOUGH: i64 = 150;

/// A time and the steps that it is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// It begins here,
    pub from: Timestamp,
    /// and ends before this.
    pub to: Timestamp,
    /// The length of a step in seconds.
    pub step: i64,
}

/// What is wrong with a range: which parameter, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {expected}")]
pub struct InvalidRange {
    /// `from`, `to` or `step`.
    pub parameter: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

impl Range {
    /// Reads `from` and `to`, each a time or how long ago (`"1h"`), and `step`, a duration.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not fit together.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        step: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, InvalidRange> {
        let time = |parameter: &'static str, text: &str| {
            let ago = model::duration(text).and_then(|ago| now.checked_sub(ago).ok());
            let expected = "expected a time like 2026-11-30T20:00:00Z, or how long ago, like 1h, 30m or 7d";
            ago.or_else(|| text.parse().ok()).ok_or(InvalidRange { parameter, expected })
        };
        let to = to.map_or(Ok(now), |text| time("to", text))?.min(now);
        let from = from.map_or_else(|| to.checked_sub(LAST).map_err(|_| OUT), |text| time("from", text))?;
        if from >= to {
            return Err(InvalidRange { parameter: "from", expected: "expected a time before `to` and before now" });
        }
        if now.duration_since(from) > MOST + SignedDuration::from_hours(1) {
            return Err(InvalidRange { parameter: "from", expected: "expected a time within the last 30 days" });
        }
        let seconds = to.as_second() - from.as_second() + 1;
        let hours_only = now.duration_since(from) > LAST + SignedDuration::from_mins(1);
        let finest = if hours_only { 3_600 } else { 60 };
        let step = match step {
            Some(text) => {
                let expected = "expected a whole number of minutes, like 5m; of hours for what is older than a day";
                let wrong = InvalidRange { parameter: "step", expected };
                let step = model::duration(text).filter(|step| step.subsec_nanos() == 0).map(|step| step.as_secs());
                let step = step.and_then(|step| i64::try_from(step).ok()).filter(|step| step % finest == 0);
                step.ok_or(wrong)?
            }
            None => {
                let fits = |step: &i64| *step >= finest && seconds / step < ENOUGH;
                STEPS.into_iter().find(fits).unwrap_or(86_400)
            }
        };
        if seconds / step > MOST_STEPS {
            return Err(InvalidRange { parameter: "step", expected: "expected a longer one: at most 1500 are told" });
        }
        let begin = from.as_second().div_euclid(finest) * finest;
        Ok(Self { from: Timestamp::from_second(begin).unwrap_or(from), to, step })
    }

    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::try_from(self.to.duration_since(self.from)).unwrap_or_default()
    }
}

const OUT: InvalidRange = InvalidRange { parameter: "from", expected: "expected a time that there is" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let now: Timestamp = "2026-11-30T12:34:56Z".parse().unwrap();
        let read = |from: Option<&str>, to: Option<&str>, step: Option<&str>| {
            Range::parse(from, to, step, now)
                .map(|range| (range.from.to_string(), range.to.to_string(), range.step))
                .map_err(|wrong| wrong.parameter)
        };
        let of = |from: &str, to: &str, step: i64| Ok((from.to_owned(), to.to_owned(), step));
        let end = "2026-11-30T12:34:56Z";
        assert_eq!(read(Some("1h"), None, None), of("2026-11-30T11:34:00Z", end, 60));
        assert_eq!(read(None, None, None), of("2026-11-29T12:34:00Z", end, 600));
        assert_eq!(read(Some("7d"), None, None), of("2026-11-23T12:00:00Z", end, 10_800));
        assert_eq!(read(Some("1h"), Some("30m"), Some("5m")), of("2026-11-30T11:34:00Z", "2026-11-30T12:04:56Z", 300));
        assert_eq!(
            read(Some("2026-11-30T12:00:00Z"), Some("2027-01-01T00:00:00Z"), None),
            of("2026-11-30T12:00:00Z", end, 60)
        );
        for (from, to, step, parameter) in [
            (Some("x"), None, None, "from"),
            (Some("1h"), Some("2h"), None, "from"),
            (Some("40d"), None, None, "from"),
            (Some("1h"), Some(""), None, "to"),
            (Some("1h"), None, Some("90s"), "step"),
            (Some("1h"), None, Some("0"), "step"),
            (Some("7d"), None, Some("5m"), "step"),
        ] {
            assert_eq!(read(from, to, step), Err(parameter), "{from:?} {to:?} {step:?}");
        }
    }
}
