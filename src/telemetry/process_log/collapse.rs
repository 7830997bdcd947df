//! Which lines are written, and which are only counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracing::Level;

/// How long lines are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// How many lines of one place in the program are written in a window.
const OF_ONE_PLACE: u32 = 20;

/// How many lines are written in a window, wherever they come from.
const OF_ALL: u32 = 60;

/// How many more are written that are the first of their place, so that a flood does not hide what is rare.
const FIRSTS: u32 = 19;

/// How many places are told of one by one when the window ends.
const TOLD: usize = 20;

/// A place in the program that logs, as a hash.
pub(super) type Place = u64;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    /// The part of the program that says it.
    pub(super) target: String,
    pub(super) message: String,
}

/// Lines by the places where they come from. What it holds is bounded: places are fixed when the program is built.
///
/// Invariant: in a window at most 100 lines are written, and each line is written or in the number that is told at its end.
#[derive(Debug, Default)]
pub(super) struct Collapse {
    /// When the window began; none: nothing was written since the last one.
    began: Option<Instant>,
    written: u32,
    places: BTreeMap<Place, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    written: u32,
    held: u64,
    /// The last that was not written.
    last: Option<Line>,
}

impl Collapse {
    /// The line if it is to be written. What was held back must be told first if a window is over ([`Self::end`]).
    pub(super) fn take(&mut self, place: Place, line: Line, now: Instant) -> Option<Line> {
        self.began.get_or_insert(now);
        let seen = self.places.entry(place).or_default();
        let most = if seen.written == 0 { OF_ALL + FIRSTS } else { OF_ALL };
        if seen.written < OF_ONE_PLACE && self.written < most {
            seen.written += 1;
            self.written += 1;
            return Some(line);
        }
        seen.held += 1;
        seen.last = Some(line);
        None
    }

    /// When the window is over; none: there is no window.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.began.map(|began| began + WINDOW)
    }

    /// Whether anything is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.places.values().any(|seen| seen.held > 0)
    }

    /// Ends the window, and gives the lines that tell of what was held back.
    pub(super) fn end(&mut self) -> Vec<Line> {
        self.began = None;
        self.written = 0;
        let held = std::mem::take(&mut self.places).into_values().filter_map(|seen| Some((seen.held, seen.last?)));
        let mut held: Vec<(u64, Line)> = held.collect();
        held.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
        let rest = held.split_off(held.len().min(TOLD));
        let mut told: Vec<Line> = held
            .into_iter()
            .map(|(held, last)| {
                let message = format!("… and {} more like it, the last: {}", grouped(held), last.message);
                Line { message, ..last }
            })
            .collect();
        if let Some((_, last)) = rest.first() {
            let (places, held) = (rest.len(), rest.iter().map(|(held, _)| held).sum());
            let message = format!("… and {} more of {places} other kinds", grouped(held));
            told.push(Line { message, ..last.clone() });
        }
        told
    }
}

/// A number with a space between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn line(message: &str) -> Line {
        Line { level: Level::ERROR, target: "t".to_owned(), message: message.to_owned() }
    }

    #[test]
    fn a_few_are_written_and_the_rest_is_counted() {
        let (mut collapse, now) = (Collapse::default(), clock::monotonic());
        let written = (0..9_332).filter(|number| collapse.take(1, line(&number.to_string()), now).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(collapse.take(2, line("another"), now), Some(line("another")));
        assert_eq!((collapse.ends(), collapse.is_holding()), (Some(now + WINDOW), true));
        assert_eq!(collapse.end(), [line("… and 9 312 more like it, the last: 9331")]);
        assert_eq!((collapse.ends(), collapse.is_holding()), (None, false));
        assert_eq!(collapse.take(1, line("again"), now + WINDOW), Some(line("again")));
        assert_eq!(collapse.end(), []);
    }

    #[test]
    fn whatever_comes_there_are_few_lines_and_all_are_counted() {
        let (mut collapse, now) = (Collapse::default(), clock::monotonic());
        let mut written = 0;
        for number in 0..100_000_u64 {
            written += u64::from(collapse.take(number % 1_000, line("x"), now).is_some());
        }
        let told = collapse.end();
        assert_eq!((written, told.len()), (79, 21));
        let number = |line: &Line| {
            let digits = line.message.split(" more").next().unwrap().chars().filter(char::is_ascii_digit);
            digits.collect::<String>().parse::<u64>().unwrap()
        };
        assert_eq!(written + told.iter().map(number).sum::<u64>(), 100_000);
    }

    #[test]
    fn numbers_are_read_by_people() {
        let expected = [(0, "0"), (999, "999"), (1_000, "1 000"), (12_345_678, "12 345 678")];
        expected.into_iter().for_each(|(number, text)| assert_eq!(grouped(number), text));
    }
}
