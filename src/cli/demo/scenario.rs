//! Stories that the demo tells by itself.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{
        remote::{Remote, Request},
        say,
        table::text,
    },
    clock, demo,
};

/// Which story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// A canary is delivered; when half of the users have it, it begins to fail, and the deployment is rolled back.
    BadCanary,
}

/// Requests of simulated users in each second.
pub(super) const TRAFFIC: u32 = 300;

/// The upstream that breaks, and the share of its requests that fail then.
const BROKEN: (&str, f64) = ("v2-canary", 0.05);

/// How often it is looked how far the deployment is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A story is over by then.
const LONGEST: Duration = Duration::from_secs(180);

impl Scenario {
    /// Tells the story to its end; fails if it ends otherwise than it should.
    pub(super) fn tell(self, remote: &Remote, faults: &demo::Faults) -> Result<()> {
        match self {
            Self::BadCanary => bad_canary(remote, faults),
        }
    }
}

fn bad_canary(remote: &Remote, faults: &demo::Faults) -> Result<()> {
    let document: Value = serde_json::from_str(demo::DEPLOYMENT).context("the demo's deployment is no JSON")?;
    let path = format!("/deployments/{}", text(&document["id"]));
    let ask = |method: Method, path: String, body: Option<Value>| {
        remote.exchange(&Request { method, path, headers: &[], body }).map(|answer| answer.body)
    };
    let (began, mut broken_at) = (clock::monotonic(), None::<Instant>);
    let told = |line: &str| say(&format!("{:>5.1} s  {line}", began.elapsed().as_secs_f64()));
    told("config/demo-deployment.json is started: 10 % of the users get the canary, then half of them, then all")?;
    ask(Method::POST, "/deployments".to_owned(), Some(document))?;
    ask(Method::POST, format!("{path}/start"), None)?;
    let mut last = String::new();
    while began.elapsed() < LONGEST {
        let deployment = ask(Method::GET, path.clone(), None)?;
        let status = &deployment["status"];
        let line = line(status);
        if line != last {
            told(&line)?;
            last = line;
        }
        let stage = &status["stages"][0];
        match (text(&status["state"]).as_str(), broken_at) {
            ("rolled_back", Some(at)) => {
                let seconds = at.elapsed().as_secs_f64();
                told(&format!("rolled back {seconds:.1} s after it began to fail: {}", text(&status["reason"])))?;
                return told("nobody gets the canary any more; `flaggate deployments get new-checkout` tells the rest");
            }
            ("completed" | "failed" | "rolled_back", _) => bail!("the deployment ended as {}", status["state"]),
            // The fourth step is the analysis with half of the users.
            (_, None) if stage["step"] == 3 => {
                let (upstream, share) = BROKEN;
                faults.set(upstream, share, Duration::ZERO);
                broken_at = Some(clock::monotonic());
                told(&format!(
                    "{upstream} begins to fail: {:.0} % of its requests are answered with 500",
                    share * 100.0
                ))?;
            }
            _ => {}
        }
        sleep(LOOK_EVERY);
    }
    bail!("the deployment did not end within {LONGEST:?}")
}

/// How far a deployment is.
fn line(status: &Value) -> String {
    let stage = &status["stages"][0];
    let mut line = format!("{}: {}", text(&stage["name"]), text(&status["state"]));
    if let Some(doing) = stage["doing"].as_str() {
        line += &format!(" ({doing})");
    }
    if let Some(sentence) = stage["verdict"]["sentence"].as_str() {
        line += &format!(": {sentence}");
    }
    line
}
