//! `flaggate eval KEY`: evaluates one flag of a file of documents, without a gateway or a store.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::say;
use crate::{
    clock,
    model::{Context, DocumentKey, DocumentKind, FlagDocument, WorldRevision},
    snapshot::{Snapshot, World},
    store::seeds,
};

/// One evaluation.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// The flag.
    #[arg(required_unless_present = "vectors")]
    key: Option<String>,
    /// A JSON array of flag documents, or what `flaggate export` writes, segments included.
    #[arg(long, value_name = "FILE", required_unless_present = "vectors")]
    flags: Option<PathBuf>,
    /// The user.
    #[arg(long, value_name = "ID", default_value = "")]
    user_id: String,
    /// An attribute of the user; a value that is JSON counts as such, anything else as text.
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// The environment, for flags with overrides.
    #[arg(long)]
    environment: Option<String>,
    /// A JSON array of kill switches, as `GET /kill-switches` gives them, or one.
    #[arg(long, value_name = "FILE", requires = "flags")]
    kill_switches: Option<PathBuf>,
    /// The region of the gateway, for kill switches of one.
    #[arg(long, requires = "kill_switches")]
    region: Option<String>,
    /// Tell every step of the way.
    #[arg(long)]
    explain: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(super) fn run(&self) -> Result<()> {
        let (Some(key), Some(file)) = (&self.key, &self.flags) else { bail!("a flag's key and --flags are needed") };
        let attributes = self.attributes()?;
        let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        let snapshot =
            self.snapshot(&text).with_context(|| format!("{} is no JSON of flags and segments", file.display()))?;
        let own = snapshot.document(key).map(FlagDocument::to_text).unwrap_or_default();
        let is_meant = |document: &DocumentKey| {
            let name = &*document.key;
            document.kind == DocumentKind::KillSwitch || name == key || own.contains(&Value::from(name).to_string())
        };
        for diagnostic in snapshot.diagnostics().filter(|diagnostic| is_meant(&diagnostic.document)) {
            log::warn!("{}", serde_json::to_string(diagnostic)?);
        }
        let Some(flag) = snapshot.flag(key) else {
            let known: Vec<&str> = snapshot.keys().collect();
            bail!("there is no flag {key:?} in {}; there are: {}", file.display(), known.join(", "));
        };
        let context = Context { user_id: &self.user_id, attributes: &attributes, now: clock::now() };
        let mut told = snapshot.explain(flag, context);
        if !self.explain
            && let Some(told) = told.as_object_mut()
        {
            told.shift_remove("steps");
        }
        say(&if self.json { serde_json::to_string_pretty(&told)? } else { table(&told) })
    }

    fn attributes(&self) -> Result<Map<String, Value>> {
        let parse = |given: &String| {
            let (name, value) = given.split_once('=').with_context(|| format!("{given:?} is not NAME=VALUE"))?;
            Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        };
        self.attributes.iter().map(parse).collect()
    }

    fn snapshot(&self, text: &str) -> Result<Arc<Snapshot>> {
        let documents = seeds("it", text)?.into_iter().map(|document| {
            let name = |field: &str| document.get(field).and_then(Value::as_str);
            let named = match (name("key"), name("id")) {
                (Some(key), _) => DocumentKey::flag(key),
                (None, id) => DocumentKey::segment(id.context("a document has neither a key nor an id")?),
            };
            Ok((named, document.to_string().into()))
        });
        let mut documents: Vec<(DocumentKey, Arc<str>)> = documents.collect::<Result<_>>()?;
        documents.extend(self.switches()?);
        let revision = WorldRevision { epoch: "file".into(), number: 1 };
        Ok(World::new(self.environment.as_deref()).in_region(self.region.as_deref()).load(revision, documents))
    }

    fn switches(&self) -> Result<Vec<(DocumentKey, Arc<str>)>> {
        let Some(file) = &self.kill_switches else { return Ok(Vec::new()) };
        let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        let named = |switch: Value| {
            let id = switch["id"].as_str().with_context(|| format!("a kill switch in {} has no id", file.display()))?;
            Ok((DocumentKey::kill_switch(id), switch.to_string().into()))
        };
        seeds(&file.display().to_string(), &text)?.into_iter().map(named).collect()
    }
}

/// One line for each fact and each step.
fn table(told: &Value) -> String {
    let mut lines = Vec::new();
    let members = told.as_object().into_iter().flatten();
    for (name, value) in members {
        match value.as_array() {
            Some(steps) if name == "steps" => lines.extend(steps.iter().map(|step| format!("  {}", facts(step)))),
            _ => lines.push(format!("{name:<18} {value}")),
        }
    }
    lines.join("\n")
}

/// `rule  position=0 result="no_match" …`
pub(super) fn facts(step: &Value) -> String {
    let members = step.as_object().into_iter().flatten();
    let mut line = String::new();
    for (name, value) in members {
        line += &match value.as_str() {
            Some(kind) if name == "step" => format!("{kind:<12}"),
            _ => format!(" {name}={value}"),
        };
    }
    line
}
