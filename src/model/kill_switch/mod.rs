//! The document of a kill switch, kept as it came, unknown fields included, and its state.

mod status;

use serde_json::{Map, Value, json};

use super::document::document;

pub use status::{Activation, KillState, KillStatus, Recovery};

document! {
    /// A kill switch as stored: what it forces to the default, and whether it does.
    KillSwitchDocument, a "kill switch", called by id, or of_id alone
}

/// The field that only flaggate writes.
const STATUS: &str = "status";

impl KillSwitchDocument {
    /// The document with defaults filled in, then what else was set; its state comes last.
    #[must_use]
    pub fn complete(&self) -> Map<String, Value> {
        let mut whole = defaults();
        whole.extend(
            self.0.iter().filter(|(name, _)| *name != STATUS).map(|(name, value)| (name.clone(), value.clone())),
        );
        whole.insert(STATUS.to_owned(), json!(self.status().unwrap_or_default()));
        whole
    }

    /// Its state; inactive if nothing is said.
    ///
    /// # Errors
    /// What is stored as its state is none.
    pub fn status(&self) -> Result<KillStatus, serde_json::Error> {
        match self.0.get(STATUS) {
            None | Some(Value::Null) => Ok(KillStatus::default()),
            Some(status) => serde::Deserialize::deserialize(status),
        }
    }

    /// The same with another state.
    #[must_use]
    pub fn with_status(&self, status: &KillStatus) -> Self {
        let mut fields = self.0.clone();
        fields.shift_remove(STATUS);
        fields.insert(STATUS.to_owned(), json!(status));
        Self(fields)
    }
}

/// What a switch is that does not say otherwise, in the order in which it is shown.
fn defaults() -> Map<String, Value> {
    let fields: [(&str, Value); 26] = [
        ("id", Value::Null),
        ("name", Value::Null),
        ("description", Value::Null),
        ("scope", json!("feature")),
        ("scope_value", Value::Null),
        ("affected_features", json!([])),
        ("affected_services", json!([])),
        ("affected_segments", json!([])),
        ("exempt_critical", json!(false)),
        ("auto_trigger_enabled", json!(false)),
        ("error_threshold", json!(50)),
        ("latency_threshold", Value::Null),
        ("volume_threshold", json!(20)),
        ("circuit_breaker_enabled", json!(false)),
        ("failure_count_threshold", json!(5)),
        ("success_count_threshold", json!(3)),
        ("timeout_seconds", json!(60)),
        ("half_open_requests", json!(3)),
        ("auto_recovery_enabled", json!(false)),
        ("recovery_delay_seconds", json!(300)),
        ("gradual_recovery", json!(true)),
        ("recovery_percentage_steps", json!([10, 25, 50, 100])),
        ("recovery_step_seconds", json!(60)),
        ("notification_channels", json!([])),
        ("tags", json!([])),
        ("created_at", Value::Null),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_whole_and_its_state_last() {
        let document =
            KillSwitchDocument::parse(r#"{"status": {"state": "triggered", "by": "ann"}, "id": "k", "x": 1}"#);
        let whole = document.unwrap().complete();
        assert_eq!(
            (&whole["scope"], &whole["x"], &whole["status"]["by"]),
            (&json!("feature"), &json!(1), &json!("ann"))
        );
        assert_eq!(whole.keys().next_back().map(String::as_str), Some("status"));
        let inactive = KillSwitchDocument::of_id("k");
        assert_eq!(inactive.complete()["status"]["state"], "inactive");
    }

    #[test]
    fn a_state_that_is_none_is_an_error() {
        for status in [json!(1), json!({ "state": "dead" }), json!({ "since": "soon" })] {
            let document = KillSwitchDocument::parse(&json!({ "id": "k", "status": status }).to_string()).unwrap();
            assert!(document.status().is_err(), "{status}");
        }
    }
}
