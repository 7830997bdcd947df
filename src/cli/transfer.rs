//! `flaggate export`, `flaggate import` and `flaggate apply`: all flags, segments and models at once.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::{definitions::Definitions, deployments, failure::refused_at, plan, remote::Remote, say};

/// The exit code of a dry run with changes, where it is asked for.
const CHANGES: u8 = 2;

/// How documents are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Written {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

/// What happens to documents that are not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// They stay.
    #[default]
    Merge,
    /// They are deleted.
    Replace,
}

/// `flaggate export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    remote: Remote,
    /// How they are written.
    #[arg(long, value_enum, default_value = "json")]
    format: Written,
    /// The file; standard output unless it is named.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `flaggate import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    remote: Remote,
    /// A JSON or YAML file of definitions; `-` is standard input.
    file: PathBuf,
    /// Whose definitions they are: auto, flaggate, flagd, unleash or growthbook.
    #[arg(long, default_value = "auto")]
    format: String,
    /// What happens to flags, segments and models that the file does not name; a kind that it says nothing of stays.
    #[arg(long, value_enum, default_value = "merge")]
    mode: Mode,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

/// `flaggate apply`.
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    remote: Remote,
    /// A file of flag, segment, model and deployment documents, or a folder of *.json, *.yaml and *.yml.
    #[arg(short, long = "file", value_name = "PATH")]
    file: PathBuf,
    /// Delete the flags that no file defines; segments, models and deployments too, if a file defines any.
    #[arg(long)]
    prune: bool,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit with 2 when something would change.
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let format = if self.format == Written::Yaml { "yaml" } else { "json" };
        let (status, text) = self.remote.send(&Method::GET, &format!("/export?format={format}"), None)?;
        if !status.is_success() {
            return Err(refused_at(status, &text, |_| None));
        }
        match &self.output {
            Some(file) => fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))?,
            None => io::stdout().write_all(text.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let text = text_of(&self.file)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("mode", if self.mode == Mode::Replace { "replace" } else { "merge" });
        query.append_pair("format", &self.format);
        query.append_pair("dry_run", if self.dry_run { "true" } else { "false" });
        let answer = post(&self.remote, &query.finish(), text, |_| None)?;
        show(&answer, self.json, !self.dry_run)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Apply {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let definitions = Definitions::read(&self.file)?;
        let mode = if self.prune { "replace" } else { "merge" };
        let send = |dry_run: bool| {
            if !definitions.has_others() {
                return Ok(
                    serde_json::json!({ "counts": { "created": 0, "updated": 0, "unchanged": 0, "deleted": 0 } }),
                );
            }
            let query = format!("mode={mode}&format=flaggate&dry_run={dry_run}");
            post(&self.remote, &query, definitions.body(), |pointer| definitions.at(pointer))
        };
        let mut wanted = send(true)?;
        let rows = deployments::planned(&self.remote, &definitions, self.prune)?;
        // Where flags change, deployments can be checked only after that.
        if !plan::changes(&wanted) {
            deployments::apply(&self.remote, &definitions, &rows, true)?;
        }
        count(&mut wanted, &rows);
        let changes = plan::changes(&wanted);
        if self.dry_run || !changes {
            show(&wanted, self.json, false)?;
            return Ok(if changes && self.exit_code { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS });
        }
        if !self.json {
            show(&wanted, false, false)?;
        }
        if !self.yes && !confirmed()? {
            say("nothing was done")?;
            return Ok(ExitCode::FAILURE);
        }
        let mut answer = send(false)?;
        deployments::apply(&self.remote, &definitions, &rows, false)?;
        count(&mut answer, &rows);
        if self.json {
            show(&answer, true, true)?;
        } else {
            say(plan::table(&answer, true).lines().last().unwrap_or_default())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds the rows of deployments to a plan.
fn count(plan: &mut Value, rows: &[Value]) {
    for row in rows {
        if let Some(action) = row["action"].as_str() {
            let counted = &mut plan["counts"][action];
            *counted = (counted.as_u64().unwrap_or_default() + 1).into();
        }
    }
    if !rows.is_empty() {
        plan["deployments"] = rows.into();
    }
}

/// Imports a text and gives the plan; `place` names the place of a pointer, where it is known.
fn post(remote: &Remote, query: &str, text: String, place: impl Fn(&str) -> Option<String>) -> Result<Value> {
    let kind = if text.trim_start().starts_with(['{', '[']) { "application/json" } else { "application/yaml" };
    let (status, text) = remote.send(&Method::POST, &format!("/import?{query}"), Some((kind, text)))?;
    if !status.is_success() {
        return Err(refused_at(status, &text, place));
    }
    serde_json::from_str(&text).context("the answer is no JSON")
}

fn show(plan: &Value, as_json: bool, done: bool) -> Result<()> {
    say(&if as_json { serde_json::to_string_pretty(plan)? } else { plan::table(plan, done) })
}

fn text_of(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("failed to read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// Asks whether to go on.
fn confirmed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked whether to go on; --yes goes on, --dry-run only shows the plan");
    }
    write!(io::stdout(), "apply this plan? [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
