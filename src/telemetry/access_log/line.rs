//! One line, and how it looks.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{config::AccessLogFormat, telemetry::spans::TraceId};

/// Bytes of a path that are logged.
const LONGEST_PATH: usize = 1024;

/// Bytes of flags that are logged; they are cut at a whole pair.
const LONGEST_FLAGS: usize = 1024;

/// What is said about one request.
#[derive(Clone, Debug)]
pub struct AccessLine {
    /// When its header had been read.
    pub time: Timestamp,
    /// Its id, as the upstream sees it.
    pub request_id: Box<str>,
    /// The method.
    pub method: http::Method,
    /// The path without the query.
    pub path: Box<str>,
    /// The status of the response; none where the client went away before there was one.
    pub status: Option<u16>,
    /// The route, if one matched.
    pub route: Option<Arc<str>>,
    /// The strategy that chose the upstream.
    pub strategy: Option<&'static str>,
    /// The upstream.
    pub upstream: Option<Arc<str>>,
    /// The endpoint that was tried last.
    pub endpoint: Option<Arc<str>>,
    /// How many endpoints were tried.
    pub tries: usize,
    /// The revision of the flags.
    pub revision: Option<u64>,
    /// From the header to the end of the response.
    pub duration: Duration,
    /// From choosing the endpoint to its response's header.
    pub upstream_duration: Option<Duration>,
    /// Body bytes of the request.
    pub bytes_received: u64,
    /// Body bytes of the response.
    pub bytes_sent: u64,
    /// What went wrong.
    pub error: Option<&'static str>,
    /// Flags were evaluated without the user's profile, which did not come in time.
    pub profile_unavailable: bool,
    /// The flags that were evaluated for it, with their variations; see [`flags`].
    pub flags: Box<str>,
    /// Who asked, if lines name the user.
    pub user_id: Option<Box<str>>,
    /// The trace that it belongs to, and whether it is recorded there, if requests are traced.
    pub trace: Option<(TraceId, bool)>,
}

impl AccessLine {
    /// Appends the line, with its end.
    pub(super) fn render(&self, format: AccessLogFormat, out: &mut String) {
        let mut fields = Fields { format, out, first: true };
        fields.text("time", &format!("{:.3}", self.time));
        fields.text("request_id", &self.request_id);
        fields.text("method", self.method.as_str());
        fields.text("path", shortened(&self.path));
        fields.number("status", self.status.map(u64::from));
        fields.optional("route", self.route.as_deref());
        fields.optional("strategy", self.strategy);
        fields.optional("upstream", self.upstream.as_deref());
        fields.optional("endpoint", self.endpoint.as_deref());
        fields.number("tries", u64::try_from(self.tries).ok());
        fields.number("revision", self.revision);
        fields.millis("duration_ms", Some(self.duration));
        fields.millis("upstream_ms", self.upstream_duration);
        fields.number("bytes_received", Some(self.bytes_received));
        fields.number("bytes_sent", Some(self.bytes_sent));
        fields.optional("error", self.error);
        fields.optional("detail", self.profile_unavailable.then_some("profile_unavailable"));
        fields.optional("flags", Some(&*self.flags).filter(|flags| !flags.is_empty()));
        fields.optional("user_id", self.user_id.as_deref());
        if let Some((id, is_sampled)) = self.trace {
            fields.text("trace_id", &id.to_string());
            fields.optional("trace", is_sampled.then_some("sampled"));
        }
        fields.end();
    }
}

/// The flags of a request and their variations: `theme=blue,new-search=true`.
#[must_use]
pub fn flags<'f>(pairs: impl Iterator<Item = (&'f str, &'f str)>) -> Box<str> {
    let mut text = String::new();
    for (key, variation) in pairs {
        if text.len() + key.len() + variation.len() + 2 > LONGEST_FLAGS {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(key);
        text.push('=');
        text.push_str(variation);
    }
    text.into()
}

/// Writes the fields of one line; a field without a value is left out.
struct Fields<'o> {
    format: AccessLogFormat,
    out: &'o mut String,
    first: bool,
}

impl Fields<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(value, self.out);
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.key(key);
            write!(self.out, "{value}").expect("a string can be written to");
        }
    }

    fn millis(&mut self, key: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.key(key);
            write!(self.out, "{:.3}", value.as_secs_f64() * 1000.0).expect("a string can be written to");
        }
    }

    fn key(&mut self, key: &str) {
        match (self.format, self.first) {
            (AccessLogFormat::Json, true) => self.out.push('{'),
            (AccessLogFormat::Json, false) => self.out.push(','),
            (AccessLogFormat::Logfmt, true) => {}
            (AccessLogFormat::Logfmt, false) => self.out.push(' '),
        }
        self.first = false;
        match self.format {
            AccessLogFormat::Json => write!(self.out, "\"{key}\":"),
            AccessLogFormat::Logfmt => write!(self.out, "{key}="),
        }
        .expect("a string can be written to");
    }

    fn end(self) {
        self.out.push_str(match self.format {
            AccessLogFormat::Json => "}\n",
            AccessLogFormat::Logfmt => "\n",
        });
    }
}

/// Writes a JSON string that is plain ASCII, so that no terminal or viewer can be led astray; logfmt takes the same.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string can be written to");
                }
            }
        }
    }
    out.push('"');
}

fn shortened(path: &str) -> &str {
    let mut end = path.len().min(LONGEST_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::telemetry) fn line(path: &str) -> AccessLine {
        AccessLine {
            time: Timestamp::UNIX_EPOCH,
            request_id: "r-1".into(),
            method: http::Method::GET,
            path: path.into(),
            status: Some(200),
            route: Some("checkout".into()),
            strategy: Some("canary"),
            upstream: Some("v2".into()),
            endpoint: None,
            tries: 1,
            revision: Some(7),
            duration: Duration::from_micros(1500),
            upstream_duration: None,
            bytes_received: 0,
            bytes_sent: 12,
            error: None,
            profile_unavailable: false,
            flags: "".into(),
            user_id: None,
            trace: None,
        }
    }

    fn rendered(path: &str, format: AccessLogFormat) -> String {
        let mut out = String::new();
        line(path).render(format, &mut out);
        out
    }

    #[test]
    fn a_json_line_is_one_object() {
        let text = rendered("/a", AccessLogFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["status"], 200);
        assert_eq!(value["duration_ms"], 1.5);
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert!(value.get("endpoint").is_none());
    }

    #[test]
    fn logfmt_has_pairs() {
        let text = rendered("/a", AccessLogFormat::Logfmt);
        assert!(
            text.starts_with(
                "time=\"1970-01-01T00:00:00.000Z\" request_id=\"r-1\" method=\"GET\" path=\"/a\" status=200"
            )
        );
    }

    #[test]
    fn a_request_cannot_forge_a_line() {
        for path in [
            "/\r\n{\"status\":200}",
            "/\u{1b}[2J",
            "/\"},{\"",
            "/\\",
            "/\u{2028}\u{85}",
            "/\u{1f600}\0",
            "/ status=500",
        ] {
            for format in [AccessLogFormat::Json, AccessLogFormat::Logfmt] {
                let text = rendered(path, format);
                assert_eq!(text.lines().count(), 1, "{text:?}");
                assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{text:?}");
            }
            let value: serde_json::Value = serde_json::from_str(&rendered(path, AccessLogFormat::Json)).unwrap();
            assert_eq!(value["path"], path);
        }
    }
}
