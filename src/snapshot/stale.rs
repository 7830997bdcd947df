//! Flags that have probably done their work.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Flag, Snapshot, Usage, effective};
use crate::eval;

/// A flag that somebody should look at, and perhaps remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaleFlag<'s> {
    /// Its key.
    pub key: &'s str,
    /// What people call it.
    pub name: Option<&'s str>,
    /// `release`, `experiment`, `ops` or `permission`.
    pub kind: Option<&'s str>,
    /// Who could be asked.
    pub owner: Option<&'s str>,
    /// Why; at least one.
    pub reasons: Vec<Stale>,
}

/// One sign that a flag is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// Which sign.
    pub reason: StaleReason,
    /// Since when it is there.
    pub since: Timestamp,
}

/// The signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleReason {
    /// Its `expires_at` is past.
    Expired,
    /// Its rollout gives everybody the same value, and nobody changed it for long.
    RolledOut,
    /// It is off, and nobody changed it for long.
    Off,
    /// No route and no caller of this gateway evaluated it for long.
    Unused,
}

/// What the signs are read from.
#[derive(Clone, Copy, Debug)]
struct Signs<'f> {
    fields: &'f Map<String, Value>,
    is_on: bool,
    serves_everybody: bool,
    idle_since: Option<Timestamp>,
}

impl Snapshot {
    /// The flags that are stale at `now`, by key. A flag that was not changed, or not evaluated, `long` ago counts as left
    /// alone. Kinds that are meant to stay (`ops`, `permission`) may be off or on for everybody for ever, and flags that say
    /// `permanent` only expire.
    #[must_use]
    pub fn stale(&self, usage: &Usage, long: SignedDuration, now: Timestamp) -> Vec<StaleFlag<'_>> {
        let mut stale: Vec<StaleFlag<'_>> =
            self.flags().filter_map(|flag| self.stale_flag(flag, usage, long, now)).collect();
        stale.sort_unstable_by_key(|flag| flag.key);
        stale
    }

    pub(super) fn stale_flag<'s>(
        &'s self,
        flag: &'s Flag,
        usage: &Usage,
        long: SignedDuration,
        now: Timestamp,
    ) -> Option<StaleFlag<'s>> {
        let find = |key: &str| self.document(key);
        let fields = effective::effective(&flag.document, self.environment.as_deref(), find).ok()?;
        let signs = Signs {
            fields: &fields,
            is_on: flag.compiled.is_on(),
            serves_everybody: flag.compiled.serves_everybody(now),
            idle_since: usage.idle_since(flag.compiled.key()),
        };
        let reasons = signs.reasons(long, now);
        let text = |name: &str| flag.document.fields().get(name).and_then(Value::as_str);
        (!reasons.is_empty()).then(|| StaleFlag {
            key: flag.compiled.key(),
            name: text("name"),
            kind: text("kind"),
            owner: text("owner"),
            reasons,
        })
    }
}

impl Signs<'_> {
    fn reasons(&self, long: SignedDuration, now: Timestamp) -> Vec<Stale> {
        let past = |since: Option<Timestamp>| since.filter(|since| now.duration_since(*since) >= long);
        let expired = self.time("expires_at").filter(|expired| *expired <= now);
        let mut reasons = vec![(StaleReason::Expired, expired)];
        if self.field("permanent") != Some(&Value::Bool(true)) {
            let changed = past(self.time("updated_at").or_else(|| self.time("created_at")));
            let is_passing = !matches!(self.field("kind").and_then(Value::as_str), Some("ops" | "permission"));
            reasons.extend([
                (StaleReason::RolledOut, changed.filter(|_| is_passing && self.serves_everybody)),
                (StaleReason::Off, changed.filter(|_| is_passing && !self.is_on)),
                (StaleReason::Unused, past(self.idle_since)),
            ]);
        }
        reasons.into_iter().filter_map(|(reason, since)| since.map(|since| Stale { reason, since })).collect()
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        eval::parse_time(self.field(name)?.as_str()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        model::{DocumentKey, WorldRevision},
        snapshot::World,
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn snapshot(flags: &[Value]) -> Arc<Snapshot> {
        let document = |flag: &Value| (DocumentKey::flag(flag["key"].as_str().unwrap()), flag.to_string().into());
        let revision = WorldRevision { epoch: "e".into(), number: 1 };
        World::new(Some("live")).load(revision, flags.iter().map(document).collect::<Vec<_>>())
    }

    const LONG: SignedDuration = SignedDuration::from_hours(24 * 30);

    /// What is said on 1 June of a flag that was changed last on 1 May, or 2 May.
    fn check(fields: Value, expected: &[StaleReason]) {
        let mut flag = json!({"key": "a", "updated_at": "2026-05-01T00:00:00"});
        flag.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut usage = Usage::default();
        let snapshot = snapshot(&[flag.clone()]);
        usage.observe(&snapshot, at("2026-05-31T00:00:00Z"));
        let stale = snapshot.stale(&usage, LONG, at("2026-06-01T00:00:00Z"));
        let reasons: Vec<StaleReason> = stale.iter().flat_map(|flag| &flag.reasons).map(|sign| sign.reason).collect();
        assert_eq!(reasons, expected, "{flag}");
    }

    #[test]
    fn signs_in_a_document() {
        use StaleReason::{Expired, Off, RolledOut};
        check(json!({}), &[]);
        check(json!({"expires_at": "2026-06-01T00:00:00Z"}), &[Expired]);
        check(json!({"expires_at": "2026-06-01T00:00:01Z"}), &[]);
        check(json!({"expires_at": "2026-01-01T00:00:00Z", "permanent": true, "enabled": false}), &[Expired]);
        check(json!({"enabled": false}), &[Off]);
        check(json!({"enabled": false, "updated_at": "2026-05-03T00:00:00Z"}), &[]);
        check(json!({"enabled": false, "updated_at": null, "created_at": "2026-05-01T00:00:00Z"}), &[Off]);
        check(json!({"enabled": false, "updated_at": null}), &[]);
        check(json!({"enabled": false, "kind": "ops"}), &[]);
        check(json!({"enabled": false, "kind": "experiment"}), &[Off]);
        check(json!({"environments": {"live": {"enabled": false}}}), &[Off]);
        let all = json!({"rollout_enabled": true, "rollout_percentage": 100});
        let with = |more: Value| {
            let mut all = all.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        check(all.clone(), &[RolledOut]);
        check(with(json!({"kind": "release"})), &[RolledOut]);
        check(with(json!({"kind": "permission"})), &[]);
        check(with(json!({"rollout_percentage": 99.99})), &[]);
        check(with(json!({"rollout_enabled": false})), &[]);
        check(with(json!({"prerequisites": ["b"]})), &[]);
        let rules = json!([{"attribute": "a", "operator": "equals", "value": 1}]);
        check(with(json!({"targeting_enabled": true, "targeting_rules": rules})), &[]);
        check(with(json!({"targeting_enabled": false, "targeting_rules": rules})), &[RolledOut]);
        check(with(json!({"rollout_stages": [{"percentage": 100, "value": true}]})), &[RolledOut]);
        check(with(json!({"rollout_stages": [{"percentage": 10, "value": true}]})), &[]);
        let later = json!([{"percentage": 100, "value": true, "start_time": "2026-07-01T00:00:00Z"}]);
        check(with(json!({"rollout_stages": later})), &[]);
        let variants = json!({"x": true, "y": false});
        let split = |x: u32, y: u32| json!([{"variant": "x", "weight": x}, {"variant": "y", "weight": y}]);
        check(with(json!({"variants": variants, "split": split(5000, 5000)})), &[]);
        check(with(json!({"variants": variants, "split": split(10_000, 0)})), &[RolledOut]);
    }

    #[test]
    fn flags_that_nobody_evaluates() {
        let flags = [json!({"key": "used"}), json!({"key": "unused"}), json!({"key": "kept", "permanent": true})];
        let snapshot = snapshot(&flags);
        let mut usage = Usage::default();
        usage.observe(&snapshot, at("2026-05-01T00:00:00Z"));
        let context = crate::model::Context {
            user_id: "u",
            attributes: &crate::model::NoAttributes,
            now: at("2026-05-15T00:00:00Z"),
        };
        let flag = snapshot.flag("used").unwrap();
        snapshot.evaluator(context).evaluate(flag).unwrap().count();
        usage.observe(&snapshot, at("2026-05-15T00:00:00Z"));
        let stale = |now: &str| {
            let stale = snapshot.stale(&usage, LONG, at(now));
            stale.iter().map(|flag| (flag.key.to_owned(), flag.reasons.clone())).collect::<Vec<_>>()
        };
        let unused = |since: &str| vec![Stale { reason: StaleReason::Unused, since: at(since) }];
        assert_eq!(stale("2026-05-30T23:59:59Z"), []);
        assert_eq!(stale("2026-05-31T00:00:00Z"), [("unused".to_owned(), unused("2026-05-01T00:00:00Z"))]);
        let both = ["unused", "used"].map(str::to_owned).into_iter();
        let since = ["2026-05-01T00:00:00Z", "2026-05-15T00:00:00Z"].map(unused);
        assert_eq!(stale("2026-06-14T00:00:00Z"), both.zip(since).collect::<Vec<_>>());
        assert_eq!(usage.began(), Some(at("2026-05-01T00:00:00Z")));
    }
}
