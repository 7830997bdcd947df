//! What is told of kill switches.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Notice, Notifier};
use crate::{
    clock,
    model::{KillState, KillStatus, KillSwitchDocument},
};

impl Notifier {
    /// Tells the channels of a kill switch what it does now.
    pub fn tell_of_kill_switch(&self, switch: &KillSwitchDocument) {
        let channels = switch.fields().get("notification_channels").and_then(Value::as_array).into_iter().flatten();
        let mut channels = channels.filter_map(Value::as_str).peekable();
        if channels.peek().is_none() {
            return;
        }
        let status = switch.status().unwrap_or_default();
        let notice = Notice {
            id: Uuid::now_v7().to_string(),
            kind: kind(status.state).to_owned(),
            subject: switch.id().to_owned(),
            time: status.since.unwrap_or_else(clock::now),
            text: text(switch, &status),
            data: json!({ "kill_switch_id": switch.id(), "status": { "state": status.state, "by": status.by,
                "reason": status.reason, "automatic": status.automatic, "recovery": status.recovery },
                "activation": status.history.first() }),
        };
        self.tell(channels, &notice);
    }
}

const fn kind(state: KillState) -> &'static str {
    match state {
        KillState::Triggered => "kill_switch_triggered",
        KillState::Recovering => "kill_switch_recovering",
        KillState::Inactive => "kill_switch_lifted",
    }
}

/// `kill switch "checkout" was triggered by ann: errors`.
fn text(switch: &KillSwitchDocument, status: &KillStatus) -> String {
    let name = switch.fields().get("name").and_then(Value::as_str).unwrap_or_else(|| switch.id());
    let what = match (status.state, status.recovery) {
        (KillState::Triggered, _) => "was triggered".to_owned(),
        (KillState::Recovering, Some(recovery)) => format!("lets {} % of the users through", recovery.percentage),
        (KillState::Recovering, None) => "lets users through".to_owned(),
        (KillState::Inactive, _) => "was lifted".to_owned(),
    };
    let (by, reason) =
        (status.by.as_deref().unwrap_or("somebody"), status.reason.as_deref().unwrap_or("no reason given"));
    format!("kill switch {name:?} {what}, by {by}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_in_a_sentence() {
        let mut status = KillStatus::default();
        let switch = KillSwitchDocument::parse(r#"{"id": "k", "name": "Checkout"}"#).unwrap();
        status.trigger("ann", "errors", false, None, clock::now());
        assert_eq!(text(&switch, &status), "kill switch \"Checkout\" was triggered, by ann: errors");
        status.let_through(&[25.0], "ann", "mended", clock::now());
        assert_eq!(text(&switch, &status), "kill switch \"Checkout\" lets 25 % of the users through, by ann: mended");
        status.lift("ann", "mended", clock::now());
        assert_eq!(text(&switch, &status), "kill switch \"Checkout\" was lifted, by ann: mended");
    }
}
