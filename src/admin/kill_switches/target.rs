//! What `/kill` and `/kill/lift` are asked to kill, and the switch that does.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    admin::{
        Admin,
        form::{Form, Kind},
        refusal::{Issue, Refusal},
    },
    eval::{Affected, KillScope},
    model::{did_you_mean, is_writable_key},
    snapshot::Snapshot,
};

/// The fields that name a target.
pub(super) const FIELDS: [&str; 8] =
    ["flags", "tags", "segments", "service", "services", "region", "all", "exempt_critical"];

/// What is to be killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    flags: Vec<String>,
    tags: Vec<String>,
    segments: Vec<String>,
    services: Vec<String>,
    region: Option<String>,
    is_all: bool,
    exempts_critical: bool,
}

impl Target {
    /// Takes a target out of a body; none: it names nothing.
    pub(super) fn take(form: &mut Form) -> Option<Self> {
        let mut texts = |name: &str| {
            let texts = form.nullable(name, Kind::Texts);
            let texts = texts.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            let mut texts: Vec<String> = texts.map(str::to_owned).collect();
            // The order in which they are named makes no other switch.
            texts.sort_unstable();
            texts.dedup();
            texts
        };
        let (flags, tags, segments) = (texts("flags"), texts("tags"), texts("segments"));
        let mut services = texts("services");
        let mut text = |name: &str| Some(form.nullable(name, Kind::Text)?.as_str()?.to_owned());
        services.extend(text("service"));
        let region = text("region");
        let mut truth = |name: &str| form.nullable(name, Kind::Boolean).is_some_and(|value| value == true);
        let (is_all, exempts_critical) = (truth("all"), truth("exempt_critical"));
        let target = Self { flags, tags, segments, services, region, is_all, exempts_critical };
        let names_nothing = Self { exempts_critical, ..Self::default() } == target;
        (!names_nothing).then_some(target)
    }

    /// Refuses what names nothing that there is: who kills must not be left to believe that it is done.
    pub(super) fn check(&self, snapshot: &Snapshot, admin: &Admin) -> Result<(), Refusal> {
        let mut issues = Vec::new();
        let mut refuse = |name: &str, position: Option<usize>, message: String| {
            let issue = Issue::of_body(message, "value_error").at(name);
            issues.push(match position {
                Some(position) => issue.at(position),
                None => issue,
            });
        };
        for (position, key) in self.flags.iter().enumerate().filter(|(_, key)| snapshot.flag(key).is_none()) {
            refuse("flags", Some(position), format!("there is no flag {key:?}{}", did_you_mean(key, snapshot.keys())));
        }
        let tags = snapshot.tags();
        for (position, tag) in self.tags.iter().enumerate().filter(|(_, tag)| !tags.contains(tag.as_str())) {
            let hint = did_you_mean(tag, tags.iter().copied());
            refuse("tags", Some(position), format!("no flag has the tag {tag:?}{hint}"));
        }
        for (position, id) in self.segments.iter().enumerate().filter(|(_, id)| snapshot.segment(id).is_none()) {
            let hint = did_you_mean(id, snapshot.segments().map(|(_, segment)| segment.id()));
            refuse("segments", Some(position), format!("there is no segment {id:?}{hint}"));
        }
        let config = admin.config.get();
        let is_unknown = |name: &str| config.services().all(|known| known != name);
        for (position, name) in self.services.iter().enumerate().filter(|(_, name)| is_unknown(name)) {
            let hint = did_you_mean(name, config.services());
            refuse("services", Some(position), format!("this gateway has no route or upstream {name:?}{hint}"));
        }
        if self.region.is_some() && !self.segments.is_empty() {
            refuse("region", None, "either a region or segments: one switch is not about both".to_owned());
        }
        if self.region.as_ref().is_some_and(|region| region.trim().is_empty()) {
            refuse("region", None, "the region is empty".to_owned());
        }
        if self.is_all && !(self.flags.is_empty() && self.tags.is_empty() && self.services.is_empty()) {
            refuse("all", None, "either all, or flags, tags and services".to_owned());
        }
        Refusal::of_issues(issues)
    }

    fn scope(&self) -> KillScope {
        if self.region.is_some() {
            KillScope::Region
        } else if !self.segments.is_empty() {
            KillScope::UserSegment
        } else if self.is_all {
            KillScope::Global
        } else if self.flags.is_empty() && self.tags.is_empty() {
            KillScope::Service
        } else {
            KillScope::Feature
        }
    }

    /// The fields of the switch that kills it.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let tags = self.tags.iter().map(|tag| format!("{}{tag}", Affected::TAG));
        let features: Vec<String> = self.flags.iter().cloned().chain(tags).collect();
        let fields = json!({
            "scope": self.scope().as_str(),
            "scope_value": self.region,
            "affected_features": features,
            "affected_services": self.services,
            "affected_segments": self.segments,
            "exempt_critical": self.exempts_critical,
        });
        let Value::Object(mut fields) = fields else { return Map::new() };
        fields.retain(|_, value| !value.is_null());
        fields
    }

    /// The id of the switch that kills it: always the same for the same target, so that killing it again makes no second.
    pub(super) fn id(&self) -> String {
        let lists =
            [("flag", &self.flags), ("tag", &self.tags), ("segment", &self.segments), ("service", &self.services)];
        let region = self.region.as_ref().map(|region| ("region", region.as_str()));
        let named = lists.iter().flat_map(|(kind, names)| names.iter().map(|name| (*kind, name.as_str())));
        let mut named = named.chain(region);
        let spared = if self.exempts_critical { "-but-critical" } else { "" };
        let id = match (named.next(), named.next()) {
            (None, _) => format!("kill-all{spared}"),
            (Some((kind, name)), None) => format!("kill-{kind}-{name}{spared}"),
            (Some(_), Some(_)) => String::new(),
        };
        if is_writable_key(&id) {
            return id;
        }
        let print = Sha256::digest(Value::Object(self.fields()).to_string());
        print.iter().take(6).fold("kill-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
    }

    /// What people call the switch.
    pub(super) fn name(&self) -> String {
        let mut parts = Vec::new();
        let mut list = |what: &str, names: &[String]| match names {
            [] => {}
            [name] => parts.push(format!("{what} {name}")),
            [first, rest @ ..] => parts.push(format!("{what}s {first} and {} more", rest.len())),
        };
        list("flag", &self.flags);
        list("tag", &self.tags);
        list("service", &self.services);
        if parts.is_empty() {
            parts.push("everything".to_owned());
        }
        let mut name = parts.join(", ");
        if let Some(region) = &self.region {
            name += &format!(" in {region}");
        }
        if !self.segments.is_empty() {
            name += &format!(" for {}", self.segments.join(", "));
        }
        if self.exempts_critical {
            name += " but what is critical";
        }
        name
    }

    /// The flags that it names.
    pub(super) fn flags(&self) -> &[String] {
        &self.flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(body: Value) -> Option<Target> {
        let mut form = Form::new(body.as_object().cloned().unwrap());
        Target::take(&mut form)
    }

    #[test]
    fn one_target_has_one_switch() {
        for (body, scope, id) in [
            (json!({ "flags": ["a"] }), "feature", "kill-flag-a"),
            (json!({ "tags": ["beta"] }), "feature", "kill-tag-beta"),
            (json!({ "service": "checkout" }), "service", "kill-service-checkout"),
            (json!({ "region": "eu-west-1" }), "region", "kill-region-eu-west-1"),
            (json!({ "segments": ["vip"] }), "user_segment", "kill-segment-vip"),
            (json!({ "all": true }), "global", "kill-all"),
            (json!({ "all": true, "exempt_critical": true }), "global", "kill-all-but-critical"),
        ] {
            let target = target(body.clone()).unwrap();
            assert_eq!((target.scope().as_str(), target.id().as_str()), (scope, id), "{body}");
        }
        let of = |body: Value| target(body).unwrap().id();
        assert_eq!(of(json!({ "flags": ["a", "b"] })), of(json!({ "flags": ["b", "a", "b"] })));
        assert_ne!(of(json!({ "flags": ["a", "b"] })), of(json!({ "flags": ["a"], "tags": ["b"] })));
        assert_ne!(of(json!({ "flags": ["a"], "region": "eu" })), of(json!({ "flags": ["a"], "region": "us" })));
        assert!(is_writable_key(&of(json!({ "flags": ["x".repeat(128)] }))));
        assert!(is_writable_key(&of(json!({ "service": "a b/c" }))));
        assert_eq!((target(json!({})), target(json!({ "all": false }))), (None, None));
    }

    #[test]
    fn it_has_a_name() {
        let name = |body: Value| target(body).unwrap().name();
        assert_eq!(name(json!({ "flags": ["a", "b", "c"], "tags": ["t"] })), "flags a and 2 more, tag t");
        assert_eq!(name(json!({ "region": "eu", "exempt_critical": true })), "everything in eu but what is critical");
    }
}
