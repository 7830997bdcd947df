//! The effective fields of a flag: its ancestors', its own, and those of the gateway's environment.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::model::{Effect, Fault, FlagDocument};

/// How many ancestors a flag may have.
pub(super) const MAX_ANCESTORS: usize = 16;

/// Fields that are a flag's own: never inherited. An ancestor that is off turns its subtree off by itself.
const OWN: [&str; 10] = [
    "key",
    "name",
    "description",
    "enabled",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "parent",
    "environments",
];

/// Fields that an environment cannot override.
const FIXED: [&str; 7] = ["key", "created_at", "created_by", "updated_at", "updated_by", "parent", "environments"];

/// The fields that evaluation sees.
///
/// # Errors
/// `environments` is not an object of partial flags.
pub(super) fn effective<'d>(
    document: &'d FlagDocument,
    environment: Option<&str>,
    find: impl Fn(&str) -> Option<&'d FlagDocument>,
) -> Result<Cow<'d, Map<String, Value>>, Fault> {
    let own = document.fields();
    if !own.contains_key("parent") && (environment.is_none() || !own.contains_key("environments")) {
        return Ok(Cow::Borrowed(own));
    }
    let mut fields = Map::new();
    for ancestor in ancestors(document, find).into_iter().rev() {
        let inherited = ancestor.fields().iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        fields.extend(inherited.map(cloned));
        let partial = overrides(ancestor, environment)?.into_iter().flatten();
        fields.extend(partial.filter(|(name, _)| !OWN.contains(&name.as_str())).map(cloned));
    }
    fields.extend(own.iter().map(cloned));
    fields.extend(overrides(document, environment)?.into_iter().flatten().map(cloned));
    Ok(Cow::Owned(fields))
}

/// The ancestors, nearest first; at most [`MAX_ANCESTORS`].
fn ancestors<'d>(document: &'d FlagDocument, find: impl Fn(&str) -> Option<&'d FlagDocument>) -> Vec<&'d FlagDocument> {
    let parent = |document: &'d FlagDocument| find(document.fields().get("parent")?.as_str()?);
    std::iter::successors(parent(document), |ancestor| parent(ancestor)).take(MAX_ANCESTORS).collect()
}

/// What one environment overrides.
fn overrides<'d>(
    document: &'d FlagDocument,
    environment: Option<&str>,
) -> Result<Option<&'d Map<String, Value>>, Fault> {
    let fault =
        |pointer: String, message: &str| Fault { pointer, message: message.to_owned(), effect: Effect::Quarantined };
    let Some(environment) = environment else { return Ok(None) };
    let Some(environments) = document.fields().get("environments").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let shape = || fault("/environments".to_owned(), "expected an object of environment: {fields of a flag}");
    let Some(partial) = environments.as_object().ok_or_else(shape)?.get(environment) else { return Ok(None) };
    let at = format!("/environments/{}", environment.replace('~', "~0").replace('/', "~1"));
    let partial = partial.as_object().ok_or_else(|| fault(at.clone(), "expected an object of fields of a flag"))?;
    match FIXED.iter().find(|name| partial.contains_key(**name)) {
        Some(fixed) => Err(fault(format!("{at}/{fixed}"), "an environment cannot override this field")),
        None => Ok(Some(partial)),
    }
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> FlagDocument {
        FlagDocument::parse(&value.to_string()).unwrap()
    }

    #[test]
    fn a_child_inherits_what_it_does_not_set_and_environments_override() {
        let top = document(json!({"key": "top", "name": "Top", "enabled": true, "tags": ["t"], "salt": "s",
            "environments": {"live": {"salt": "live-s", "name": "x"}}}));
        let child = document(json!({"key": "child", "parent": "top", "rollout_percentage": 5,
            "environments": {"live": {"rollout_percentage": 50}}}));
        let find = |key: &str| (key == "top").then_some(&top);
        let fields = |environment| Value::Object(effective(&child, environment, find).unwrap().into_owned());
        let plain = fields(None);
        assert_eq!(
            (&plain["tags"], &plain["salt"], &plain["rollout_percentage"]),
            (&json!(["t"]), &json!("s"), &json!(5))
        );
        assert_eq!((plain.get("name"), plain.get("enabled")), (None, None));
        let live = fields(Some("live"));
        assert_eq!(
            (&live["salt"], &live["rollout_percentage"], live.get("name")),
            (&json!("live-s"), &json!(50), None)
        );
        assert_eq!(fields(Some("other")), plain);
    }

    #[test]
    fn a_cycle_of_parents_ends() {
        let loops = document(json!({"key": "a", "parent": "a", "salt": "s"}));
        assert_eq!(effective(&loops, None, |_| Some(&loops)).unwrap()["salt"], "s");
    }

    #[test]
    fn broken_environments_say_where() {
        for (environments, pointer) in [
            (json!(1), "/environments"),
            (json!({"a/b": []}), "/environments/a~1b"),
            (json!({"a/b": {"key": "x"}}), "/environments/a~1b/key"),
        ] {
            let flag = document(json!({"key": "a", "environments": environments}));
            assert_eq!(effective(&flag, Some("a/b"), |_| None).unwrap_err().pointer, pointer);
        }
    }
}
