//! `GET /segments`.

use std::cmp::Reverse;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    admin::{
        Admin, openapi as schema,
        paging::{Page, TOTAL},
        refusal::{Issue, Refusal},
    },
    eval::Segment,
    model::{DocumentKey, SegmentDocument},
};

/// The types of segments.
const TYPES: [&str; 4] = ["rule_based", "composite", "dynamic", "ml_based"];

/// What is looked for.
#[derive(Debug, Default)]
struct Search {
    kind: Option<String>,
    /// In lower case.
    text: Option<String>,
    tags: Vec<String>,
}

/// The segments as this gateway serves them, those of the highest priority first, then by id. Damaged documents are in
/// `/diagnostics` instead.
#[utoipa::path(
    get, path = "/segments", tag = "segments", security(("token" = ["viewer"])),
    params(
        ("type" = Option<String>, Query, description = "only segments of this type: `rule_based`, `composite`, `dynamic` or `ml_based`"),
        ("q" = Option<String>, Query, description = "only segments with this text in id, name, description or tags"),
        ("tag" = Option<Vec<String>>, Query, description = "only segments with one of these tags"),
        ("limit" = Option<u64>, Query, description = "a page of so many"),
        ("cursor" = Option<String>, Query, description = "where the page begins, as `Link` says it"),
    ),
    responses(
        (status = 200, description = "the segments; `Link` tells the next page, `X-Total-Count` how many there are", body = Vec<schema::Segment>),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    page: Page,
) -> Result<Response, Refusal> {
    let search = Search::parse(query.as_deref().unwrap_or_default())?;
    let after = page.after.as_deref().map(place_of).transpose()?;
    let snapshot = admin.cell.load();
    let mut found = Vec::new();
    for (_, segment) in snapshot.segments() {
        let document = match snapshot.served_segment(segment.id()) {
            Some(document) => document.clone(),
            // What could not be compiled is shown as it is stored, if it can be read at all.
            None => match admin.stored_segment(segment.id()).await {
                Some(document) => document,
                None => continue,
            },
        };
        if search.finds(&document) {
            found.push((segment, document));
        }
    }
    let total = found.len();
    let is_behind = |segment: &Segment| {
        let behind = |(priority, id): &(i64, String)| {
            (Reverse(segment.priority()), segment.id()) > (Reverse(*priority), id.as_str())
        };
        after.as_ref().is_none_or(behind)
    };
    found.retain(|(segment, _)| is_behind(segment));
    let limit = page.limit.unwrap_or(found.len());
    let more = found.len() > limit;
    found.truncate(limit);
    let link = found.last().filter(|_| more).map(|(last, _)| AppendHeaders([page.next(&place(last))]));
    let documents: Vec<_> = found.iter().map(|(_, document)| document.complete()).collect();
    Ok((link, AppendHeaders([(TOTAL, total.to_string())]), Json(documents)).into_response())
}

/// Where a segment stands in the list.
fn place(segment: &Segment) -> String {
    format!("{} {}", segment.priority(), segment.id())
}

fn place_of(text: &str) -> Result<(i64, String), Refusal> {
    let place = text.split_once(' ').and_then(|(priority, id)| Some((priority.parse().ok()?, id.to_owned())));
    place.ok_or_else(|| Refusal::Invalid(vec![Issue::of_query("cursor", "expected the cursor of an answer")]))
}

impl Search {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut search = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "type" if TYPES.contains(&&*value) => search.kind = Some(value.into_owned()),
                "type" => {
                    let message = format!("expected {}", TYPES.join(", "));
                    return Err(Refusal::Invalid(vec![Issue::of_query("type", &message)]));
                }
                "q" => search.text = Some(value.to_lowercase()),
                "tag" => search.tags.push(value.into_owned()),
                _ => {}
            }
        }
        Ok(search)
    }

    fn finds(&self, document: &SegmentDocument) -> bool {
        let fields = document.fields();
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let tags = || fields.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let mentions = |wanted: &String| {
            let texts = ["id", "name", "description"].into_iter().filter_map(text).chain(tags());
            { texts }.any(|text| text.to_lowercase().contains(wanted))
        };
        self.kind.as_deref().is_none_or(|kind| kind == text("type").unwrap_or("rule_based"))
            && (self.tags.is_empty() || tags().any(|own| self.tags.iter().any(|tag| tag == own)))
            && self.text.as_ref().is_none_or(mentions)
    }
}

impl Admin {
    async fn stored_segment(&self, id: &str) -> Option<SegmentDocument> {
        let stored = self.documents().ok()?.get(&DocumentKey::segment(id)).await.ok().flatten()?;
        SegmentDocument::parse(&stored.text).ok()
    }
}
