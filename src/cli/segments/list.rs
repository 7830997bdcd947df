//! `flaggate segments list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::cli::{
    documents::{Noun, list},
    remote::Remote,
    table::{Table, text},
};

/// Which segments are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Only segments of this type: rule_based, composite, dynamic or ml_based.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only segments that have this tag, or one of several.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only segments whose id, name, description or tag contains this.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the documents as a JSON array.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.kind.iter().map(|kind| ("type", kind)));
        query.extend_pairs(self.tags.iter().map(|tag| ("tag", tag)));
        query.extend_pairs(self.q.iter().map(|q| ("q", q)));
        list(&self.remote, Noun::SEGMENT, &query.finish(), self.limit, self.json, |segments| {
            table(segments).to_string()
        })
    }
}

fn table(segments: &[Value]) -> Table<6> {
    let mut table = Table::new(["ID", "TYPE", "PRIORITY", "MADE OF", "TAGS", "UPDATED"]);
    for segment in segments {
        let count = |name: &str, word: &str| {
            let length = segment[name].as_array().map_or(0, Vec::len);
            (length > 0).then(|| format!("{length} {word}{}", if length == 1 { "" } else { "s" }))
        };
        let expression = segment["expression"].as_str().map(|_| text(&segment["expression"]));
        let model = segment["ml_model_id"].as_str().map(|_| format!("model {}", text(&segment["ml_model_id"])));
        let parts = [
            expression,
            model,
            count("rules", "rule"),
            count("parent_segments", "parent"),
            count("exclusion_segments", "exclusion"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let tags: Vec<String> = segment["tags"].as_array().into_iter().flatten().map(text).collect();
        table.push([
            text(&segment["id"]),
            text(&segment["type"]),
            text(&segment["priority"]),
            if parts.is_empty() { "-".to_owned() } else { parts.join(", ") },
            if tags.is_empty() { "-".to_owned() } else { tags.join(",") },
            // To the minute.
            text(&segment["updated_at"]).chars().take(16).collect::<String>().replace('T', " "),
        ]);
    }
    table
}
