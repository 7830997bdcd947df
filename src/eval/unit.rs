//! Whose id is hashed.

use serde_json::Value;

use super::json::{NumberText, Text};
use crate::model::Context;

/// In a list, stands for a draw that is new for each request.
const RANDOM: &str = "random";

/// What a bucket is drawn for: the user, or what an attribute says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The user's id.
    #[default]
    User,
    /// An attribute.
    Attribute(Box<str>),
    /// The first of these that is there and not empty; `random` is always there.
    First(Box<[Box<str>]>),
}

impl Unit {
    /// An attribute's name, or several; `None` for anything else.
    pub(crate) fn compile(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) if name == "user_id" => Some(Self::User),
            Value::String(name) => Some(Self::Attribute(name.as_str().into())),
            Value::Array(names) if !names.is_empty() => {
                names.iter().map(|name| Some(name.as_str()?.into())).collect::<Option<_>>().map(Self::First)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether the user's id can be what is hashed.
    pub(crate) fn is_user(&self) -> bool {
        match self {
            Self::User => true,
            Self::Attribute(_) => false,
            Self::First(names) => names.iter().any(|name| **name == *"user_id"),
        }
    }

    /// As it stands in a document.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::User => "user_id".into(),
            Self::Attribute(name) => name.to_string().into(),
            Self::First(names) => names.iter().map(|name| Value::from(&**name)).collect(),
        }
    }

    /// Does something with the id. `None`: there is none.
    pub(crate) fn with<R>(&self, context: &Context<'_>, use_unit: impl FnOnce(&str) -> R) -> Option<R> {
        match self {
            Self::User => Some(use_unit(context.user_id)),
            Self::Attribute(name) => Text::of(context.attribute(name)?).map(|text| use_unit(text.as_str())),
            Self::First(names) => {
                for name in names {
                    let text = context.attribute(name).and_then(Text::of);
                    if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
                        return Some(use_unit(text.as_str()));
                    }
                    if **name == *RANDOM {
                        // The time of the request is as good as a die, and pure.
                        return NumberText::of(context.now.as_nanosecond()).map(|text| use_unit(text.as_str()));
                    }
                }
                None
            }
        }
    }
}
