//! `flaggate segments estimate`, `overlap` and `recompute`.

use std::{io::Write as _, process::ExitCode, thread::sleep, time::Duration};

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::{
    documents::{Noun, in_path},
    failure::{Failure, Kind},
    log_error,
    remote::{Remote, Request},
    say,
    table::{Table, text},
};

/// How often a run is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How many users are in a segment.
#[derive(Debug, Args)]
pub(in crate::cli) struct Estimate {
    #[command(flatten)]
    remote: Remote,
    /// The segment's id.
    id: String,
    /// How many users are drawn; all are looked at where they are at most 5000.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Estimate {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let body = self.sample.map_or(json!({}), |sample| json!({ "sample": sample }));
        let path = Noun::SEGMENT.path(&self.id, "/estimate");
        let told = post(&self.remote, path, body)?;
        if self.json {
            say(&serde_json::to_string_pretty(&told)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let number = |name: &str| text(&told[name]);
        say(&match told["sample"] == told["total"] {
            true => format!("{} of {} users, counted", number("estimate"), number("total")),
            false => format!(
                "about {} of {} users: {} to {}, 95 times of 100 ({} of {} drawn)",
                number("estimate"),
                number("total"),
                number("low"),
                number("high"),
                number("matches"),
                number("sample"),
            ),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// In which segments users are together.
#[derive(Debug, Args)]
pub(in crate::cli) struct Overlap {
    #[command(flatten)]
    remote: Remote,
    /// The segments; all unless any is named.
    ids: Vec<String>,
    /// How many users are drawn; all are looked at where they are at most 5000.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Overlap {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut query: Vec<String> = Vec::new();
        if !self.ids.is_empty() {
            query.push(format!("ids={}", self.ids.iter().map(|id| in_path(id)).collect::<Vec<_>>().join(",")));
        }
        query.extend(self.sample.map(|sample| format!("sample={sample}")));
        let path = format!("/segments/overlap?{}", query.join("&"));
        let told = self.remote.exchange(&Request { method: Method::GET, path, ..Request::default() })?.body;
        if self.json {
            say(&serde_json::to_string_pretty(&told)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(["A", "B", "BOTH", "OF A", "OF B", "JACCARD"]);
        let share =
            |value: &Value, unit: &str| value.as_f64().map_or("-".to_owned(), |share| format!("{share:.1}{unit}"));
        for pair in told["pairs"].as_array().into_iter().flatten() {
            let jaccard = pair["jaccard"].as_f64().map_or("-".to_owned(), |jaccard| format!("{jaccard:.3}"));
            let [a, b, both] = ["a", "b", "both"].map(|name| text(&pair[name]));
            table.push([a, b, both, share(&pair["of_a"], " %"), share(&pair["of_b"], " %"), jaccard]);
        }
        say(&table.to_string())?;
        if told["sample"] != told["total"] {
            log_error(&format!("{} of {} users were looked at", text(&told["sample"]), text(&told["total"])));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who is in a segment, worked out anew for everybody.
#[derive(Debug, Args)]
pub(in crate::cli) struct Recompute {
    #[command(flatten)]
    remote: Remote,
    /// The segment's id.
    id: String,
    /// Profiles a second, at most.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Go on with a run that ended early: `resume` of what it told last.
    #[arg(long, value_name = "TOKEN")]
    resume: Option<String>,
    /// Begin, and do not wait for the end.
    #[arg(long, conflicts_with = "stop")]
    no_wait: bool,
    /// Stop the run that is under way instead.
    #[arg(long, conflicts_with_all = ["rate", "resume"])]
    stop: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Recompute {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let path = Noun::SEGMENT.path(&self.id, "/recompute");
        let ask = |method: Method| {
            let request = Request { method, path: path.clone(), ..Request::default() };
            self.remote.exchange(&request).map(|answer| answer.body)
        };
        let mut told = match self.stop {
            true => ask(Method::DELETE)?,
            false => {
                let rate = self.rate.map(|rate| ("rate".to_owned(), rate.into()));
                let resume = self.resume.as_ref().map(|token| ("resume".to_owned(), token.as_str().into()));
                let body: Map<String, Value> = rate.into_iter().chain(resume).collect();
                post(&self.remote, path.clone(), body.into())?
            }
        };
        let is_running = |told: &Value| told["state"] == "running";
        let mut is_told = false;
        while is_running(&told) && !self.no_wait {
            sleep(ASK_EVERY);
            told = ask(Method::GET)?;
            if is_running(&told) {
                write!(std::io::stderr(), "\r{} of {} profiles", text(&told["done"]), text(&told["total"]))?;
                is_told = true;
            }
        }
        if is_told {
            writeln!(std::io::stderr())?;
        }
        self.tell(&told)
    }

    fn tell(&self, told: &Value) -> Result<ExitCode> {
        let number = |name: &str| text(&told[name]);
        if self.json {
            say(&serde_json::to_string_pretty(told)?)?;
        } else {
            let of = if told["resume"].is_null() { String::new() } else { format!(" of {}", number("total")) };
            say(&format!(
                "{}: {}{of} profiles, {} members, {} entered, {} left",
                number("state"),
                number("done"),
                number("members"),
                number("entered"),
                number("left"),
            ))?;
        }
        let hint = || match told["resume"].as_str() {
            Some(token) => format!("`flaggate segments recompute {} --resume {token}` goes on", self.id),
            None => format!("`flaggate segments recompute {}` begins anew", self.id),
        };
        match told["state"].as_str() {
            Some("failed") => Err(Failure::new(Kind::Other, number("error")).hinting(hint()).into()),
            Some("stopped") => {
                log_error(&hint());
                Ok(ExitCode::SUCCESS)
            }
            Some(_) | None => Ok(ExitCode::SUCCESS),
        }
    }
}

fn post(remote: &Remote, path: String, body: Value) -> Result<Value> {
    let request = Request { method: Method::POST, path, body: Some(body), ..Request::default() };
    Ok(remote.exchange(&request)?.body)
}
