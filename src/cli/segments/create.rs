//! `flaggate segments create`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Map, Number, Value, json};

use crate::cli::documents::{Changing, Noun, file, value};

/// A new segment.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    changing: Changing,
    /// Its id: letters, digits, dots, dashes and underscores.
    id: String,
    /// What people call it; its id if nothing is said.
    #[arg(long)]
    name: Option<String>,
    /// What makes a member; composite with --expression, else rule-based.
    #[arg(long = "type", value_enum)]
    kind: Option<Type>,
    /// A rule, such as 'lifetime_value greater_than 500'; several are possible.
    #[arg(long = "rule", value_name = "FIELD OPERATOR VALUE")]
    rules: Vec<String>,
    /// Rules need not all hold: their weights, 1 each, must sum to this.
    #[arg(long, value_name = "NUMBER")]
    min_score: Option<Number>,
    /// How it is made of others, such as 'vip AND (ios OR android) AND NOT churned'.
    #[arg(long)]
    expression: Option<String>,
    /// A segment of which users must be members, too; several are possible.
    #[arg(long = "parent", value_name = "ID")]
    parents: Vec<String>,
    /// A segment of which users must not be members; several are possible.
    #[arg(long = "exclude", value_name = "ID")]
    exclusions: Vec<String>,
    /// Its place in lists: highest first.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// A tag; several are possible.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// The document, or what of it the other options do not say; JSON or YAML, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Type {
    RuleBased,
    Composite,
    Dynamic,
    MlBased,
}

impl Create {
    pub(super) fn run(&self) -> Result<ExitCode> {
        self.changing.create(Noun::SEGMENT, &self.id, self.document()?)
    }

    fn document(&self) -> Result<Map<String, Value>> {
        let mut document = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let mut set = |name: &str, value: Option<Value>| document.extend(value.map(|value| (name.to_owned(), value)));
        set("id", Some(self.id.as_str().into()));
        set("name", self.name.as_deref().map(Value::from));
        let kind = self.kind.and_then(|kind| kind.to_possible_value()).map(|kind| kind.get_name().into());
        set("type", kind.or_else(|| self.expression.as_ref().map(|_| "composite".into())));
        set("expression", self.expression.as_deref().map(Value::from));
        let rules = self.rules.iter().map(|given| rule(given)).collect::<Result<Vec<_>>>()?;
        set("rules", (!rules.is_empty()).then(|| rules.into()));
        set("min_score", self.min_score.clone().map(Value::Number));
        let lists =
            [("parent_segments", &self.parents), ("exclusion_segments", &self.exclusions), ("tags", &self.tags)];
        for (name, list) in lists {
            set(name, (!list.is_empty()).then(|| list.clone().into()));
        }
        set("priority", self.priority.map(Value::from));
        set("description", self.description.as_deref().map(Value::from));
        document.entry("name").or_insert_with(|| self.id.as_str().into());
        Ok(document)
    }
}

/// `field operator value`; a value that is JSON counts as such, anything else as text.
fn rule(given: &str) -> Result<Value> {
    let wrong = || format!("{given:?} is not FIELD OPERATOR VALUE, such as 'platform equals ios'");
    let (field, rest) = given.trim().split_once(char::is_whitespace).with_context(wrong)?;
    let (operator, text) = rest.trim_start().split_once(char::is_whitespace).with_context(wrong)?;
    Ok(json!({ "field": field, "operator": operator, "value": value(text.trim()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_words() {
        for (given, expected) in [
            ("a gte 5", Some(json!({ "field": "a", "operator": "gte", "value": 5 }))),
            (" a  in  [1, 2] ", Some(json!({ "field": "a", "operator": "in", "value": [1, 2] }))),
            ("a equals two words", Some(json!({ "field": "a", "operator": "equals", "value": "two words" }))),
            ("a equals", None),
            ("", None),
        ] {
            assert_eq!(rule(given).ok(), expected, "{given:?}");
        }
    }
}
