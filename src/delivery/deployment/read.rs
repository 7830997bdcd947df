//! Reading the objects of a document, with a fault for each thing that is wrong.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    eval::describe,
    model::{self, Effect, Fault, did_you_mean},
};

/// No duration is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// One object of the document, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Fields<'d> {
    pub(super) at: String,
    map: &'d Map<String, Value>,
}

/// What was found to be wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), message: message.into(), effect: Effect::Quarantined });
    }

    /// The object at a place.
    pub(super) fn object<'d>(&mut self, at: impl Into<String>, value: &'d Value) -> Option<Fields<'d>> {
        let at = at.into();
        match value {
            Value::Object(map) => Some(Fields { at, map }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.add(at, format!("expected an object, found {}", describe(value)));
                None
            }
        }
    }
}

impl<'d> Fields<'d> {
    pub(super) fn of(map: &'d Map<String, Value>) -> Self {
        Self { at: String::new(), map }
    }

    /// The place of a field.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}/{}", self.at, name.replace('~', "~0").replace('/', "~1"))
    }

    /// A field that is set to anything but null.
    pub(super) fn get(&self, name: &str) -> Option<&'d Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d String, &'d Value)> {
        self.map.iter()
    }

    /// A fault for each field that means nothing here.
    pub(super) fn only(&self, faults: &mut Faults, known: &[&str]) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = did_you_mean(name, known.iter().copied());
            faults.add(self.place(name), format!("unknown field {name:?}{hint}; known are {}", known.join(", ")));
        }
    }

    fn typed<T>(
        &self,
        faults: &mut Faults,
        name: &str,
        wanted: &str,
        read: impl Fn(&'d Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(name)?;
        let found = read(value);
        if found.is_none() {
            faults.add(self.place(name), format!("expected {wanted}, found {}", describe(value)));
        }
        found
    }

    pub(super) fn text(&self, faults: &mut Faults, name: &str) -> Option<&'d str> {
        self.typed(faults, name, "a string", |value| value.as_str().filter(|text| !text.contains('\0')))
    }

    pub(super) fn needed_text(&self, faults: &mut Faults, name: &str) -> Option<&'d str> {
        self.need(faults, name);
        self.text(faults, name)
    }

    /// A fault unless the field is there.
    pub(super) fn need(&self, faults: &mut Faults, name: &str) {
        if self.get(name).is_none() {
            faults.add(self.place(name), format!("{name} is missing"));
        }
    }

    pub(super) fn boolean(&self, faults: &mut Faults, name: &str, default: bool) -> bool {
        self.typed(faults, name, "true or false", Value::as_bool).unwrap_or(default)
    }

    /// A number within these bounds, both included.
    pub(super) fn number(&self, faults: &mut Faults, name: &str, (from, to): (f64, f64)) -> Option<f64> {
        let within = |value: &Value| value.as_f64().filter(|number| (from..=to).contains(number));
        self.typed(faults, name, &format!("a number from {from} to {to}"), within)
    }

    pub(super) fn count(&self, faults: &mut Faults, name: &str, default: u64) -> u64 {
        let whole = |value: &Value| value.as_u64().filter(|number| *number <= 1_000_000_000);
        self.typed(faults, name, "a whole number from 0", whole).unwrap_or(default)
    }

    pub(super) fn duration(&self, faults: &mut Faults, name: &str) -> Option<Duration> {
        self.typed(faults, name, DURATION, duration_of)
    }

    pub(super) fn array(&self, faults: &mut Faults, name: &str) -> &'d [Value] {
        self.typed(faults, name, "an array", Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn texts(&self, faults: &mut Faults, name: &str) -> Vec<&'d str> {
        let texts = |value: &'d Value| value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        self.typed(faults, name, "an array of strings", texts).unwrap_or_default()
    }

    pub(super) fn object(&self, faults: &mut Faults, name: &str) -> Option<Self> {
        self.get(name).and_then(|value| faults.object(self.place(name), value))
    }

    /// The objects of an array.
    pub(super) fn objects(&self, faults: &mut Faults, name: &str) -> Vec<Self> {
        let place = self.place(name);
        let items = self.array(faults, name).iter().enumerate();
        items.filter_map(|(position, item)| faults.object(format!("{place}/{position}"), item)).collect()
    }
}

/// What a duration looks like.
pub(super) const DURATION: &str =
    "a duration like \"30s\", \"10m\" or \"2h\", longer than nothing and at most 366 days";

/// A duration: `"250ms"`, `"30s"`, `"10m"`, `"2h"`, `"1d"`.
pub(super) fn duration_of(value: &Value) -> Option<Duration> {
    let duration = model::duration(value.as_str()?)?;
    (duration <= LONGEST).then_some(duration)
}
