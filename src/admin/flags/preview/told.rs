//! What a preview says.

use serde_json::{Value, json};

use super::radius::{Change, Example, Given, Reach};
use crate::{model::Reason, snapshot::Snapshot};

/// So many kinds of change are told.
const MOST_CHANGES: usize = 100;

/// A value whose text is longer is not told: the variation names it.
const LONGEST_VALUE: usize = 1 << 10;

/// What was found, with ids of users if `with_ids`.
pub(super) fn told(snapshot: &Snapshot, key: &str, reach: &Reach, with_ids: bool, examples: usize) -> Value {
    let changed = |count: fn(&Change) -> u64| reach.changes.iter().map(count).sum::<u64>();
    json!({
        "flag_key": key,
        "revision": snapshot.revision().map(ToString::to_string),
        "users": reach.users,
        "requests": reach.requests,
        "changed_users": changed(|change| change.users),
        "changed_requests": changed(|change| change.requests),
        "changes": reach.changes.iter().take(MOST_CHANGES).map(row).collect::<Vec<_>>(),
        "more_changes": reach.changes.len().saturating_sub(MOST_CHANGES),
        "examples": some(&reach.changes, examples).map(|(change, one)| example(change, one, with_ids)).collect::<Vec<_>>(),
        "affected_flags": reach.affected.iter().map(|(key, users)| json!({ "key": key, "users": users })).collect::<Vec<_>>(),
        "affected_flags_not_tried": reach.not_tried,
        "seen": reach.seen.map(|(from, to)| json!({ "from": from, "to": to })),
        "requests_passed_over": reach.passed_over,
        "profiles": if reach.profiles { "cached" } else { "off" },
        "users_without_profile": reach.without_profile,
        "remembers": reach.remembers,
    })
}

/// Examples of each kind of change by turns, so that a rare one is among them.
fn some(changes: &[Change], most: usize) -> impl Iterator<Item = (&Change, &Example)> {
    let rounds = (0..most)
        .flat_map(move |round| changes.iter().filter_map(move |change| Some((change, change.examples.get(round)?))));
    rounds.take(most)
}

fn row(change: &Change) -> Value {
    json!({
        "from": change.from.as_ref().map(given),
        "to": change.to.as_ref().map(given),
        "users": change.users,
        "requests": change.requests,
    })
}

fn given(given: &Given) -> Value {
    let is_short = given.value.to_string().len() <= LONGEST_VALUE;
    let mut told = json!({ "variation": given.variation });
    if is_short {
        told["value"] = given.value.clone();
    }
    told
}

fn example(change: &Change, example: &Example, with_ids: bool) -> Value {
    let side = |given: &Option<Given>, reason: Option<Reason>| {
        given.as_ref().map(|given| json!({ "variation": given.variation, "reason": reason }))
    };
    let mut told = json!({
        "seen_at": example.seen_at,
        "from": side(&change.from, example.reasons.0),
        "to": side(&change.to, example.reasons.1),
    });
    if with_ids {
        told["user_id"] = example.user_id.as_str().into();
    }
    told
}
