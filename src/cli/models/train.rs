//! `flaggate models train`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{look::result, path};
use crate::cli::{
    documents::file,
    failure::{Failure, Kind},
    remote::{Remote, Request},
    say,
    table::{plain, text},
};

/// What is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Learnt {
    /// Clusters.
    Kmeans,
    /// How probable it is that an attribute is true.
    Logistic,
}

/// Trains a model on stored profiles.
#[derive(Debug, Args)]
pub(in crate::cli) struct Train {
    #[command(flatten)]
    remote: Remote,
    /// The model, new or not.
    id: String,
    /// What is learnt.
    #[arg(long, value_enum, required_unless_present = "file")]
    kind: Option<Learnt>,
    /// The attributes that it learns from.
    #[arg(
        long,
        alias = "feature-columns",
        value_name = "ATTRIBUTE",
        value_delimiter = ',',
        required_unless_present = "file"
    )]
    features: Vec<String>,
    /// How many clusters.
    #[arg(short, long)]
    k: Option<u32>,
    /// The attribute that is to be told, which is true or false.
    #[arg(long)]
    label: Option<String>,
    /// The number of a category: `plan.pro=1`.
    #[arg(long, value_name = "ATTRIBUTE.CATEGORY=NUMBER", value_parser = encoding)]
    encode: Vec<(String, String, f64)>,
    /// At most so many profiles.
    #[arg(long, value_name = "NUMBER")]
    sample: Option<u32>,
    /// Draws the sample and begins the clusters.
    #[arg(long)]
    seed: Option<u64>,
    /// The request from a file, JSON or YAML, instead of the options; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "features", "k", "label", "encode", "sample", "seed"])]
    file: Option<PathBuf>,
    /// Only tell how well the model would do.
    #[arg(long)]
    dry_run: bool,
    /// Print the last line of the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Train {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let request = match &self.file {
            Some(path) => file(path)?,
            None => self.request(),
        };
        let asked = Request {
            method: Method::POST,
            path: path(&self.id, if self.dry_run { "/train?dry_run=true" } else { "/train" })?,
            ..Request::default()
        };
        let body = ("application/json", Value::from(request).to_string().into_bytes());
        let shows = io::stderr().is_terminal() || !self.json;
        let answer = self.remote.exchange_bytes(&asked, body, &mut |line| {
            if shows {
                progress(line)?;
            }
            Ok(())
        })?;
        let end = answer.body;
        if end["complete"] != true {
            return Err(failure(&end).into());
        }
        if self.json {
            say(&serde_json::to_string_pretty(&end)?)?;
        } else {
            say(&match end["revision"].as_u64() {
                None => "nothing was written".to_owned(),
                Some(revision) => format!("{} is at revision {revision}", self.id),
            })?;
            for line in report(&end["report"]) {
                say(&line)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> Map<String, Value> {
        let mut encodings: Map<String, Value> = Map::new();
        for (column, category, number) in &self.encode {
            let encoding = encodings.entry(column.clone()).or_insert_with(|| json!({}));
            encoding[category.as_str()] = json!(number);
        }
        let kind = self.kind.map(|kind| match kind {
            Learnt::Kmeans => "kmeans",
            Learnt::Logistic => "logistic",
        });
        let given = [
            ("kind", json!(kind)),
            ("feature_columns", json!(self.features)),
            ("encodings", if encodings.is_empty() { Value::Null } else { encodings.into() }),
            ("k", json!(self.k)),
            ("label", json!(self.label)),
            ("sample", json!(self.sample)),
            ("seed", json!(self.seed)),
        ];
        given.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// `attribute.category=number`.
fn encoding(given: &str) -> Result<(String, String, f64), String> {
    let (way, number) = given.rsplit_once('=').ok_or("expected ATTRIBUTE.CATEGORY=NUMBER, such as plan.pro=1")?;
    let (column, category) = way.split_once('.').ok_or("expected ATTRIBUTE.CATEGORY before the =, such as plan.pro")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
    Ok((column.to_owned(), category.to_owned(), number))
}

/// Tells how far it is on standard error.
fn progress(line: &Value) -> Result<()> {
    let told = match (line["step"].as_str(), &line["done"], &line["of"]) {
        (Some("reading"), done, _) => format!("{done} profiles read"),
        (Some(step), done, of) => format!("{}: {done} of {of}", plain(step)),
        (None, _, _) => return Ok(()),
    };
    writeln!(io::stderr(), "{told}")?;
    Ok(())
}

fn failure(end: &Value) -> Failure {
    let mut what = format!("nothing was trained: {}", text(&end["error"]));
    if end.is_null() {
        "nothing was trained: the answer broke off".clone_into(&mut what);
    }
    let errors = end["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    for error in errors {
        let place = error["pointer"].as_str().filter(|pointer| !pointer.is_empty());
        let place = place.map(|pointer| format!("{}: ", plain(pointer))).unwrap_or_default();
        what.push_str(&format!("\n  {place}{}", text(&error["message"])));
    }
    Failure::new(if errors.is_empty() { Kind::Unavailable } else { Kind::Invalid }, what)
}

/// What people want to know of a report.
fn report(report: &Value) -> Vec<String> {
    let number = |name: &str| text(&report[name]);
    let mut lines = vec![
        format!(
            "learnt from {} of {} profiles, judged by {} others",
            number("rows"),
            number("seen"),
            number("held_back")
        ),
        format!("result: {}", result(report)),
    ];
    if !report["accuracy"].is_null() {
        let share = |name: &str| format!("{:.3}", report[name].as_f64().unwrap_or_default());
        lines.push(format!("accuracy {}, where {} are true", share("accuracy"), share("positives")));
    }
    if !report["cluster_sizes"].is_null() {
        lines.push(format!("profiles in each cluster: {}", number("cluster_sizes")));
    }
    for (name, heading) in [("left_out", "left out"), ("missing", "missing")] {
        let counts = report[name].as_object().into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
        let told: Vec<String> = counts.map(|(what, count)| format!("{} {count}", plain(what))).collect();
        if !told.is_empty() {
            lines.push(format!("{heading}: {}", told.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories() {
        assert_eq!(encoding("plan.pro=1"), Ok(("plan".to_owned(), "pro".to_owned(), 1.0)));
        assert_eq!(encoding("a.b.c=d=-2.5"), Ok(("a".to_owned(), "b.c=d".to_owned(), -2.5)));
        for wrong in ["plan", "plan=1", "plan.pro=one"] {
            assert!(encoding(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_failure_names_the_places() {
        let end = json!({"complete": false, "error": "no", "errors": [{"pointer": "/k", "message": "too many"}]});
        let failure = failure(&end);
        assert_eq!(
            (failure.to_string().as_str(), failure.kind),
            ("nothing was trained: no\n  /k: too many", Kind::Invalid)
        );
        assert_eq!(super::failure(&Value::Null).kind, Kind::Unavailable);
    }
}
