//! The command line.

mod check;
mod vectors;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{app, config::Config};

pub use vectors::{Quirks, Report, run as run_vectors};

/// A reverse-proxy gateway that routes each request by feature flag.
#[derive(Debug, Parser)]
#[command(name = "flaggate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Run {
        /// The configuration.
        #[arg(long, default_value = "config/flaggate.toml")]
        config: PathBuf,
    },
    /// Check a configuration, or print its JSON Schema.
    Check {
        /// The configuration.
        #[arg(default_value = "config/flaggate.toml")]
        file: PathBuf,
        /// Print the JSON Schema of configurations instead.
        #[arg(long)]
        schema: bool,
    },
    /// Run recorded cases through the evaluation.
    Eval {
        /// A file of cases, one JSON object a line.
        #[arg(long, value_name = "FILE")]
        vectors: PathBuf,
        /// Which cases count of those that rest on a habit of the recorded service.
        #[arg(long, value_enum, default_value = "binding")]
        quirks: Quirks,
    },
}

/// Parses the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { config } => run(&config),
        Command::Check { schema: true, .. } => check::schema(),
        Command::Check { file, .. } => check::file(&file),
        Command::Eval { vectors, quirks } => eval_vectors(&vectors, quirks),
    };
    outcome.unwrap_or_else(|error| {
        log_error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn run(path: &std::path::Path) -> Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FLAGGATE_LOG")
        .unwrap_or_else(|_| "info,pingora=warn,pingora_core=warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let config = Config::load(path, std::env::vars()).map_err(|error| anyhow::anyhow!("{error}"))?;
    app::run(config)?;
    Ok(ExitCode::SUCCESS)
}

fn eval_vectors(file: &std::path::Path, quirks: Quirks) -> Result<ExitCode> {
    let report = vectors::run(file, quirks)?;
    for mismatch in &report.mismatches {
        say(mismatch)?;
    }
    say(&format!("{} passed, {} failed, {} skipped", report.passed, report.mismatches.len(), report.skipped))?;
    Ok(if report.mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes a line to standard output.
fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Writes an error to standard error, where nothing can be done if that fails as well.
fn log_error(message: &str) {
    writeln!(std::io::stderr(), "flaggate: {message}").ok();
}
