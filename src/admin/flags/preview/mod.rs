//! `POST /flags/{key}/preview`.

mod radius;
mod told;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use self::radius::Radius;
use crate::{
    admin::{
        Admin,
        access::Caller,
        body::Body,
        documents::{Key, check_size, document_of, patched, replaced},
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    model::{DocumentKey, FlagDocument, Role},
    store::Stored,
};

/// So many previews are worked out at once; others wait for their turn.
static PLACES: Semaphore = Semaphore::const_new(2);

/// How many examples there are unless the request says otherwise, and at most.
const EXAMPLES: (usize, usize) = (10, 100);

/// What somebody thinks of doing to a flag.
enum Proposed {
    /// This becomes the whole document.
    Document(Map<String, Value>),
    /// These fields change.
    Patch(Map<String, Value>),
}

/// How many examples are asked for: `?examples=`.
pub(super) struct Examples(usize);

/// What a change would do, tried on those who were here lately.
///
/// The flag is evaluated as it is served and as it would be, for the newest context of each user that this gateway
/// remembers. Nothing is written, and nothing is counted. A `document` is taken as `PUT` takes it, also for a key that does
/// not exist yet; a `patch` as `PATCH` does. `affected_flags` are those that have the flag as parent or prerequisite and
/// would give users something else as well. What is stored of a user is used as far as the cache holds it: `users_without_profile`
/// counts those for whom a flag asked for more. Ids of users are told to who may write flags.
#[utoipa::path(
    post, path = "/flags/{key}/preview", tag = "evaluation", security(("token" = ["viewer"])),
    params(
        ("key" = String, Path, description = "the flag's key"),
        ("examples" = Option<u64>, Query, description = "at most so many examples, 100 at most; 10 unless given"),
    ),
    request_body(content = Value, description = "`{document: {…}}` or `{patch: {…}}`", example = json!({ "patch": { "rollout_percentage": 25 } })),
    responses(
        (status = 200, description = "how many users would get something else, and what", body = Value, example = json!({
            "flag_key": "new-checkout", "revision": "0198c0f4:7",
            "users": 10_000, "requests": 48_211, "changed_users": 412, "changed_requests": 2_003,
            "changes": [{
                "from": { "variation": "false", "value": false }, "to": { "variation": "true", "value": true },
                "users": 412, "requests": 2_003,
            }],
            "more_changes": 0,
            "examples": [{
                "user_id": "ann", "seen_at": "2026-01-02T03:04:05Z",
                "from": { "variation": "false", "reason": "default" }, "to": { "variation": "true", "reason": "rollout" },
            }],
            "affected_flags": [{ "key": "express-checkout", "users": 97 }], "affected_flags_not_tried": 0,
            "seen": { "from": "2026-01-02T02:51:10Z", "to": "2026-01-02T03:04:05Z" },
            "requests_passed_over": 1_204, "profiles": "cached", "users_without_profile": 12, "remembers": true,
        })),
        (status = 400, description = "the path cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such flag to patch", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "the stored document is damaged, so it cannot be patched", body = schema::Problem, content_type = "application/problem+json"),
        (status = 413, description = "larger than 1 MiB", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the request or the document is wrong, in each of these places", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn preview(
    State(admin): State<Admin>,
    caller: Caller,
    Key(key): Key,
    Examples(examples): Examples,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let proposed = Proposed::read(body.object()?)?;
    let stored = admin.documents()?.get(&DocumentKey::flag(&*key)).await?;
    let snapshot = admin.cell.load();
    let document = proposed.document(&key, stored.as_ref(), &snapshot)?;
    check_size(&document)?;
    let place = PLACES.acquire().await;
    let work = move || {
        // As long as there is work, also when nobody waits for it any more.
        let _place = place;
        let now = clock::now();
        let radius = Radius { snapshot: &snapshot, profiles: admin.profiles.as_ref(), examples, now };
        told::told(&snapshot, &key, &radius.of(&document, &admin.recent), caller.role >= Role::Editor, examples)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(told) => Ok(Json(told)),
        Err(error) => {
            log::error!("admin: a preview failed: {error}");
            let detail = "the preview could not be worked out".to_owned();
            Err(Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

impl Proposed {
    fn read(mut body: Map<String, Value>) -> Result<Self, Refusal> {
        let (document, patch) = (body.shift_remove("document"), body.shift_remove("patch"));
        let mut issues: Vec<Issue> =
            body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str())).collect();
        let fields = |name: &str, value: Value| match value {
            Value::Object(fields) => Ok(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Issue::of_body("expected an object of a flag's fields", "type_error.dict").at(name))
            }
        };
        let proposed = match (document, patch) {
            (Some(document), None) => fields("document", document).map(Self::Document),
            (None, Some(patch)) => fields("patch", patch).map(Self::Patch),
            (Some(_), Some(_)) => Err(Issue::of_body("either a document or a patch, not both", "value_error")),
            (None, None) => Err(Issue::of_body("expected a document or a patch", "value_error.missing")),
        };
        match proposed {
            Ok(proposed) => Refusal::of_issues(issues).map(|()| proposed),
            Err(issue) => {
                issues.push(issue);
                Err(Refusal::Invalid(issues))
            }
        }
    }

    /// The document that a write would lead to.
    fn document(
        self,
        key: &str,
        stored: Option<&Stored>,
        snapshot: &crate::snapshot::Snapshot,
    ) -> Result<FlagDocument, Refusal> {
        let (name, decided) = match self {
            Self::Document(fields) => {
                let before = stored.and_then(|stored| FlagDocument::parse(&stored.text).ok());
                let replaced = replaced(key, before.as_ref(), fields, snapshot, clock::now());
                ("document", replaced.map(|replaced| replaced.or(before)))
            }
            Self::Patch(fields) => {
                let before: FlagDocument = document_of(stored)?;
                let patched = patched(&before, fields, snapshot, clock::now());
                ("patch", patched.map(|patched| patched.or(Some(before))))
            }
        };
        let below = |refusal| match refusal {
            Refusal::Invalid(issues) => Refusal::Invalid(issues.into_iter().map(|issue| issue.below(name)).collect()),
            Refusal::Status(..) | Refusal::Changed(_) | Refusal::Store(_) => refusal,
        };
        decided.map_err(below)?.ok_or_else(|| Refusal::not_found("Flag not found"))
    }
}

impl Examples {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "examples").last();
        let Some((_, given)) = given else { return Ok(Self(EXAMPLES.0)) };
        let wrong = || Refusal::Invalid(vec![Issue::of_query("examples", "expected a number from 0 to 100")]);
        given.parse().ok().filter(|examples| *examples <= EXAMPLES.1).map(Self).ok_or_else(wrong)
    }
}

impl<S: Sync> FromRequestParts<S> for Examples {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}
