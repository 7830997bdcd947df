//! `flaggate explain`: what would become of a request that is not sent.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use http::Uri;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    eval::facts,
    remote::{Remote, Request},
    say,
    table::{Table, text},
};

/// A request, written like one of curl's.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Its URL, or its path
    url: String,
    /// Its method
    #[arg(short = 'X', long = "request", default_value = "GET")]
    method: String,
    /// One of its headers, like `X-User-Id: ann`
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// From where it comes; 127.0.0.1 unless given
    #[arg(long)]
    client_ip: Option<String>,
    /// The listener that takes it; the first unless given
    #[arg(long)]
    listener: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let path = "/explain".to_owned();
        let request = Request { method: Method::POST, path, body: Some(self.body()?), ..Request::default() };
        let told = self.remote.exchange(&request)?.body;
        say(&if self.json { serde_json::to_string_pretty(&told)? } else { for_people(&told) })?;
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> Result<Value> {
        let url: Uri = self.url.parse().with_context(|| format!("{:?} is neither a URL nor a path", self.url))?;
        let mut headers = Map::<String, Value>::new();
        for header in &self.headers {
            let (name, value) = header.split_once(':').with_context(|| format!("{header:?} is not NAME: VALUE"))?;
            let values = headers.entry(name.trim()).or_insert_with(|| json!([]));
            values.as_array_mut().into_iter().for_each(|values| values.push(value.trim().into()));
        }
        Ok(json!({
            "method": self.method,
            "host": url.authority().map_or("localhost", http::uri::Authority::as_str),
            "path": url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            "headers": headers,
            "client_ip": self.client_ip,
            "listener": self.listener,
        }))
    }
}

fn for_people(told: &Value) -> String {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: String| lines.push(format!("{name:<10}  {value}"));
    fact("listener", text(&told["listener"]));
    if let Some(refused) = told.get("refused").filter(|refused| !refused.is_null()) {
        fact("REFUSED", format!("{}: {}", text(&refused["status"]), text(&refused["detail"])));
    }
    if !told["route"].is_null() {
        fact("route", text(&told["route"]));
    }
    let decision = &told["decision"];
    if decision.is_object() {
        let why = text(&decision["strategy"]);
        let fell_back = if decision["fell_back"] == true { ", as another upstream is unhealthy or killed" } else { "" };
        let available = if decision["available"] == false { "; NO HEALTHY ENDPOINT" } else { "" };
        fact("upstream", format!("{} (by {why}{fell_back}{available})", text(&decision["upstream"])));
    }
    let context = &told["context"];
    if context.is_object() {
        fact("user", text(&context["user_id"]));
        fact("attributes", context["attributes"].to_string());
        fact("profile", text(&context["profile"]));
    }
    let strategies = told["strategies"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !strategies.is_empty() {
        let mut table = Table::new(["STRATEGY", "FLAG", "VARIATION", "UPSTREAM", "RESULT"]);
        for tried in strategies {
            table.push(["strategy", "flag", "variation", "upstream", "result"].map(|name| text(&tried[name])));
        }
        lines.push(format!("\n{table}"));
    }
    for flag in told["flags"].as_array().into_iter().flatten() {
        lines.push(format!("\nflag {}", text(&flag["key"])));
        if let Some(error) = flag["error"].as_str() {
            lines.push(format!("  {error}"));
            continue;
        }
        lines.extend(flag["steps"].as_array().into_iter().flatten().map(|step| format!("  {}", facts(step))));
        lines.push(format!("  gives        {} ({})", flag["value"], text(&flag["reason"])));
    }
    lines.join("\n")
}
