//! From text to a JSON value: JSON, or YAML where it is not JSON.

use serde_json::Value;

use crate::model::MAX_NESTING;

/// How deep a source may nest: a document, and what stands around it.
const DEEPEST: usize = MAX_NESTING + 32;

/// Why a text is neither JSON nor YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct TextError {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

/// Reads JSON or YAML. A text that begins with a bracket is read as JSON only: as YAML a broken one might mean something.
///
/// # Errors
/// The text is neither, is empty, or nests too deeply.
pub fn parse(text: &str) -> Result<Value, TextError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        return match serde_json::from_str(text) {
            Ok(value) => shallow(value),
            Err(error) => Err(TextError {
                line: error.line() as u64,
                column: error.column() as u64,
                message: format!("not JSON: {}", reason(&error.to_string())),
            }),
        };
    }
    // `no` is the country; only `true` and `false` are booleans, as in YAML 1.2.
    let options = serde_saphyr::options! { strict_booleans: true };
    match serde_saphyr::from_str_with_options::<Value>(text, options) {
        Ok(Value::Null) => Err(TextError { line: 1, column: 1, message: "there is nothing in it".to_owned() }),
        Ok(value) => shallow(value),
        Err(error) => {
            let place = error.location();
            let place = |of: fn(&serde_saphyr::Location) -> u64| place.as_ref().map_or(0, of);
            let message = error.without_snippet().to_string();
            let message = format!("not YAML: {}", reason(message.lines().next().unwrap_or_default()));
            Err(TextError {
                line: place(serde_saphyr::Location::line),
                column: place(serde_saphyr::Location::column),
                message,
            })
        }
    }
}

/// The message without the place, which is told apart.
fn reason(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

fn shallow(value: Value) -> Result<Value, TextError> {
    if depth(&value) <= DEEPEST {
        return Ok(value);
    }
    Err(TextError { line: 0, column: 0, message: format!("nested deeper than {DEEPEST} levels") })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_yaml() {
        assert_eq!(parse("{\"a\": 1.0}").unwrap(), json!({"a": 1.0}));
        assert_eq!(parse("\u{feff}- key: a\n  on: yes\n").unwrap(), json!([{"key": "a", "on": "yes"}]));
        assert_eq!(
            parse("a: 2026-01-31T12:00:00Z\nb: 50.0\nc: null").unwrap(),
            json!({"a": "2026-01-31T12:00:00Z", "b": 50.0, "c": null})
        );
    }

    #[test]
    fn errors_name_the_place() {
        for (text, line, part) in [
            ("{\n \"a\": 1,\n \"b\": }", 3, "not JSON"),
            ("a: 1\nb: [1\nc: 2", 3, "not YAML"),
            ("a: 1\na: 2", 2, "not YAML"),
            ("", 1, "nothing"),
            ("# only a comment", 1, "nothing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.line == line && error.message.contains(part), "{text:?}: {error}");
        }
        assert!(parse(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).is_err());
    }

    #[test]
    fn a_text_that_unfolds_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", "));
        }
        assert!(parse(&bomb).is_err());
    }
}
