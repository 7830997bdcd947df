//! `POST /track`: what users did, as applications say.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    body::Body,
    openapi as schema,
    problem::as_problems,
    profiles::check_user_id,
    refusal::{Issue, Refusal},
};
use crate::{clock, telemetry::Action};

/// The most actions in one request.
const MOST: usize = 1_000;

/// The longest name of an event, in bytes.
const LONGEST_EVENT: usize = 128;

/// The most bytes that the properties of an action have as JSON.
const MOST_PROPERTIES: usize = 8 << 10;

/// What an action may say.
const FIELDS: [&str; 4] = ["user_id", "event", "value", "properties"];

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(track)).layer(middleware::map_response(as_problems))
}

/// Takes what users did, for analytics and events: one action, an array of them, or `{"events": […]}`.
///
/// `event` is a word of the application's own, like `purchase`; `value` says how much it is worth; `properties` go on with
/// the event, and nothing else does. At most 1000 actions at a time; if one of them is wrong, none is taken. It is answered
/// at once: what is taken is told on as well as it can be, and what does not get on is counted.
#[utoipa::path(
    post, path = "/track", tag = "evaluation", security(("token" = ["client"])),
    request_body(content = schema::Track, example = json!({ "user_id": "42", "event": "purchase", "value": 19.9, "properties": { "currency": "EUR" } })),
    responses(
        (status = 202, description = "taken; `accepted` says how many", body = Value, example = json!({ "accepted": 1 })),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places; nothing was taken", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
async fn track(State(admin): State<Admin>, body: Body) -> Result<Response, Refusal> {
    let given = Given::of(body)?;
    let now = clock::now();
    let (mut actions, mut issues) = (Vec::with_capacity(given.items.len()), Vec::new());
    for (position, item) in given.items.iter().enumerate() {
        match action(item, now) {
            Ok(action) => actions.push(action),
            Err(found) => issues.extend(found.into_iter().map(|(step, why)| given.issue(position, step, why))),
        }
    }
    Refusal::of_issues(issues)?;
    actions.iter().for_each(|action| admin.observers.acted(action));
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": actions.len() }))).into_response())
}

/// Actions, and where in the body they stand.
struct Given {
    items: Vec<Value>,
    /// Whether they are in `events`.
    is_named: bool,
    /// Whether they are in an array.
    is_listed: bool,
}

impl Given {
    fn of(body: Body) -> Result<Self, Refusal> {
        let given = match body.0 {
            None => return Err(Refusal::Invalid(vec![Issue::missing()])),
            Some(Value::Array(items)) => Self { items, is_named: false, is_listed: true },
            Some(Value::Object(mut fields)) if fields.contains_key("events") => {
                let events = fields.shift_remove("events");
                if let Some(name) = fields.keys().next() {
                    let issue = Issue::of_body("beside `events` there is nothing", "value_error");
                    return Err(Refusal::Invalid(vec![issue.at(name.as_str())]));
                }
                let Some(Value::Array(items)) = events else {
                    return Err(Refusal::Invalid(vec![
                        Issue::of_body("expected an array", "type_error.list").at("events"),
                    ]));
                };
                Self { items, is_named: true, is_listed: true }
            }
            Some(item) => Self { items: vec![item], is_named: false, is_listed: false },
        };
        if given.items.len() > MOST {
            let why = format!("these are {} actions; at most {MOST} are taken at a time", given.items.len());
            let issue = Issue::of_body(why, "value_error");
            return Err(Refusal::Invalid(vec![if given.is_named { issue.at("events") } else { issue }]));
        }
        Ok(given)
    }

    fn issue(&self, position: usize, step: Option<&str>, why: String) -> Issue {
        let mut issue = Issue::of_body(why, "value_error");
        if self.is_named {
            issue = issue.at("events");
        }
        if self.is_listed {
            issue = issue.at(position);
        }
        match step {
            Some(step) => issue.at(step),
            None => issue,
        }
    }
}

/// What is wrong, and in which field.
type Wrong<'v> = Vec<(Option<&'v str>, String)>;

fn action(item: &Value, time: Timestamp) -> Result<Action<'_>, Wrong<'_>> {
    let Some(fields) = item.as_object() else { return Err(vec![(None, "expected an object".to_owned())]) };
    let mut wrong: Wrong<'_> = Vec::new();
    let mut take = |name: &'static str, found: Result<(), String>| {
        if let Err(why) = found {
            wrong.push((Some(name), why));
        }
    };
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err("expected a string".to_owned())
        }
        None => Err("field required".to_owned()),
    };
    let user_id = text("user_id").and_then(|id| check_user_id(id).map(|()| id).map_err(str::to_owned));
    let event = text("event").and_then(|event| check_event(event).map(|()| event));
    take("user_id", user_id.clone().map(drop));
    take("event", event.clone().map(drop));
    take("value", value(fields).map(drop));
    take("properties", properties(fields).map(drop));
    for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        wrong.push((Some(name), format!("unknown field; an action has {}", FIELDS.join(", "))));
    }
    match (user_id, event, value(fields), properties(fields)) {
        (Ok(user_id), Ok(event), Ok(value), Ok(properties)) if wrong.is_empty() => {
            Ok(Action { time, user_id, event, value, properties })
        }
        _ => Err(wrong),
    }
}

fn check_event(event: &str) -> Result<(), String> {
    match event.len() {
        0 => Err("an event has a name".to_owned()),
        1..=LONGEST_EVENT if !event.chars().any(char::is_control) => Ok(()),
        1..=LONGEST_EVENT => Err("an event's name has no control characters".to_owned()),
        _ => Err(format!("an event's name has at most {LONGEST_EVENT} bytes")),
    }
}

fn value(fields: &Map<String, Value>) -> Result<Option<f64>, String> {
    let Some(value) = fields.get("value").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_f64().filter(|number| number.is_finite());
    number.map(Some).ok_or_else(|| "expected a number".to_owned())
}

fn properties(fields: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, String> {
    let Some(value) = fields.get("properties").filter(|value| !value.is_null()) else { return Ok(None) };
    let properties = value.as_object().ok_or("expected an object")?;
    let length = value.to_string().len();
    match length <= MOST_PROPERTIES {
        true => Ok(Some(properties)),
        false => Err(format!("these are {length} bytes of JSON; at most {MOST_PROPERTIES} are taken")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Value) -> Result<usize, Vec<String>> {
        let given = Given::of(Body(Some(body))).map_err(|_| Vec::new())?;
        let mut wrong = Vec::new();
        for (position, item) in given.items.iter().enumerate() {
            let found = action(item, Timestamp::UNIX_EPOCH).err().unwrap_or_default();
            wrong.extend(found.into_iter().map(|(step, why)| given.issue(position, step, why).place().0));
        }
        if wrong.is_empty() { Ok(given.items.len()) } else { Err(wrong) }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let good = json!({ "user_id": "ann", "event": "bought", "value": 1, "properties": { "a": [1] } });
        let long = "x".repeat(LONGEST_EVENT + 1);
        for (body, expected) in [
            (good.clone(), Ok(1)),
            (json!([good, { "user_id": "a", "event": "b", "value": null, "properties": null }]), Ok(2)),
            (json!({ "events": [] }), Ok(0)),
            (json!({ "events": [good, good, good] }), Ok(3)),
            (json!({}), Err(vec!["/user_id", "/event"])),
            (json!(1), Err(vec![""])),
            (json!([good, 1]), Err(vec!["/1"])),
            (
                json!({ "user_id": 1, "event": "", "value": "x", "properties": [] }),
                Err(vec!["/user_id", "/event", "/value", "/properties"]),
            ),
            (
                json!({ "events": [{ "user_id": "a\0", "event": long, "at/all": 1 }] }),
                Err(vec!["/events/0/user_id", "/events/0/event", "/events/0/at~1all"]),
            ),
            (
                json!([{ "user_id": "a", "event": "a\nb", "properties": { "a": "x".repeat(MOST_PROPERTIES) } }]),
                Err(vec!["/0/event", "/0/properties"]),
            ),
            (json!({ "events": 1 }), Err(vec![])),
            (json!({ "events": [], "more": 1 }), Err(vec![])),
            (Value::Array(vec![good; MOST + 1]), Err(vec![])),
        ] {
            let expected = expected.map_err(|places: Vec<&str>| places.into_iter().map(str::to_owned).collect());
            assert_eq!(check(body.clone()), expected, "{body}");
        }
    }
}
