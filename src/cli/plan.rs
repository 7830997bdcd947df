//! The plan of an import, for people.

use std::collections::BTreeSet;

use serde_json::Value;

/// How much of a value is shown.
const SHOWN: usize = 60;

/// One line for each document that changes and for each of its fields, then how many there are of each kind.
pub(super) fn table(plan: &Value, done: bool) -> String {
    let (mut rows, mut headings) = (Vec::new(), BTreeSet::new());
    for (heading, document) in documents(plan) {
        let action = match document["action"].as_str() {
            Some("created") => "create",
            Some("updated") => "update",
            Some("deleted") => "delete",
            _ => continue,
        };
        if headings.insert(heading) {
            rows.push(["ACTION", heading, "CHANGES"].map(str::to_owned));
        }
        let key = document["key"].as_str().unwrap_or_default();
        let mut changes = document["changes"].as_array().into_iter().flatten().map(change);
        rows.push([action.to_owned(), key.to_owned(), changes.next().unwrap_or_default()]);
        rows.extend(changes.map(|change| [String::new(), String::new(), change]));
    }
    let mut lines = Vec::new();
    if !rows.is_empty() {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let (first, second) = (width(0), width(1));
        let line = |[action, key, change]: &[String; 3]| format!("{action:first$}  {key:second$}  {change}");
        lines.extend(rows.iter().map(|row| line(row).trim_end().to_owned()));
        lines.push(String::new());
    }
    lines.extend(report(plan));
    lines.push(summary(plan, done));
    lines.join("\n")
}

/// What happens to each document, under which heading: models first, which segments ask, then segments, which flags
/// name.
fn documents(plan: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let kinds = [("MODEL", "models"), ("SEGMENT", "segments"), ("FLAG", "flags"), ("DEPLOYMENT", "deployments")];
    kinds.into_iter().flat_map(|(heading, name)| {
        plan[name].as_array().into_iter().flatten().map(move |document| (heading, document))
    })
}

/// Whether a plan changes anything.
pub(super) fn changes(plan: &Value) -> bool {
    ["created", "updated", "deleted"].iter().any(|action| plan["counts"][*action] != 0)
}

/// What could not be carried over.
fn report(plan: &Value) -> Vec<String> {
    let notes = plan["report"].as_array().into_iter().flatten();
    let text = |note: &Value, name: &str| note[name].as_str().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = notes
        .map(|note| {
            let flag = note["flag"].as_str().map_or(String::new(), |flag| format!("{flag}: "));
            let (pointer, what) = (text(note, "pointer"), text(note, "what"));
            format!("note  {flag}{what} ({pointer}): {}; {}", text(note, "why"), text(note, "effect"))
        })
        .collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

fn summary(plan: &Value, done: bool) -> String {
    let count = |action: &str| plan["counts"][action].as_u64().unwrap_or_default();
    let (created, updated, deleted) = (count("created"), count("updated"), count("deleted"));
    let unchanged = count("unchanged");
    if !changes(plan) {
        return format!("nothing changes: {unchanged} unchanged");
    }
    if done {
        return format!("done: {created} created, {updated} updated, {deleted} deleted, {unchanged} unchanged");
    }
    format!("plan: {created} to create, {updated} to update, {deleted} to delete, {unchanged} unchanged")
}

fn change(change: &Value) -> String {
    let field = change["field"].as_str().unwrap_or_default();
    format!("{field}: {} → {}", shown(&change["before"]), shown(&change["after"]))
}

fn shown(value: &Value) -> String {
    if value.is_null() {
        return "-".to_owned();
    }
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN - 1).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_in_columns() {
        let plan = json!({
            "counts": {"created": 1, "updated": 1, "unchanged": 2, "deleted": 1},
            "flags": [
                {"key": "a", "action": "created"},
                {"key": "longer", "action": "updated", "changes": [
                    {"field": "enabled", "before": true, "after": false}, {"field": "owner", "before": null, "after": "us"}]},
                {"key": "same", "action": "unchanged"},
                {"key": "old", "action": "deleted"},
            ],
            "report": [{"flag": "a", "pointer": "/features/0", "what": "x", "why": "y", "effect": "z"}],
        });
        let lines = [
            "ACTION  FLAG    CHANGES",
            "create  a",
            "update  longer  enabled: true → false",
            "                owner: - → \"us\"",
            "delete  old",
            "",
            "note  a: x (/features/0): y; z",
            "",
            "plan: 1 to create, 1 to update, 1 to delete, 2 unchanged",
        ];
        assert_eq!(table(&plan, false), lines.join("\n"));
        let plan = json!({
            "counts": {"created": 2, "updated": 0, "unchanged": 0, "deleted": 0},
            "segments": [{"key": "s", "action": "created"}], "flags": [{"key": "a", "action": "created"}],
        });
        let lines = ["ACTION  SEGMENT  CHANGES", "create  s", "ACTION  FLAG     CHANGES", "create  a", ""];
        assert!(table(&plan, false).starts_with(&lines.join("\n")), "{}", table(&plan, false));
        let none = json!({"counts": {"created": 0, "updated": 0, "unchanged": 3, "deleted": 0}, "flags": []});
        assert_eq!(table(&none, true), "nothing changes: 3 unchanged");
    }
}
