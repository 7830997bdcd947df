//! What flagd's schema asks of a source: states, variants of one type, and operations with what they take.

use serde_json::Value;

use super::fractional::is_distribution;
use crate::{eval::escape, import::Reading};

/// How deep targeting may nest.
const DEEPEST: usize = 48;

/// What operations take: how many arguments at least and at most.
const OPERATIONS: [(&str, usize, usize); 33] = [
    ("if", 1, usize::MAX),
    ("==", 2, 2),
    ("===", 2, 2),
    ("!=", 2, 2),
    ("!==", 2, 2),
    (">", 2, 2),
    (">=", 2, 2),
    ("<", 2, 3),
    ("<=", 2, 3),
    ("!", 1, 1),
    ("!!", 1, 1),
    ("and", 1, usize::MAX),
    ("or", 1, usize::MAX),
    ("in", 2, 2),
    ("%", 2, 2),
    ("/", 2, 2),
    ("*", 2, usize::MAX),
    ("+", 1, usize::MAX),
    ("-", 1, usize::MAX),
    ("max", 1, usize::MAX),
    ("min", 1, usize::MAX),
    ("merge", 1, usize::MAX),
    ("cat", 1, usize::MAX),
    ("substr", 2, 3),
    ("map", 2, 2),
    ("filter", 2, 2),
    ("reduce", 3, 3),
    ("all", 2, 2),
    ("none", 2, 2),
    ("some", 2, 2),
    ("starts_with", 2, 2),
    ("ends_with", 2, 2),
    ("sem_ver", 3, 3),
];

/// The comparisons of `sem_ver`.
const RANGES: [&str; 8] = ["=", "!=", ">", "<", ">=", "<=", "~", "^"];

/// Values of metadata are plain.
pub(super) fn metadata(at: &str, metadata: Option<&Value>, reading: &mut Reading) {
    match metadata {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) => {
            for (name, value) in
                fields.iter().filter(|(_, value)| value.is_array() || value.is_object() || value.is_null())
            {
                let message = format!("expected true, false, a string or a number, not {value}");
                reading.fault(format!("{at}/{}", escape(name)), message);
            }
        }
        Some(_) => reading.fault(at, "expected an object"),
    }
}

/// One flag.
pub(super) fn flag(at: &str, key: &str, flag: &Value, reading: &mut Reading) {
    let Some(fields) = flag.as_object() else { return reading.fault(at, "a flag is an object") };
    if key.is_empty() {
        reading.fault(format!("{at}/key"), "the key is missing");
    }
    match fields.get("state").and_then(Value::as_str) {
        Some("ENABLED" | "DISABLED") => {}
        _ => reading.fault(format!("{at}/state"), "expected \"ENABLED\" or \"DISABLED\""),
    }
    if fields.get("defaultVariant").is_some_and(|name| !name.is_string() && !name.is_null()) {
        reading.fault(format!("{at}/defaultVariant"), "expected the name of a variant, or null");
    }
    variants(&format!("{at}/variants"), fields.get("variants"), reading);
    metadata(&format!("{at}/metadata"), fields.get("metadata"), reading);
    if let Some(targeting) = fields.get("targeting") {
        rule(&format!("{at}/targeting"), targeting, reading);
    }
}

fn variants(at: &str, variants: Option<&Value>, reading: &mut Reading) {
    let Some(variants) = variants.and_then(Value::as_object).filter(|variants| !variants.is_empty()) else {
        return reading.fault(at, "expected an object of name: value, with one variant at least");
    };
    let kind = |value: &Value| match value {
        Value::Bool(_) => Some(0),
        Value::String(_) => Some(1),
        Value::Number(_) => Some(2),
        Value::Object(_) => Some(3),
        Value::Null | Value::Array(_) => None,
    };
    let first = variants.values().next().and_then(kind);
    for (name, value) in variants {
        if kind(value).is_none() || kind(value) != first {
            let message = "all variants are booleans, or strings, or numbers, or objects";
            return reading.fault(format!("{at}/{}", escape(name)), message);
        }
    }
}

/// A whole rule: an operation, or nothing.
pub(super) fn rule(at: &str, rule: &Value, reading: &mut Reading) {
    match rule {
        Value::Object(fields) if fields.is_empty() => {}
        Value::Object(_) => argument(at, rule, 0, reading),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            reading.fault(at, "expected an operation, an object");
        }
    }
}

/// An operation, or a plain value.
fn argument(at: &str, value: &Value, depth: usize, reading: &mut Reading) {
    let Some(fields) = value.as_object() else { return };
    if depth > DEEPEST {
        return reading.fault(at, format!("nested deeper than {DEEPEST} operations"));
    }
    let (Some((name, arguments)), 1) = (fields.iter().next(), fields.len()) else {
        return reading.fault(at, "expected one operation");
    };
    let at = format!("{at}/{}", escape(name));
    match name.as_str() {
        "var" => variable(&at, arguments, reading),
        "$ref" if arguments.is_string() => {}
        "$ref" => reading.fault(at, "expected the name of an evaluator"),
        "missing" if is_texts(arguments) => {}
        "missing" => reading.fault(at, "expected an array of names"),
        "missing_some" => match arguments.as_array().map(Vec::as_slice) {
            Some([least, names]) if least.is_number() && is_texts(names) => {}
            _ => reading.fault(at, "expected a number and an array of names"),
        },
        "fractional" => fractional(&at, arguments, depth, reading),
        name => operation(&at, name, arguments, depth, reading),
    }
}

fn operation(at: &str, name: &str, arguments: &Value, depth: usize, reading: &mut Reading) {
    let Some((_, least, most)) = OPERATIONS.iter().find(|(known, ..)| *known == name) else {
        return reading.fault(at, format!("the operation {name:?} is not known"));
    };
    let unary = matches!(name, "!" | "!!");
    let list = match arguments.as_array() {
        Some(list) => list.as_slice(),
        None if unary => std::slice::from_ref(arguments),
        None => return reading.fault(at, "expected an array of arguments"),
    };
    if list.len() < *least || list.len() > *most {
        let wanted = if least == most { least.to_string() } else { format!("{least} or more") };
        return reading.fault(at, format!("{name:?} takes {wanted} arguments, not {}", list.len()));
    }
    for (position, argument) in list.iter().enumerate() {
        let at = if arguments.is_array() { format!("{at}/{position}") } else { at.to_owned() };
        match name {
            "starts_with" | "ends_with" if !argument.is_string() && !argument.is_object() => {
                reading.fault(at, "expected a string or an operation");
            }
            "sem_ver" => version(&at, position, argument, reading),
            _ => self::argument(&at, argument, depth + 1, reading),
        }
    }
}

fn variable(at: &str, argument: &Value, reading: &mut Reading) {
    let name = argument.as_array().map_or(Some(argument), |list| list.first());
    match name.and_then(Value::as_str) {
        Some("$flagd.timestamp" | "$flagd.flagKey") => {}
        Some(name) if name.starts_with("$flagd.") => {
            reading.fault(at, format!("flagd gives $flagd.timestamp and $flagd.flagKey, not {name:?}"));
        }
        Some(_) => {}
        None => reading.fault(at, "expected the name of a property"),
    }
}

fn version(at: &str, position: usize, argument: &Value, reading: &mut Reading) {
    match (position, argument) {
        (1, Value::String(range)) if RANGES.contains(&range.as_str()) => {}
        (1, _) => reading.fault(at, format!("expected one of {}", RANGES.join(" "))),
        (_, Value::String(text)) if semver::Version::parse(text).is_ok() => {}
        (_, Value::Object(fields)) if fields.len() == 1 && fields.contains_key("var") => {
            self::argument(at, argument, 0, reading);
        }
        _ => reading.fault(at, "expected a semantic version like \"1.2.3\", or a var"),
    }
}

fn fractional(at: &str, arguments: &Value, depth: usize, reading: &mut Reading) {
    let Some(list) = arguments.as_array().filter(|list| !list.is_empty()) else {
        return reading.fault(at, "expected an array of [variant, weight]");
    };
    for (position, entry) in list.iter().enumerate() {
        let at = format!("{at}/{position}");
        if entry.is_object() && position == 0 {
            argument(&at, entry, depth + 1, reading);
        } else if is_distribution(entry) {
            for (part, value) in entry.as_array().into_iter().flatten().enumerate() {
                argument(&format!("{at}/{part}"), value, depth + 1, reading);
            }
        } else {
            reading.fault(at, "expected [variant, weight] with a whole weight, 0 or more");
        }
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}
