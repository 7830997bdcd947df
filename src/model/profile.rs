//! What is stored of a user.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::{Attribute, Attributes};

/// Names of what the user is doing now begin with this.
const ACTIVITY: &str = "activity";

/// A user's profile and live activity, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// What is known of the user.
    pub attributes: Map<String, Value>,
    /// What was counted of the user's behaviour.
    pub behavioral_data: Map<String, Value>,
    /// What the user is doing now; none: nothing.
    pub activity: Option<Map<String, Value>>,
}

impl Profile {
    /// Reads the stored JSON texts. A text that is not an object is as good as none: half a profile is better than none.
    #[must_use]
    pub fn parse(attributes: Option<&str>, behavioral_data: Option<&str>, activity: Option<&str>) -> Self {
        let object = |text: Option<&str>| match serde_json::from_str(text?) {
            Ok(Value::Object(fields)) => Some(fields),
            Ok(_) | Err(_) => None,
        };
        Self {
            attributes: object(attributes).unwrap_or_default(),
            behavioral_data: object(behavioral_data).unwrap_or_default(),
            activity: object(activity),
        }
    }

    /// Looks a name up: `activity.…` in the live activity (`activity` alone says whether there is any), all others in the
    /// attributes, then in the behavioral data.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let value = match name.strip_prefix(ACTIVITY) {
            Some("") if self.activity.is_some() => return Some(Attribute::Bool(true)),
            Some(field) if field.starts_with('.') => self.activity.as_ref()?.get(&field[1..]),
            Some(_) | None => self.attributes.get(name).or_else(|| self.behavioral_data.get(name)),
        };
        value.and_then(Attribute::from_json)
    }
}

impl Attributes for Profile {
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        Self::attribute(self, name)
    }

    fn is_null(&self, name: &str) -> bool {
        let stored = self.attributes.get(name).or_else(|| self.behavioral_data.get(name));
        stored.is_some_and(Value::is_null)
    }
}

/// What is said with a request, and where it says nothing, what is stored of the user. Notes what both lack.
#[derive(Clone)]
pub struct WithProfile<'a> {
    said: &'a dyn Attributes,
    profile: Option<&'a Profile>,
    lacked: Cell<bool>,
}

impl<'a> WithProfile<'a> {
    /// `said` comes before `profile`.
    #[must_use]
    pub fn new(said: &'a dyn Attributes, profile: Option<&'a Profile>) -> Self {
        Self { said, profile, lacked: Cell::new(false) }
    }

    /// Whether something was asked for that is neither said nor stored, as far as is known.
    #[must_use]
    pub fn lacked(&self) -> bool {
        self.lacked.get()
    }
}

impl Attributes for WithProfile<'_> {
    fn is_null(&self, name: &str) -> bool {
        self.said.is_null(name) || self.profile.is_some_and(|profile| profile.is_null(name))
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let found = self.said.attribute(name).or_else(|| self.profile?.attribute(name));
        if found.is_none() && !is_built_in(name) {
            self.lacked.set(true);
        }
        found
    }
}

/// Whether a name is about the request or worked out, so that no profile says it.
fn is_built_in(name: &str) -> bool {
    let whole =
        ["user_id", "segment", "user_segment", "segments", "environment", "region", "user_agent", "accept_language"];
    whole.contains(&name) || ["request.", "client.", "tls."].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_come_before_behavior_and_activity_is_apart() {
        let profile = Profile::parse(
            Some(r#"{"country": "DE", "visits": null, "n": 1}"#),
            Some(r#"{"country": 1, "purchase_count": 7.0}"#),
            Some(r#"{"current_page": "/checkout/pay"}"#),
        );
        assert_eq!(profile.attribute("country"), Some(Attribute::Text("DE")));
        assert_eq!(profile.attribute("purchase_count"), Some(Attribute::Float(7.0)));
        assert_eq!(profile.attribute("activity.current_page"), Some(Attribute::Text("/checkout/pay")));
        assert_eq!((profile.attribute("visits"), profile.attribute("current_page")), (None, None));
        assert_eq!(profile.attribute("activity"), Some(Attribute::Bool(true)));
    }

    #[test]
    fn a_broken_part_does_not_take_the_others_along() {
        let profile = Profile::parse(Some("{"), Some(r#"{"a": true}"#), Some("[]"));
        assert_eq!((profile.attribute("a"), profile.activity.is_none()), (Some(Attribute::Bool(true)), true));
    }

    #[test]
    fn what_is_said_comes_first_and_what_both_lack_is_noted() {
        let said = json!({ "age": 42 });
        let profile = Profile::parse(Some(r#"{"age": 1, "plan": "pro"}"#), None, None);
        let with = WithProfile::new(said.as_object().unwrap(), Some(&profile));
        assert_eq!(with.attribute("age"), Some(Attribute::Integer(42)));
        assert_eq!(with.attribute("plan"), Some(Attribute::Text("pro")));
        assert!(!with.lacked());
        let without = WithProfile::new(said.as_object().unwrap(), None);
        for (name, lacked) in [
            ("age", false),
            ("user_id", false),
            ("region", false),
            ("request.path", false),
            ("plan", true),
            ("age", true),
        ] {
            without.attribute(name);
            assert_eq!(without.lacked(), lacked, "{name}");
        }
    }
}
