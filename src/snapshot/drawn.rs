//! What is known of who gets which variation.

use jiff::Timestamp;
use serde_json::Value;

use super::Snapshot;
use crate::eval::{self, Flags as _};

impl Snapshot {
    /// The variation that a flag gives when nothing else decides, or when it is killed.
    #[must_use]
    pub fn default_variation(&self, key: &str) -> Option<&str> {
        Some(self.get(self.flag(key)?)?.default_variation())
    }

    /// Whether a draw may put users into different variations of a flag.
    #[must_use]
    pub fn draws(&self, key: &str, now: Timestamp) -> bool {
        self.flag(key).and_then(|flag| self.get(flag)).is_some_and(|flag| flag.draws(now))
    }

    /// The part of the users that each variation of a flag gets by a draw, where that is known: see
    /// [`eval::CompiledFlag::drawn_shares`].
    #[must_use]
    pub fn drawn_shares(&self, key: &str, now: Timestamp) -> Option<Vec<(String, f64)>> {
        let shares = self.get(self.flag(key)?)?.drawn_shares(now)?;
        Some(shares.into_iter().map(|(name, share)| (name.to_owned(), share)).collect())
    }

    /// When a flag's document was written last, if it says so.
    #[must_use]
    pub fn changed_at(&self, key: &str) -> Option<Timestamp> {
        let fields = self.document(key)?.fields();
        let time = |name: &str| eval::parse_time(fields.get(name).and_then(Value::as_str)?);
        time("updated_at").or_else(|| time("created_at"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{DocumentKey, WorldRevision},
        snapshot::World,
    };

    fn check(more: Value, draws: bool, expected: Option<&[(&str, f64)]>) {
        let mut flag =
            json!({"key": "f", "variants": {"a": "a", "b": "b"}, "flag_type": "string", "default_value": "a"});
        flag.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let revision = WorldRevision { epoch: "e".into(), number: 1 };
        let snapshot = World::new(None).load(revision, vec![(DocumentKey::flag("f"), flag.to_string().into())]);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(snapshot.draws("f", now), draws, "{flag}");
        let found = snapshot.drawn_shares("f", now);
        let found: Option<Vec<(&str, i64)>> = found
            .as_ref()
            .map(|all| all.iter().map(|(name, part)| (name.as_str(), (part * 1e4).round() as i64)).collect());
        let expected: Option<Vec<(&str, i64)>> =
            expected.map(|all| all.iter().map(|(name, part)| (*name, (part * 1e4).round() as i64)).collect());
        assert_eq!(found, expected, "{flag}");
    }

    #[test]
    fn shares_of_a_draw() {
        let split = json!([{"variant": "a", "weight": 4000}, {"variant": "b", "weight": 6000}]);
        let with = |more: Value| {
            let mut all = json!({"rollout_enabled": true, "rollout_percentage": 100, "split": split.clone()});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        check(json!({}), false, None);
        check(with(json!({})), true, Some(&[("a", 0.4), ("b", 0.6)]));
        check(with(json!({"rollout_percentage": 50})), true, Some(&[("a", 0.7), ("b", 0.3)]));
        check(with(json!({"enabled": false})), false, None);
        check(with(json!({"split": [{"variant": "b", "weight": 10_000}]})), false, None);
        check(with(json!({"bucket_by": "plan"})), true, None);
        let boolean = |percentage: f64| {
            json!({"flag_type": "boolean", "default_value": false, "variants": null, "rollout_enabled": true,
                   "rollout_percentage": percentage})
        };
        check(boolean(10.0), true, Some(&[("true", 0.1), ("false", 0.9)]));
        check(boolean(100.0), false, None);
        check(boolean(0.0), false, None);
    }
}
