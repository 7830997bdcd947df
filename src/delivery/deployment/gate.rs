//! Gates: what has to be true before a stage goes on.

use std::{sync::Arc, time::Duration};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Time, Weekday},
    tz::Offset,
};

use super::{
    read::{Faults, Fields},
    threshold::Thresholds,
};
use crate::model::did_you_mean;

/// The types of gates.
const TYPES: [&str; 4] = ["manual", "automatic", "scheduled", "metric_based"];

/// The days of a window.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A gate of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What opens it.
    pub kind: GateKind,
    /// When the stage fails that it still keeps.
    pub timeout: Option<Duration>,
    /// Whether it stands before the stage's steps rather than after them.
    pub is_before: bool,
}

/// What opens a gate.
#[derive(Clone, Debug, PartialEq)]
pub enum GateKind {
    /// The approval of each of these.
    Manual(Vec<Arc<str>>),
    /// Time alone, if even that.
    Automatic(Duration),
    /// The time of day.
    Scheduled(Schedule),
    /// Figures of requests.
    Metric(Thresholds),
}

/// When a scheduled gate is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    not_before: Option<Timestamp>,
    /// None: at any time.
    windows: Vec<Window>,
}

/// A part of some days.
#[derive(Clone, Debug, PartialEq)]
struct Window {
    days: Vec<Weekday>,
    /// From when to when; to before from: into the next day.
    hours: (Time, Time),
    offset: Offset,
}

impl GateKind {
    /// The type's name in documents.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Manual(_) => "manual",
            Self::Automatic(_) => "automatic",
            Self::Scheduled(_) => "scheduled",
            Self::Metric(_) => "metric_based",
        }
    }
}

impl Gate {
    pub(super) fn read(faults: &mut Faults, gate: &Fields<'_>) -> Option<Self> {
        let kind = gate.needed_text(faults, "type")?;
        let (own, known): (&[&str], _) = match kind {
            "manual" => (&["required_approvers"], true),
            "automatic" => (&["after"], true),
            "scheduled" => (&["schedule_time", "windows"], true),
            "metric_based" => (&["thresholds", "query", "window", "min_requests"], true),
            _ => (&[], false),
        };
        if !known {
            let hint = did_you_mean(kind, TYPES);
            faults.add(gate.place("type"), format!("there is no gate {kind:?}{hint}; gates are {}", TYPES.join(", ")));
            return None;
        }
        gate.only(faults, &[&["type", "timeout_minutes", "at"], own].concat());
        let minutes = gate.number(faults, "timeout_minutes", (0.001, 527_040.0));
        let kind = match kind {
            "manual" => GateKind::Manual(approvers(faults, gate)),
            "automatic" => GateKind::Automatic(gate.duration(faults, "after").unwrap_or_default()),
            "scheduled" => GateKind::Scheduled(Schedule::read(faults, gate)),
            _ => GateKind::Metric(Thresholds::of_gate(faults, gate)),
        };
        let is_before = match gate.text(faults, "at") {
            None => matches!(kind, GateKind::Scheduled(_)),
            Some("start") => true,
            Some("end") => false,
            Some(other) => {
                faults.add(gate.place("at"), format!("expected \"start\" or \"end\", found {other:?}"));
                false
            }
        };
        if is_before && matches!(kind, GateKind::Metric(_)) {
            faults.add(gate.place("at"), "a stage has no requests of its own to look at before it begins");
        }
        Some(Self { kind, timeout: minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)), is_before })
    }
}

fn approvers(faults: &mut Faults, gate: &Fields<'_>) -> Vec<Arc<str>> {
    let mut named: Vec<Arc<str>> = gate.texts(faults, "required_approvers").into_iter().map(Arc::from).collect();
    if named.is_empty() || named.iter().any(|name| name.is_empty() || name.len() > 128) {
        faults.add(gate.place("required_approvers"), "expected the names of those who have to approve");
    }
    named.sort();
    named.dedup();
    named
}

impl Schedule {
    fn read(faults: &mut Faults, gate: &Fields<'_>) -> Self {
        let mut not_before = None;
        if let Some(text) = gate.text(faults, "schedule_time") {
            not_before = text.parse::<Timestamp>().ok();
            if not_before.is_none() {
                faults.add(gate.place("schedule_time"), "expected a time like \"2026-03-01T09:00:00Z\"");
            }
        }
        let windows = gate.objects(faults, "windows");
        let windows: Vec<Window> = windows.iter().filter_map(|window| Window::read(faults, window)).collect();
        if gate.get("schedule_time").is_none() && gate.array(&mut Faults::default(), "windows").is_empty() {
            faults.add(gate.at.clone(), "a scheduled gate has a schedule_time, windows, or both");
        }
        Self { not_before, windows }
    }

    /// Why it is not open now; `None`: it is.
    #[must_use]
    pub fn waits_for(&self, now: Timestamp) -> Option<String> {
        if let Some(time) = self.not_before.filter(|time| now < *time) {
            return Some(format!("{time}"));
        }
        if self.windows.is_empty() || self.windows.iter().any(|window| window.has(now)) {
            return None;
        }
        let told: Vec<String> = self.windows.iter().map(ToString::to_string).collect();
        Some(format!("a time in {}", told.join(" or ")))
    }
}

impl Window {
    fn read(faults: &mut Faults, window: &Fields<'_>) -> Option<Self> {
        window.only(faults, &["days", "from", "to", "offset"]);
        let mut days = Vec::new();
        for (position, name) in window.texts(faults, "days").into_iter().enumerate() {
            match DAYS.iter().find(|(known, _)| *known == name) {
                Some((_, day)) => days.push(*day),
                None => faults.add(
                    format!("{}/{position}", window.place("days")),
                    format!("expected mon, tue, wed, thu, fri, sat or sun, found {name:?}"),
                ),
            }
        }
        let mut time = |name: &str, default: Time| match window.text(faults, name) {
            None => Some(default),
            Some(text) => {
                let time = text
                    .split_once(':')
                    .and_then(|(hour, minute)| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok());
                if time.is_none() {
                    faults.add(window.place(name), "expected a time of day like \"09:30\"");
                }
                time
            }
        };
        let hours = (time("from", Time::midnight())?, time("to", Time::midnight())?);
        let offset = match window.text(faults, "offset") {
            None | Some("UTC" | "Z") => Offset::UTC,
            Some(text) => match offset_of(text) {
                Some(offset) => offset,
                None => {
                    faults.add(window.place("offset"), "expected an offset like \"+02:00\"");
                    return None;
                }
            },
        };
        Some(Self { days, hours, offset })
    }

    fn has(&self, now: Timestamp) -> bool {
        let here = self.offset.to_datetime(now);
        let (from, to) = self.hours;
        let is_day = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        let (time, day) = (here.time(), here.weekday());
        if from < to {
            return is_day(day) && from <= time && time < to;
        }
        // It ends on the day after the one that it belongs to.
        (is_day(day) && from <= time) || (is_day(day.previous()) && time < to)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, _) in DAYS.iter().filter(|(_, day)| self.days.contains(day)) {
            write!(out, "{name} ")?;
        }
        let (from, to) = self.hours;
        write!(out, "{:02}:{:02}–{:02}:{:02} {}", from.hour(), from.minute(), to.hour(), to.minute(), self.offset)
    }
}

fn offset_of(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        (_, _) => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    let seconds = SignedDuration::from_secs(sign * (hours * 3600 + minutes * 60));
    Offset::from_seconds(i32::try_from(seconds.as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schedule(gate: serde_json::Value) -> Schedule {
        let mut faults = Faults::default();
        let gate = Gate::read(&mut faults, &Fields::of(gate.as_object().unwrap())).unwrap();
        assert!(faults.0.is_empty(), "{:?}", faults.0);
        match gate.kind {
            GateKind::Scheduled(schedule) => schedule,
            GateKind::Manual(_) | GateKind::Automatic(_) | GateKind::Metric(_) => panic!("no schedule"),
        }
    }

    #[test]
    fn windows_open_and_close() {
        let office = schedule(json!({ "type": "scheduled", "windows": [
            { "days": ["mon", "fri"], "from": "09:00", "to": "17:00", "offset": "+02:00" },
            { "days": ["fri"], "from": "22:00", "to": "02:00" },
        ] }));
        for (time, is_open) in [
            ("2026-03-02T06:59:59Z", false),
            ("2026-03-02T07:00:00Z", true),
            ("2026-03-02T15:00:00Z", false),
            ("2026-03-03T10:00:00Z", false),
            ("2026-03-06T22:30:00Z", true),
            ("2026-03-07T01:59:00Z", true),
            ("2026-03-07T02:00:00Z", false),
            ("2026-03-07T22:30:00Z", false),
        ] {
            assert_eq!(office.waits_for(time.parse().unwrap()).is_none(), is_open, "{time}");
        }
        let told = office.waits_for("2026-03-03T10:00:00Z".parse().unwrap()).unwrap();
        assert!(told.starts_with("a time in mon fri 09:00–17:00 +02"), "{told}");
        let later = schedule(json!({ "type": "scheduled", "schedule_time": "2026-03-02T07:00:00Z" }));
        assert_eq!(later.waits_for("2026-03-02T06:00:00Z".parse().unwrap()).unwrap(), "2026-03-02T07:00:00Z");
        assert_eq!(later.waits_for("2026-03-02T07:00:00Z".parse().unwrap()), None);
    }
}
