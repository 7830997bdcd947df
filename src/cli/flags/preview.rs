//! `flaggate flags preview`: whom a change would reach.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::{
    documents::{Given, Noun, ask, time},
    remote::{Remote, Request},
    say,
    table::{Table, plain, text},
};

/// A change that is only thought of.
#[derive(Debug, Args)]
pub(in crate::cli) struct Preview {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    given: Given,
    /// How many users to name.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    examples: usize,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Preview {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let changes = self.given.read()?;
        let proposed = match (self.given.replace, changes.go_below()) {
            (true, _) => json!({ "document": changes.fields }),
            (false, true) => json!({ "patch": changes.of(self.given.current(&self.remote, Noun::FLAG)?.0)? }),
            (false, false) => json!({ "patch": changes.of(Map::new())? }),
        };
        let path = Noun::FLAG.path(&self.given.key, &format!("/preview?examples={}", self.examples));
        let request = Request { method: Method::POST, path, headers: &[], body: Some(proposed) };
        let told = ask(&self.remote, Noun::FLAG, &self.given.key, &request)?.body;
        if self.json {
            say(&told.to_string())?;
        } else {
            for line in lines(&told) {
                say(&line)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What people are told.
fn lines(told: &Value) -> Vec<String> {
    if told["remembers"] == false {
        return vec![
            "the gateway remembers nobody, as recent.contexts is 0, so there is nothing to try it on".to_owned(),
        ];
    }
    let [users, changed] = [&told["users"], &told["changed_users"]];
    if *users == 0 {
        return vec!["nobody was here yet to try it on".to_owned()];
    }
    let who = if *changed == 0 { "nobody".to_owned() } else { changed.to_string() };
    let mut lines = vec![format!(
        "{who} of {users} recent users would get something else; they were seen from {} to {}",
        time(&told["seen"]["from"]),
        time(&told["seen"]["to"])
    )];
    let mut table = Table::new(["FROM", "TO", "USERS", "REQUESTS"]);
    for change in items(&told["changes"]) {
        let [from, to] = sides(change);
        table.push([from, to, text(&change["users"]), text(&change["requests"])]);
    }
    if *changed != 0 {
        lines.push(table.to_string());
    }
    if told["more_changes"].as_u64().is_some_and(|more| more > 0) {
        lines.push(format!("and {} other kinds of change", told["more_changes"]));
    }
    for example in items(&told["examples"]) {
        let [from, to] = sides(example);
        lines.extend(example["user_id"].as_str().map(|user| format!("for example {}: {from} → {to}", plain(user))));
    }
    for flag in items(&told["affected_flags"]) {
        lines.push(format!("the flag {} would change for {} of them as well", text(&flag["key"]), flag["users"]));
    }
    if told["users_without_profile"].as_u64().is_some_and(|without| without > 0) {
        let without = &told["users_without_profile"];
        lines.push(format!(
            "of {without} users a flag asks for what is not known here: their profiles were not looked up"
        ));
    }
    lines
}

/// What there was and what there would be; values where the variations are called alike.
fn sides(change: &Value) -> [String; 2] {
    let alike = change["from"]["variation"] == change["to"]["variation"];
    ["from", "to"].map(|side| match &change[side]["value"] {
        value if alike && !value.is_null() => plain(&value.to_string()),
        _ => text(&change[side]["variation"]),
    })
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
