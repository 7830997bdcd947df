//! Reading a model's fields: what cannot be read is noted with its place, and reading goes on.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{LIMIT, quarantined};
use crate::model::Fault;

/// Reads the fields of one object and collects what is wrong with them.
pub(super) struct Reader<'d> {
    fields: &'d Map<String, Value>,
    faults: Vec<Fault>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(fields: &'d Map<String, Value>) -> Self {
        Self { fields, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.faults.push(quarantined(pointer.into(), message.into()));
    }

    /// What was wrong, in the order of the places.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        self.faults.sort_by(|left, right| left.pointer.cmp(&right.pointer));
        self.faults
    }

    /// The value at a JSON pointer; `null` is as good as none.
    pub(super) fn value(&self, pointer: &str) -> Option<&'d Value> {
        let mut names = pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
        let first = self.fields.get(&names.next()?)?;
        names
            .try_fold(first, |value, name| match value {
                Value::Object(fields) => fields.get(&name),
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
            .filter(|value| !value.is_null())
    }

    /// One of some words.
    pub(super) fn text(&mut self, pointer: &str, words: &[&'static str]) -> Option<&'static str> {
        let found = self.value(pointer);
        let word = words.iter().copied().find(|word| found.and_then(Value::as_str) == Some(*word));
        if word.is_none() {
            let message = match found {
                Some(value) => format!("expected one of {}, not {}", words.join(", "), short(value)),
                None => format!("missing; one of {}", words.join(", ")),
            };
            self.fault(pointer, message);
        }
        word
    }

    /// Any text.
    #[cfg(feature = "onnx")]
    pub(super) fn string(&mut self, pointer: &str) -> Option<&'d str> {
        let found = self.value(pointer);
        let text = found.and_then(Value::as_str);
        if text.is_none() {
            let message = match found {
                Some(value) => format!("expected a string, not {}", short(value)),
                None => "missing; a string is expected".to_owned(),
            };
            self.fault(pointer, message);
        }
        text
    }

    /// A finite number of a bearable size.
    pub(super) fn number(&mut self, pointer: &str) -> f64 {
        let found = self.value(pointer);
        self.taken(found, || pointer.to_owned())
    }

    /// So many numbers. None are wanted where the columns could not be read: that was said already.
    pub(super) fn numbers(&mut self, pointer: &str, wanted: usize) -> Vec<f64> {
        let Some(found) = self.array(pointer, "an array of numbers") else { return Vec::new() };
        if wanted > 0 && found.len() != wanted {
            self.fault(pointer, format!("{} numbers for {wanted} feature columns", found.len()));
        }
        // The place is written down only if something is wrong with it.
        let place = |position| move || format!("{pointer}/{position}");
        found.iter().enumerate().map(|(position, value)| self.taken(Some(value), place(position))).collect()
    }

    /// At least one and at most so many rows of numbers, one after the other.
    pub(super) fn rows(&mut self, pointer: &str, width: usize, most: usize) -> Vec<f64> {
        let Some(found) = self.array(pointer, "an array of arrays of numbers") else { return Vec::new() };
        if !(1..=most).contains(&found.len()) {
            self.fault(pointer, format!("there are 1 to {most} rows, not {}", found.len()));
            return Vec::new();
        }
        (0..found.len()).flat_map(|row| self.numbers(&format!("{pointer}/{row}"), width)).collect()
    }

    /// At least one and at most so many names.
    pub(super) fn names(&mut self, pointer: &str, most: usize) -> Vec<String> {
        let Some(found) = self.array(pointer, "an array of names of attributes") else { return Vec::new() };
        if !(1..=most).contains(&found.len()) {
            self.fault(pointer, format!("there are 1 to {most} feature columns, not {}", found.len()));
            return Vec::new();
        }
        let mut names = Vec::with_capacity(found.len());
        for (position, name) in found.iter().enumerate() {
            match name.as_str().filter(|name| !name.is_empty()) {
                Some(name) => names.push(name.to_owned()),
                None => {
                    let message = format!("expected the name of an attribute, not {}", short(name));
                    self.fault(format!("{pointer}/{position}"), message);
                    names.push(format!("\0{position}"));
                }
            }
        }
        names
    }

    /// The entries of an object that may be absent.
    pub(super) fn optional_object(&mut self, pointer: &str) -> impl Iterator<Item = (&'d String, &'d Value)> + use<'d> {
        let found = self.value(pointer);
        if let Some(value) = found
            && !value.is_object()
        {
            self.fault(pointer, format!("expected an object, not {}", short(value)));
        }
        found.and_then(Value::as_object).map(Map::iter).into_iter().flatten()
    }

    fn taken(&mut self, found: Option<&Value>, pointer: impl FnOnce() -> String) -> f64 {
        if let Some(number) = found.and_then(Value::as_f64).filter(|number| number.abs() <= LIMIT) {
            return number;
        }
        let message = match found {
            Some(value) => format!("expected a number from -1e100 to 1e100, not {}", short(value)),
            None => "missing; a number is expected".to_owned(),
        };
        self.fault(pointer(), message);
        f64::NAN
    }

    fn array(&mut self, pointer: &str, what: &str) -> Option<&'d Vec<Value>> {
        let found = self.value(pointer);
        let array = found.and_then(Value::as_array);
        if array.is_none() {
            let message = match found {
                Some(value) => format!("expected {what}, not {}", short(value)),
                None => format!("missing; {what} is expected"),
            };
            self.fault(pointer, message);
        }
        array
    }
}

/// A name as a part of a JSON pointer.
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    match name.contains(['~', '/']) {
        true => name.replace('~', "~0").replace('/', "~1").into(),
        false => name.into(),
    }
}

/// The beginning of a value's text: a message need not repeat a megabyte.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
