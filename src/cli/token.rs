//! `flaggate token new`: a token, and what the configuration keeps of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::say;
use crate::{
    clock,
    config::TOKEN_PREFIX,
    model::{Role, duration},
};

/// What the token is for.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Whose it is; stands in the audit log
    #[arg(long)]
    name: String,
    /// What it may: client, viewer, operator, editor or admin; each may what the ones before it may
    #[arg(long)]
    role: Role,
    /// For how long it holds, like `90d` or `12h`; for ever unless given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires_in: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "expected a duration like `90d` or `12h`".to_owned())
}

/// Draws a token and prints it, once: only its hash is kept.
pub(super) fn new(asked: &New) -> Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system has no random numbers")?;
    let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let sha256: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    let expires_at = asked.expires_in.map(|duration| clock::now().checked_add(duration)).transpose()?;
    let expires_at = expires_at.map(|at| Timestamp::from_second(at.as_second())).transpose()?;
    if asked.json {
        let whole = json!({
            "name": asked.name, "role": asked.role, "token": token, "sha256": sha256, "expires_at": expires_at,
        });
        return say(&serde_json::to_string_pretty(&whole)?);
    }
    say(&format!("the token, shown this once:\n\n  {token}\n\nfor the configuration of each gateway:\n"))?;
    let name = serde_json::to_string(&asked.name)?;
    say(&format!("  [[admin.tokens]]\n  name = {name}\n  role = \"{}\"\n  sha256 = \"{sha256}\"", asked.role))?;
    if let Some(expires_at) = expires_at {
        say(&format!("  expires_at = \"{expires_at}\""))?;
    }
    say("\nuse it: export FLAGGATE_TOKEN=…, or `Authorization: Bearer …`")
}
