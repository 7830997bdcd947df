//! Writes that are only tried.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{AppendHeaders, IntoResponse, Response},
};
use serde_json::{Map, json};

use super::{
    conditional::Tag,
    documents::Document,
    refusal::{Issue, Refusal},
};
use crate::model::differences;

/// Whether a write is only tried: `?dry_run=true`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DryRun(pub(super) bool);

impl DryRun {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "dry_run").last();
        match given.as_ref().map(|(_, value)| &**value) {
            None | Some("false" | "0") => Ok(Self(false)),
            Some("" | "true" | "1") => Ok(Self(true)),
            Some(_) => Err(Refusal::Invalid(vec![Issue::of_query("dry_run", "expected \"true\" or \"false\"")])),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for DryRun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// The answer to a write that was tried: what it would do, and the tag of what is there now.
pub(super) fn answer<D: Document>(
    key: &str,
    action: &str,
    before: Option<&D>,
    after: Option<&D>,
    current: Option<&Tag>,
) -> Response {
    let nothing = Map::new();
    let fields = |document: Option<&D>| document.map_or(&nothing, D::fields).clone();
    let body = json!({
        "dry_run": true,
        D::TOLD_AS: key,
        "action": action,
        "changes": differences(&fields(before), &fields(after)),
        "document": after.map(D::complete),
    });
    (StatusCode::OK, current.map(|tag| AppendHeaders([tag.header()])), Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_a_dry_run() {
        for (query, expected) in [
            ("", Some(false)),
            ("dry_run=true", Some(true)),
            ("wait=all&dry_run=1", Some(true)),
            ("dry_run", Some(true)),
            ("dry_run=false", Some(false)),
            ("dry_run=maybe", None),
        ] {
            assert_eq!(DryRun::parse(query).ok().map(|dry_run| dry_run.0), expected, "{query}");
        }
    }
}
