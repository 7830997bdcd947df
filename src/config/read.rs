//! Reads TOML by the table of keys: what comes out has known keys and values of the right type, each with its place.

use std::time::Duration;

use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    error::{At, Problem},
    keys::{Key, Kind, REQUIRED, Section},
    units,
};
use crate::model::{did_you_mean, duration};

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Boolean(bool),
    Integer(i64),
    Duration(Duration),
    Size(u64),
    List(Vec<Node>),
    Table(Table),
}

/// A table with known keys.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<(String, Node)>,
}

/// TOML as written, with environment overrides applied.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) at: At,
    pub(super) value: RawValue,
}

#[derive(Clone, Debug)]
pub(super) enum RawValue {
    Text(String),
    Boolean(bool),
    Integer(i64),
    /// A kind that no key takes, by its name.
    Other(&'static str),
    List(Vec<Raw>),
    /// Key, the key's place, value; in the order of the file.
    Table(Vec<(String, At, Raw)>),
}

/// Parses TOML text.
pub(super) fn parse(text: &str) -> (Raw, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let problems = errors.iter().map(|error| Problem {
        at: At::File(error.span().unwrap_or(0..0)),
        message: error.message().replace('\n', "; "),
    });
    let problems = problems.collect();
    let at = At::File(table.span());
    (Raw { at, value: raw_table(table.into_inner()) }, problems)
}

fn raw_table(table: DeTable<'_>) -> RawValue {
    let mut entries: Vec<_> =
        table.into_iter().map(|(key, value)| (key.span(), key.into_inner().into_owned(), raw(value))).collect();
    entries.sort_by_key(|(span, _, _)| span.start);
    RawValue::Table(entries.into_iter().map(|(span, key, value)| (key, At::File(span), value)).collect())
}

fn raw(value: Spanned<DeValue<'_>>) -> Raw {
    let at = At::File(value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => RawValue::Text(text.into_owned()),
        DeValue::Boolean(flag) => RawValue::Boolean(flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(RawValue::Other("a number out of range"), RawValue::Integer),
        DeValue::Float(_) => RawValue::Other("a number with a fraction"),
        DeValue::Datetime(_) => RawValue::Other("a time"),
        DeValue::Array(items) => RawValue::List(items.into_iter().map(raw).collect()),
        DeValue::Table(table) => raw_table(table),
    };
    Raw { at, value }
}

/// Reads a table by its section.
pub(super) fn table(raw: Raw, path: &str, section: &'static Section, problems: &mut Vec<Problem>) -> Table {
    let at = raw.at;
    let RawValue::Table(entries) = raw.value else {
        problems.push(wrong(at, path, "a table", &raw.value));
        return Table::default();
    };
    for key in section.keys.iter().filter(|key| key.default == REQUIRED) {
        if !entries.iter().any(|(name, _, _)| name == key.name) {
            problems.push(Problem {
                at: at.clone(),
                message: format!("`{}` is missing{}: {}", key.name, inside(path), key.doc),
            });
        }
    }
    let mut known = Vec::with_capacity(entries.len());
    for (name, name_at, value) in entries {
        match section.keys.iter().find(|key| key.name == name) {
            Some(key) => {
                if let Some(node) = node(value, &join(path, &name), &key.kind, problems) {
                    known.push((name, node));
                }
            }
            None => problems.push(Problem { at: name_at, message: unknown(&name, path, section) }),
        }
    }
    Table { entries: known }
}

fn node(raw: Raw, path: &str, kind: &'static Kind, problems: &mut Vec<Problem>) -> Option<Node> {
    let at = raw.at.clone();
    let value = match (kind, raw.value) {
        (Kind::Text, RawValue::Text(text)) => Value::Text(text),
        (Kind::Boolean, RawValue::Boolean(flag)) => Value::Boolean(flag),
        (Kind::Integer(low, high), RawValue::Integer(number)) if (*low..=*high).contains(&number) => {
            Value::Integer(number)
        }
        (Kind::Duration, RawValue::Text(text)) => match duration(&text) {
            Some(duration) => Value::Duration(duration),
            None => return refuse(problems, wrong(at, path, expected(kind).as_str(), &RawValue::Text(text))),
        },
        (Kind::Size, RawValue::Text(text)) => match units::size(&text) {
            Some(size) => Value::Size(size),
            None => return refuse(problems, wrong(at, path, expected(kind).as_str(), &RawValue::Text(text))),
        },
        (Kind::Choice(choices) | Kind::ChoiceOr(choices, _), RawValue::Text(text))
            if choices.contains(&text.as_str()) =>
        {
            Value::Text(text)
        }
        (Kind::Choice(choices) | Kind::ChoiceOr(choices, _), RawValue::Text(text)) => {
            let hint = did_you_mean(&text, choices.iter().copied());
            return refuse(
                problems,
                Problem { at, message: format!("{} has no {text:?}{hint}; it takes {}", path, choices.join(", ")) },
            );
        }
        (Kind::List(kind), RawValue::List(items)) => {
            let items = items.into_iter().enumerate();
            Value::List(
                items.filter_map(|(number, item)| node(item, &format!("{path}[{number}]"), kind, problems)).collect(),
            )
        }
        (Kind::Table(section) | Kind::ChoiceOr(_, section), value @ RawValue::Table(_)) => {
            Value::Table(table(Raw { at: at.clone(), value }, path, section, problems))
        }
        (Kind::Map(kind), RawValue::Table(entries)) => {
            let entries = entries.into_iter();
            let read = entries
                .filter_map(|(name, _, value)| Some((name.clone(), node(value, &join(path, &name), kind, problems)?)));
            Value::Table(Table { entries: read.collect() })
        }
        (kind, other) => return refuse(problems, wrong(at, path, expected(kind).as_str(), &other)),
    };
    Some(Node { at, value })
}

fn refuse(problems: &mut Vec<Problem>, problem: Problem) -> Option<Node> {
    problems.push(problem);
    None
}

fn wrong(at: At, path: &str, expected: &str, found: &RawValue) -> Problem {
    let found = match found {
        RawValue::Text(text) => format!("{text:?}"),
        RawValue::Boolean(flag) => flag.to_string(),
        RawValue::Integer(number) => number.to_string(),
        RawValue::Other(what) => (*what).to_owned(),
        RawValue::List(_) => "a list".to_owned(),
        RawValue::Table(_) => "a table".to_owned(),
    };
    Problem { at, message: format!("{path} takes {expected}, not {found}") }
}

/// What a kind takes, in words.
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text => "a string".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer(low, high) => format!("a whole number from {low} to {high}"),
        Kind::Duration => "a duration like \"250ms\", \"2s\" or \"5m\"".to_owned(),
        Kind::Size => "a size like \"64KiB\" or \"10MiB\"".to_owned(),
        Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        Kind::ChoiceOr(choices, section) => {
            let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            format!("one of {}, or a table with {}", choices.join(", "), names.join(" or "))
        }
        Kind::List(_) => "a list".to_owned(),
        Kind::Table(_) | Kind::Map(_) => "a table".to_owned(),
    }
}

pub(super) fn unknown(name: &str, path: &str, section: &Section) -> String {
    if section.later.contains(&name) {
        return format!("`{name}`{} is not supported by this version yet", inside(path));
    }
    let known = section.keys.iter().map(|key: &Key| key.name);
    let hint = did_you_mean(name, known.clone());
    match hint.is_empty() {
        true => format!("unknown key `{name}`{}; it takes {}", inside(path), known.collect::<Vec<_>>().join(", ")),
        false => format!("unknown key `{name}`{}{hint}", inside(path)),
    }
}

fn inside(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in {path}") }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    pub(super) fn text(&self, name: &str) -> Option<(&str, &At)> {
        let node = self.get(name)?;
        Some((node.text()?, &node.at))
    }

    pub(super) fn boolean(&self, name: &str, default: bool) -> bool {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Boolean(flag)) => *flag,
            _ => default,
        }
    }

    /// A number that the table of keys bounds to what fits.
    pub(super) fn count(&self, name: &str) -> Option<usize> {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Integer(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn duration(&self, name: &str, default: Duration) -> Duration {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Duration(duration)) => *duration,
            _ => default,
        }
    }

    pub(super) fn size(&self, name: &str, default: u64) -> u64 {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Size(size)) => *size,
            _ => default,
        }
    }

    pub(super) fn list(&self, name: &str) -> &[Node] {
        match self.get(name).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = (&str, &At)> {
        self.list(name).iter().filter_map(|node| Some((node.text()?, &node.at)))
    }

    pub(super) fn table(&self, name: &str) -> Option<(&Self, &At)> {
        let node = self.get(name)?;
        Some((node.table()?, &node.at))
    }

    /// The tables of a list.
    pub(super) fn tables(&self, name: &str) -> impl Iterator<Item = (&Self, &At)> {
        self.list(name).iter().filter_map(|node| Some((node.table()?, &node.at)))
    }
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Boolean(_)
            | Value::Integer(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::List(_)
            | Value::Table(_) => None,
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            Value::Text(_)
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::List(_) => None,
        }
    }
}
