//! From a request's body to a flag document.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    admin::{
        form::{Form, Kind},
        refusal::{Issue, Refusal},
    },
    model::{Fault, FlagDocument},
    snapshot::Snapshot,
};

/// Whether a field may be null on create.
#[derive(Clone, Copy)]
enum Null {
    Refused,
    Absent,
}

/// The existing service's fields, in its order, but for the key, the name and the times.
const FIELDS: [(&str, Kind, Null); 14] = [
    ("description", Kind::Text, Null::Absent),
    ("flag_type", Kind::FlagType, Null::Refused),
    ("default_value", Kind::Any, Null::Refused),
    ("enabled", Kind::Boolean, Null::Refused),
    ("targeting_enabled", Kind::Boolean, Null::Refused),
    ("targeting_rules", Kind::Objects, Null::Refused),
    ("rollout_enabled", Kind::Boolean, Null::Refused),
    ("rollout_percentage", Kind::Percentage, Null::Refused),
    ("rollout_stages", Kind::Objects, Null::Refused),
    ("prerequisites", Kind::Any, Null::Refused),
    ("variants", Kind::Object, Null::Refused),
    ("tags", Kind::Texts, Null::Refused),
    ("created_by", Kind::Text, Null::Absent),
    ("value_schema", Kind::Object, Null::Absent),
];

/// The document that a body creates.
pub(super) fn created(body: Map<String, Value>, snapshot: &Snapshot, now: Timestamp) -> Result<FlagDocument, Refusal> {
    let document = formed(body, now)?;
    Refusal::of_faults(snapshot.check(&document))?;
    Ok(document)
}

/// The document that a body describes, not yet checked against others.
pub(in crate::admin) fn formed(body: Map<String, Value>, now: Timestamp) -> Result<FlagDocument, Refusal> {
    let mut form = Form::new(body);
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    for name in ["key", "name"] {
        set(name, form.required(name, Kind::Text));
    }
    for (name, kind, null) in FIELDS {
        set(
            name,
            match null {
                Null::Refused => form.optional(name, kind),
                Null::Absent => form.nullable(name, kind),
            },
        );
    }
    set("created_at", Some(form.optional("created_at", Kind::Time).unwrap_or_else(|| time(now))));
    form.optional("updated_at", Kind::Time);
    set("updated_at", Some(time(now)));
    let (extensions, mut issues) = form.finish();
    fields.extend(extensions.into_iter().filter(|(_, value)| !value.is_null()));
    issues.extend(of_other_type(&fields));
    Refusal::of_issues(issues)?;
    FlagDocument::from_map(fields).map_err(|fault| refuse(vec![fault]))
}

/// `stored` with the changes of a body: null resets a field to its default. Faults that the document has already do not
/// stand in the way of a change elsewhere. `None`: nothing changes.
pub(super) fn patched(
    stored: &FlagDocument,
    body: Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<FlagDocument>, Refusal> {
    let mut fields = stored.fields().clone();
    let mut form = Form::new(body);
    for (name, kind) in [("key", Kind::Text), ("created_at", Kind::Time)] {
        let given = form.nullable(name, kind);
        let known = Form::new(stored.fields().clone()).nullable(name, kind);
        let instant = |value: &Option<Value>| value.as_ref().and_then(Value::as_str)?.parse::<Timestamp>().ok();
        let is_same = given == known || (kind == Kind::Time && instant(&given) == instant(&known));
        if given.is_some() && !is_same {
            form.refuse(Issue::of_body("a flag's key and time of creation never change", "value_error").at(name));
        }
    }
    form.nullable("updated_at", Kind::Time);
    let coerced = [("name", Kind::Text)].into_iter().chain(FIELDS.map(|(name, kind, _)| (name, kind)));
    for (name, kind) in coerced {
        if kind != Kind::Any && form.is_null(name) {
            fields.shift_remove(name);
        }
        fields.extend(form.nullable(name, kind).map(|value| (name.to_owned(), value)));
    }
    let (extensions, mut issues) = form.finish();
    for (name, value) in extensions {
        if value.is_null() {
            fields.shift_remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    issues.extend(of_other_type(&fields).filter(|_| of_other_type(stored.fields()).is_none()));
    Refusal::of_issues(issues)?;
    if fields == *stored.fields() {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, Some(stored), snapshot).map(Some)
}

/// The document that a body puts in the place of another, or of none: what it does not name is unset. The key and who
/// created the flag when stay as they are. `None`: nothing changes.
pub(super) fn replaced(
    key: &str,
    stored: Option<&FlagDocument>,
    mut body: Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<FlagDocument>, Refusal> {
    if let Some(stored) = stored {
        // Readers are shown defaults that are not set. Sent back they stay unset, or a child would inherit no more.
        let shown = stored.complete();
        body.retain(|name, value| stored.fields().contains_key(name) || shown.get(name) != Some(value));
    }
    let mut form = Form::new(body);
    if form.nullable("key", Kind::Text).is_some_and(|given| given != key) {
        form.refuse(Issue::of_body("the key is not that of the path", "value_error").at("key"));
    }
    let mut fields = Map::from_iter([("key".to_owned(), key.into())]);
    let coerced = [("name", Kind::Text)].into_iter().chain(FIELDS.map(|(name, kind, _)| (name, kind)));
    for (name, kind) in coerced {
        fields.extend(form.nullable(name, kind).map(|value| (name.to_owned(), value)));
    }
    let created_at = form.nullable("created_at", Kind::Time).unwrap_or_else(|| time(now));
    form.nullable("updated_at", Kind::Time);
    let known = |name: &str| stored.and_then(|stored| stored.fields().get(name)).cloned();
    fields.insert("created_at".to_owned(), known("created_at").unwrap_or(created_at));
    fields.extend(known("created_by").map(|by| ("created_by".to_owned(), by)));
    fields.extend(known("updated_at").map(|at| ("updated_at".to_owned(), at)));
    let (extensions, mut issues) = form.finish();
    fields.extend(extensions.into_iter().filter(|(_, value)| !value.is_null()));
    let was_so = stored.is_some_and(|stored| of_other_type(stored.fields()).is_some());
    issues.extend(of_other_type(&fields).filter(|_| !was_so));
    Refusal::of_issues(issues)?;
    if stored.is_some_and(|stored| *stored.fields() == fields) {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, stored, snapshot).map(Some)
}

/// An earlier version of a flag as the next one; `current` is what is there, if it can be read. `None`: nothing changes.
pub(super) fn restored(
    earlier: &FlagDocument,
    current: Option<&FlagDocument>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<FlagDocument>, Refusal> {
    let mut fields = earlier.fields().clone();
    fields.shift_remove("updated_at");
    fields.extend(current.and_then(|current| current.fields().get_key_value("updated_at")).map(owned));
    if current.is_some_and(|current| *current.fields() == fields) {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, current, snapshot).map(Some)
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The document of these fields, unless something is wrong with it that was not wrong before.
fn checked(
    fields: Map<String, Value>,
    before: Option<&FlagDocument>,
    snapshot: &Snapshot,
) -> Result<FlagDocument, Refusal> {
    let document = FlagDocument::from_map(fields).map_err(|fault| refuse(vec![fault]))?;
    let mut faults = snapshot.check(&document);
    if let Some(before) = before.filter(|_| !faults.is_empty()) {
        let known = snapshot.check(before);
        faults.retain(|fault| !known.contains(fault));
    }
    Refusal::of_faults(faults)?;
    Ok(document)
}

fn refuse(faults: Vec<Fault>) -> Refusal {
    match Refusal::of_faults(faults) {
        Err(refusal) => refusal,
        Ok(()) => Refusal::Invalid(Vec::new()),
    }
}

/// The existing service's words for a default value that is not of the flag's type.
fn of_other_type(fields: &Map<String, Value>) -> Option<Issue> {
    let value = fields.get("default_value")?;
    let flag_type = fields.get("flag_type").and_then(Value::as_str).unwrap_or("boolean");
    let fits = match flag_type {
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        _ => true,
    };
    let issue = || Issue::of_body(format!("Default value must be {flag_type}"), "value_error").at("default_value");
    (!fits).then(issue)
}

/// To the microsecond.
fn time(time: Timestamp) -> Value {
    format!("{time:.6}").into()
}
