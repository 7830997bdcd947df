//! What an activation came to in figures: of what it guards in the minute before, and of what stood in for that until it ended.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::{
    eval::KillSwitch,
    model::{Activation, Arm, ArmCounts},
    snapshot::Snapshot,
    store::{COUNTS_KEPT, Counted, CounterStore},
};

/// How long before an activation is looked at.
const BEFORE: Duration = Duration::from_secs(60);

/// How long the figures are waited for: they are not what is urgent.
const WITHIN: Duration = Duration::from_millis(300);

/// Fills in what all gateways counted, as far as that is still known. Nothing is changed where it is not.
pub async fn measure(
    counters: &dyn CounterStore,
    snapshot: &Snapshot,
    switch: &KillSwitch,
    activation: &mut Activation,
    now: Timestamp,
) {
    let kept = now.checked_sub(COUNTS_KEPT).unwrap_or(now);
    let (from, at) = (activation.at.checked_sub(BEFORE).unwrap_or(activation.at), activation.at);
    if at >= now || at < kept {
        return;
    }
    if activation.error_rate_before.is_none()
        && from >= kept
        && let Some(before) = counted(counters, from, at).await
    {
        activation.error_rate_before = error_rate(&sum(&before, |arm| snapshot.is_guarded(switch, arm)));
    }
    if let Some(after) = counted(counters, at, now).await {
        let after = sum(&after, |arm| snapshot.stands_in(switch, arm));
        activation.requests_affected = Some(after.requests);
        if activation.error_rate_after.is_none() {
            activation.error_rate_after = error_rate(&after);
        }
    }
}

async fn counted(counters: &dyn CounterStore, from: Timestamp, to: Timestamp) -> Option<Counted> {
    timeout(WITHIN, counters.all_counts(from, to)).await.ok()?.ok()
}

fn sum(counted: &Counted, is_meant: impl Fn(&Arm) -> bool) -> ArmCounts {
    let mut total = ArmCounts::default();
    for arm in counted.arms.keys().filter(|arm| is_meant(arm)) {
        total.merge(&counted.total(arm));
    }
    total
}

/// In percent, to two places.
fn error_rate(counts: &ArmCounts) -> Option<f64> {
    (counts.requests > 0).then(|| (counts.errors as f64 * 10_000.0 / counts.requests as f64).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::{
        eval::check_kill_switch,
        model::{DocumentKey, KillStatus, KillSwitchDocument, WorldRevision},
        snapshot::World,
        store::MemoryCounters,
    };

    #[tokio::test]
    async fn before_and_after() {
        let counters = MemoryCounters::new();
        let flag = json!({ "key": "a", "name": "a", "rollout_enabled": true, "rollout_percentage": 100 });
        let revision = WorldRevision { epoch: "test".into(), number: 1 };
        let snapshot = World::new(None).load(revision, [(DocumentKey::flag("a"), flag.to_string().into())]);
        let document = json!({ "id": "k", "affected_features": ["a"] }).to_string();
        let (switch, _) = check_kill_switch(&KillSwitchDocument::parse(&document).unwrap());
        let arm = |flag: &str, variation: &str| Arm::Variation { flag: flag.into(), variation: variation.into() };
        let counts = |requests, errors| ArmCounts { requests, errors, ..ArmCounts::default() };
        // All of it is counted in this second: the windows on its two sides are looked at one after the other.
        let told = vec![
            (arm("a", "true"), counts(40, 10)),
            (arm("a", "false"), counts(20, 1)),
            (arm("b", "true"), counts(9, 9)),
        ];
        counters.add("gateway", told).await.unwrap();
        let now = counters.now().await.unwrap();
        let ago = |seconds: i64| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
        let mut status = KillStatus::default();
        status.trigger("ann", "x", false, None, ago(10));
        let mut activation = status.history.remove(0);
        let later = ago(-5);
        measure(&counters, &snapshot, &switch, &mut activation, later).await;
        assert_eq!(
            (activation.error_rate_before, activation.error_rate_after, activation.requests_affected),
            (None, Some(5.0), Some(20))
        );
        activation.at = ago(-2);
        measure(&counters, &snapshot, &switch, &mut activation, later).await;
        assert_eq!((activation.error_rate_before, activation.requests_affected), (Some(25.0), Some(0)));
        // What is too long ago nobody knows, and what was known stays.
        activation.at = ago(100_000);
        measure(&counters, &snapshot, &switch, &mut activation, later).await;
        assert_eq!((activation.error_rate_before, activation.requests_affected), (Some(25.0), Some(0)));
    }
}
