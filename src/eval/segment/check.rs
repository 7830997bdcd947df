//! What is refused when a segment is written, beyond what keeps it from working: what was surely not meant.

use serde_json::{Map, Value};

use crate::{
    eval::{fields::Reader, operator::parse_time},
    model::{Effect, Fault},
};

/// Everything in these fields that would be loaded and was surely not meant.
#[must_use]
pub fn check(fields: &Map<String, Value>) -> Vec<Fault> {
    let mut read = Reader::new(fields);
    descriptive(&mut read);
    score(&mut read);
    of_a_model(&mut read);
    contradiction(&mut read);
    read.faults
}

fn descriptive(read: &mut Reader<'_>) {
    let all_text = |value: &Value| value.as_array()?.iter().all(Value::is_string).then_some(());
    let time = |value: &Value| parse_time(value.as_str()?);
    match read.get("name").map(Value::as_str) {
        None => read.fault(Effect::Tolerated, "/name", "the name is missing"),
        Some(Some(name)) if name.trim().is_empty() => read.fault(Effect::Tolerated, "/name", "the name is empty"),
        Some(_) => {}
    }
    for name in ["created_by", "updated_by"] {
        read.text(name, Effect::Tolerated);
    }
    for name in ["created_at", "updated_at", "last_computed"] {
        read.typed(name, Effect::Tolerated, "a time like \"2026-01-31T12:00:00Z\"", time);
    }
    for name in ["tags", "feature_columns"] {
        read.typed(name, Effect::Tolerated, "an array of strings", all_text);
    }
    for name in ["estimated_size", "cache_ttl_seconds"] {
        read.typed(name, Effect::Tolerated, "a whole number from 0", Value::as_u64);
    }
}

/// A score that no user can reach, or that needs no rule.
fn score(read: &mut Reader<'_>) {
    let Some(least) = read.get("min_score").and_then(Value::as_f64) else { return };
    let rules = read.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return read.fault(Effect::Tolerated, "/min_score", "there are no rules whose weights could be summed");
    }
    let weight = |rule: &Value| rule.get("weight").filter(|weight| !weight.is_null()).map_or(Some(1.0), Value::as_f64);
    let most: f64 = rules.iter().filter_map(weight).filter(|weight| *weight > 0.0).sum();
    if most < least {
        let message = format!("nobody is ever a member: all rules together weigh {most}, and {least} is needed");
        read.fault(Effect::Tolerated, "/min_score", message);
    }
}

fn of_a_model(read: &mut Reader<'_>) {
    if read.get("type").and_then(Value::as_str) == Some("ml_based") {
        if read.get("ml_model_id").is_none() {
            read.fault(Effect::Tolerated, "/ml_model_id", "the model is missing, so nobody would be a member");
        }
        if read.get("threshold").is_some() && read.get("clusters").is_some() {
            let message = "a model says a probability or a cluster, so there is a threshold or clusters, not both";
            read.fault(Effect::Tolerated, "/clusters", message);
        }
        return;
    }
    for name in ["ml_model_id", "threshold", "clusters"].into_iter().filter(|name| read.fields.contains_key(*name)) {
        if read.get(name).is_some() {
            let message = "only an ml_based segment asks a model; set \"type\": \"ml_based\"";
            read.fault(Effect::Tolerated, format!("/{name}"), message);
        }
    }
}

/// A segment that has to hold and must not.
fn contradiction(read: &mut Reader<'_>) {
    let named = |name: &str| read.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let parents: Vec<&str> = named("parent_segments").collect();
    let both = named("exclusion_segments").enumerate().filter(|(_, id)| parents.contains(id));
    let faults: Vec<(String, String)> = both
        .map(|(at, id)| {
            let message = format!("nobody is ever a member: {id:?} is a parent as well");
            (format!("/exclusion_segments/{at}"), message)
        })
        .collect();
    for (pointer, message) in faults {
        read.fault(Effect::Tolerated, pointer, message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_surely_not_meant() {
        let rules = json!([{ "weight": 2 }, {}, { "weight": -5 }]);
        for (fields, pointers) in [
            (json!({ "name": "S", "min_score": 3, "rules": rules }), vec![]),
            (json!({ "name": "S", "min_score": 3.1, "rules": rules }), vec!["/min_score"]),
            (json!({ "name": "S", "min_score": 0 }), vec!["/min_score"]),
            (json!({ "name": " " }), vec!["/name"]),
            (json!({}), vec!["/name"]),
            (json!({ "name": "S", "type": "ml_based", "threshold": 0.5 }), vec!["/ml_model_id"]),
            (
                json!({ "name": "S", "type": "ml_based", "ml_model_id": "m", "threshold": 1, "clusters": [1] }),
                vec!["/clusters"],
            ),
            (json!({ "name": "S", "threshold": 0.5, "ml_model_id": null }), vec!["/threshold"]),
            (json!({ "name": "S", "clusters": [1], "ml_model_id": "m" }), vec!["/ml_model_id", "/clusters"]),
            (
                json!({ "name": "S", "parent_segments": ["a", "b"], "exclusion_segments": ["c", "b"] }),
                vec!["/exclusion_segments/1"],
            ),
            (
                json!({ "name": "S", "cache_ttl_seconds": -1, "estimated_size": 1.5, "tags": [1] }),
                vec!["/tags", "/estimated_size", "/cache_ttl_seconds"],
            ),
            (
                json!({ "name": "S", "created_at": "2026-11-24 05:26:11.861692", "last_computed": "now" }),
                vec!["/last_computed"],
            ),
        ] {
            let faults = check(fields.as_object().unwrap());
            assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), pointers, "{fields}");
        }
    }
}
