//! `flaggate reload`: a gateway reads its configuration anew.

use anyhow::Result;
use reqwest::Method;

use super::{remote::Remote, say, table::text};

/// Asks for it, and says what changed.
pub(super) fn reload(remote: &Remote, as_json: bool) -> Result<()> {
    let answer = remote.ask(&Method::POST, "/config/reload")?;
    if as_json {
        return say(&serde_json::to_string_pretty(&answer)?);
    }
    say(if answer["changed"] == true {
        "the configuration was reloaded"
    } else {
        "the configuration says nothing new"
    })?;
    let waiting: Vec<String> = answer["needs_restart"].as_array().into_iter().flatten().map(text).collect();
    if waiting.is_empty() { Ok(()) } else { say(&format!("a restart is needed for: {}", waiting.join(", "))) }
}
