//! What is refused in a document, and where.

use flaggate::{delivery::deployment::Deployment, model::DeploymentDocument};
use serde_json::{Value, json};

use crate::world::{flags, routes};

/// The example of the documentation.
fn whole() -> Value {
    json!({ "id": "checkout", "name": "New checkout", "version": "2.0.0", "max_duration_hours": 48, "stages": [
        { "name": "switch_backend", "strategy": "blue_green",
          "config": { "route": "web", "smoke_tests": [{ "path": "/healthz", "expected_status": 200 }], "bake": "2m", "scale_down_delay": "5m" },
          "gates": [{ "type": "metric_based", "thresholds": { "error_rate": 1.0, "latency_p95": 0.5 }, "timeout_minutes": 15 }] },
        { "name": "enable_feature", "strategy": "feature_flag", "dependencies": ["switch_backend"],
          "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 5, "duration": "1h" }, { "percentage": 100, "duration": "8h" }] },
          "gates": [{ "type": "manual", "required_approvers": ["product", "engineering"] }] },
        { "name": "frontend_canary", "strategy": "canary", "dependencies": ["enable_feature"], "rollback_on_failure": true,
          "config": { "route": "web", "steps": [{ "set_weight": 5 }, { "pause": "10m" }, { "analysis": "10m" }, { "set_weight": 50 }, { "pause": {} }, { "set_weight": 100 }],
            "analysis": { "interval": "5s", "initial_delay": "30s", "alpha": 0.01, "min_requests": 200, "min_users": 50,
              "metrics": [{ "name": "error_rate", "max_ratio": 1.5, "max_absolute": 0.05 }, { "name": "latency", "quantile": 0.95, "max_ratio": 1.2 }],
              "on_failure": "rollback", "on_inconclusive": "pause", "on_no_data": "inconclusive", "deadline": "2h" } } },
    ] })
}

fn read(document: &Value) -> Result<Deployment, Vec<(String, String)>> {
    let read = Deployment::read(&DeploymentDocument::parse(&document.to_string()).unwrap(), &routes());
    read.map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect())
}

/// The whole document with one place replaced by something else; what is expected is a part of the message.
#[track_caller]
fn refused(pointer: &str, value: Value, at: &str, message: &str) {
    let mut document = whole();
    match document.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    let faults = read(&document).unwrap_err();
    assert!(faults.iter().any(|(found, text)| found == at && text.contains(message)), "{pointer}: {faults:?}");
}

#[test]
fn the_example_is_read() {
    let deployment = read(&whole()).unwrap();
    let steps: Vec<Vec<String>> =
        deployment.stages.iter().map(|stage| stage.steps.iter().map(|step| step.describe()).collect()).collect();
    assert_eq!(steps[0], ["smoke tests", "switch", "wait 2m", "wait 5m", "metric_based gate"]);
    assert_eq!(steps[1], ["5 %", "wait 1h", "100 %", "wait 8h", "manual gate"]);
    assert_eq!(steps[2], ["5 %", "wait 10m", "analysis 10m", "50 %", "hold", "100 %"]);
    let touched: Vec<&str> = deployment.flags().map(|flag| &**flag).collect();
    assert_eq!(touched, ["web-side", "feature", "web-canary"]);
    let flags = flags();
    let keys: Vec<&str> = flags.keys().map(|key| &**key).collect();
    assert_eq!(deployment.check_flags(|key| flags.get(key), keys.iter().copied()), []);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let first = "/stages/0";
    refused("/stages", json!([]), "/stages", "at least one");
    refused("/stages", json!({}), "/stages", "expected an array");
    refused("/stagse", json!([]), "/stagse", "did you mean \"stages\"?");
    refused("/id", json!("a/b"), "/id", "letters");
    refused("/max_duration_hours", json!(-1), "/max_duration_hours", "expected a number");
    refused("/stages/0/strategy", json!("bluegreen"), "/stages/0/strategy", "did you mean \"blue_green\"?");
    refused(
        "/stages/1/dependencies",
        json!(["switch_backen"]),
        "/stages/1/dependencies/0",
        "did you mean \"switch_backend\"?",
    );
    refused(
        "/stages/0/dependencies",
        json!(["frontend_canary"]),
        &format!("{first}/dependencies"),
        "in a circle: switch_backend → frontend_canary → enable_feature → switch_backend",
    );
    refused("/stages/1/name", json!("switch_backend"), "/stages/1/name", "two stages");
    refused("/stages/0/config/route", json!("webb"), "/stages/0/config/route", "did you mean \"web\"?");
    refused(
        "/stages/0/config/route",
        json!("plain"),
        "/stages/0/config/route",
        "has no blue_green; routes with one are web, api",
    );
    refused("/stages/2/config/route", json!("plain"), "/stages/2/config/route", "has no canary");
    refused("/stages/0/config/bake", json!("2 weeks"), "/stages/0/config/bake", "a duration like");
    refused("/stages/0/config/bake", json!(5), "/stages/0/config/bake", "a duration like");
    refused("/stages/0/config/to", json!("red"), "/stages/0/config/to", "blue");
    refused("/stages/0/config/smoke_tests/0/path", json!("healthz"), "/stages/0/config/smoke_tests/0/path", "a path");
    refused(
        "/stages/0/config/smoke_tests/0/expected_status",
        json!(1200),
        "/stages/0/config/smoke_tests/0/expected_status",
        "100 to 599",
    );
    refused("/stages/0/gates/0/type", json!("metric"), "/stages/0/gates/0/type", "there is no gate");
    refused("/stages/0/gates/0/thresholds", json!({}), "/stages/0/gates/0", "thresholds, a query");
    refused(
        "/stages/0/gates/0/thresholds",
        json!({ "latency_p96": 1 }),
        "/stages/0/gates/0/thresholds/latency_p96",
        "did you mean",
    );
    refused(
        "/stages/0/gates/0/query",
        json!({ "prometheus": "x", "expr": "up" }),
        "/stages/0/gates/0/query",
        "a min, a max",
    );
    for place in ["ftp://p:9090", "http://", "http://p:9090/?x=", "http://p:9090/-/quit#", "http://ann:pw@p:9090"] {
        refused(
            "/stages/0/gates/0/query",
            json!({ "prometheus": place, "expr": "up", "max": 1 }),
            "/stages/0/gates/0/query/prometheus",
            "the address of a Prometheus",
        );
    }
    refused(
        "/stages/0/config/smoke_tests",
        json!(vec![json!({ "path": "/" }); 51]),
        "/stages/0/config/smoke_tests",
        "at most 50",
    );
    refused("/stages/1/gates/0", json!({ "type": "scheduled", "windows": [] }), "/stages/1/gates/0", "schedule_time");
    refused(
        "/stages/1/gates/0/required_approvers",
        json!([]),
        "/stages/1/gates/0/required_approvers",
        "who have to approve",
    );
    refused("/stages/1/gates/0", json!({ "type": "scheduled" }), "/stages/1/gates/0", "schedule_time");
    refused("/stages/1/config/flag_key", Value::Null, "/stages/1/config/flag_key", "missing");
    refused(
        "/stages/1/config/rollout_stages/0/percentage",
        json!(500),
        "/stages/1/config/rollout_stages/0/percentage",
        "0 to 100",
    );
    refused(
        "/stages/2/config/steps/0",
        json!({ "set_weight": 5, "pause": {} }),
        "/stages/2/config/steps/0",
        "exactly one",
    );
    refused(
        "/stages/2/config/steps/1",
        json!({ "pause": 10 }),
        "/stages/2/config/steps/1/pause",
        "{} to wait for a person",
    );
    refused(
        "/stages/2/config/steps/1",
        json!({ "paus": "1m" }),
        "/stages/2/config/steps/1/paus",
        "did you mean \"pause\"?",
    );
    refused(
        "/stages/2/config/steps/0",
        json!({ "set_weight": 0 }),
        "/stages/2/config/steps/2",
        "before a set_weight above 0",
    );
    refused("/stages/2/config/analysis", Value::Null, "/stages/2/config/steps/2", "no `analysis`");
    refused("/stages/2/config/steps", json!([{ "pause": "1m" }]), "/stages/2/config/steps", "a set_weight");
    let progressive = json!({ "name": "p", "strategy": "progressive", "config": { "route": "web", "interval_seconds": 60, "shadow": "1m" } });
    refused("/stages/2", progressive, "/stages/2/config/thresholds", "missing");
    let shadow = json!({ "name": "p", "strategy": "shadow", "config": { "route": "plain", "duration": "1m", "thresholds": { "error_rate": 1 } } });
    refused("/stages/2", shadow, "/stages/2/config/route", "has no mirror");
}

#[test]
fn parallel_stages_do_not_touch_the_same_flag() {
    let stage = |name: &str, dependencies: Value| {
        json!({ "name": name, "strategy": "feature_flag", "dependencies": dependencies,
            "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 5 }] } })
    };
    let document = |second: Value| json!({ "id": "d", "parallel_stages": true, "stages": [stage("a", json!([])), stage("b", second)] });
    let faults = read(&document(json!([]))).unwrap_err();
    assert!(faults[0].1.contains("one of them has to depend on the other"), "{faults:?}");
    read(&document(json!(["a"]))).unwrap();
}

/// Each stage depends on all before it: there are more ways through them than anybody can go.
#[test]
fn very_many_dependencies_are_read_at_once() {
    let stage = |name: String, dependencies: Vec<String>, flag: &str| {
        json!({ "name": name, "strategy": "feature_flag", "dependencies": dependencies,
            "config": { "flag_key": flag, "rollout_stages": [{ "percentage": 5 }] } })
    };
    let mut names: Vec<String> = Vec::new();
    let mut stages = Vec::new();
    for number in 0..98 {
        stages.push(stage(format!("s{number}"), names.clone(), "other"));
        names.push(format!("s{number}"));
    }
    stages.push(stage("last".to_owned(), names, "feature"));
    stages.push(stage("alone".to_owned(), Vec::new(), "feature"));
    let faults = read(&json!({ "id": "d", "parallel_stages": true, "stages": stages })).unwrap_err();
    assert!(faults.len() == 1 && faults[0].0 == "/stages/99", "{faults:?}");
}

#[test]
fn shares_are_round() {
    let document = json!({ "id": "d", "stages": [{ "name": "p", "strategy": "progressive", "config": { "route": "web",
        "initial_weight": 5, "increment": 0.1, "interval_seconds": 60, "thresholds": { "error_rate": 1 }, "max_weight": 6 } }] });
    let steps: Vec<String> = read(&document).unwrap().stages[0].steps.iter().map(|step| step.describe()).collect();
    let shares: Vec<&str> = steps.iter().map(String::as_str).filter(|step| step.ends_with('%')).collect();
    assert_eq!(shares[..4], ["5 %", "5.1 %", "5.2 %", "5.3 %"]);
    assert_eq!(shares[shares.len() - 2..], ["6 %", "100 %"]);
}

#[test]
fn progressive_is_a_shadow_and_a_canary() {
    let document = json!({ "id": "d", "stages": [
        { "name": "first", "strategy": "feature_flag", "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 100 }] } },
        { "name": "p", "strategy": "progressive", "dependencies": ["first"], "config": { "route": "web", "shadow": "10m", "initial_weight": 10,
            "increment": 40, "max_weight": 60, "interval_seconds": 60, "thresholds": { "error_rate": 1, "latency_p95": 0.5 } } },
        { "name": "last", "strategy": "feature_flag", "dependencies": ["p"], "config": { "flag_key": "other", "rollout_stages": [{ "percentage": 100 }] } },
    ] });
    let deployment = read(&document).unwrap();
    let names: Vec<&str> = deployment.stages.iter().map(|stage| &*stage.name).collect();
    assert_eq!(names, ["first", "p:shadow", "p", "last"]);
    let dependencies: Vec<&[usize]> = deployment.stages.iter().map(|stage| &stage.dependencies[..]).collect();
    assert_eq!(dependencies, [&[][..], &[0], &[1], &[2]]);
    let steps = |stage: usize| deployment.stages[stage].steps.iter().map(|step| step.describe()).collect::<Vec<_>>();
    assert_eq!(steps(1), ["100 %", "compare 10m", "back"]);
    assert_eq!(steps(2), ["10 %", "analysis 1m", "50 %", "analysis 1m", "60 %", "analysis 1m", "100 %"]);
}

#[test]
fn flags_that_cannot_be_set_are_told() {
    let mut flags = flags();
    let deployment = read(&whole()).unwrap();
    let wrong = json!({ "key": "feature", "name": "f", "environments": { "live": { "rollout_percentage": 3 } } });
    flags.insert("feature".into(), flaggate::model::FlagDocument::parse(&wrong.to_string()).unwrap());
    let wrong = json!({ "key": "web-side", "name": "s", "flag_type": "string", "default_value": "blue" });
    flags.insert("web-side".into(), flaggate::model::FlagDocument::parse(&wrong.to_string()).unwrap());
    flags.remove("web-canary");
    let keys: Vec<&str> = flags.keys().map(|key| &**key).collect();
    let faults = deployment.check_flags(|key| flags.get(key), keys.iter().copied());
    let told: Vec<(&str, bool)> = faults.iter().map(|fault| (&*fault.pointer, true)).collect();
    assert_eq!(
        told,
        [("/stages/0/config/route", true), ("/stages/1/config/flag_key", true), ("/stages/2/config/route", true)]
    );
    assert!(faults[0].message.contains("no variant \"blue\""), "{faults:?}");
    assert!(faults[1].message.contains("environment \"live\""), "{faults:?}");
    assert!(faults[2].message.contains("there is no flag \"web-canary\""), "{faults:?}");
}
