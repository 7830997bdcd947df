//! Profiles as they are sent and shown.

use serde_json::{Map, Value, json};

use super::user;
use crate::{
    admin::refusal::Issue,
    model::Profile,
    store::{ProfilePatch, StoredProfile},
};

/// What is shown with a profile and kept elsewhere: it may be sent back, and then says nothing.
const SHOWN_ONLY: [&str; 3] = ["segment_memberships", "last_updated", "activity"];

/// What a body says.
#[derive(Debug)]
pub(super) struct Given {
    /// The user, if it names one.
    pub(super) user_id: Option<String>,
    /// Attributes and behavioral data; with nulls where something is to be removed.
    pub(super) parts: ProfilePatch,
}

impl Given {
    /// Reads a body; what is wrong with it, in each of these places.
    pub(super) fn read(mut body: Map<String, Value>) -> Result<Self, Vec<Issue>> {
        let mut issues = Vec::new();
        let user_id = body.shift_remove("user_id").and_then(|given| match user_id(given) {
            Ok(user_id) => Some(user_id),
            Err(why) => {
                issues.push(issue(why).at("user_id"));
                None
            }
        });
        let attributes = part(&mut body, "attributes", &mut issues);
        let behavioral_data = part(&mut body, "behavioral_data", &mut issues);
        for (name, value) in &behavioral_data {
            if !matches!(value, Value::Number(_) | Value::Null) {
                issues.push(issue("behavioral data are numbers").at("behavioral_data").at(name.as_str()));
            }
        }
        for name in body.keys().filter(|name| !SHOWN_ONLY.contains(&name.as_str())) {
            issues.push(issue("extra fields not permitted").at(name.as_str()));
        }
        if issues.is_empty() {
            return Ok(Self { user_id, parts: ProfilePatch { attributes, behavioral_data } });
        }
        Err(issues)
    }

    /// What is wrong if it names another user than the path.
    pub(super) fn check_user(&self, user_id: &str) -> Result<(), Vec<Issue>> {
        match &self.user_id {
            Some(named) if named != user_id => Err(vec![issue("the path names another user").at("user_id")]),
            _ => Ok(()),
        }
    }

    /// The profile that consists of what it says: nothing is as good as null.
    pub(super) fn profile(self) -> Profile {
        let mut profile = Profile::default();
        self.parts.apply(&mut profile);
        profile
    }
}

fn issue(message: &str) -> Issue {
    Issue::of_body(message, "value_error")
}

/// A number is a user's id, too: tables often have such.
fn user_id(given: Value) -> Result<String, &'static str> {
    let user_id = match given {
        Value::String(text) => text,
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err("expected a text");
        }
    };
    user::check(&user_id).map(|()| user_id)
}

fn part(body: &mut Map<String, Value>, name: &str, issues: &mut Vec<Issue>) -> Map<String, Value> {
    match body.shift_remove(name) {
        None => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            issues.push(issue("expected an object").at(name));
            Map::new()
        }
    }
}

/// A profile as it is shown.
pub(super) fn shown(user_id: &str, stored: &StoredProfile) -> Value {
    json!({
        "user_id": user_id,
        "attributes": stored.profile.attributes,
        "behavioral_data": stored.profile.behavioral_data,
        "segment_memberships": stored.segment_memberships,
        "last_updated": stored.last_updated,
        "activity": stored.profile.activity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<Given, Vec<Issue>> {
        Given::read(body.as_object().cloned().unwrap())
    }

    #[test]
    fn what_is_shown_can_be_sent_back() {
        let attributes = json!({ "country": "DE", "none": null, "list": [1] }).as_object().cloned().unwrap();
        let stored =
            StoredProfile { profile: Profile { attributes, ..Profile::default() }, ..StoredProfile::default() };
        let given = read(shown("ann", &stored)).unwrap();
        assert_eq!((given.user_id.as_deref(), given.check_user("ann")), (Some("ann"), Ok(())));
        assert!(given.check_user("bob").is_err());
        assert_eq!(Value::from(given.profile().attributes), json!({ "country": "DE", "list": [1] }));
        assert_eq!(read(json!({ "user_id": 12 })).unwrap().user_id.as_deref(), Some("12"));
    }

    #[test]
    fn each_wrong_place_is_named() {
        for (body, place) in [
            (json!({ "attributes": [] }), json!(["body", "attributes"])),
            (json!({ "attributes": null }), json!(["body", "attributes"])),
            (json!({ "behavioral_data": { "n": "1" } }), json!(["body", "behavioral_data", "n"])),
            (json!({ "behavioral_data": { "n": true } }), json!(["body", "behavioral_data", "n"])),
            (json!({ "user_id": 1.5 }), json!(["body", "user_id"])),
            (json!({ "user_id": "" }), json!(["body", "user_id"])),
            (json!({ "country": "DE" }), json!(["body", "country"])),
        ] {
            let issues = read(body.clone()).expect_err("it is wrong");
            assert_eq!(json!(issues)[0]["loc"], place, "{body}");
        }
        assert_eq!(read(json!({ "a": 1, "b": 2 })).unwrap_err().len(), 2);
    }
}
