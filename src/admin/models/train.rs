//! `POST /models/{id}/train`.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body as Stream,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    admin::{
        Admin,
        access::Caller,
        body::Body,
        conditional::Tag,
        documents::{Ask, check_size},
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    model::{DocumentKey, Fault, ModelDocument, is_writable_key},
    predict::Predictor,
    store::{Expected, StoreError},
    train::{self, Progress, Request, Sample},
};

/// How many profiles are read at once.
const PAGE: usize = 500;

/// How often it is told how it goes on.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Lines that nobody has read yet.
const UNREAD: usize = 16;

/// One model is trained at a time: a training takes a core and memory.
#[derive(Clone, Debug)]
pub struct Training(Arc<Semaphore>);

impl Default for Training {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Trains a model on stored profiles, and writes it; segments go by it at once.
///
/// A `kmeans` model finds `k` clusters; a `logistic` one learns how probable it is that the attribute `label` is true. The rows
/// are a sample of all profiles that can be learnt from; a fifth of them is held back, and `report` says how the model does on
/// it. The same profiles and the same `seed` give the same model. A cluster keeps the number of the one of the revision before
/// that it is nearest to. The answer begins at once and has a line about twice a second, and a last one that has `complete`:
/// with it true `revision` and `report`, else `error`, and `errors` where the request is to blame. A training ends with its
/// connection.
#[utoipa::path(
    post, path = "/models/{id}/train", tag = "models", security(("token" = ["editor"])),
    params(
        ("id" = String, Path, description = "the model's id, new or not"),
        ("wait" = Option<String>, Query, description = "says nothing here"),
        ("timeout" = Option<f64>, Query, description = "says nothing here"),
        ("dry_run" = Option<bool>, Query, description = "train and report, but write nothing"),
        schema::IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such model"),
    ),
    request_body(content = Value, description = "`kind`, `feature_columns`; of `kmeans` `k` (2 to 64) and `restarts` (10); of `logistic` `label` and `alpha` (1; scikit-learn's C is 1/alpha); `encodings` of strings, `sample` (20000 rows), `seed` (0), `name`",
        example = json!({ "kind": "logistic", "feature_columns": ["visits", "plan"], "encodings": { "plan": { "free": 0, "pro": 1 } }, "label": "churned" })),
    responses(
        (status = 200, description = "how it goes on, a JSON object on each line; the last one says how it ended", content_type = "application/x-ndjson", body = String,
            example = "{\"step\":\"reading\",\"done\":12000}\n{\"step\":\"training\",\"done\":3,\"of\":10}\n{\"complete\":true,\"id\":\"churn\",\"revision\":4,\"report\":{\"seen\":20000,\"rows\":16000,\"auc\":0.78}}\n"),
        (status = 400, description = "a condition or the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "another model is being trained here", body = schema::Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is not as the conditions expect", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn train(State(admin): State<Admin>, ask: Ask, body: Body) -> Result<Response, Refusal> {
    let request = match Request::parse(&body.object()?) {
        Ok(request) => request,
        Err(faults) => {
            Refusal::of_faults(faults)?;
            return Err(Refusal::conflict("the request cannot be read"));
        }
    };
    if !is_writable_key(&ask.key) {
        let why = "an id is 1 to 128 letters, digits, dots, underscores and dashes, and starts with a letter or digit";
        return Err(Refusal::Invalid(vec![Issue::of_path("id", why)]));
    }
    let stored = admin.documents()?.get(&DocumentKey::model(&*ask.key)).await?;
    ask.conditions.check(stored.as_ref().map(Tag::of).as_ref())?;
    let replaced = stored.as_ref().and_then(|stored| ModelDocument::parse(&stored.text).ok());
    let busy = || Refusal::conflict("another model is being trained here; try again when it is done");
    let permit = Arc::clone(&admin.training.0).try_acquire_owned().map_err(|_| busy())?;
    let (lines, unread) = mpsc::channel(UNREAD);
    let run = Run {
        id: ask.key,
        caller: ask.caller,
        is_tried: ask.dry_run.0,
        expected: stored.as_ref().map_or(Expected::Absent, |stored| Expected::Revision(stored.revision)),
        previous: replaced.and_then(|document| centres(&document, &request)),
        request,
        lines,
    };
    tokio::spawn(run.finish(admin, permit));
    let told = stream::unfold(unread, async |mut unread: mpsc::Receiver<String>| {
        let line = unread.recv().await?;
        Some((Ok::<_, Infallible>(line), unread))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Stream::from_stream(told)).into_response())
}

/// The middles of the clusters of a model that looks at the same features.
fn centres(document: &ModelDocument, request: &Request) -> Option<Vec<Vec<f64>>> {
    let model = Predictor::compile(document).ok()?;
    let names = |columns: &crate::predict::Columns| -> Vec<String> {
        columns.iter().map(|column| column.name().to_owned()).collect()
    };
    if names(model.columns()) == names(&request.columns) { model.centres() } else { None }
}

/// A training while it runs.
struct Run {
    id: String,
    caller: Caller,
    /// Whether nothing is to be written.
    is_tried: bool,
    expected: Expected,
    previous: Option<Vec<Vec<f64>>>,
    request: Request,
    lines: mpsc::Sender<String>,
}

/// Why a training did not come to its end.
enum Stopped {
    /// Nobody listens any more.
    Alone,
    /// The store failed, or somebody else wrote the model.
    Store(StoreError),
    /// The profiles do not allow it.
    Refused(Vec<Fault>),
    /// It broke.
    Broken(&'static str),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Run {
    async fn finish(self, admin: Admin, permit: OwnedSemaphorePermit) {
        let lines = self.lines.clone();
        let id = self.id.clone();
        let line = match self.go(&admin, permit).await {
            Ok(line) => line,
            Err(Stopped::Alone) => {
                log::info!("admin: the training of model {id:?} was given up");
                return;
            }
            Err(Stopped::Store(StoreError::Conflict { .. })) => {
                json!({"complete": false, "error": "somebody else changed the model meanwhile; nothing was written"})
            }
            Err(Stopped::Store(error)) => {
                log::warn!("admin: the training of model {id:?} stopped: {error}");
                json!({"complete": false, "error": error.to_string()})
            }
            Err(Stopped::Refused(faults)) => {
                let errors: Vec<Value> =
                    faults.iter().map(|fault| json!({"pointer": fault.pointer, "message": fault.message})).collect();
                json!({"complete": false, "error": "the profiles do not allow it", "errors": errors})
            }
            Err(Stopped::Broken(why)) => json!({"complete": false, "error": why}),
        };
        // Who went away does not hear the end.
        lines.send(format!("{line}\n")).await.ok();
    }

    async fn go(self, admin: &Admin, permit: OwnedSemaphorePermit) -> Result<Value, Stopped> {
        let sample = self.read(admin).await?;
        let Self { id, caller, is_tried, expected, previous, request, lines } = self;
        let trained_at = clock::now();
        let (name, told) = (id.clone(), lines.clone());
        let trained = tokio::task::spawn_blocking(move || {
            // A client that does not read misses some lines; the training does not wait.
            let mut progress = |Progress { done, of }: Progress| {
                told.try_send(format!("{}\n", json!({"step": "training", "done": done, "of": of}))).ok();
            };
            let trained =
                alone(|| train::train(&name, &request, &sample, trained_at, previous.as_deref(), &mut progress));
            (trained, permit)
        });
        let (trained, permit) = trained.await.map_err(|_| Stopped::Broken("the training broke"))?;
        let fields = trained.map_err(Stopped::Refused)?;
        if lines.is_closed() {
            return Err(Stopped::Alone);
        }
        let report = fields.get("report").cloned();
        let document = ModelDocument::from_map(fields).map_err(|fault| Stopped::Refused(vec![fault]))?;
        let faults = admin.cell.load().check_model(&document);
        if !faults.is_empty() {
            return Err(Stopped::Refused(faults));
        }
        if check_size(&document).is_err() {
            return Err(Stopped::Broken("the model would be longer than a document may be"));
        }
        if is_tried {
            return Ok(json!({"complete": true, "dry_run": true, "id": id, "report": report}));
        }
        let written = admin.write(&caller, &id, Some(&document), expected).await?;
        drop(permit);
        Ok(json!({"complete": true, "id": id, "revision": written.revision, "report": report}))
    }

    /// Offers all stored profiles to a sample.
    async fn read(&self, admin: &Admin) -> Result<Sample, Stopped> {
        let mut sample = Sample::new(&self.request);
        let mut cursor = None;
        let mut told: Option<Instant> = None;
        loop {
            let (profiles, next) = admin.profile_store.scan(cursor.as_ref(), PAGE).await?;
            for (user_id, stored) in &profiles {
                sample.offer(user_id, &|name| stored.profile.attribute(name));
            }
            let now = clock::monotonic();
            if next.is_none() || told.is_none_or(|told| now - told >= TELL_EVERY) {
                told = Some(now);
                let line = format!("{}\n", json!({"step": "reading", "done": sample.seen()}));
                self.lines.send(line).await.map_err(|_| Stopped::Alone)?;
            }
            if next.is_none() {
                return Ok(sample);
            }
            cursor = next;
            // Others of this runtime, such as reads of flags, come first.
            tokio::task::yield_now().await;
        }
    }
}

/// Does work that would spread over all cores on one: the others belong to requests.
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "training".to_owned()).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}
