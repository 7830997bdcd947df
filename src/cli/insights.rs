//! `flaggate insights`: what somebody should look at.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::{
    remote::Remote,
    say,
    table::{plain, text},
};

/// What is shown.
#[derive(Debug, Args)]
pub(super) struct Insights {
    #[command(flatten)]
    remote: Remote,
    /// Only what matters at least so much
    #[arg(long, value_enum, default_value = "info")]
    severity: Severity,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Severity {
    Critical,
    Warning,
    Info,
}

impl Insights {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let severity = self.severity.to_possible_value();
        let severity = severity.as_ref().map_or("info", |value| value.get_name());
        let report = self.remote.ask(&Method::GET, &format!("/insights?severity={severity}"))?;
        match self.json {
            true => say(&serde_json::to_string_pretty(&report)?)?,
            false => say(&told(&report))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn told(report: &Value) -> String {
    let mut lines = Vec::new();
    for insight in report["insights"].as_array().into_iter().flatten() {
        let severity = text(&insight["severity"]).to_uppercase();
        lines.push(format!(
            "{severity:8}  {} {}: {}",
            text(&insight["kind"]),
            text(&insight["name"]),
            text(&insight["finding"])
        ));
        lines.push(format!("          → {}", text(&insight["recommendation"])));
    }
    if lines.is_empty() {
        lines.push("nothing to look at".to_owned());
    }
    for found in report["attributions"].as_array().into_iter().flatten() {
        let arm = found["arm"].as_object().into_iter().flat_map(|arm| arm.values()).flat_map(|arm| arm.as_object());
        let arm: Vec<String> = arm.flat_map(|arm| arm.values()).map(text).collect();
        lines.push(String::new());
        lines.push(format!("{} of {} changed after:", text(&found["measure"]).replace('_', " "), arm.join(" ")));
        for cause in found["causes"].as_array().into_iter().flatten() {
            let lift = cause["compared"]["lift"]["estimate"].as_f64();
            let lift = lift.map_or_else(String::new, |lift| format!(", {:+.0} %", lift * 100.0));
            let at: String = text(&cause["at"]).chars().take(19).collect();
            lines.push(format!(
                "  {}  {} {} {} by {}{lift}",
                at.replace('T', " "),
                text(&cause["kind"]),
                text(&cause["key"]),
                text(&cause["action"]),
                plain(cause["actor"].as_str().unwrap_or("-")),
            ));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_and_causes() {
        assert_eq!(told(&json!({ "insights": [], "attributions": [] })), "nothing to look at");
        let report = json!({
            "insights": [{ "severity": "warning", "kind": "flag", "name": "f", "finding": "slow", "recommendation": "mend it" }],
            "attributions": [{ "arm": { "variation": { "flag": "f", "variation": "on" } }, "measure": "error_rate", "causes": [
                { "kind": "flag", "key": "f", "action": "updated", "actor": "ann", "at": "2026-11-30T10:00:00Z",
                  "compared": { "lift": { "estimate": 1.5 } } }] }],
        });
        let lines = [
            "WARNING   flag f: slow",
            "          → mend it",
            "",
            "error rate of f on changed after:",
            "  2026-11-30 10:00:00  flag f updated by ann, +150 %",
        ];
        assert_eq!(told(&report), lines.join("\n"));
    }
}
