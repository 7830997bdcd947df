//! `flaggate profiles`: what is stored of users, through the admin API.

mod activity;
mod change;
mod import;
mod look;
mod progress;
mod rows;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    flags::{IN_PATH, values::value},
    remote::{Remote, Request},
    say,
};

#[derive(Debug, Subcommand)]
pub(super) enum Profiles {
    /// Show what is stored of a user, and what the user does now.
    Get(look::Get),
    /// Replace a user's profile, or create it: `put USER field=value …`, or --file.
    Put(change::Put),
    /// Change fields of a profile, or create it with them: `set USER field=value …`.
    Set(change::Set),
    /// Forget a user; asks first.
    Delete(change::Delete),
    /// Write many profiles, from NDJSON or CSV with a column `user_id`.
    Import(import::Import),
    /// Say what a user is doing now: `activity USER --set current_page=/checkout`.
    Activity(activity::Activity),
}

impl Profiles {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Get(get) => get.run(),
            Self::Put(put) => put.run(),
            Self::Set(set) => set.run(),
            Self::Delete(delete) => delete.run(),
            Self::Import(import) => import.run(),
            Self::Activity(activity) => activity.run(),
        }
    }
}

/// The path of a user, and of what is below.
fn path(user: &str, below: &str) -> Result<String> {
    // What such a path means, a client decides before it is sent.
    if matches!(user, "" | "." | "..") {
        bail!("{user:?} is no user's id");
    }
    Ok(format!("/profiles/{}{below}", utf8_percent_encode(user, IN_PATH)))
}

/// Sends something and says what became of it.
fn send(
    remote: &Remote,
    method: Method,
    path: String,
    body: Option<Value>,
    as_json: bool,
    said: &str,
) -> Result<ExitCode> {
    let answer = remote.exchange(&Request { method, path, headers: &[], body })?;
    say(&if as_json { serde_json::to_string_pretty(&answer.body)? } else { said.to_owned() })?;
    Ok(ExitCode::SUCCESS)
}

/// `{attributes, behavioral_data}` of `field=value`, `attributes.field=value` and `behavioral_data.field=value`.
fn parts(assignments: &[String]) -> Result<Map<String, Value>> {
    let (mut attributes, mut behavioral_data) = (Map::new(), Map::new());
    for given in assignments {
        let (name, value) = assignment(given)?;
        match name.split_once('.') {
            Some(("behavioral_data", name)) if !name.is_empty() => behavioral_data.insert(name.to_owned(), value),
            Some(("attributes", name)) if !name.is_empty() => attributes.insert(name.to_owned(), value),
            _ => attributes.insert(name.to_owned(), value),
        };
    }
    let parts = [("attributes", attributes), ("behavioral_data", behavioral_data)];
    let given = parts.into_iter().filter(|(_, fields)| !fields.is_empty());
    Ok(given.map(|(name, fields)| (name.to_owned(), fields.into())).collect())
}

/// `field=value`; a value that is JSON counts as such, anything else is text.
fn assignment(given: &str) -> Result<(&str, Value)> {
    let (name, text) = given
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .with_context(|| format!("{given:?} is not field=value, such as plan=pro or behavioral_data.visits=7"))?;
    Ok((name, value(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_into_their_parts() {
        let given = ["plan=pro", "attributes.age=42", "behavioral_data.visits=7", "zip=\"01234\"", "a.b=null", "x=a=b"];
        let parts = parts(&given.map(str::to_owned)).unwrap();
        let attributes = json!({ "plan": "pro", "age": 42, "zip": "01234", "a.b": null, "x": "a=b" });
        assert_eq!(Value::from(parts), json!({ "attributes": attributes, "behavioral_data": { "visits": 7 } }));
        assert!(super::parts(&["plan".to_owned()]).is_err() && super::parts(&["=pro".to_owned()]).is_err());
        assert!(super::parts(&[]).unwrap().is_empty());
    }

    #[test]
    fn users_in_paths() {
        assert_eq!(path("a/b é", "/activity").unwrap(), "/profiles/a%2Fb%20%C3%A9/activity");
        assert!(path("..", "").is_err());
    }
}
