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
    write::carry_out,
};
use crate::{
    admin::{
        Admin,
        access::Caller,
        acknowledge::WaitFor,
        documents::{Document, check_size, formed as form},
        problem::Problem,
        refusal::Refusal,
    },
    clock,
    import::{self, Format},
    model::{DocumentKey, Fault, FlagDocument, ModelDocument, Role, SegmentDocument, WorldRevision},
    snapshot::{Snapshot, World},
    store::{Store, StoreError, Stored},
};

/// How many documents an import may hold.
const MOST_DOCUMENTS: usize = 20_000;

/// What the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Whether documents that are not named are deleted.
    replace: bool,
    /// `None`: to be found out.
    format: Option<Format>,
    dry_run: bool,
}

/// Creates and updates the flags, segments and models that the body defines, and answers with what was done to each. Nothing is
/// written when anything is wrong with the body. `replace` deletes others of a kind that the body names: without
/// `segments` it leaves segments alone.
#[utoipa::path(
    post,
    path = "/import",
    tag = "transfer",
    params(
        ("mode" = Option<String>, Query, description = "`merge` (unless said otherwise) leaves other documents alone; `replace` deletes them, which takes the role admin", example = "merge"),
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
            "flags": [{"key": "new-search", "action": "created"}], "segments": [], "models": [], "report": []
        })),
        (status = 202, description = "done, but not all gateways that were waited for serve it yet", body = Value),
        (status = 401, description = "no token, or none that is known"),
        (status = 403, description = "the token does not give the right, or the request is not addressed to this listener"),
        (status = 409, description = "somebody else changed a document meanwhile: `written`, `failed` and `not_written` say how far it went", content_type = "application/problem+json"),
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
        let detail = format!("mode=replace deletes documents and needs the role {}", Role::Admin);
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let imported = import::read(&source, asked.format).map_err(Problem::of_faults)?;
    let (format, names, report) = (imported.format, imported.names, json!(imported.report));
    let count = imported.flags.len() + imported.segments.len() + imported.models.len();
    if count > MOST_DOCUMENTS {
        let detail = format!("{count} documents; at most {MOST_DOCUMENTS} can be imported at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let reported = |problem: Problem| problem.with("report", report.clone());
    let flags = imported.flags.into_iter().map(|flag| (flag.pointer, flag.document));
    let segments = imported.segments.into_iter().map(|segment| (segment.pointer, segment.document));
    let models = imported.models.into_iter().map(|model| (model.pointer, model.document));
    let store = admin.documents()?;
    let flags = Kind::new(store, formed(flags).map_err(reported)?, asked.replace && names.flags).await?;
    let segments = Kind::new(store, formed(segments).map_err(reported)?, asked.replace && names.segments).await?;
    let models = Kind::new(store, formed(models).map_err(reported)?, asked.replace && names.models).await?;
    let world = world(flags.after().chain(segments.after()).chain(models.after()));
    let mut faults = models.faults(&world, format);
    faults.extend(segments.faults(&world, format));
    faults.extend(flags.faults(&world, format));
    let snapshot = admin.cell.load();
    faults.extend(missed(&snapshot, &flags, &segments));
    faults.extend(unmodelled(&snapshot, &segments, &models));
    drop(snapshot);
    if !faults.is_empty() {
        return Err(reported(Problem::invalid(faults)));
    }
    let (flags, segments, models) = (flags.plan(), segments.plan(), models.plan());
    let mut told = told(asked, format, [("flags", &flags), ("segments", &segments), ("models", &models)]);
    told.insert("report".to_owned(), report.clone());
    if asked.dry_run {
        return Ok(Json(told).into_response());
    }
    let done = carry_out(&admin, &caller, &in_order(flags, segments, models)).await.map_err(reported)?;
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

/// The documents of one kind: those that are stored, and those that are wanted.
struct Kind<D> {
    stored: Vec<Stored>,
    pointers: Vec<String>,
    wanted: Vec<D>,
    /// Whether those that are not wanted are deleted.
    replace: bool,
}

impl<D: Document> Kind<D> {
    async fn new(store: &dyn Store, wanted: Vec<(String, D)>, replace: bool) -> Result<Self, StoreError> {
        let (pointers, wanted) = wanted.into_iter().unzip();
        Ok(Self { stored: store.list(D::KIND).await?, pointers, wanted, replace })
    }

    /// The documents as they would be afterwards.
    fn after(&self) -> impl Iterator<Item = (DocumentKey, Arc<str>)> {
        let kept = self.stored.iter().filter(|_| !self.replace).map(text_of);
        kept.chain(self.wanted.iter().map(|wanted| (D::key(wanted.name()), Arc::from(wanted.to_text()))))
    }

    /// What is wrong with those that are wanted, with the places in the source.
    fn faults(&self, world: &Snapshot, format: Format) -> Vec<(String, String)> {
        let of_one = |(pointer, wanted): (&String, &D)| {
            let faults = wanted.faults(world).into_iter();
            let told =
                |fault: Fault| (placed(format, pointer, &fault.pointer), said(format, &fault.pointer, fault.message));
            faults.map(told).collect::<Vec<_>>()
        };
        self.pointers.iter().zip(&self.wanted).flat_map(of_one).collect()
    }

    fn plan(&self) -> Vec<Entry> {
        plan(&self.stored, &self.wanted, self.replace)
    }
}

fn text_of(stored: &Stored) -> (DocumentKey, Arc<str>) {
    (stored.document.clone(), Arc::clone(&stored.text))
}

/// Segments that would be deleted and are named by flags that would stay as they are.
fn missed(snapshot: &Snapshot, flags: &Kind<FlagDocument>, segments: &Kind<SegmentDocument>) -> Vec<(String, String)> {
    if flags.replace || !segments.replace {
        return Vec::new();
    }
    let gone = segments.plan().into_iter().filter(|entry| entry.action == Fate::Deleted);
    gone.flat_map(|entry| {
        let (_, named_by) = snapshot.segment_dependents(&entry.key);
        let stays = |flag: &Arc<str>| !flags.wanted.iter().any(|wanted| *wanted.key() == **flag);
        let told = |flag: Arc<str>| {
            let message = format!("the flag {flag:?} names the segment {:?}, which would be deleted", entry.key);
            ("/segments".to_owned(), message)
        };
        named_by.into_iter().filter(stays).map(told).collect::<Vec<_>>()
    })
    .collect()
}

/// Models that would be deleted and are asked by segments that would stay as they are.
fn unmodelled(
    snapshot: &Snapshot,
    segments: &Kind<SegmentDocument>,
    models: &Kind<ModelDocument>,
) -> Vec<(String, String)> {
    if segments.replace || !models.replace {
        return Vec::new();
    }
    let gone = models.plan().into_iter().filter(|entry| entry.action == Fate::Deleted);
    gone.flat_map(|entry| {
        let stays = |segment: &&str| !segments.wanted.iter().any(|wanted| wanted.id() == *segment);
        let told = |segment: &str| {
            let message = format!("the segment {segment:?} asks the model {:?}, which would be deleted", entry.key);
            ("/models".to_owned(), message)
        };
        snapshot.model_dependents(&entry.key).filter(stays).map(told).collect::<Vec<_>>()
    })
    .collect()
}

/// Flags rest on segments and segments on models, so those are written first and removed last.
fn in_order(flags: Vec<Entry>, segments: Vec<Entry>, models: Vec<Entry>) -> Vec<Entry> {
    let parted = |entries: Vec<Entry>| -> (Vec<Entry>, Vec<Entry>) {
        entries.into_iter().partition(|entry| entry.action == Fate::Deleted)
    };
    let ((segments_gone, segments), (models_gone, models)) = (parted(segments), parted(models));
    models.into_iter().chain(segments).chain(flags).chain(segments_gone).chain(models_gone).collect()
}

/// The documents as they would be created, with their places in the source.
fn formed<D: Document>(given: impl Iterator<Item = (String, D)>) -> Result<Vec<(String, D)>, Problem> {
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for (pointer, document) in given {
        let formed = form(document.fields().clone(), clock::now());
        match formed.and_then(|document: D| check_size(&document).map(|()| document)) {
            Ok(document) => documents.push((pointer, document)),
            Err(Refusal::Invalid(issues)) => {
                faults.extend(issues.iter().map(|issue| {
                    let (below, message) = issue.place();
                    (format!("{pointer}{below}"), message.to_owned())
                }));
            }
            Err(Refusal::Status(_, detail)) => faults.push((pointer, detail)),
            Err(Refusal::Changed(_)) => faults.push((pointer, "it was changed meanwhile".to_owned())),
            Err(Refusal::Store(error)) => return Err(error.into()),
        }
    }
    if faults.is_empty() { Ok(documents) } else { Err(Problem::invalid(faults)) }
}

/// All documents as they would be afterwards, to check each against the others.
fn world(documents: impl Iterator<Item = (DocumentKey, Arc<str>)>) -> Arc<Snapshot> {
    World::new(None).load(WorldRevision { epoch: "plan".into(), number: 1 }, documents)
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

fn told(asked: Asked, format: Format, kinds: [(&str, &Vec<Entry>); 3]) -> Map<String, Value> {
    let all = || kinds.into_iter().flat_map(|(_, entries)| entries);
    let count = |fate: Fate| all().filter(|entry| entry.action == fate).count();
    let counts: Map<String, Value> =
        Fate::ALL.into_iter().map(|fate| (fate.as_str().to_owned(), count(fate).into())).collect();
    let mut told = Map::from_iter([
        ("format".to_owned(), json!(format)),
        ("mode".to_owned(), if asked.replace { "replace" } else { "merge" }.into()),
        ("dry_run".to_owned(), asked.dry_run.into()),
        ("counts".to_owned(), counts.into()),
    ]);
    told.extend(kinds.map(|(name, entries)| (name.to_owned(), json!(entries))));
    told
}
