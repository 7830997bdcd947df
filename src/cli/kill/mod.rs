//! `flaggate kill`: stops flags, services, a region or everything, and undoes it.

mod list;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    failure::{Failure, Kind},
    remote::{Remote, Request},
    say,
    table::text,
};

/// What is killed, or comes back.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Kill {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the kill switches: those that are active, or all.
    List(list::List),
}

#[derive(Debug, Args)]
struct Asked {
    #[command(flatten)]
    remote: Remote,
    /// Flags; `kill -- list` kills one that is called list.
    flags: Vec<String>,
    /// All flags with this tag; several are possible.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A route or an upstream: requests go to the route's own upstream instead; several are possible.
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Only for members of this segment; several are possible.
    #[arg(long = "segment", value_name = "ID")]
    segments: Vec<String>,
    /// Only at the gateways of this region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// All flags.
    #[arg(long)]
    all: bool,
    /// Not flags with the tag `critical`.
    #[arg(long)]
    exempt_critical: bool,
    /// Why; others will want to know.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["lift", "dry_run"])]
    reason: Option<String>,
    /// Undo it: kill no more what the other options name, or with --all and nothing else, everything.
    #[arg(long)]
    lift: bool,
    /// Undo it by the id of the switch, as `kill list` shows it; several are possible.
    #[arg(long = "switch", value_name = "ID", requires = "lift")]
    switches: Vec<String>,
    /// Let the users come back in steps.
    #[arg(long, requires = "lift")]
    gradually: bool,
    /// Only show what would be killed.
    #[arg(long)]
    dry_run: bool,
    /// Wait until so many gateways serve it, instead of all.
    #[arg(long, value_name = "all|NUMBER")]
    wait: Option<String>,
    /// For how many seconds to wait at most.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Kill {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Some(Command::List(list)) => list.run(),
            None => self.asked.run(),
        }
    }
}

impl Asked {
    fn run(&self) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.dry_run {
            query.append_pair("dry_run", "true");
        }
        query.extend_pairs(self.wait.iter().map(|wait| ("wait", wait)));
        query.extend_pairs(self.timeout.iter().map(|timeout| ("timeout", timeout.to_string())));
        let (query, path) = (query.finish(), if self.lift { "/kill/lift" } else { "/kill" });
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let request = Request { method: Method::POST, path, body: Some(self.body().into()), ..Request::default() };
        let answer = self.remote.exchange(&request)?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer.body)?)?;
        } else {
            say(&if self.lift { lifted(&answer.body) } else { killed(&answer.body) })?;
        }
        if answer.status == StatusCode::ACCEPTED {
            let what = "it is done, but not all gateways that were waited for serve it yet";
            return Err(Failure::new(Kind::NotServedYet, what).hinting("`flaggate status` tells who lags").into());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> Map<String, Value> {
        let lists = [
            ("flags", &self.flags),
            ("tags", &self.tags),
            ("services", &self.services),
            ("segments", &self.segments),
            ("ids", &self.switches),
        ];
        let listed = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let mut body: Map<String, Value> = listed.map(|(name, list)| (name.to_owned(), json!(list))).collect();
        body.extend(self.region.iter().map(|region| ("region".to_owned(), region.as_str().into())));
        let lifts_everything = self.lift && self.all && body.is_empty() && !self.exempt_critical;
        if lifts_everything {
            body.insert("everything".to_owned(), true.into());
        } else if self.all {
            body.insert("all".to_owned(), true.into());
        }
        if self.exempt_critical {
            body.insert("exempt_critical".to_owned(), true.into());
        }
        let default = (!self.lift).then_some("a dry run");
        body.extend(self.reason.as_deref().or(default).map(|reason| ("reason".to_owned(), reason.into())));
        if self.gradually {
            body.insert("gradually".to_owned(), true.into());
        }
        body
    }
}

/// `killed 1 flag (new-checkout) by kill-flag-new-checkout: applied by 3 of 3 gateways in 3.1 ms`.
fn killed(answer: &Value) -> String {
    let kills = &answer["kills"];
    let mut what = Vec::new();
    let names = |list: &Value| {
        let names: Vec<String> = list.as_array().into_iter().flatten().map(text).collect();
        let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > 5 { format!("{shown}, …") } else { shown }
    };
    let services = names(&kills["services"]);
    match kills["flag_count"].as_u64().unwrap_or_default() {
        0 if services.is_empty() => what.push("nothing".to_owned()),
        0 => {}
        1 => what.push(format!("1 flag ({})", names(&kills["flags"]))),
        many => what.push(format!("{many} flags ({})", names(&kills["flags"]))),
    }
    if !services.is_empty() {
        what.push(format!("the way to {services}"));
    }
    let mut limits = String::new();
    if let Some(region) = kills["region"].as_str() {
        limits += &format!(" in {region}");
    }
    if kills["segments"].is_array() {
        limits += &format!(" for {}", names(&kills["segments"]));
    }
    let verb = match (answer["dry_run"] == true, answer["changed"] == true) {
        (true, _) => "would kill",
        (false, true) => "killed",
        (false, false) => "kills already",
    };
    format!("{verb} {}{limits} by {}{}", what.join(" and "), text(&answer["kill_switch_id"]), applied(answer))
}

fn lifted(answer: &Value) -> String {
    let ids: Vec<String> = answer["lifted"].as_array().into_iter().flatten().map(text).collect();
    let how = match (answer["dry_run"] == true, answer["state"] == "recovering") {
        (true, _) => "would lift",
        (false, true) => "comes back in steps:",
        (false, false) => "lifted",
    };
    let mut line = match ids.is_empty() {
        true => "nothing was killed by that".to_owned(),
        false => format!("{how} {}{}", ids.join(", "), applied(answer)),
    };
    for (flag, switches) in answer["still_killed_by"].as_object().into_iter().flatten() {
        let switches: Vec<String> = switches.as_array().into_iter().flatten().map(text).collect();
        line += &format!("\n{flag} is still killed by {}", switches.join(", "));
    }
    line
}

fn applied(answer: &Value) -> String {
    match (&answer["acknowledged"], &answer["of"], &answer["ms"]) {
        (Value::Null, _, _) => String::new(),
        (acknowledged, of, ms) => format!(": applied by {acknowledged} of {of} gateways in {ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_in_a_line() {
        let answer = json!({ "success": true, "kill_switch_id": "kill-flag-a", "changed": true, "acknowledged": 3, "of": 3,
            "ms": 3.1, "kills": { "flag_count": 1, "flags": ["a"], "services": [] } });
        assert_eq!(killed(&answer), "killed 1 flag (a) by kill-flag-a: applied by 3 of 3 gateways in 3.1 ms");
        let answer = json!({ "dry_run": true, "kill_switch_id": "k", "changed": true,
            "kills": { "flag_count": 7, "flags": ["a", "b", "c", "d", "e", "f", "g"], "services": ["web"], "region": "eu" } });
        assert_eq!(killed(&answer), "would kill 7 flags (a, b, c, d, e, …) and the way to web in eu by k");
        let answer = json!({ "lifted": ["k"], "state": "inactive", "still_killed_by": { "a": ["all"] } });
        assert_eq!(lifted(&answer), "lifted k\na is still killed by all");
        assert_eq!(lifted(&json!({ "lifted": [] })), "nothing was killed by that");
    }
}
