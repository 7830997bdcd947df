//! `flaggate analytics`: what a flag does to the traffic, and to what users do.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::{
    remote::Remote,
    say,
    table::{Table, plain, text},
};

/// How heights are drawn, from nothing to the highest.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// So many steps fit into a line.
const WIDTH: usize = 60;

/// How wide a share of 1 is drawn.
const BAR: f64 = 20.0;

/// What is looked at.
#[derive(Debug, Args)]
pub(super) struct Analytics {
    #[command(flatten)]
    remote: Remote,
    /// The flag, or a route or a deployment
    name: String,
    /// It is the name of a route
    #[arg(long, conflicts_with = "deployment")]
    route: bool,
    /// It is the id of a deployment; printed as JSON
    #[arg(long)]
    deployment: bool,
    /// When it begins: a time, or how long ago, like 1h or 7d; 24 h ago unless given
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When it ends; now unless given
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The length of a step, like 5m
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    /// What the others are compared with; a flag's default variation unless given
    #[arg(long, value_name = "NAME")]
    control: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Analytics {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let kind = match () {
            () if self.route => "routes",
            () if self.deployment => "deployments",
            () => "flags",
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        let given = [("from", &self.from), ("to", &self.to), ("step", &self.step), ("control", &self.control)];
        query.extend_pairs(given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let report = self.remote.ask(&Method::GET, &format!("/analytics/{kind}/{name}?{}", query.finish()))?;
        match self.json || self.deployment {
            true => say(&serde_json::to_string_pretty(&report)?)?,
            false => say(&told(&report))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A report for people.
fn told(report: &Value) -> String {
    let name = if report["flag"].is_null() { &report["route"] } else { &report["flag"] };
    let arms = if report["variations"].is_null() { &report["ways"] } else { &report["variations"] };
    let arms: Vec<&Value> = arms.as_array().into_iter().flatten().collect();
    let time = |value: &Value| text(value).chars().take(19).collect::<String>().replace('T', " ");
    let mut lines =
        vec![format!("{} from {} to {}", text(name), time(&report["from"]), time(&report["to"])), String::new()];
    lines.push(traffic(&arms).to_string());
    let kinds: Vec<&str> = arms
        .first()
        .and_then(|arm| arm["metrics"].as_object())
        .into_iter()
        .flat_map(|all| all.keys())
        .map(String::as_str)
        .collect();
    for kind in kinds {
        lines.extend([
            String::new(),
            format!("{} of those who were drawn", plain(kind)),
            metric(&arms, kind).to_string(),
        ]);
    }
    lines.extend([String::new(), "requests by step".to_owned()]);
    lines.push(series(report, &arms).to_string());
    lines.extend(notes(report));
    lines.join("\n")
}

fn traffic(arms: &[&Value]) -> Table<8> {
    let mut table =
        Table::new(["VARIATION", "SHARE", "", "REQUESTS", "USERS", "ERRORS", "P95", "LATENCY BESIDE CONTROL"]);
    for arm in arms {
        let share = arm["share"].as_f64().unwrap_or_default();
        let bar = "█".repeat((share * BAR).round() as usize);
        let errors = arm["error_rate"].as_f64().map_or_else(|| "-".to_owned(), percent);
        table.push([
            name(arm),
            percent(share),
            bar,
            text(&arm["requests"]),
            text(&arm["users"]),
            format!("{errors}{}", mark(&arm["errors_compared"])),
            arm["p95_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
            lift(&arm["latency_compared"]),
        ]);
    }
    table
}

fn metric(arms: &[&Value], kind: &str) -> Table<7> {
    let mut table = Table::new([
        "VARIATION",
        "USERS",
        "CONVERTED",
        "RATE",
        "RATE BESIDE CONTROL",
        "VALUE/USER",
        "VALUE BESIDE CONTROL",
    ]);
    for arm in arms {
        let metric = &arm["metrics"][kind];
        table.push([
            name(arm),
            text(&arm["participants"]),
            text(&metric["converted"]),
            percent(metric["rate"].as_f64().unwrap_or_default()),
            lift(&metric["rate_compared"]),
            format!("{:.3}", metric["value_per_user"].as_f64().unwrap_or_default()),
            lift(&metric["value_compared"]),
        ]);
    }
    table
}

fn series(report: &Value, arms: &[&Value]) -> Table<2> {
    let points: Vec<&Value> = report["series"].as_array().into_iter().flatten().collect();
    let shown = &points[points.len().saturating_sub(WIDTH)..];
    let mut table = Table::new(["VARIATION", ""]);
    for arm in arms {
        let requests = |point: &&Value| {
            point["arms"][arm["name"].as_str().unwrap_or_default()]["requests"].as_f64().unwrap_or(0.0)
        };
        table.push([name(arm), sparkline(&shown.iter().map(requests).collect::<Vec<_>>())]);
    }
    table
}

fn sparkline(numbers: &[f64]) -> String {
    let most = numbers.iter().copied().fold(0.0, f64::max).max(1.0);
    numbers.iter().map(|number| HEIGHTS[(number / most * 8.0).ceil().clamp(0.0, 8.0) as usize]).collect()
}

/// What has to be known before the figures are believed.
fn notes(report: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    let split = &report["sample_ratio"];
    if split["is_mismatch"] == true {
        notes.push(format!(
            "WRONG SPLIT: {} where {} should be (p = {}): do not trust the comparisons",
            text(&split["counted"]),
            text(&split["expected"]),
            text(&split["p_value"]),
        ));
    }
    if let Some(one_in) = report["one_in"].as_u64().filter(|one_in| *one_in > 1) {
        notes.push(format!("one in {one_in} users is kept: rates are of those"));
    }
    if let Some(crossed) = report["crossed"].as_u64().filter(|crossed| *crossed > 0) {
        notes.push(format!("{crossed} users saw more than one variation; they count as of the first"));
    }
    if !notes.is_empty() {
        notes.insert(0, String::new());
    }
    notes
}

fn name(arm: &Value) -> String {
    let control = if arm["is_control"] == true { " (control)" } else { "" };
    format!("{}{control}", text(&arm["name"]))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A lift with its interval, and a star where it is more than chance.
fn lift(compared: &Value) -> String {
    let part = |name: &str| compared["lift"][name].as_f64().map(|lift| lift * 100.0);
    match (part("estimate"), part("low"), part("high")) {
        (Some(estimate), Some(low), Some(high)) => {
            format!("{estimate:+.1} % ({low:+.1} to {high:+.1}){}", mark(compared))
        }
        _ => "-".to_owned(),
    }
}

/// A star where the p-value is low.
fn mark(compared: &Value) -> &'static str {
    let interval = &compared["difference"];
    let excludes_zero = interval["low"].as_f64().is_some_and(|low| low > 0.0)
        || interval["high"].as_f64().is_some_and(|high| high < 0.0);
    if excludes_zero { " *" } else { "" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_and_lifts() {
        assert_eq!(sparkline(&[0.0, 1.0, 8.0, 4.0]), " ▁█▄");
        let compared = json!({ "lift": { "estimate": 0.153, "low": 0.02, "high": 0.3 }, "difference": { "low": 0.1, "high": 0.2 } });
        assert_eq!(lift(&compared), "+15.3 % (+2.0 to +30.0) *");
        assert_eq!(lift(&Value::Null), "-");
        let report = json!({
            "flag": "f", "from": "2026-11-30T10:00:00Z", "to": "2026-11-30T11:00:00Z", "one_in": 4, "crossed": 0,
            "sample_ratio": { "is_mismatch": true, "p_value": 0.0001, "expected": { "a": 0.5 }, "counted": { "a": 900 } },
            "variations": [{ "name": "a", "is_control": true, "share": 0.5, "requests": 10, "users": 3, "error_rate": 0.1,
                "p95_ms": 12.5, "participants": 3, "metrics": { "buy": { "converted": 1, "rate": 0.333, "value_per_user": 2.0 } } }],
            "series": [{ "at": "2026-11-30T10:00:00Z", "arms": { "a": { "requests": 10 } } }],
        });
        let text = told(&report);
        for part in [
            "f from 2026-11-30 10:00:00",
            "a (control)",
            "50.00 %",
            "12.5 ms",
            "buy of those",
            "33.30 %",
            "█",
            "WRONG SPLIT",
            "one in 4",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
