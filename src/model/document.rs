//! What all documents have in common: a JSON object of bounded size and depth that names itself.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Effect, Fault};

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// How deep a document may nest.
pub const MAX_NESTING: usize = 32;

/// The longest key that may be written, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// Begins the text that stands for a document that is stored and cannot be read as text. No JSON begins so.
const UNREADABLE: &str = "\0unreadable: ";

/// The text of a document that is stored and cannot be read: whoever parses it is told `why`.
#[must_use]
pub fn unreadable(why: &str) -> Arc<str> {
    format!("{UNREADABLE}{why}").into()
}

/// Whether a key may be written: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
#[must_use]
pub fn is_writable_key(key: &str) -> bool {
    key.len() <= MAX_KEY_BYTES
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// What every kind of document can do, for those who work with all of them alike.
pub trait Kept: Sized {
    /// Takes an object as a document.
    ///
    /// # Errors
    /// It is nested too deeply or does not say what it is called.
    fn from_map(map: Map<String, Value>) -> Result<Self, Fault>;

    /// Reads a document from its JSON text.
    ///
    /// # Errors
    /// The text is over 1 MiB, not JSON, nested too deeply, not an object, or does not say what it is called.
    fn parse(text: &str) -> Result<Self, Fault>;

    /// The fields that were set.
    fn fields(&self) -> &Map<String, Value>;

    /// The JSON text to store.
    fn to_text(&self) -> String;
}

/// Declares a kind of document: an object that is kept as it came, called by its field `$name`.
macro_rules! document {
    ($(#[$about:meta])* $document:ident, a $word:literal, called by $name:ident, or $of_name:ident alone) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $document(serde_json::Map<String, serde_json::Value>);

        impl $document {
            /// Reads a document from its JSON text.
            ///
            /// # Errors
            /// The text is over 1 MiB, not JSON, nested too deeply, not an object, or does not say what it is called.
            pub fn parse(text: &str) -> Result<Self, $crate::model::Fault> {
                Self::from_map($crate::model::document::read(text, $word)?)
            }

            /// Takes an object as a document.
            ///
            /// # Errors
            /// It is nested too deeply or does not say what it is called.
            pub fn from_map(map: serde_json::Map<String, serde_json::Value>) -> Result<Self, $crate::model::Fault> {
                $crate::model::document::named_by(map, stringify!($name)).map(Self)
            }

            /// A document that says what it is called, and nothing else.
            #[must_use]
            pub fn $of_name(name: &str) -> Self {
                Self(serde_json::Map::from_iter([(stringify!($name).to_owned(), name.into())]))
            }

            /// What it is called.
            #[must_use]
            pub fn $name(&self) -> &str {
                self.0.get(stringify!($name)).and_then(serde_json::Value::as_str).unwrap_or_default()
            }

            /// The fields that were set.
            #[must_use]
            pub fn fields(&self) -> &serde_json::Map<String, serde_json::Value> {
                &self.0
            }

            /// The JSON text to store.
            #[must_use]
            pub fn to_text(&self) -> String {
                serde_json::Value::Object(self.0.clone()).to_string()
            }
        }

        impl $crate::model::Kept for $document {
            fn from_map(map: serde_json::Map<String, serde_json::Value>) -> Result<Self, $crate::model::Fault> {
                Self::from_map(map)
            }

            fn parse(text: &str) -> Result<Self, $crate::model::Fault> {
                Self::parse(text)
            }

            fn fields(&self) -> &serde_json::Map<String, serde_json::Value> {
                self.fields()
            }

            fn to_text(&self) -> String {
                self.to_text()
            }
        }
    };
}

pub(super) use document;

/// Reads the object of a document. `what` it is called in messages.
pub(super) fn read(text: &str, what: &str) -> Result<Map<String, Value>, Fault> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the document is {} bytes long; at most {MAX_DOCUMENT_BYTES} are read", text.len());
        return Err(broken(message));
    }
    if let Some(why) = text.strip_prefix(UNREADABLE) {
        return Err(broken(why.to_owned()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(broken(format!("a {what} is a JSON object"))),
        Err(error) => Err(broken(format!("not JSON: {error}"))),
    }
}

/// Takes an object whose field `name` says what the document is called.
pub(super) fn named_by(map: Map<String, Value>, name: &str) -> Result<Map<String, Value>, Fault> {
    if !map.values().all(|value| nests_at_most(value, MAX_NESTING - 1)) {
        return Err(broken(format!("nested deeper than {MAX_NESTING} levels")));
    }
    let fault = |why: &str| Err(Fault { pointer: format!("/{name}"), ..broken(format!("the {name} {why}")) });
    match map.get(name) {
        Some(Value::String(_)) => Ok(map),
        Some(_) => fault("is not a string"),
        None => fault("is missing"),
    }
}

fn broken(message: String) -> Fault {
    Fault { pointer: String::new(), message, effect: Effect::Quarantined }
}

fn nests_at_most(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| nests_at_most(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| nests_at_most(field, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for good in ["a", "A.b_c-d", "0", &"a".repeat(128)] {
            assert!(is_writable_key(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a b", "é", &"a".repeat(129)] {
            assert!(!is_writable_key(bad), "{bad}");
        }
    }
}
