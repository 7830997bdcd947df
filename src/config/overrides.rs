//! Environment variables that override the file.

use super::{
    error::{At, Problem},
    keys::{Kind, Section},
    read::{Raw, RawValue, unknown},
};

/// Applies `FLAGGATE__SECTION__KEY` to what the file says. Names are compared without regard to case, `-` and `_` alike.
pub(super) fn apply(
    raw: &mut Raw,
    section: &'static Section,
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) {
    let mut variables: Vec<(String, String)> = variables.filter(|(name, _)| name.starts_with("FLAGGATE__")).collect();
    variables.sort();
    for (name, value) in variables {
        let at = At::Variable(name.as_str().into());
        let path: Vec<&str> = name.split("__").skip(1).collect();
        if let Err(message) = set(raw, &path, &Kind::Table(section), &value, &at) {
            problems.push(Problem { at, message });
        }
    }
}

fn set(raw: &mut Raw, path: &[&str], kind: &Kind, value: &str, at: &At) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *raw = Raw { at: at.clone(), value: leaf(kind, value, at)? };
        return Ok(());
    };
    let folded = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let empty = || Raw { at: at.clone(), value: RawValue::Table(Vec::new()) };
    match (kind, &mut raw.value) {
        (Kind::Table(section), RawValue::Table(entries)) => {
            let known = section.keys.iter().find(|key| key.name == folded(first));
            let key = known.ok_or_else(|| unknown(&first.to_ascii_lowercase(), "", section))?;
            set(entry(entries, key.name, at, empty), rest, &key.kind, value, at)
        }
        (Kind::Map(kind), RawValue::Table(entries)) => {
            let existing = entries.iter().map(|(name, _, _)| name.clone()).find(|name| folded(name) == folded(first));
            let name = existing.unwrap_or_else(|| first.to_ascii_lowercase());
            set(entry(entries, &name, at, empty), rest, kind, value, at)
        }
        (Kind::List(kind), RawValue::List(items)) => {
            let count = items.len();
            let item = first.parse::<usize>().ok().and_then(|position| items.get_mut(position));
            let item =
                item.ok_or_else(|| format!("{first:?} is no position in a list of {count}; positions start at 0"))?;
            set(item, rest, kind, value, at)
        }
        _ => Err(format!("there is no {first:?} below this key")),
    }
}

fn entry<'e>(entries: &'e mut Vec<(String, At, Raw)>, name: &str, at: &At, empty: impl Fn() -> Raw) -> &'e mut Raw {
    let position = entries.iter().position(|(known, _, _)| known == name).unwrap_or_else(|| {
        entries.push((name.to_owned(), at.clone(), empty()));
        entries.len() - 1
    });
    &mut entries[position].2
}

/// The value of a variable, as its key's kind reads it; a list may be separated by commas.
fn leaf(kind: &Kind, value: &str, at: &At) -> Result<RawValue, String> {
    Ok(match kind {
        Kind::Text | Kind::Duration | Kind::Size | Kind::Choice(_) | Kind::ChoiceOr(_, _) => {
            RawValue::Text(value.to_owned())
        }
        Kind::Boolean => value.parse().map_or_else(|_| RawValue::Text(value.to_owned()), RawValue::Boolean),
        Kind::Integer(_, _) => value.parse().map_or_else(|_| RawValue::Text(value.to_owned()), RawValue::Integer),
        Kind::List(Kind::Table(_)) => {
            return Err("a list of tables can only be set in the file".to_owned());
        }
        Kind::List(kind) => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| Ok(Raw { at: at.clone(), value: leaf(kind, item, at)? }));
            RawValue::List(items.collect::<Result<_, String>>()?)
        }
        Kind::Table(_) | Kind::Map(_) => return Err("this is a table: name one of its keys, after `__`".to_owned()),
    })
}
