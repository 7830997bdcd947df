//! Why a command that talks to a gateway failed, what would help, and the exit code that says so to scripts.

use std::{fmt, process::ExitCode};

use reqwest::StatusCode;
use serde_json::Value;

use super::{remote::Request, table::plain};

/// What kind of failure it is. The numbers are exit codes; 1 is anything else, 2 wrong arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Something that is not foreseen here.
    Other = 1,
    /// There is no such flag or revision.
    NotFound = 3,
    /// It exists already, was changed meanwhile, or others rest on it.
    Conflict = 4,
    /// What was sent is wrong.
    Invalid = 5,
    /// The write is done, but not all gateways that were waited for serve it yet.
    NotServedYet = 6,
    /// No gateway answers, or its store does not.
    Unavailable = 7,
    /// The token is missing, wrong, or has not the right.
    NotAllowed = 8,
}

/// A failure: what happened, the places that are wrong, and what would help.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    what: String,
    places: Vec<String>,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), places: Vec::new(), hint: None }
    }

    pub(super) fn hinting(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn unreachable(admin: &str, error: &reqwest::Error) -> Self {
        // The library's own words name the address a second time; their cause says why.
        let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        Self::new(Kind::Unavailable, format!("no gateway answers at {admin}: {cause}"))
            .hinting("is it running, and is --admin (or FLAGGATE_ADMIN) its admin address?")
    }

    /// A request that was answered with an error.
    pub(super) fn refused(request: &Request<'_>, status: StatusCode, text: &str) -> Self {
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        let (detail, places) = told(&body);
        let detail = detail.unwrap_or_else(|| if places.is_empty() { text.trim().to_owned() } else { String::new() });
        let path = request.path.split('?').next().unwrap_or_default();
        let colon = if detail.is_empty() { "" } else { ": " };
        let what = format!("{} {path}: {status}{colon}{}", request.method, plain(&detail));
        let (kind, hint) = match status.as_u16() {
            401 => (Kind::NotAllowed, None),
            403 => (Kind::NotAllowed, Some("the token's role must allow it; the table of roles is in docs/api.md")),
            404 => (Kind::NotFound, None),
            409 => (Kind::Conflict, None),
            412 => (Kind::Conflict, Some("somebody changed it meanwhile; look at it again, then repeat the command")),
            400 | 413 | 415 | 422 => (Kind::Invalid, None),
            502..=504 => (Kind::Unavailable, Some("`flaggate status` tells how the store is")),
            _ => (Kind::Other, None),
        };
        Self { kind, what, places, hint: hint.map(str::to_owned) }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

/// The sentence and the places of an error, in either of the shapes that the admin API has.
fn told(body: &Value) -> (Option<String>, Vec<String>) {
    let place = |pointer: String, message: &Value| {
        let message = plain(message.as_str().unwrap_or_default());
        if pointer.is_empty() { message } else { format!("{}: {message}", plain(&pointer)) }
    };
    let issues = body["detail"].as_array().into_iter().flatten().map(|issue| {
        let mut steps = issue["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
        let pointer = match steps.next().as_deref() {
            Some("query") => steps.map(|name| format!("--{name}")).collect(),
            _ => steps.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect(),
        };
        let more = issue["ctx"]["error"].as_str().map(|more| format!(" ({})", plain(more))).unwrap_or_default();
        place(pointer, &issue["msg"]) + &more
    });
    let errors = body["errors"].as_array().into_iter().flatten().map(|error| {
        let parameter = error["parameter"].as_str().map(|name| format!("--{name}"));
        let pointer = parameter.or_else(|| error["pointer"].as_str().map(str::to_owned));
        place(pointer.unwrap_or_default(), &error["message"])
    });
    (body["detail"].as_str().map(str::to_owned), issues.chain(errors).collect())
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)?;
        for place in &self.places {
            write!(out, "\n  {place}")?;
        }
        match &self.hint {
            Some(hint) => write!(out, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// What a refusal says: each error with its place, else the detail.
pub(super) fn refused_at(status: StatusCode, text: &str, place: impl Fn(&str) -> Option<String>) -> anyhow::Error {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let errors: Vec<String> = value["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| {
            let pointer = error["pointer"].as_str().unwrap_or_default();
            let message = error["message"].as_str().unwrap_or_default();
            match place(pointer) {
                Some(place) => format!("{place}: {message}"),
                None if pointer.is_empty() => message.to_owned(),
                None => format!("{pointer}: {message}"),
            }
        })
        .collect();
    let detail = value["detail"].as_str().map_or_else(|| text.trim().to_owned(), str::to_owned);
    match errors.as_slice() {
        [] => anyhow::anyhow!("{status}: {detail}"),
        errors => anyhow::anyhow!("{detail}\n{}", errors.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;

    use super::*;

    fn check(status: u16, body: &str, kind: Kind, expected: &str) {
        let request = Request { method: Method::PUT, path: "/flags/a?wait=all".to_owned(), ..Request::default() };
        let failure = Failure::refused(&request, StatusCode::from_u16(status).unwrap(), body);
        assert_eq!((failure.to_string().as_str(), failure.kind), (expected, kind));
    }

    #[test]
    fn both_shapes_are_understood() {
        let issues = json!({ "detail": [
            { "loc": ["body", "rules", 0, "a/b"], "msg": "no", "type": "x" },
            { "loc": ["query", "limit"], "msg": "too many", "type": "x" },
            { "loc": ["body"], "msg": "nothing", "type": "x", "ctx": { "error": "why" } },
        ] });
        let places = "\n  /rules/0/a~1b: no\n  --limit: too many\n  nothing (why)";
        check(422, &issues.to_string(), Kind::Invalid, &format!("PUT /flags/a: 422 Unprocessable Entity{places}"));
        let problem = json!({ "detail": "wrong", "errors": [{ "pointer": "/a", "message": "no" }, { "parameter": "q", "message": "b" }] });
        let places = "wrong\n  /a: no\n  --q: b";
        check(422, &problem.to_string(), Kind::Invalid, &format!("PUT /flags/a: 422 Unprocessable Entity: {places}"));
        check(404, r#"{"detail": "gone"}"#, Kind::NotFound, "PUT /flags/a: 404 Not Found: gone");
        check(500, "<html>\u{1b}", Kind::Other, "PUT /flags/a: 500 Internal Server Error: <html>\\u{1b}");
    }
}
