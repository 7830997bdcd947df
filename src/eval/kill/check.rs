//! From the document of a kill switch to what it asks for, with a fault for each thing that is wrong.

use std::time::Duration;

use serde_json::{Map, Value};

use super::switch::{Affected, Breaking, KillScope, KillSwitch, Recovering};
use crate::{
    eval::{
        fields::{Reader, describe},
        operator::parse_time,
    },
    model::{Effect, Fault, KillSwitchDocument, did_you_mean},
};

/// The fields that a switch may have.
const FIELDS: [&str; 30] = [
    "id",
    "name",
    "description",
    "scope",
    "scope_value",
    "affected_features",
    "affected_services",
    "affected_segments",
    "exempt_critical",
    "auto_trigger_enabled",
    "error_threshold",
    "latency_threshold",
    "volume_threshold",
    "circuit_breaker_enabled",
    "failure_count_threshold",
    "success_count_threshold",
    "timeout_seconds",
    "half_open_requests",
    "auto_recovery_enabled",
    "recovery_delay_seconds",
    "gradual_recovery",
    "recovery_percentage_steps",
    "recovery_step_seconds",
    "notification_channels",
    "tags",
    "created_at",
    "updated_at",
    "created_by",
    "updated_by",
    "status",
];

/// The longest that anything may take, in seconds: a week.
const LONGEST: f64 = 604_800.0;

/// The most requests that can be asked for.
const MOST: u64 = 1_000_000;

/// What a document asks for, and everything that is wrong with it. What is quarantined must not be used.
#[must_use]
pub fn check(document: &KillSwitchDocument) -> (KillSwitch, Vec<Fault>) {
    let mut read = Reader::new(document.fields());
    read.only("", document.fields(), &FIELDS, Effect::Tolerated);
    descriptive(&mut read);
    let scope = scope(&mut read);
    let value = read.text("scope_value", Effect::Quarantined).map(str::trim).filter(|value| !value.is_empty());
    let [mut features, mut services, mut segments] = ["affected_features", "affected_services", "affected_segments"]
        .map(|name| texts(&mut read, name, Effect::Quarantined));
    let mut region = None;
    match (scope, value) {
        (KillScope::Global, None) => {}
        (KillScope::Global, Some(_)) => {
            read.fault(Effect::Quarantined, "/scope_value", "a global switch takes none: it is about everything");
        }
        (KillScope::Region, value) => region = value.map(Into::into),
        (KillScope::Service, value) => services.extend(value),
        (KillScope::UserSegment, value) => segments.extend(value),
        (KillScope::Feature, value) => features.extend(value),
    }
    let lacks = match scope {
        KillScope::Global => None,
        KillScope::Region => region.is_none().then_some("the region is missing"),
        KillScope::Service => services.is_empty().then_some("name a route or an upstream here or in affected_services"),
        KillScope::UserSegment => segments.is_empty().then_some("name a segment here or in affected_segments"),
        KillScope::Feature => features.is_empty().then_some("name a flag or a tag here or in affected_features"),
    };
    if let Some(what) = lacks {
        read.fault(Effect::Quarantined, "/scope_value", what);
    }
    let status = document.status();
    if let Err(error) = &status {
        read.fault(Effect::Quarantined, "/status", error.to_string());
    }
    let switch = KillSwitch {
        id: document.id().into(),
        scope,
        features: features.into_iter().filter_map(Affected::parse).collect(),
        services: services.into_iter().map(Into::into).collect(),
        region,
        segments: (!segments.is_empty()).then(|| segments.into_iter().map(Into::into).collect()),
        exempts_critical: read.boolean("exempt_critical", false),
        breaking: breaking(&mut read),
        recovering: recovering(&mut read),
        channels: texts(&mut read, "notification_channels", Effect::Tolerated)
            .iter()
            .map(ToString::to_string)
            .collect(),
        status: status.unwrap_or_default(),
    };
    (switch, read.faults)
}

fn descriptive(read: &mut Reader<'_>) {
    match read.get("name").map(Value::as_str) {
        Some(Some(name)) if name.trim().is_empty() => read.fault(Effect::Tolerated, "/name", "the name is empty"),
        Some(Some(_)) => {}
        None | Some(None) => read.fault(Effect::Tolerated, "/name", "the name is missing"),
    }
    for name in ["description", "created_by"] {
        read.text(name, Effect::Tolerated);
    }
    for name in ["created_at", "updated_at"] {
        read.typed(name, Effect::Tolerated, "a time like \"2026-01-31T12:00:00Z\"", |value| {
            parse_time(value.as_str()?)
        });
    }
    texts(read, "tags", Effect::Tolerated);
}

fn scope(read: &mut Reader<'_>) -> KillScope {
    let names = KillScope::ALL.map(KillScope::as_str);
    let Some(given) = read.text("scope", Effect::Quarantined) else { return KillScope::Feature };
    let found = KillScope::ALL.into_iter().find(|scope| scope.as_str() == given);
    found.unwrap_or_else(|| {
        let hint = did_you_mean(given, names);
        let message = format!("there is no scope {given:?}{hint}; known are {}", names.join(", "));
        read.fault(Effect::Quarantined, "/scope", message);
        KillScope::Feature
    })
}

/// An array of texts, none of which is empty.
fn texts<'d>(read: &mut Reader<'d>, name: &str, effect: Effect) -> Vec<&'d str> {
    let items = read.typed(name, effect, "an array of strings", Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut texts = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let text = item.as_str().filter(|text| !text.trim().is_empty() && *text != Affected::TAG);
        match text {
            Some(text) => texts.push(text),
            None => {
                let message = format!("expected a string that is not empty, found {}", describe(item));
                read.fault(effect, format!("/{name}/{position}"), message);
            }
        }
    }
    texts
}

fn breaking(read: &mut Reader<'_>) -> Option<Breaking> {
    let breaking = Breaking {
        error_threshold: number(read, "error_threshold", (f64::MIN_POSITIVE, 100.0), "a percentage above 0", 50.0),
        latency_threshold: read.get("latency_threshold").is_some().then(|| seconds(read, "latency_threshold", 1.0)),
        volume_threshold: count(read, "volume_threshold", 20),
        is_circuit: read.boolean("circuit_breaker_enabled", false),
        failure_count_threshold: count(read, "failure_count_threshold", 5),
        success_count_threshold: count(read, "success_count_threshold", 3),
        timeout: seconds(read, "timeout_seconds", 60.0),
        half_open_requests: count(read, "half_open_requests", 3),
    };
    read.boolean("auto_trigger_enabled", false).then_some(breaking)
}

fn recovering(read: &mut Reader<'_>) -> Recovering {
    let steps = read.typed(
        "recovery_percentage_steps",
        Effect::Quarantined,
        "percentages above 0 and up to 100, each higher than the one before",
        |value| {
            let steps: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            let rises = steps.windows(2).all(|pair| pair[0] < pair[1]);
            (rises && steps.len() <= 100 && steps.iter().all(|step| *step > 0.0 && *step <= 100.0)).then_some(steps)
        },
    );
    let gradual = read.boolean("gradual_recovery", true);
    let steps = steps.unwrap_or_else(|| vec![10.0, 25.0, 50.0, 100.0]);
    Recovering {
        is_automatic: read.boolean("auto_recovery_enabled", false),
        delay: seconds(read, "recovery_delay_seconds", 300.0),
        steps: if gradual && !steps.is_empty() { steps } else { vec![100.0] },
        step: seconds(read, "recovery_step_seconds", 60.0),
    }
}

fn number(read: &mut Reader<'_>, name: &str, (from, to): (f64, f64), wanted: &str, default: f64) -> f64 {
    let within = |value: &Value| value.as_f64().filter(|number| (from..=to).contains(number));
    read.typed(name, Effect::Quarantined, wanted, within).unwrap_or(default)
}

fn seconds(read: &mut Reader<'_>, name: &str, default: f64) -> Duration {
    Duration::from_secs_f64(number(read, name, (0.0, LONGEST), "seconds from 0 to 604800", default))
}

fn count(read: &mut Reader<'_>, name: &str, default: u64) -> u64 {
    let within = |value: &Value| value.as_u64().filter(|count| (1..=MOST).contains(count));
    read.typed(name, Effect::Quarantined, "a whole number from 1 to 1000000", within).unwrap_or(default)
}

/// A place in a document, and what is named there.
type Reference<'d> = (String, &'d str);

/// The places at which a document names flags (keys, not tags) and segments.
pub(crate) fn references(fields: &Map<String, Value>) -> (Vec<Reference<'_>>, Vec<Reference<'_>>) {
    let listed = |name: &'static str| {
        let items = fields.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        items.filter_map(move |(position, item)| Some((format!("/{name}/{position}"), item.as_str()?)))
    };
    let named = |scope: &str| {
        let value = fields.get("scope_value").and_then(Value::as_str).filter(|value| !value.trim().is_empty());
        let own = fields.get("scope").and_then(Value::as_str).unwrap_or(KillScope::Feature.as_str());
        value.filter(|_| own == scope).map(|value| ("/scope_value".to_owned(), value.trim()))
    };
    let flags = listed("affected_features").chain(named(KillScope::Feature.as_str()));
    let flags = flags.filter(|(_, entry)| !entry.starts_with(Affected::TAG)).collect();
    (flags, listed("affected_segments").chain(named(KillScope::UserSegment.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(mut fields: Value) -> (KillSwitch, Vec<(String, String, Effect)>) {
        fields["id"] = "k".into();
        fields["name"] = "K".into();
        let (switch, faults) = check(&KillSwitchDocument::parse(&fields.to_string()).unwrap());
        (switch, faults.into_iter().map(|fault| (fault.pointer, fault.message, fault.effect)).collect())
    }

    #[test]
    fn what_scopes_ask_for() {
        let (switch, faults) = checked(json!({ "scope": "region", "scope_value": "eu", "exempt_critical": true }));
        assert!(faults.is_empty() && switch.takes_all(), "{faults:?}");
        assert!(switch.selects("a", &[]) && !switch.selects("a", &["critical".into()]));
        assert!(switch.is_here(Some("eu")) && !switch.is_here(Some("us")) && !switch.is_here(None));
        let (switch, _) = checked(json!({ "scope": "global", "affected_services": ["checkout"] }));
        assert!(!switch.selects("a", &[]), "who lists something means that alone");
        let (switch, _) = checked(json!({ "scope_value": "a", "affected_features": ["tag:beta", "b"] }));
        let selected =
            [("a", ""), ("b", ""), ("c", ""), ("c", "beta")].map(|(key, tag)| switch.selects(key, &[tag.into()]));
        assert_eq!(selected, [true, true, false, true]);
        let (switch, _) =
            checked(json!({ "scope": "user_segment", "scope_value": "vip", "affected_segments": ["staff"] }));
        assert_eq!(switch.segments.unwrap().len(), 2);
        let (switch, _) = checked(json!({ "scope": "service", "scope_value": "web" }));
        assert_eq!((switch.services.len(), switch.recovering.steps), (1, vec![10.0, 25.0, 50.0, 100.0]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (fields, pointer, message) in [
            (json!({ "scope": "globl" }), "/scope", "did you mean \"global\"?"),
            (json!({ "scope": "planet" }), "/scope", "known are global"),
            (json!({ "scope": 1 }), "/scope", "expected a string"),
            (json!({ "scope": "global", "scope_value": "x" }), "/scope_value", "takes none"),
            (json!({ "scope": "region" }), "/scope_value", "the region is missing"),
            (json!({ "scope": "service" }), "/scope_value", "name a route"),
            (json!({ "scope": "user_segment", "scope_value": " " }), "/scope_value", "name a segment"),
            (json!({}), "/scope_value", "name a flag"),
            (json!({ "affected_features": ["a", ""] }), "/affected_features/1", "not empty"),
            (json!({ "affected_features": ["tag:"] }), "/affected_features/0", "not empty"),
            (json!({ "affected_features": "a" }), "/affected_features", "an array of strings"),
            (json!({ "scope_value": "a", "error_threshold": 0 }), "/error_threshold", "above 0"),
            (json!({ "scope_value": "a", "error_threshold": 101 }), "/error_threshold", "above 0"),
            (json!({ "scope_value": "a", "volume_threshold": 0.5 }), "/volume_threshold", "whole number"),
            (json!({ "scope_value": "a", "latency_threshold": -1 }), "/latency_threshold", "seconds"),
            (json!({ "scope_value": "a", "recovery_delay_seconds": 1e9 }), "/recovery_delay_seconds", "seconds"),
            (
                json!({ "scope_value": "a", "recovery_percentage_steps": [50, 10] }),
                "/recovery_percentage_steps",
                "higher",
            ),
            (
                json!({ "scope_value": "a", "recovery_percentage_steps": ["10"] }),
                "/recovery_percentage_steps",
                "higher",
            ),
            (
                json!({ "scope_value": "a", "eror_threshold": 5 }),
                "/eror_threshold",
                "did you mean \"error_threshold\"?",
            ),
            (json!({ "scope_value": "a", "status": { "state": "dead" } }), "/status", "unknown variant"),
        ] {
            let (_, faults) = checked(fields.clone());
            let told = faults.iter().any(|(at, what, _)| at == pointer && what.contains(message));
            assert!(told, "{fields}: {faults:?}");
        }
    }
}
