//! The command line.

mod analytics;
mod check;
mod definitions;
mod demo;
mod deployments;
mod documents;
mod eval;
mod explain;
mod failure;
mod flags;
mod insights;
mod kill;
mod located;
mod models;
mod plan;
mod profiles;
mod reload;
mod remote;
mod segments;
mod status;
mod table;
mod tail;
mod token;
mod transfer;
mod vectors;

use std::{
    env,
    io::{IsTerminal, Write},
    panic,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    app::{self, App},
    config::Config,
    telemetry::{LastLines, ProcessLog},
};

use self::{
    failure::{Failure, Kind},
    remote::Remote,
};

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
    /// Run the gateway until SIGTERM or Ctrl-C; SIGHUP reads the configuration anew, SIGQUIT puts a new process in its place.
    Run {
        /// The configuration.
        #[arg(long, default_value = "config/flaggate.toml")]
        config: PathBuf,
    },
    /// Run the gateway with a demo world: five upstreams, some flags and segments, everything in memory on loopback.
    Demo(demo::Demo),
    /// Check a configuration, or print its JSON Schema.
    Check {
        /// The configuration.
        #[arg(default_value = "config/flaggate.toml")]
        file: PathBuf,
        /// Print the JSON Schema of configurations instead.
        #[arg(long)]
        schema: bool,
    },
    /// Make a gateway read its configuration anew, as SIGHUP does: routes and upstreams change without a restart.
    Reload {
        #[command(flatten)]
        remote: Remote,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show the gateways that share a store, what they serve, and how the store is.
    Status {
        #[command(flatten)]
        remote: Remote,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a flag does to the traffic and to what users do: `analytics new-checkout --from 1h`.
    Analytics(analytics::Analytics),
    /// Show what somebody should look at, the worst first, and what was changed before something changed.
    Insights(insights::Insights),
    /// Look at flags and change them.
    #[command(subcommand)]
    Flags(flags::Flags),
    /// Look at segments and change them, and see who is in them.
    #[command(subcommand)]
    Segments(segments::Segments),
    /// Look at deployments, and tell them what to do.
    #[command(subcommand)]
    Deployments(deployments::Deployments),
    /// Kill flags at once: they give their default until `--lift` undoes it.
    Kill(kill::Kill),
    /// Look at what is stored of users, and change it.
    #[command(subcommand)]
    Profiles(profiles::Profiles),
    /// Look at trained models, train and change them.
    #[command(subcommand)]
    Models(models::Models),
    /// Show requests to a gateway as they end, each with what was decided for it.
    Tail(tail::Tail),
    /// Print a script that completes commands and options, for a shell to read.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Explain what would become of a request, without sending it: `explain http://shop.example/ -H 'X-User-Id: ann'`.
    Explain(explain::Explain),
    /// Mend the store of a gateway.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Write all flags and segments of a gateway's store out.
    Export(transfer::Export),
    /// Create and update flags and segments from a file of flaggate, flagd, Unleash or GrowthBook definitions.
    Import(transfer::Import),
    /// Make the store's flags, segments and deployments those of a folder of files: shows the plan, then does it.
    Apply(transfer::Apply),
    /// Print the OpenAPI document of the admin API, which a gateway shows at `/openapi.json`.
    Openapi,
    /// Make tokens for the admin API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Evaluate a flag of a file of documents, or run recorded cases through the evaluation.
    Eval {
        #[command(flatten)]
        evaluate: eval::Evaluate,
        /// A file of cases, one JSON object a line.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "flags"])]
        vectors: Option<PathBuf>,
        /// Which cases count of those that rest on a habit of the recorded service.
        #[arg(long, value_enum, default_value = "binding")]
        quirks: Quirks,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Write what a gateway serves back into a store that was emptied or went back to an earlier state.
    Reseed {
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and print what the configuration keeps of it.
    New(token::New),
}

/// Parses the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { config } => run(&config),
        Command::Demo(demo) => demo.run(),
        Command::Check { schema: true, .. } => check::schema(),
        Command::Check { file, .. } => check::file(&file),
        Command::Reload { remote, json } => reload::reload(&remote, json).map(|()| ExitCode::SUCCESS),
        Command::Status { remote, json } => status::status(&remote, json).map(|()| ExitCode::SUCCESS),
        Command::Analytics(analytics) => analytics.run(),
        Command::Insights(insights) => insights.run(),
        Command::Flags(flags) => flags.run(),
        Command::Segments(segments) => segments.run(),
        Command::Deployments(deployments) => deployments.run(),
        Command::Kill(kill) => kill.run(),
        Command::Profiles(profiles) => profiles.run(),
        Command::Models(models) => models.run(),
        Command::Tail(tail) => tail.run(),
        Command::Completions { shell } => completions(shell),
        Command::Explain(explain) => explain.run(),
        Command::Store(StoreCommand::Reseed { remote }) => status::reseed(&remote).map(|()| ExitCode::SUCCESS),
        Command::Export(export) => export.run(),
        Command::Import(import) => import.run(),
        Command::Apply(apply) => apply.run(),
        Command::Openapi => say(&format!("{:#}", app::openapi())).map(|()| ExitCode::SUCCESS),
        Command::Token(TokenCommand::New(asked)) => token::new(&asked).map(|()| ExitCode::SUCCESS),
        Command::Eval { vectors: Some(vectors), quirks, .. } => eval_vectors(&vectors, quirks),
        Command::Eval { evaluate, .. } => start_logging("warn").and_then(|_last_lines| {
            evaluate.run()?;
            Ok(ExitCode::SUCCESS)
        }),
    };
    outcome.unwrap_or_else(|error| {
        log_error(&format!("{error:#}"));
        error.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, Failure::exit_code)
    })
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "flaggate", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

fn run(path: &std::path::Path) -> Result<ExitCode> {
    let _last_lines = start_logging("info,pingora=warn,pingora_core=warn")?;
    let config = Config::load(path, env::vars()).map_err(|error| anyhow::anyhow!("{error}"))?;
    App::start(config, Some(path.to_owned()), None)?.serve()?;
    Ok(ExitCode::SUCCESS)
}

/// Logs to standard error; `FLAGGATE_LOG` says what.
fn start_logging(default: &str) -> Result<LastLines> {
    let filter = EnvFilter::try_from_env("FLAGGATE_LOG").unwrap_or_else(|_| default.into());
    let colors = std::io::stderr().is_terminal();
    let (log, last_lines) = ProcessLog::start(colors).context("failed to start the log")?;
    tracing_subscriber::registry().with(filter).with(log).init();
    log_panics();
    Ok(last_lines)
}

/// Tells of panics as of everything else, in one line; who wants a trace gets it as well.
fn log_panics() {
    let default = panic::take_hook();
    let wants_trace = env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0");
    panic::set_hook(Box::new(move |panic| {
        log::error!("{panic}");
        if wants_trace {
            default(panic);
        }
    }));
}

fn eval_vectors(file: &std::path::Path, quirks: Quirks) -> Result<ExitCode> {
    let report = vectors::run(file, quirks)?;
    for mismatch in &report.mismatches {
        say(mismatch)?;
    }
    say(&format!("{} passed, {} failed, {} skipped", report.passed, report.mismatches.len(), report.skipped))?;
    Ok(if report.mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks whether to delete something; a failure when nobody says yes.
fn confirm_deletion(what: &str) -> Result<()> {
    let mut stderr = std::io::stderr();
    if !std::io::stdin().is_terminal() {
        let what = "nothing was deleted: there is no terminal to ask on";
        return Err(Failure::new(Kind::Other, what).hinting("--yes deletes without asking").into());
    }
    write!(stderr, "delete {what}? [y/N] ")?;
    stderr.flush()?;
    let mut reply = String::new();
    std::io::stdin().read_line(&mut reply)?;
    match matches!(reply.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        true => Ok(()),
        false => Err(Failure::new(Kind::Other, "nothing was deleted").into()),
    }
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
