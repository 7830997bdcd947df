//! Parts of flag documents.

use serde_json::{Map, Value, json};

use crate::{
    eval,
    model::{MAX_KEY_BYTES, is_writable_key},
};

/// How deep groups of conditions may nest in a rule.
const DEEPEST: usize = 8;

/// A condition that does not hold where it cannot be known.
pub(super) fn test(attribute: &str, operator: &str, value: impl Into<Value>) -> Value {
    json!({ "attribute": attribute, "operator": operator, "value": value.into(), "otherwise": false })
}

/// Holds always.
pub(super) fn always() -> Value {
    json!({ "all": [] })
}

/// Holds never.
pub(super) fn never() -> Value {
    json!({ "any": [] })
}

/// The members of a group, if the condition is one of that name.
fn members<'c>(condition: &'c Value, name: &str) -> Option<&'c Vec<Value>> {
    condition.as_object().filter(|fields| fields.len() == 1)?.get(name)?.as_array()
}

/// Holds when all of them do; groups within are taken apart, so that the whole stays flat.
pub(super) fn all(conditions: Vec<Value>) -> Value {
    group("all", "any", conditions)
}

/// Holds when one of them does.
pub(super) fn any(conditions: Vec<Value>) -> Value {
    group("any", "all", conditions)
}

fn group(name: &str, other: &str, conditions: Vec<Value>) -> Value {
    let mut flat = Vec::with_capacity(conditions.len());
    for condition in conditions {
        match members(&condition, name) {
            Some(members) => flat.extend(members.iter().cloned()),
            // "Always" decides an alternative, "never" decides a conjunction.
            None if members(&condition, other).is_some_and(Vec::is_empty) => return condition,
            None => flat.push(condition),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { json!({ name: flat }) }
}

/// Holds when the condition does not. Every condition made here is known either way, so nothing gets lost.
pub(super) fn not(condition: Value) -> Value {
    if let Some(members) = members(&condition, "none") {
        return any(members.clone());
    }
    if let Some(members) = members(&condition, "any") {
        return if members.is_empty() { always() } else { json!({ "none": members }) };
    }
    if members(&condition, "all").is_some_and(Vec::is_empty) {
        return never();
    }
    let Some(fields) = condition.as_object().filter(|fields| fields.contains_key("attribute")) else {
        return json!({ "none": [condition] });
    };
    let mut fields = fields.clone();
    for name in ["negate", "otherwise"] {
        let before = fields.get(name).and_then(Value::as_bool).unwrap_or(false);
        fields.insert(name.to_owned(), (!before).into());
    }
    fields.into()
}

/// The conditions of a rule, as its fields.
pub(super) fn rule(condition: Value) -> Map<String, Value> {
    let group = match condition.as_object() {
        Some(fields) if fields.len() == 1 && !fields.contains_key("bucket") => condition,
        _ => json!({ "all": [condition] }),
    };
    Map::from_iter([("conditions".to_owned(), group)])
}

/// Why a condition cannot be part of a rule.
pub(super) fn fault(condition: &Value) -> Option<String> {
    if depth(condition) > DEEPEST {
        return Some(format!("its conditions nest deeper than {DEEPEST} levels here"));
    }
    eval::condition_fault(&rule(condition.clone()))
}

fn depth(condition: &Value) -> usize {
    let groups = condition.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_array);
    let members = groups.flatten().filter(|member| member.is_object());
    members.map(depth).max().map_or(0, |deepest| deepest + 1)
}

/// The values that a text may stand for: an attribute may be a number or a boolean where the other system compares texts.
pub(super) fn texts<'t>(values: impl Iterator<Item = &'t str>) -> Value {
    let mut all = Vec::new();
    for text in values {
        all.push(Value::from(text));
        // Only what is written as the other system would write it.
        let other = serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean());
        let written = other.as_ref().map(Value::to_string);
        all.extend(other.filter(|_| written.as_deref() == Some(text)));
    }
    all.into()
}

/// The key of the flag that a name of another system leads to: the name itself where it may be a key, else one like it
/// that no other name leads to.
pub(super) fn key(name: &str) -> String {
    if is_writable_key(name) {
        return name.to_owned();
    }
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let ending = format!("-{:08x}", hash >> 32);
    let fit = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    let like: String = name.chars().map(fit).collect();
    let like = like.trim_start_matches(['.', '_', '-']);
    let start: String = if like.is_empty() { "flag".to_owned() } else { like.to_owned() };
    format!("{}{ending}", start.get(..MAX_KEY_BYTES - ending.len()).unwrap_or(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_flat() {
        let (a, b) = (test("a", "equals", 1), test("b", "equals", 2));
        assert_eq!(all(vec![a.clone()]), a);
        assert_eq!(all(vec![a.clone(), all(vec![b.clone(), always()])]), json!({"all": [a, b]}));
        assert_eq!(all(vec![a.clone(), never()]), never());
        assert_eq!(any(vec![never(), a.clone()]), a);
        assert_eq!(any(vec![a.clone(), always()]), always());
        assert_eq!((not(never()), not(always())), (always(), never()));
        assert_eq!(
            not(not(a.clone())),
            json!({"attribute": "a", "operator": "equals", "value": 1, "otherwise": false, "negate": false})
        );
        assert_eq!(not(any(vec![a.clone(), b.clone()])), json!({"none": [a, b]}));
    }

    #[test]
    fn keys_are_like_names() {
        assert_eq!(key("a.b_c-d"), "a.b_c-d");
        for name in ["Hellø", "a/b", "", "-", "é", &"x".repeat(300), &"é".repeat(300)] {
            let key = key(name);
            assert!(is_writable_key(&key), "{name}: {key}");
        }
        assert!(key("Hellø").starts_with("Hell-") && key("a/b") != key("a:b"));
    }
}
