//! `flaggate segments evaluate` and `explain`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::{
    documents::value,
    log_error,
    remote::{Remote, Request},
    say,
    table::text,
};

/// A user, and what is known of them.
#[derive(Debug, Args)]
struct User {
    #[command(flatten)]
    remote: Remote,
    /// The user's id.
    user_id: String,
    /// Only these segments; all unless any is named.
    segments: Vec<String>,
    /// An attribute, as if a request said it; a value that is JSON counts as such, anything else as text.
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which segments a user is a member of.
#[derive(Debug, Args)]
pub(in crate::cli) struct Evaluate {
    #[command(flatten)]
    user: User,
}

/// Why.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    user: User,
}

impl User {
    fn ask(&self, explain: bool) -> Result<Value> {
        let parse = |given: &String| {
            let (name, text) = given.split_once('=').with_context(|| format!("{given:?} is not NAME=VALUE"))?;
            Ok((name.to_owned(), value(text)))
        };
        let attributes = self.attributes.iter().map(parse).collect::<Result<Map<_, _>>>()?;
        let mut body = json!({ "user_id": self.user_id, "attributes": attributes, "explain": explain });
        if !self.segments.is_empty() {
            body["segments"] = self.segments.clone().into();
        }
        let path = "/segments/evaluate".to_owned();
        let request = Request { method: Method::POST, path, body: Some(body), ..Request::default() };
        let told = self.remote.exchange(&request)?.body;
        if told["profile_unavailable"] == true {
            log_error("what is stored of the user could not be had; the answer may be incomplete");
        }
        Ok(told)
    }
}

impl Evaluate {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let told = self.user.ask(false)?;
        if self.user.json {
            say(&serde_json::to_string_pretty(&told)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let segments = told["segments"].as_array().map(Vec::as_slice).unwrap_or_default();
        if segments.is_empty() {
            log_error(&format!("{:?} is in none of the segments", self.user.user_id));
        }
        segments.iter().try_for_each(|segment| say(&text(segment)))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Explain {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let told = self.user.ask(true)?;
        if self.user.json {
            say(&serde_json::to_string_pretty(&told)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let details = told["details"].as_array().into_iter().flatten().map(for_people);
        let details: Vec<String> = details.collect();
        say(&details.join("\n\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One segment's answer, and a line for each of its parts.
fn for_people(detail: &Value) -> String {
    let head = match detail["because"].as_str() {
        _ if detail["member"] == true => format!("{}: a member", text(&detail["id"])),
        Some(_) => format!("{}: no member: {}", text(&detail["id"]), text(&detail["because"])),
        None => format!("{}: no member", text(&detail["id"])),
    };
    let mut lines = vec![head];
    let mut fact = |name: &str, what: String| lines.push(format!("  {name:<11} {what}"));
    let items = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    for (part, name) in [("parents", "parent"), ("exclusions", "exclusion")] {
        for other in items(&detail[part]) {
            fact(name, membership(&other));
        }
    }
    if let Some(expression) = detail.get("expression") {
        fact("expression", format!("{} {}", text(&expression["text"]), holds(expression)));
        for other in items(&expression["segments"]) {
            fact("", membership(&other));
        }
    }
    for rule in items(&detail["rules"]) {
        let because = rule["because"].as_str().map_or(String::new(), |_| format!(", {}", text(&rule["because"])));
        let what = format!("{} {}, saw {}", text(&rule["field"]), text(&rule["operator"]), rule["seen"]);
        fact("rule", format!("{what}: {}{because}", holds(&rule)));
    }
    if let Some(score) = detail.get("score") {
        fact("score", format!("{score} of {}", detail["min_score"]));
    }
    if let Some(activity) = detail.get("activity") {
        fact("activity", if activity == true { "there is some" } else { "there is none" }.to_owned());
    }
    if let Some(model) = detail.get("model") {
        fact("model", model.to_string());
    }
    if let Some(cycle) = detail.get("cycle") {
        fact("cycle", items(cycle).iter().map(text).collect::<Vec<_>>().join(", "));
    }
    lines.join("\n")
}

fn membership(other: &Value) -> String {
    format!("{}: {}", text(&other["id"]), if other["member"] == true { "a member" } else { "no member" })
}

fn holds(part: &Value) -> &'static str {
    if part["holds"] == true { "holds" } else { "does not hold" }
}
