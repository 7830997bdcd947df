//! `POST /import`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    body::Definitions,
    plan::{Entry, Fate, plan},
    problem::Problem,
    write::carry_out,
};
use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        documents::{check_size, formed as form},
        refusal::Refusal,
    },
    clock,
    import::{self, Format, Imported},
    model::{DocumentKey, DocumentKind, FlagDocument, Role, WorldRevision},
    snapshot::{Snapshot, World},
    store::Stored,
};

/// How many flags an import may hold.
const MOST_FLAGS: usize = 20_000;

/// What the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Whether flags that are not named are deleted.
    replace: bool,
    /// `None`: to be found out.
    format: Option<Format>,
    dry_run: bool,
}

/// Creates and updates the flags that the body defines, and answers with what was done to each. Nothing is written when
/// anything is wrong with the body.
#[utoipa::path(
    post,
    path = "/import",
    tag = "transfer",
    params(
        ("mode" = Option<String>, Query, description = "`merge` (unless said otherwise) leaves other flags alone; `replace` deletes them, which takes the role admin", example = "merge"),
        ("format" = Option<String>, Query, description = "`auto` (unless said otherwise), `flaggate`, `flagd`, `unleash` or `growthbook`", example = "auto"),
        ("dry_run" = Option<bool>, Query, description = "only say what would be done"),
        ("wait" = Option<String>, Query, description = "`all`, or how many gateways the answer waits for"),
        ("timeout" = Option<f64>, Query, description = "for how many seconds, at most 25"),
    ),
    request_body(description = "definitions, in JSON or YAML; at most 16 MiB", content(
        (Value = "application/json", example = json!({"flags": [{"key": "new-search", "name": "New search"}]})),
        (String = "application/yaml"),
    )),
    responses(
        (status = 200, description = "the plan, carried out unless `dry_run`", body = Value, example = json!({
            "format": "flaggate", "mode": "merge", "dry_run": false,
            "counts": {"created": 1, "updated": 0, "unchanged": 0, "deleted": 0},
            "flags": [{"key": "new-search", "action": "created"}], "report": []
        })),
        (status = 202, description = "done, but not all gateways that were waited for serve it yet", body = Value),
        (status = 401, description = "no token, or none that is known"),
        (status = 403, description = "the token does not give the right, or the request is not addressed to this listener"),
        (status = 409, description = "somebody else changed a flag meanwhile: `written`, `failed` and `not_written` say how far it went", content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", content_type = "application/problem+json"),
        (status = 415, description = "the body is neither JSON nor YAML by its Content-Type", content_type = "application/problem+json"),
        (status = 422, description = "`errors` says what is wrong, each with a JSON pointer into the body; nothing was written", content_type = "application/problem+json"),
        (status = 429, description = "too many requests"),
        (status = 500, description = "the store is damaged", content_type = "application/problem+json"),
        (status = 503, description = "the store does not answer; `written`, `failed` and `not_written` say how far it went", content_type = "application/problem+json"),
    ),
    security(("token" = ["editor"])),
)]
pub(super) async fn import(
    State(admin): State<Admin>,
    caller: Caller,
    RawQuery(query): RawQuery,
    wait: WaitFor,
    Definitions(source): Definitions,
) -> Result<Response, Problem> {
    let asked = asked(query.as_deref().unwrap_or_default())?;
    if asked.replace && caller.role < Role::Admin {
        let detail = format!("mode=replace deletes flags and needs the role {}", Role::Admin);
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let Imported { format, flags, report } = import::read(&source, asked.format).map_err(Problem::of_faults)?;
    if flags.len() > MOST_FLAGS {
        let detail = format!("{} flags; at most {MOST_FLAGS} can be imported at once", flags.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let stored = admin.documents()?.list(DocumentKind::Flag).await?;
    let (pointers, wanted) = formed(flags).map_err(|problem| problem.with("report", json!(report)))?;
    let world = world(&stored, &wanted, asked.replace);
    let faults = pointers.iter().zip(&wanted).flat_map(|(pointer, flag)| {
        let own = world.check(flag).into_iter();
        own.map(move |fault| (placed(format, pointer, &fault.pointer), said(format, &fault.pointer, fault.message)))
    });
    let faults: Vec<(String, String)> = faults.collect();
    if !faults.is_empty() {
        return Err(Problem::invalid(faults).with("report", json!(report)));
    }
    let plan = plan(&stored, &wanted, asked.replace);
    let mut told = told(asked, format, &plan);
    told.insert("report".to_owned(), json!(report));
    if asked.dry_run {
        return Ok(Json(told).into_response());
    }
    let done = carry_out(&admin, &caller, &plan).await.map_err(|problem| problem.with("report", json!(report)))?;
    let revision = done.or_else(|| admin.cell.load().revision().cloned());
    Ok(admin.acknowledged(revision.as_ref(), wait, told).await.into_response())
}

fn asked(query: &str) -> Result<Asked, Problem> {
    let (mut asked, mut faults) = (Asked { replace: false, format: None, dry_run: false }, Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let mut fault = |message: &str| faults.push((format!("/query/{name}"), message.to_owned()));
        match (&*name, &*value) {
            ("mode", "merge") => asked.replace = false,
            ("mode", "replace") => asked.replace = true,
            ("mode", _) => fault("expected merge or replace"),
            ("format", "auto") => asked.format = None,
            ("format", name) => match Format::named(name) {
                Some(format) => asked.format = Some(format),
                None => fault(&format!("expected auto, {}", Format::ALL.map(Format::as_str).join(", "))),
            },
            ("dry_run", "true" | "1" | "") => asked.dry_run = true,
            ("dry_run", "false" | "0") => asked.dry_run = false,
            ("dry_run", _) => fault("expected true or false"),
            _ => {}
        }
    }
    if faults.is_empty() { Ok(asked) } else { Err(Problem::invalid(faults)) }
}

/// The documents as they would be created, with their places in the source.
fn formed(flags: Vec<import::ImportedFlag>) -> Result<(Vec<String>, Vec<FlagDocument>), Problem> {
    let (mut pointers, mut documents, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for flag in flags {
        let formed = form(flag.document.fields().clone(), clock::now());
        match formed.and_then(|document| check_size(&document).map(|()| document)) {
            Ok(document) => {
                pointers.push(flag.pointer);
                documents.push(document);
            }
            Err(Refusal::Invalid(issues)) => {
                faults.extend(issues.iter().map(|issue| {
                    let (below, message) = issue.place();
                    (format!("{}{below}", flag.pointer), message.to_owned())
                }));
            }
            Err(Refusal::Status(_, detail)) => faults.push((flag.pointer, detail)),
            Err(Refusal::Changed(_)) => faults.push((flag.pointer, "it was changed meanwhile".to_owned())),
            Err(Refusal::Store(error)) => return Err(error.into()),
        }
    }
    if faults.is_empty() { Ok((pointers, documents)) } else { Err(Problem::invalid(faults)) }
}

/// All flags as they would be afterwards, to check each against the others.
fn world(stored: &[Stored], wanted: &[FlagDocument], replace: bool) -> Arc<Snapshot> {
    let kept = stored.iter().filter(|_| !replace).map(|stored| (stored.document.clone(), Arc::clone(&stored.text)));
    let new = wanted.iter().map(|flag| (DocumentKey::flag(flag.key()), Arc::from(flag.to_text())));
    let revision = WorldRevision { epoch: "plan".into(), number: 1 };
    World::new(None).load(revision, kept.chain(new))
}

/// A place in a document, in the source. In definitions of others the document's places are not there.
fn placed(format: Format, flag: &str, below: &str) -> String {
    match format {
        Format::Flaggate => format!("{flag}{below}"),
        Format::Flagd | Format::Unleash | Format::Growthbook => flag.to_owned(),
    }
}

fn said(format: Format, below: &str, message: String) -> String {
    match format {
        Format::Flaggate => message,
        Format::Flagd | Format::Unleash | Format::Growthbook => {
            format!("the flag that it becomes is wrong at {below}: {message}")
        }
    }
}

fn told(asked: Asked, format: Format, plan: &[Entry]) -> Map<String, Value> {
    let count = |fate: Fate| plan.iter().filter(|entry| entry.action == fate).count();
    let counts: Map<String, Value> =
        Fate::ALL.into_iter().map(|fate| (fate.as_str().to_owned(), count(fate).into())).collect();
    Map::from_iter([
        ("format".to_owned(), json!(format)),
        ("mode".to_owned(), if asked.replace { "replace" } else { "merge" }.into()),
        ("dry_run".to_owned(), asked.dry_run.into()),
        ("counts".to_owned(), counts.into()),
        ("flags".to_owned(), json!(plan)),
    ])
}
