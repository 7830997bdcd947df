//! From a request's body to a document.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, Null};
use crate::{
    admin::{
        form::{Form, Kind},
        refusal::{Issue, Refusal},
    },
    model::Fault,
    snapshot::Snapshot,
};

/// The document that a body creates.
pub(super) fn created<D: Document>(
    body: Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<D, Refusal> {
    let document: D = formed(body, now)?;
    Refusal::of_faults(document.faults(snapshot))?;
    Ok(document)
}

/// The document that a body describes, not yet checked against others.
pub(in crate::admin) fn formed<D: Document>(body: Map<String, Value>, now: Timestamp) -> Result<D, Refusal> {
    let mut form = Form::new(body);
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    set(D::NAMED_BY, form.required(D::NAMED_BY, Kind::Text));
    set("name", if D::NEEDS_NAME { form.required("name", Kind::Text) } else { form.nullable("name", Kind::Text) });
    for (name, kind, null) in D::FIELDS.iter().copied() {
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
    issues.extend(D::issue(&fields));
    Refusal::of_issues(issues)?;
    D::from_map(fields).map_err(|fault| refuse(vec![fault]))
}

/// `stored` with the changes of a body: null resets a field to its default. Faults that the document has already do not
/// stand in the way of a change elsewhere. `None`: nothing changes.
pub(in crate::admin) fn patched<D: Document>(
    stored: &D,
    body: Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<D>, Refusal> {
    let mut fields = stored.fields().clone();
    let mut form = Form::new(body);
    for (name, kind) in [(D::NAMED_BY, Kind::Text), ("created_at", Kind::Time)] {
        let given = form.nullable(name, kind);
        let known = Form::new(stored.fields().clone()).nullable(name, kind);
        let instant = |value: &Option<Value>| value.as_ref().and_then(Value::as_str)?.parse::<Timestamp>().ok();
        let is_same = given == known || (kind == Kind::Time && instant(&given) == instant(&known));
        if given.is_some() && !is_same {
            let message = format!("a {}'s {} and time of creation never change", D::WORD, D::NAMED_BY);
            form.refuse(Issue::of_body(message, "value_error").at(name));
        }
    }
    form.nullable("updated_at", Kind::Time);
    for (name, kind) in coerced::<D>() {
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
    issues.extend(D::issue(&fields).filter(|_| D::issue(stored.fields()).is_none()));
    Refusal::of_issues(issues)?;
    if fields == *stored.fields() {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, Some(stored), snapshot).map(Some)
}

/// The document that a body puts in the place of another, or of none: what it does not name is unset. What names it,
/// who created it when, and what the service works out stay as they are. `None`: nothing changes.
pub(in crate::admin) fn replaced<D: Document>(
    key: &str,
    stored: Option<&D>,
    mut body: Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<D>, Refusal> {
    if let Some(stored) = stored {
        // Readers are shown defaults that are not set. Sent back they stay unset, or a child would inherit no more.
        let shown = stored.complete();
        body.retain(|name, value| stored.fields().contains_key(name) || shown.get(name) != Some(value));
    }
    let mut form = Form::new(body);
    if form.nullable(D::NAMED_BY, Kind::Text).is_some_and(|given| given != key) {
        let message = format!("the {} is not that of the path", D::NAMED_BY);
        form.refuse(Issue::of_body(message, "value_error").at(D::NAMED_BY));
    }
    let mut fields = Map::from_iter([(D::NAMED_BY.to_owned(), key.into())]);
    for (name, kind) in coerced::<D>() {
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
    fields.extend(D::WORKED_OUT.iter().filter_map(|name| Some(((*name).to_owned(), known(name)?))));
    let was_so = stored.is_some_and(|stored| D::issue(stored.fields()).is_some());
    issues.extend(D::issue(&fields).filter(|_| !was_so));
    Refusal::of_issues(issues)?;
    if stored.is_some_and(|stored| *stored.fields() == fields) {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, stored, snapshot).map(Some)
}

/// An earlier version of a document as the next one; `current` is what is there, if it can be read. `None`: nothing changes.
pub(super) fn restored<D: Document>(
    earlier: &D,
    current: Option<&D>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Option<D>, Refusal> {
    let mut fields = earlier.fields().clone();
    for name in D::WORKED_OUT.iter().chain(&["updated_at"]) {
        fields.shift_remove(*name);
        fields.extend(current.and_then(|current| current.fields().get_key_value(*name)).map(owned));
    }
    if current.is_some_and(|current| *current.fields() == fields) {
        return Ok(None);
    }
    fields.insert("updated_at".to_owned(), time(now));
    checked(fields, current, snapshot).map(Some)
}

/// The fields that are coerced.
fn coerced<D: Document>() -> impl Iterator<Item = (&'static str, Kind)> {
    std::iter::once(("name", Kind::Text)).chain(D::FIELDS.iter().map(|(name, kind, _)| (*name, *kind)))
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The document of these fields, unless something is wrong with it that was not wrong before.
fn checked<D: Document>(fields: Map<String, Value>, before: Option<&D>, snapshot: &Snapshot) -> Result<D, Refusal> {
    let document = D::from_map(fields).map_err(|fault| refuse(vec![fault]))?;
    let mut faults = document.faults(snapshot);
    if let Some(before) = before.filter(|_| !faults.is_empty()) {
        let known = before.faults(snapshot);
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

/// To the microsecond.
fn time(time: Timestamp) -> Value {
    format!("{time:.6}").into()
}
