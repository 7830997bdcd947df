//! `GET /audit`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::Value;

use super::entry::{is_full, page};
use crate::{
    admin::{
        Admin, openapi as schema,
        paging::Page,
        refusal::{Issue, Refusal},
    },
    model::DocumentKind,
    store::{Action, AuditEntry, Entries, Place},
};

/// Which entries are asked for.
#[derive(Debug, Default)]
struct Wanted {
    kind: Option<DocumentKind>,
    key: Option<String>,
    actor: Option<String>,
    action: Option<Action>,
}

/// What happened to all documents, newest first: `{entries, next}`.
#[utoipa::path(
    get, path = "/audit", tag = "history", security(("token" = ["admin"])),
    params(
        schema::Entries,
        ("kind" = Option<String>, Query, description = "only documents of this kind, like `flag`"),
        ("key" = Option<String>, Query, description = "only the document of this key"),
        ("actor" = Option<String>, Query, description = "only changes of this token"),
        ("action" = Option<String>, Query, description = "only `created`, `updated` or `deleted`"),
    ),
    responses(
        (status = 200, description = "`entries`: who changed what when; `next`: the cursor of the next page", body = Value),
        (status = 400, description = "the cursor cannot be read", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn audit(
    State(admin): State<Admin>,
    asked: Page,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let query = query.unwrap_or_default();
    let (wanted, full) = (Wanted::parse(&query)?, is_full(&query)?);
    let store = admin.documents()?;
    let read = async |behind: Option<Place>, limit| {
        store.entries(Entries { of: None, behind: behind.as_deref(), limit }).await
    };
    Ok(Json(page(&asked, full, |entry| wanted.has(entry), read).await?))
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut wanted = Self::default();
        let mut issues = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "kind" => match DocumentKind::ALL.into_iter().find(|kind| kind.as_str() == value) {
                    Some(kind) => wanted.kind = Some(kind),
                    None => issues.push(Issue::of_query("kind", "expected the kind of a document, such as \"flag\"")),
                },
                "action" => match ACTIONS.into_iter().find(|(name, _)| *name == value) {
                    Some((_, action)) => wanted.action = Some(action),
                    None => issues.push(Issue::of_query("action", "expected \"created\", \"updated\" or \"deleted\"")),
                },
                "key" => wanted.key = Some(value.into_owned()),
                "actor" => wanted.actor = Some(value.into_owned()),
                _ => {}
            }
        }
        Refusal::of_issues(issues)?;
        Ok(wanted)
    }

    fn has(&self, entry: &AuditEntry) -> bool {
        self.kind.is_none_or(|kind| kind == entry.document.kind)
            && self.key.as_deref().is_none_or(|key| *key == *entry.document.key)
            && self.actor.as_deref().is_none_or(|actor| actor == entry.actor)
            && self.action.is_none_or(|action| action == entry.action)
    }
}

const ACTIONS: [(&str, Action); 3] =
    [("created", Action::Created), ("updated", Action::Updated), ("deleted", Action::Deleted)];
