//! `GET /flags`.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::stale::LONG;
use crate::{
    admin::{
        Admin,
        body::Body,
        form::{Form, Kind},
        openapi as schema,
        paging::{Page, TOTAL},
        refusal::{Issue, Refusal},
    },
    clock,
    model::{DocumentKey, DocumentKind, FlagDocument},
    snapshot::{Listed, Usage},
};

/// What is looked for.
#[derive(Debug, Default)]
struct Search {
    tags: Vec<String>,
    /// In lower case.
    text: Option<String>,
    state: Option<Wanted>,
    is_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    On,
    Off,
    Stale,
    Faulty,
}

/// All flags, by key; with tags, by `?tags=a&tags=b` or an array as body, those that have one of them. Damaged
/// documents are in `/diagnostics` instead.
///
/// With `limit`, `cursor`, `q` or `state` a page of those that are asked for, as this gateway serves them: nothing is read
/// from the store, and only what is shown is copied. `Link` tells the next page, `X-Total-Count` how many there are.
#[utoipa::path(
    get, path = "/flags", tag = "flags", security(("token" = ["viewer"])),
    params(
        ("tags" = Option<Vec<String>>, Query, description = "only flags with one of these tags"),
        ("limit" = Option<u64>, Query, description = "a page of so many"),
        ("cursor" = Option<String>, Query, description = "where the page begins, as `Link` says it"),
        ("q" = Option<String>, Query, description = "only flags with this text in key, name or description"),
        ("state" = Option<String>, Query, description = "only flags that are `on`, `off`, `stale` or `faulty`"),
    ),
    responses(
        (status = 200, description = "the flags; of a page `Link` tells the next, `X-Total-Count` how many there are", body = Vec<schema::Flag>),
        (status = 400, description = "the cursor is none", body = schema::Refusal),
        (status = 413, description = "larger than 1 MiB", body = schema::Refusal),
        (status = 422, description = "a parameter is wrong", body = schema::Refusal),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    page: Page,
    Body(body): Body,
) -> Result<Response, Refusal> {
    let mut search = Search::parse(&query.unwrap_or_default())?;
    search.tags.extend(tags_of_body(body)?);
    if search.is_asked {
        return admin.page(&search, &page).await;
    }
    let stored = admin.documents()?.list(DocumentKind::Flag).await?;
    let documents = stored.iter().filter_map(|stored| FlagDocument::parse(&stored.text).ok());
    let wanted = documents.filter(|document| search.tags.is_empty() || has_one(document, &search.tags));
    Ok(Json(wanted.map(|document| document.complete()).collect::<Vec<_>>()).into_response())
}

impl Search {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut search = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "tags" => search.tags.push(value.into_owned()),
                "q" => search.text = Some(value.to_lowercase()),
                "state" => {
                    let state = Wanted::NAMED.iter().find(|(name, _)| *name == value).map(|(_, state)| *state);
                    let unknown = || Issue::of_query("state", "expected \"on\", \"off\", \"stale\" or \"faulty\"");
                    search.state = Some(state.ok_or_else(|| Refusal::Invalid(vec![unknown()]))?);
                }
                "limit" | "cursor" => {}
                _ => continue,
            }
            search.is_asked |= name != "tags";
        }
        Ok(search)
    }

    fn finds(&self, flag: Listed<'_>, usage: &Usage, now: Timestamp) -> bool {
        let has_state = || {
            self.state.is_none_or(|state| match state {
                Wanted::On => flag.is_on(),
                Wanted::Off => !flag.is_on(),
                Wanted::Stale => flag.is_stale(usage, LONG, now),
                Wanted::Faulty => flag.is_faulty(),
            })
        };
        let has_tag = || self.tags.is_empty() || flag.tags().any(|own| self.tags.iter().any(|tag| tag == own));
        has_tag() && self.text.as_ref().is_none_or(|text| flag.mentions(text)) && has_state()
    }
}

impl Wanted {
    const NAMED: [(&'static str, Self); 4] =
        [("on", Self::On), ("off", Self::Off), ("stale", Self::Stale), ("faulty", Self::Faulty)];
}

impl Admin {
    async fn page(&self, search: &Search, page: &Page) -> Result<Response, Refusal> {
        let snapshot = self.cell.load();
        let now = clock::now();
        let (total, mut found) = self.usage.looked_at(&snapshot, now, |usage| {
            let mut total = 0_usize;
            let found = snapshot.listed().filter(|flag| search.finds(*flag, usage, now)).inspect(|_| total += 1);
            let found: Vec<Listed<'_>> =
                found.filter(|flag| page.after.as_deref().is_none_or(|after| flag.key() > after)).collect();
            (total, found)
        });
        let limit = page.limit.unwrap_or(found.len());
        let more = found.len() > limit;
        if more {
            // Only what is shown need be in order.
            found.select_nth_unstable_by_key(limit, |flag| flag.key());
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|flag| flag.key());
        let link = found.last().filter(|_| more).map(|last| AppendHeaders([page.next(last.key())]));
        let mut documents = Vec::with_capacity(found.len());
        for flag in found {
            match flag.document() {
                Some(document) => documents.push(document.complete()),
                // What could not be compiled is shown as it is stored, if it can be read at all; `/diagnostics` has all.
                None => {
                    let Ok(store) = self.documents() else { continue };
                    let stored = store.get(&DocumentKey::flag(flag.key())).await.ok().flatten();
                    let document = stored.and_then(|stored| FlagDocument::parse(&stored.text).ok());
                    documents.extend(document.map(|document| document.complete()));
                }
            }
        }
        Ok((link, AppendHeaders([(TOTAL, total.to_string())]), Json(documents)).into_response())
    }
}

fn tags_of_body(body: Option<Value>) -> Result<Vec<String>, Refusal> {
    let Some(body) = body else { return Ok(Vec::new()) };
    if !body.is_array() {
        return Err(Refusal::Invalid(vec![Issue::of_body("value is not a valid list", "type_error.list")]));
    }
    let mut form = Form::new(Map::from_iter([("tags".to_owned(), body)]));
    let tags = form.optional("tags", Kind::Texts);
    form.check()?;
    let tags = tags.as_ref().and_then(Value::as_array).into_iter().flatten();
    Ok(tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect())
}

fn has_one(document: &FlagDocument, tags: &[String]) -> bool {
    let own = document.fields().get("tags").and_then(Value::as_array).into_iter().flatten();
    own.filter_map(Value::as_str).any(|own| tags.iter().any(|tag| tag == own))
}
