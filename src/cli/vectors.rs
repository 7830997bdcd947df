//! `flaggate eval --vectors`: runs recorded cases of the service that flaggate replaces against the evaluation here.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value};

use crate::{
    eval::{Evaluation, Hash},
    model::{Context, DocumentKey, DocumentKind, NoAttributes, Profile, WithProfile, WorldRevision},
    snapshot::{Snapshot, World},
};

/// Which cases count of those that rest on a habit of the recorded service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Quirks {
    /// All of them.
    All,
    /// Those whose result flaggate gives as well.
    #[default]
    Binding,
    /// None of them.
    None,
}

/// The habits that flaggate keeps.
const BINDING: [&str; 8] = [
    "int_eq_float",
    "in_substring",
    "in_dict_keys",
    "re_match_anchor",
    "prereq_truthy_nonbool",
    "null_result_fallthrough",
    "config_invalid_unreached",
    "between_extra_elements",
];

/// What running a file gave.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases with the recorded result.
    pub passed: usize,
    /// Cases whose result is not binding; they were evaluated all the same.
    pub skipped: usize,
    /// A line for each case with another result.
    pub mismatches: Vec<String>,
}

/// Runs a file of cases: evaluations (`flags`, `context`, `key`, `expect`), memberships (`segments`, `user`, `activity`,
/// `expect`) or buckets (`flag_key`, `user_id`, `bucket_bp`), one JSON object a line.
///
/// # Errors
/// The file cannot be read, or a line is not a case.
pub fn run(path: &Path, quirks: Quirks) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let mut report = Report::default();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{}:{number}", path.display());
        let case: Value = serde_json::from_str(line).with_context(at)?;
        let outcome = match () {
            () if case.get("bucket_bp").is_some() => bucket(&case),
            () if case.get("segments").is_some() => memberships(&case, quirks),
            () => evaluation(&case, quirks),
        };
        match outcome.with_context(at)? {
            Outcome::Passed => report.passed += 1,
            Outcome::Skipped => report.skipped += 1,
            Outcome::Mismatch(what) => report.mismatches.push(format!("{}: {what}", at())),
        }
    }
    Ok(report)
}

enum Outcome {
    Passed,
    Skipped,
    Mismatch(String),
}

fn bucket(case: &Value) -> Result<Outcome> {
    let (key, user) = (text(case, "flag_key")?, text(case, "user_id")?);
    let expected = case["bucket_bp"].as_u64().context("`bucket_bp` is not a whole number")?;
    let found = u64::from(Hash::Md5.bucket(key, user));
    Ok(if found == expected {
        Outcome::Passed
    } else {
        Outcome::Mismatch(format!("{key:?} for {user:?}: expected {expected}, found {found}"))
    })
}

fn evaluation(case: &Value, quirks: Quirks) -> Result<Outcome> {
    let snapshot = world(case, "flags", "key", DocumentKind::Flag)?;
    let key = text(case, "key")?;
    let empty = Map::new();
    let attributes = case["context"].get("attributes").and_then(Value::as_object).unwrap_or(&empty);
    let context = Context { user_id: text(&case["context"], "user_id")?, attributes, now: now(case)? };
    let mut evaluator = snapshot.evaluator(context);
    let found = snapshot.flag(key).and_then(|flag| evaluator.evaluate(flag));
    if !counts(case, quirks) {
        return Ok(match found {
            Some(_) => Outcome::Skipped,
            None => Outcome::Mismatch(format!("{}: gave no value", case["id"])),
        });
    }
    let wrong = compare(&case["expect"], found);
    Ok(wrong.map_or(Outcome::Passed, |wrong| Outcome::Mismatch(format!("{} ({}): {wrong}", case["id"], case["cap"]))))
}

fn memberships(case: &Value, quirks: Quirks) -> Result<Outcome> {
    let snapshot = world(case, "segments", "id", DocumentKind::Segment)?;
    let stored = |name: &str| case["user"].get(name).map(Value::to_string);
    let activity = case.get("activity").map(Value::to_string);
    let profile =
        Profile::parse(stored("attributes").as_deref(), stored("behavioral_data").as_deref(), activity.as_deref());
    let attributes = WithProfile::new(&NoAttributes, Some(&profile));
    let context = Context { user_id: text(&case["user"], "user_id")?, attributes: &attributes, now: now(case)? };
    let mut found = snapshot.memberships(context);
    found.sort_unstable();
    if !counts(case, quirks) {
        return Ok(Outcome::Skipped);
    }
    let (expected, found) = (&case["expect"]["segments"], Value::from(found));
    Ok(match *expected == found {
        true => Outcome::Passed,
        false => Outcome::Mismatch(format!("{} ({}): expected {expected}, found {found}", case["id"], case["cap"])),
    })
}

/// What differs from the expectation.
fn compare(expect: &Value, found: Option<Evaluation<'_>>) -> Option<String> {
    let Some(found) = found else {
        return expect.get("error").is_none().then(|| "expected a value, found no flag".to_owned());
    };
    let mut wrong = String::new();
    let mut check = |name: &str, found: &Value| {
        if !same(&expect[name], found) {
            let expected = expect.get(name).unwrap_or(expect);
            write!(wrong, "{name}: expected {expected}, found {found}; ").expect("writing to a string cannot fail");
        }
    };
    check("value", found.value());
    check("reason", &found.reason.as_str().into());
    check("prerequisites_met", &found.prerequisites_met().into());
    (!wrong.is_empty()).then_some(wrong)
}

/// Equal as JSON numbers are: the recorded service writes `1` and `1.0` for the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.to_bits() == right.to_bits() || (left - right).abs() == 0.0,
        _ => left == right,
    }
}

/// Whether a case's result is compared: none of its quirks, or only such as are asked for.
fn counts(case: &Value, quirks: Quirks) -> bool {
    let mut listed: Vec<&str> = match case.get("quirks").and_then(Value::as_array) {
        Some(several) => several.iter().filter_map(Value::as_str).collect(),
        None => case.get("quirk").and_then(Value::as_str).into_iter().collect(),
    };
    // The recorded service has no such operators for segments: a rule with one never held.
    let rules = case["segments"].as_array().into_iter().flatten().filter_map(|segment| segment["rules"].as_array());
    let lacked = |rule: &Value| matches!(rule["operator"].as_str(), Some("not_in" | "not_contains"));
    if rules.flatten().any(lacked) {
        listed.push("unknown_operator");
    }
    let expects_error = case["expect"].get("error").is_some();
    match quirks {
        _ if listed.is_empty() => true,
        Quirks::All => true,
        Quirks::Binding => !expects_error && listed.iter().all(|quirk| BINDING.contains(quirk)),
        Quirks::None => false,
    }
}

/// A world of the documents that a case lists.
fn world(case: &Value, list: &str, name: &str, kind: DocumentKind) -> Result<Arc<Snapshot>> {
    let documents = case[list].as_array().with_context(|| format!("`{list}` is not an array"))?;
    let documents: Vec<(DocumentKey, Arc<str>)> = documents
        .iter()
        .map(|document| Ok((DocumentKey { kind, key: text(document, name)?.into() }, document.to_string().into())))
        .collect::<Result<_>>()?;
    let revision = WorldRevision { epoch: "vectors".into(), number: 1 };
    Ok(World::new(None).load(revision, documents))
}

fn now(case: &Value) -> Result<Timestamp> {
    let now = text(case, "now")?;
    let local: civil::DateTime = now.parse().with_context(|| format!("`now` is no time: {now}"))?;
    Ok(TimeZone::UTC.to_timestamp(local)?)
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    match value.get(name) {
        Some(Value::String(text)) => Ok(text),
        other => bail!("`{name}` is not a string: {other:?}"),
    }
}
