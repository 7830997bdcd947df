//! What is stored of a user.

use serde_json::{Map, Value};

use super::Attribute;

/// Names of what the user is doing now begin with this.
const ACTIVITY: &str = "activity.";

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

    /// Looks a name up: `activity.…` in the live activity, all others in the attributes, then in the behavioral data.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let value = match name.strip_prefix(ACTIVITY) {
            Some(field) => self.activity.as_ref()?.get(field),
            None => self.attributes.get(name).or_else(|| self.behavioral_data.get(name)),
        };
        value.and_then(Attribute::from_json)
    }
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn a_broken_part_does_not_take_the_others_along() {
        let profile = Profile::parse(Some("{"), Some(r#"{"a": true}"#), Some("[]"));
        assert_eq!((profile.attribute("a"), profile.activity.is_none()), (Some(Attribute::Bool(true)), true));
    }
}
