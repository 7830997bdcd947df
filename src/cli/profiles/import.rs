//! `flaggate profiles import`.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    progress::{Far, Progress, rate},
    rows::{Counted, Rows},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        log_error,
        remote::{Remote, Request},
        say,
        table::plain,
    },
    clock,
};

/// Where batches go.
const PATH: &str = "/profiles:batch";

/// A batch is sent earlier when it has so many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// How many lines that are wrong are shown.
const ERRORS: usize = 20;

/// How often a batch is sent again when the token has asked too much.
const TRIES: usize = 60;

/// How the profiles are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object on each line.
    Ndjson,
    /// A table with a column `user_id`; its other columns are attributes.
    Csv,
}

/// Many profiles.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    remote: Remote,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// How it is written; by its name unless given: *.csv is CSV, all else NDJSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Columns of a CSV that are behavioral data; so are those named `behavioral_data.…`.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    behavioral: Vec<String>,
    /// So many profiles are sent at once.
    #[arg(long, value_name = "NUMBER", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Begin at this line of the file, where an import before stopped.
    #[arg(long, value_name = "LINE", default_value = "1")]
    from: u64,
    /// Tell how far it is, how fast, and how long it will take, on standard error.
    #[arg(long)]
    progress: bool,
    /// Print the totals as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Totals {
    done: u64,
    failed: u64,
    /// The first lines that are wrong.
    errors: Vec<(u64, String)>,
    /// The first line of what is not known to be written.
    stopped_at: u64,
}

/// Profiles that are sent together.
#[derive(Debug, Default)]
struct Batch {
    text: String,
    /// The line of the file that each comes from.
    lines: Vec<u64>,
}

impl Import {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let (mut rows, read, of_bytes) = self.open()?;
        let mut progress = Progress::new(self.progress, clock::monotonic());
        let (mut totals, mut batch) = (Totals::default(), Batch::default());
        let most = usize::try_from(self.batch).unwrap_or(usize::MAX);
        loop {
            let row = rows.next().with_context(|| self.file.display().to_string())?;
            let is_last = row.is_none();
            match row {
                Some((line, _)) if line < self.from => {}
                Some((line, Ok(profile))) => batch.push(line, &profile),
                Some((line, Err(why))) => totals.failed(line, why),
                None => {}
            }
            let is_full = batch.lines.len() >= most || batch.text.len() >= BATCH_BYTES;
            if !batch.lines.is_empty() && (is_full || is_last) {
                if let Err(error) = self.send(&std::mem::take(&mut batch), &mut totals) {
                    progress.end();
                    let Totals { done, failed, stopped_at, .. } = totals;
                    let go_on = format!("--from {stopped_at} goes on where it stopped");
                    log_error(&format!("{done} were written and {failed} failed before it stopped; {go_on}"));
                    return Err(error);
                }
                let far = Far { done: totals.done, failed: totals.failed, bytes: read.get(), of_bytes };
                progress.tell(far, clock::monotonic());
            }
            if is_last {
                break;
            }
        }
        progress.end();
        self.tell(&totals, progress.elapsed(clock::monotonic()))?;
        Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The profiles of the file, how much of it is read, and how long it is.
    fn open(&self) -> Result<(Rows, Rc<Cell<u64>>, Option<u64>)> {
        let name = self.file.display();
        let (input, of_bytes): (Box<dyn Read>, _) = match self.file == Path::new("-") {
            true => (Box::new(io::stdin()), None),
            false => {
                let file = File::open(&self.file).with_context(|| format!("failed to read {name}"))?;
                let length = file.metadata().with_context(|| format!("failed to read {name}"))?.len();
                (Box::new(file), Some(length))
            }
        };
        let is_csv = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let (input, read) = Counted::new(input);
        let rows = match self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Ndjson }) {
            Format::Csv => Rows::table(input, &self.behavioral).with_context(|| name.to_string())?,
            Format::Ndjson if !self.behavioral.is_empty() => bail!("--behavioral names columns of a CSV"),
            Format::Ndjson => Rows::lines(input),
        };
        Ok((rows, read, of_bytes))
    }

    fn send(&self, batch: &Batch, totals: &mut Totals) -> Result<()> {
        totals.stopped_at = batch.lines.first().copied().unwrap_or_default();
        let mut tries = 0;
        let text = loop {
            let body = Some(("application/x-ndjson", batch.text.clone()));
            let (status, text) = self.remote.send(&Method::POST, PATH, body)?;
            tries += 1;
            match status {
                StatusCode::TOO_MANY_REQUESTS if tries < TRIES => sleep(Duration::from_secs(1)),
                _ if status.is_success() => break text,
                _ => {
                    let request = Request { method: Method::POST, path: PATH.to_owned(), ..Request::default() };
                    return Err(Failure::refused(&request, status, &text).into());
                }
            }
        };
        let end: Value = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let number = |name: &str| end[name].as_u64().unwrap_or_default();
        // A line of the batch is a line of the file, further down.
        let line_of = |number: &Value| batch.lines.get(usize::try_from(number.as_u64()?.checked_sub(1)?).ok()?);
        totals.done += number("done");
        let failed = totals.failed + number("failed");
        for error in end["errors"].as_array().into_iter().flatten() {
            if let Some(line) = line_of(&error["line"]) {
                totals.failed(*line, error["message"].as_str().unwrap_or_default().to_owned());
            }
        }
        totals.failed = failed;
        if end["complete"] == true {
            return Ok(());
        }
        let why = end["error"].as_str().unwrap_or("the answer broke off");
        totals.stopped_at = line_of(&end["resume_at_line"]).copied().unwrap_or(totals.stopped_at);
        Err(Failure::new(Kind::Unavailable, format!("the import stopped: {}", plain(why))).into())
    }

    fn tell(&self, totals: &Totals, took: Duration) -> Result<()> {
        let rate = rate(totals.done + totals.failed, took);
        if self.json {
            let errors: Vec<Value> =
                totals.errors.iter().map(|(line, message)| json!({ "line": line, "message": message })).collect();
            let told = json!({
                "done": totals.done, "failed": totals.failed, "seconds": took.as_secs_f64(), "rate": rate.round(),
                "errors": errors,
            });
            return say(&serde_json::to_string_pretty(&told)?);
        }
        for (line, message) in &totals.errors {
            log_error(&format!("{}:{line}: {}", self.file.display(), plain(message)));
        }
        if totals.failed > totals.errors.len() as u64 {
            log_error(&format!("and {} more", totals.failed - totals.errors.len() as u64));
        }
        let seconds = took.as_secs_f64();
        say(&format!("{} written, {} failed in {seconds:.1} s ({rate:.0}/s)", totals.done, totals.failed))
    }
}

impl Totals {
    fn failed(&mut self, line: u64, why: String) {
        self.failed += 1;
        if self.errors.len() < ERRORS {
            self.errors.push((line, why));
        }
    }
}

impl Batch {
    fn push(&mut self, line: u64, profile: &str) {
        self.lines.push(line);
        self.text.push_str(profile);
        self.text.push('\n');
    }
}
