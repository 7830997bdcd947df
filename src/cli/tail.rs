//! `flaggate tail`.

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{log_error, remote::Remote};

/// Show requests to a gateway as they end, each with what was decided for it.
#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    remote: Remote,
    /// Only requests of this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only requests for which this flag was evaluated
    #[arg(long, value_name = "FLAG")]
    flag: Option<String>,
    /// Only requests of this user (role editor)
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only requests that failed
    #[arg(long)]
    errors: bool,
    /// How many in a second at most; more are passed over and counted
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// End after so many
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

impl Tail {
    /// Ends when the gateway stops, after `count`, or with who reads.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let (mut left, mut kind) = (self.count, String::new());
        self.remote.follow(&self.path(), &mut |line| {
            if let Some(named) = line.strip_prefix("event: ") {
                named.clone_into(&mut kind);
            }
            let Some(data) = line.strip_prefix("data: ") else { return Ok(ControlFlow::Continue(())) };
            let told: Value = serde_json::from_str(data)?;
            if kind == "skipped" {
                log_error(&format!("{} passed over: --rate, --route or --flag say which are shown", told["skipped"]));
                return Ok(ControlFlow::Continue(()));
            }
            let line = if self.json { data.to_owned() } else { shown(&told) };
            // Who reads may have seen enough.
            if let Err(error) = writeln!(io::stdout(), "{line}") {
                return if error.kind() == io::ErrorKind::BrokenPipe {
                    Ok(ControlFlow::Break(()))
                } else {
                    Err(error.into())
                };
            }
            left = left.map(|left| left.saturating_sub(1));
            Ok(if left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix("/tail?".to_owned(), "/tail?".len());
        let query = query
            .extend_pairs(self.route.iter().map(|route| ("route", route)))
            .extend_pairs(self.flag.iter().map(|flag| ("flag", flag)))
            .extend_pairs(self.user.iter().map(|user| ("user", user)))
            .extend_pairs(self.rate.iter().map(|rate| ("rate", rate.to_string())))
            .append_pair("errors", if self.errors { "true" } else { "false" });
        query.finish()
    }
}

/// `12:00:01.234 GET /checkout 200 4.2 ms  shop: canary → next  new-checkout=true (rollout)`.
fn shown(told: &Value) -> String {
    let text = |name: &str| told[name].as_str().unwrap_or("-");
    let time = text("time").split_once('T').map_or("-", |(_, time)| time.trim_end_matches('Z'));
    let status = told["status"].as_u64().map_or("-".to_owned(), |status| status.to_string());
    let mut line = format!(
        "{time:.12} {} {} {status} {} ms  {}: {} → {}",
        text("method"),
        plain(text("path")),
        told["duration_ms"],
        text("route"),
        text("strategy"),
        text("upstream"),
    );
    for flag in told["flags"].as_array().into_iter().flatten() {
        let part = |name: &str| flag[name].as_str().unwrap_or("-");
        let detail = flag["detail"].as_str().map_or(String::new(), |detail| format!(", {detail}"));
        line += &format!("  {}={} ({}{detail})", part("flag"), plain(part("variation")), part("reason"));
    }
    if let Some(error) = told["error"].as_str() {
        line += &format!("  error: {error}");
    }
    if let Some(user) = told["user_id"].as_str() {
        line += &format!("  user: {}", plain(user));
    }
    line
}

/// What comes from a request does not steer the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_all() {
        let told = json!({
            "time": "2026-01-02T03:04:05.678901234Z", "method": "GET", "path": "/a\u{1b}[2J", "status": 503, "duration_ms": 1.5,
            "route": "shop", "strategy": "canary", "upstream": "next", "error": "no_endpoint", "user_id": "ann",
            "flags": [{ "flag": "f", "variation": "true", "reason": "rollout" },
                      { "flag": "g", "variation": "a", "reason": "default", "detail": "profile_unavailable" }],
        });
        let expected = "03:04:05.678 GET /a\\u{1b}[2J 503 1.5 ms  shop: canary → next  f=true (rollout)  \
                        g=a (default, profile_unavailable)  error: no_endpoint  user: ann";
        assert_eq!(shown(&told), expected);
        let nothing = json!({ "method": "GET", "path": "/", "duration_ms": 0.1, "status": null, "flags": [] });
        assert_eq!(shown(&nothing), "- GET / - 0.1 ms  -: - → -");
    }
}
