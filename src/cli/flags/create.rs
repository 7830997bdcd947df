//! `flaggate flags create`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::cli::documents::{Changing, Noun, file, value};

/// A new flag.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    changing: Changing,
    /// Its key: letters, digits, dots, dashes and underscores.
    key: String,
    /// What people call it; its key if nothing is said.
    #[arg(long)]
    name: Option<String>,
    /// What its values are.
    #[arg(long = "type", value_enum)]
    flag_type: Option<Type>,
    /// The value for who gets no other.
    #[arg(long, value_name = "VALUE")]
    default: Option<String>,
    /// A value that it can give, by name; several are possible.
    #[arg(long = "variant", value_name = "NAME=VALUE")]
    variants: Vec<String>,
    /// A tag; several are possible.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Create it turned off.
    #[arg(long)]
    off: bool,
    /// The document, or what of it the other options do not say; JSON or YAML, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    Boolean,
    String,
    Number,
    Json,
}

impl Create {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let body = self.document()?;
        self.changing.create(Noun::FLAG, &self.key, body)
    }

    fn document(&self) -> Result<Map<String, Value>> {
        let mut document = self.file.as_deref().map(file).transpose()?.unwrap_or_default();
        let mut set = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
        set("key", self.key.as_str().into());
        if let Some(name) = &self.name {
            set("name", name.as_str().into());
        }
        if let Some(flag_type) = self.flag_type.and_then(|flag_type| flag_type.to_possible_value()) {
            set("flag_type", flag_type.get_name().into());
        }
        if let Some(default) = &self.default {
            set("default_value", self.of_type(default));
        }
        if !self.variants.is_empty() {
            let variant = |given: &String| {
                let (name, value) = given.split_once('=').with_context(|| format!("{given:?} is not NAME=VALUE"))?;
                Ok((name.to_owned(), self.of_type(value)))
            };
            set("variants", self.variants.iter().map(variant).collect::<Result<Map<_, _>>>()?.into());
        }
        if !self.tags.is_empty() {
            set("tags", self.tags.clone().into());
        }
        if let Some(description) = &self.description {
            set("description", description.as_str().into());
        }
        if self.off {
            set("enabled", false.into());
        }
        document.entry("name").or_insert_with(|| self.key.as_str().into());
        Ok(document)
    }

    /// A value of a string flag is text, whatever it looks like.
    fn of_type(&self, text: &str) -> Value {
        match self.flag_type {
            Some(Type::String) => text.into(),
            Some(Type::Boolean | Type::Number | Type::Json) | None => value(text),
        }
    }
}
