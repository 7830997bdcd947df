//! Strategies: what each makes of its configuration. They all end in steps.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    Gate, Route, Setting, Side, Smoke, SmokeTest, Stage, Step, Thresholds,
    read::{DURATION, Faults, Fields, duration_of},
};
use crate::{delivery::judge::Analysis, model::did_you_mean};

/// The names of the strategies.
const STRATEGIES: [&str; 5] = ["blue_green", "canary", "feature_flag", "shadow", "progressive"];

/// How long smoke tests are tried unless the document says otherwise.
const SMOKE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most smoke tests: each endpoint is asked all of them, one after the other.
const MOST_TESTS: usize = 50;

/// The most steps of a stage.
const MOST_STEPS: usize = 1_000;

/// A stage without its dependencies, and the stage that it needs before it, if it does.
pub(super) fn read(
    faults: &mut Faults,
    own: &Fields<'_>,
    name: Arc<str>,
    routes: &[Route],
) -> Option<(Option<Stage>, Stage)> {
    let wanted = own.needed_text(faults, "strategy");
    own.need(faults, "config");
    let gates = own.objects(faults, "gates");
    let gates: Vec<Gate> = gates.iter().filter_map(|gate| Gate::read(faults, gate)).collect();
    let config = own.object(faults, "config");
    let wanted = wanted?;
    let Some(strategy) = STRATEGIES.into_iter().find(|known| *known == wanted) else {
        let hint = did_you_mean(wanted, STRATEGIES);
        let message = format!("there is no strategy {wanted:?}{hint}; strategies are {}", STRATEGIES.join(", "));
        faults.add(own.place("strategy"), message);
        return None;
    };
    let config = config?;
    let mut stage = Stage {
        name,
        strategy,
        dependencies: Vec::new(),
        rolls_back: true,
        flag: None,
        route: None,
        to: None,
        smoke: None,
        analysis: None,
        thresholds: None,
        steps: Vec::new(),
        at: own.at.clone(),
    };
    let mut first = None;
    match strategy {
        "blue_green" => blue_green(faults, &config, routes, &mut stage),
        "canary" => canary(faults, &config, routes, &mut stage),
        "feature_flag" => feature_flag(faults, &config, &mut stage),
        "shadow" => shadow(faults, &config, routes, &mut stage),
        _ => {
            progressive(faults, &config, routes, &mut stage);
            first = shadow_first(faults, &config, &stage);
        }
    }
    if stage.steps.len() > MOST_STEPS {
        faults.add(config.at, format!("a stage has at most {MOST_STEPS} steps"));
    }
    let (before, after): (Vec<Gate>, Vec<Gate>) = gates.into_iter().partition(|gate| gate.is_before);
    let steps = std::mem::take(&mut stage.steps);
    let (before, after) = (before.into_iter().map(Step::Gate), after.into_iter().map(Step::Gate));
    stage.steps = before.chain(steps).chain(after).collect();
    Some((first, stage))
}

fn blue_green(faults: &mut Faults, config: &Fields<'_>, routes: &[Route], stage: &mut Stage) {
    config.only(faults, &["route", "to", "smoke_tests", "smoke_timeout", "thresholds", "bake", "scale_down_delay"]);
    let route = route(faults, config, routes, "blue_green", |route| route.blue_green.is_some());
    stage.flag = route.and_then(|route| Some(route.blue_green.as_ref()?.flag.clone()));
    stage.route = route.cloned();
    if let Some(to) = config.text(faults, "to") {
        stage.to = Side::named(to);
        if stage.to.is_none() {
            faults.add(config.place("to"), format!("expected \"blue\" or \"green\", found {to:?}"));
        }
    }
    stage.smoke = Some(smoke(faults, config));
    stage.thresholds = thresholds(faults, config);
    let waits = ["bake", "scale_down_delay"].map(|name| config.duration(faults, name).map(Step::Wait));
    stage.steps = [Step::Smoke, Step::Set(Setting::Switch)].into_iter().chain(waits.into_iter().flatten()).collect();
}

fn canary(faults: &mut Faults, config: &Fields<'_>, routes: &[Route], stage: &mut Stage) {
    config.only(faults, &["route", "steps", "analysis", "thresholds", "smoke_tests", "smoke_timeout"]);
    on_canary(faults, config, routes, stage);
    config.need(faults, "steps");
    let place = config.place("steps");
    let mut weight = 0.0;
    for (position, step) in config.array(faults, "steps").iter().enumerate() {
        let at = format!("{place}/{position}");
        let Some(step) = canary_step(faults, &at, step) else { continue };
        match step {
            Step::Set(Setting::Share(share)) => weight = share,
            Step::Analysis(_) if stage.analysis.is_none() && stage.thresholds.is_none() => {
                faults.add(at, "there is no `analysis` in the config that says what is judged");
            }
            Step::Analysis(_) if weight <= 0.0 => faults.add(at, "nothing can be judged before a set_weight above 0"),
            Step::Analysis(_)
            | Step::Set(Setting::Switch | Setting::Back)
            | Step::Smoke
            | Step::Wait(_)
            | Step::Hold
            | Step::Compare(_)
            | Step::Gate(_) => {}
        }
        stage.steps.push(step);
    }
    if config.get("steps").is_some() && !stage.steps.iter().any(|step| matches!(step, Step::Set(_))) {
        faults.add(place, "a canary has at least one step with a set_weight");
    }
}

/// What all strategies on a route's canary have in common.
fn on_canary(faults: &mut Faults, config: &Fields<'_>, routes: &[Route], stage: &mut Stage) {
    let route = route(faults, config, routes, "canary", |route| route.canary.is_some());
    stage.flag = route.and_then(|route| Some(route.canary.as_ref()?.0.clone()));
    stage.route = route.cloned();
    stage.analysis = analysis(faults, config);
    stage.thresholds = thresholds(faults, config);
    stage.smoke = Some(smoke(faults, config));
    if config.get("smoke_tests").is_some() {
        stage.steps.push(Step::Smoke);
    }
}

fn canary_step(faults: &mut Faults, at: &str, step: &Value) -> Option<Step> {
    let step = faults.object(at, step)?;
    step.only(faults, &["set_weight", "pause", "analysis"]);
    let mut entries = step.entries();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        faults.add(at, "a step has exactly one of set_weight, pause and analysis");
        return None;
    };
    match name.as_str() {
        "set_weight" => {
            step.need(faults, name);
            step.number(faults, name, (0.0, 100.0)).map(|share| Step::Set(Setting::Share(share)))
        }
        "pause" if value.as_object().is_some_and(serde_json::Map::is_empty) => Some(Step::Hold),
        "pause" | "analysis" => {
            // `{"duration": "10m"}` is the long form.
            let inner = value.as_object().filter(|inner| inner.len() == 1).and_then(|inner| inner.get("duration"));
            let Some(time) = duration_of(inner.unwrap_or(value)) else {
                let or = if name == "pause" { ", or {} to wait for a person" } else { "" };
                faults.add(step.place(name), format!("expected {DURATION}{or}"));
                return None;
            };
            Some(if name == "pause" { Step::Wait(time) } else { Step::Analysis(time) })
        }
        _ => None,
    }
}

fn feature_flag(faults: &mut Faults, config: &Fields<'_>, stage: &mut Stage) {
    config.only(faults, &["flag_key", "rollout_stages", "analysis", "thresholds"]);
    stage.flag = config.needed_text(faults, "flag_key").map(Arc::from);
    stage.analysis = analysis(faults, config);
    stage.thresholds = thresholds(faults, config);
    config.need(faults, "rollout_stages");
    let parts = config.objects(faults, "rollout_stages");
    if config.get("rollout_stages").is_some() && parts.is_empty() {
        faults.add(config.place("rollout_stages"), "a rollout has at least one stage");
    }
    let is_judged = stage.analysis.is_some();
    for part in parts {
        part.only(faults, &["percentage", "duration"]);
        part.need(faults, "percentage");
        let Some(share) = part.number(faults, "percentage", (0.0, 100.0)) else { continue };
        stage.steps.push(Step::Set(Setting::Share(share)));
        let time = part.duration(faults, "duration");
        // Nobody is left to compare with once all have it.
        let step =
            |time| if is_judged && share > 0.0 && share < 100.0 { Step::Analysis(time) } else { Step::Wait(time) };
        stage.steps.extend(time.map(step));
    }
}

fn shadow(faults: &mut Faults, config: &Fields<'_>, routes: &[Route], stage: &mut Stage) {
    config.only(faults, &["route", "duration", "percentage", "thresholds", "smoke_tests", "smoke_timeout"]);
    let route = route(faults, config, routes, "mirror", |route| route.mirror.is_some());
    stage.flag = route.and_then(|route| Some(route.mirror.as_ref()?.0.clone()));
    stage.route = route.cloned();
    stage.thresholds = thresholds(faults, config);
    stage.smoke = Some(smoke(faults, config));
    if config.get("smoke_tests").is_some() {
        stage.steps.push(Step::Smoke);
    }
    config.need(faults, "duration");
    let share = config.number(faults, "percentage", (0.1, 100.0)).unwrap_or(100.0);
    stage.steps.extend(config.duration(faults, "duration").into_iter().flat_map(|time| copies(share, time)));
    if config.get("thresholds").is_none() {
        faults.add(config.place("thresholds"), "thresholds are missing: what the copies have to keep");
    }
}

/// Requests are copied for some time, and then no more.
fn copies(share: f64, time: Duration) -> [Step; 3] {
    [Step::Set(Setting::Share(share)), Step::Compare(time), Step::Set(Setting::Back)]
}

/// The stage that copies requests before a progressive one begins, if it asks for that.
fn shadow_first(faults: &mut Faults, config: &Fields<'_>, stage: &Stage) -> Option<Stage> {
    let time = config.duration(faults, "shadow")?;
    if stage.thresholds.is_none() {
        faults.add(config.place("shadow"), "thresholds are missing: what the copies have to keep");
    }
    let Some((flag, _)) = stage.route.as_ref()?.mirror.clone() else {
        faults.add(config.place("shadow"), "the route has no mirror that copies requests");
        return None;
    };
    Some(Stage {
        name: format!("{}:shadow", stage.name).into(),
        strategy: "shadow",
        flag: Some(flag),
        analysis: None,
        steps: copies(100.0, time).into(),
        ..stage.clone()
    })
}

/// From nobody to everybody in equal steps, each judged.
fn progressive(faults: &mut Faults, config: &Fields<'_>, routes: &[Route], stage: &mut Stage) {
    config.only(
        faults,
        &[
            "route",
            "shadow",
            "initial_weight",
            "increment",
            "max_weight",
            "interval_seconds",
            "thresholds",
            "analysis",
            "smoke_tests",
            "smoke_timeout",
        ],
    );
    on_canary(faults, config, routes, stage);
    if stage.analysis.is_none() && stage.thresholds.is_none() && config.get("analysis").is_none() {
        faults.add(config.place("thresholds"), "thresholds, or an analysis, are missing: what each step has to keep");
    }
    let share =
        |faults: &mut Faults, name: &str, default: f64| config.number(faults, name, (0.1, 100.0)).unwrap_or(default);
    let first = share(faults, "initial_weight", 5.0);
    let increment = share(faults, "increment", 10.0);
    let last = share(faults, "max_weight", 100.0);
    config.need(faults, "interval_seconds");
    let Some(seconds) = config.number(faults, "interval_seconds", (0.1, 31_622_400.0)) else { return };
    if first > last {
        faults.add(config.place("initial_weight"), "the first weight is above the last");
        return;
    }
    let interval = Duration::from_secs_f64(seconds);
    let mut weight = first;
    loop {
        stage.steps.push(Step::Set(Setting::Share(weight)));
        // Nobody is left to compare with at 100 %.
        stage.steps.push(if weight < 100.0 { Step::Analysis(interval) } else { Step::Wait(interval) });
        if weight >= last {
            break;
        }
        // To the hundredth, as flags take it.
        weight = (((weight + increment) * 100.0).round() / 100.0).min(last);
    }
    if last < 100.0 {
        stage.steps.push(Step::Set(Setting::Share(100.0)));
    }
}

/// The route that the configuration names, if it has the strategy.
fn route<'r>(
    faults: &mut Faults,
    config: &Fields<'_>,
    routes: &'r [Route],
    strategy: &str,
    has: impl Fn(&Route) -> bool,
) -> Option<&'r Route> {
    let wanted = config.needed_text(faults, "route")?;
    let Some(route) = routes.iter().find(|route| *route.name == *wanted) else {
        let hint = did_you_mean(wanted, routes.iter().map(|route| &*route.name));
        faults.add(config.place("route"), format!("this gateway has no route {wanted:?}{hint}"));
        return None;
    };
    if has(route) {
        return Some(route);
    }
    let others: Vec<&str> = routes.iter().filter(|route| has(route)).map(|route| &*route.name).collect();
    let others = if others.is_empty() {
        "no route has one".to_owned()
    } else {
        format!("routes with one are {}", others.join(", "))
    };
    faults.add(config.place("route"), format!("the route {wanted:?} has no {strategy}; {others}"));
    None
}

fn analysis(faults: &mut Faults, config: &Fields<'_>) -> Option<Analysis> {
    let value = config.get("analysis")?;
    match Analysis::parse(value, &config.place("analysis")) {
        Ok(analysis) => Some(analysis),
        Err(found) => {
            faults.0.extend(found);
            None
        }
    }
}

fn thresholds(faults: &mut Faults, config: &Fields<'_>) -> Option<Thresholds> {
    let own = config.object(faults, "thresholds")?;
    let read = Thresholds::read(faults, &own);
    if read.is_empty() {
        faults.add(own.at, "thresholds have an error_rate or a latency_p95 (or p50, p90, p99)");
    }
    Some(read)
}

fn smoke(faults: &mut Faults, config: &Fields<'_>) -> Smoke {
    let mut tests = Vec::new();
    if config.array(&mut Faults::default(), "smoke_tests").len() > MOST_TESTS {
        faults.add(config.place("smoke_tests"), format!("an upstream gets at most {MOST_TESTS} smoke tests"));
    }
    for test in config.objects(faults, "smoke_tests") {
        test.only(faults, &["path", "expected_status"]);
        let path = test.needed_text(faults, "path").unwrap_or_default();
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if test.get("path").is_some() && !is_path {
            faults.add(test.place("path"), "expected a path like \"/healthz\"");
        }
        let status = test.number(faults, "expected_status", (100.0, 599.0)).unwrap_or(200.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "its range was checked")]
        tests.push(SmokeTest { path: path.to_owned(), expected_status: status as u16 });
    }
    Smoke { tests, timeout: config.duration(faults, "smoke_timeout").unwrap_or(SMOKE_TIMEOUT) }
}
