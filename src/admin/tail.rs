//! `GET /tail`: decisions as they are made, as server-sent events.

use std::{convert::Infallible, fmt::Write as _, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderName, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    access::{Caller, Term},
    live::stopping,
    openapi as schema,
    problem::as_problems,
    refusal::{Issue, Refusal},
};
use crate::{
    model::Role,
    telemetry::{Watched, Watching},
};

/// What keeps the connection open when there is nothing to tell.
const COMMENT: Bytes = Bytes::from_static(b": \n\n");

/// How often that is sent.
const EVERY: Duration = Duration::from_secs(10);

/// How many decisions are told in one second, unless the request says otherwise.
const PER_SECOND: u32 = 100;

/// How many can be asked for.
const MOST_PER_SECOND: u32 = 1_000;

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(tail)).layer(middleware::map_response(as_problems))
}

/// Requests to this gateway as they end, each with what was decided for it.
///
/// A `decision` for each request that is asked for, and `skipped` with their number where there were more than `rate` in a
/// second, or more than the reader takes. Nothing is kept, so there is nothing to go back to. Users are named for the role
/// `editor` and up, by their hash where `privacy.hash_user_ids` says so; only who may see them may ask for one.
#[utoipa::path(
    get, path = "/tail", tag = "live", security(("token" = ["viewer"])),
    params(
        ("route" = Option<String>, Query, description = "requests of this route only"),
        ("flag" = Option<String>, Query, description = "requests for which this flag was evaluated only"),
        ("user" = Option<String>, Query, description = "requests of this user only; for the role editor"),
        ("errors" = Option<bool>, Query, description = "only requests that failed"),
        ("rate" = Option<u32>, Query, description = "how many in one second at most, 1 to 1000; 100 unless given"),
    ),
    responses(
        (status = 200, description = "events, without end", content_type = "text/event-stream", body = String,
            example = "event: decision\ndata: {\"time\":\"2026-01-02T03:04:05.678Z\",\"request_id\":\"0198c0f4-…\",\"method\":\"GET\",\"path\":\"/checkout\",\"status\":200,\"error\":null,\"route\":\"shop\",\"strategy\":\"canary\",\"upstream\":\"next\",\"endpoint\":\"10.0.0.7:80\",\"revision\":7,\"flags\":[{\"flag\":\"new-checkout\",\"variation\":\"true\",\"reason\":\"rollout\"}],\"duration_ms\":4.2,\"upstream_ms\":3.9}\n\n"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many watch", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
async fn tail(State(admin): State<Admin>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wanted = wanted(query.as_deref().unwrap_or_default(), caller.role)?;
    let too_many = || Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, "too many watch already".to_owned());
    let watching = admin.tail.watch(wanted).ok_or_else(too_many)?;
    let reader = Reader { watching, draining: admin.drain.draining(), term: caller.term };
    let body = Body::from_stream(stream::unfold(reader, async |mut reader| {
        let bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(bytes), reader))
    }));
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((head, body).into_response())
}

fn wanted(query: &str, role: Role) -> Result<Watched, Refusal> {
    let with_users = role >= Role::Editor;
    let mut wanted = Watched { per_second: PER_SECOND, with_users, ..Watched::default() };
    let mut issues = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let text = || Some(value.clone().into_owned());
        match &*name {
            "route" => wanted.route = text(),
            "flag" => wanted.flag = text(),
            "user" if with_users => wanted.user_id = text(),
            "user" => issues.push(Issue::of_query("user", "only the role editor and up may ask for a user")),
            "errors" => match &*value {
                "true" | "1" | "" => wanted.errors = true,
                "false" | "0" => wanted.errors = false,
                _ => issues.push(Issue::of_query("errors", "expected true or false")),
            },
            "rate" => match value.parse().ok().filter(|rate| (1..=MOST_PER_SECOND).contains(rate)) {
                Some(rate) => wanted.per_second = rate,
                None => issues.push(Issue::of_query("rate", "expected a number from 1 to 1000")),
            },
            _ => issues.push(Issue::of_query(&name, "unknown; there are route, flag, user, errors and rate")),
        }
    }
    Refusal::of_issues(issues)?;
    Ok(wanted)
}

/// One reader's stream.
struct Reader {
    watching: Watching,
    draining: watch::Receiver<bool>,
    term: Term,
}

impl Reader {
    /// The next bytes; `None`: it is over.
    async fn next(&mut self) -> Option<Bytes> {
        let mut told = String::new();
        tokio::select! {
            () = stopping(&mut self.draining) => return None,
            () = self.term.over() => return None,
            decision = self.watching.next() => event("decision", &decision?, &mut told),
            () = sleep(EVERY) => {}
        }
        let skipped = self.watching.passed_over();
        if skipped > 0 {
            event("skipped", &json!({ "skipped": skipped }), &mut told);
        }
        Some(if told.is_empty() { COMMENT } else { told.into() })
    }
}

fn event(kind: &str, data: &Value, out: &mut String) {
    write!(out, "event: {kind}\ndata: {data}\n\n").expect("a string can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        let check = |query: &str, role| wanted(query, role).map(|wanted| format!("{wanted:?}")).ok();
        let told = check("route=shop&flag=a%20b&errors&rate=5", Role::Viewer).unwrap();
        for part in ["Some(\"shop\")", "Some(\"a b\")", "errors: true", "per_second: 5", "with_users: false"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(check("user=ann", Role::Editor).unwrap().contains("user_id: Some(\"ann\")"));
        for (query, role) in [
            ("user=ann", Role::Operator),
            ("rate=0", Role::Admin),
            ("rate=1001", Role::Admin),
            ("errors=maybe", Role::Admin),
            ("colour=red", Role::Admin),
        ] {
            assert_eq!(check(query, role), None, "{query}");
        }
    }
}
