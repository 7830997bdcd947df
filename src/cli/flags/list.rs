//! `flaggate flags list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::{
    documents::{Noun, list},
    remote::Remote,
    table::{Table, text},
};

/// Which flags are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Only flags that have this tag, or one of several.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only flags whose key, name, description, owner or tag contains this.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only flags in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the documents as a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Neither it nor an ancestor is off.
    On,
    /// It, or an ancestor, is off.
    Off,
    /// It has probably done its work.
    Stale,
    /// Something is wrong with its document.
    Faulty,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.tags.iter().map(|tag| ("tags", tag)));
        query.extend_pairs(self.q.iter().map(|q| ("q", q)));
        if let Some(state) = self.state.and_then(|state| state.to_possible_value()) {
            query.append_pair("state", state.get_name());
        }
        list(&self.remote, Noun::FLAG, &query.finish(), self.limit, self.json, |flags| table(flags).to_string())
    }
}

fn table(flags: &[Value]) -> Table<7> {
    let mut table = Table::new(["KEY", "STATE", "TYPE", "ROLLOUT", "RULES", "TAGS", "UPDATED"]);
    for flag in flags {
        let length = |name: &str| flag[name].as_array().map_or(0, Vec::len);
        let rollout = match (flag["rollout_enabled"] == true, length("rollout_stages")) {
            (false, _) => "-".to_owned(),
            (true, 0) => format!("{}%", flag["rollout_percentage"].as_f64().unwrap_or_default()),
            (true, stages) => format!("{stages} stages"),
        };
        let rules = if flag["targeting_enabled"] == true { length("targeting_rules") } else { 0 };
        let tags: Vec<String> = flag["tags"].as_array().into_iter().flatten().map(text).collect();
        table.push([
            text(&flag["key"]),
            if flag["enabled"] == false { "off" } else { "on" }.to_owned(),
            text(&flag["flag_type"]),
            rollout,
            if rules == 0 { "-".to_owned() } else { rules.to_string() },
            if tags.is_empty() { "-".to_owned() } else { tags.join(",") },
            // To the minute.
            text(&flag["updated_at"]).chars().take(16).collect::<String>().replace('T', " "),
        ]);
    }
    table
}
