//! W3C Trace Context: what a request says of its trace, and what its upstream is told.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::state;

/// The header that says which span a request is part of.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header in which tracing systems keep what is their own.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag: whoever sent this may have recorded it.
const SAMPLED: u8 = 1;

/// The flag of level 2: the right 7 bytes of the trace id are random.
const RANDOM: u8 = 2;

/// The id of a trace.
///
/// Invariant: not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// The id of a span.
///
/// Invariant: not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// A `traceparent` that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) flags: u8,
}

/// The place of one request in its trace.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) id: TraceId,
    /// The span of the request.
    pub(super) server: SpanId,
    /// The span of the call to the upstream, which is the upstream's parent.
    pub(super) client: SpanId,
    pub(super) flags: u8,
    /// Whose trace is continued.
    pub(super) parent: Option<SpanId>,
    /// Who named a trace that is not continued.
    pub(super) link: Option<TraceParent>,
    /// The `tracestate`, which goes on to the upstream.
    pub(super) state: Option<HeaderValue>,
}

impl TraceParent {
    /// Reads the `traceparent` of a request; `None`: there is none, there are several, or it is malformed (W3C Trace Context,
    /// 3.2). A version that is not known yet is read as far as it is like version 00, which is all that may be done.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(only), None) = (values.next(), values.next()) else { return None };
        Self::parse(only.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(55)?;
        let version = hex::<1>(&known[..2])?[0];
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        let goes_on = more.is_empty() || (version != 0 && more[0] == b'-');
        if !dashes || !goes_on || version == 0xff {
            return None;
        }
        let (trace, span) = (hex::<16>(&known[3..35])?, hex::<8>(&known[36..52])?);
        let flags = hex::<1>(&known[53..])?[0];
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }
}

impl TraceId {
    /// What sampling goes by: the right 56 bits, which are random (W3C Trace Context, level 2).
    pub(super) fn randomness(self) -> u64 {
        let [.., b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([0, b, c, d, e, f, g, h])
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        spell(&self.0, &mut text);
        out.write_str(ascii(&text))
    }
}

impl Trace {
    /// Continues the trace of a parent.
    pub(super) fn below(parent: TraceParent, headers: &HeaderMap) -> Self {
        let (server, client) = span_ids();
        Self {
            id: parent.trace,
            server,
            client,
            flags: parent.flags & (SAMPLED | RANDOM),
            parent: Some(parent.span),
            link: None,
            state: state::of(headers),
        }
    }

    /// Begins a trace. `is_sampled` decides by its id whether it is recorded; `link`: who named another trace.
    pub(super) fn begin(link: Option<TraceParent>, is_sampled: impl FnOnce(TraceId) -> bool) -> Self {
        // Version and variant leave the right 56 bits random, and no id is zero.
        let id = TraceId(Uuid::new_v4().into_bytes());
        let (server, client) = span_ids();
        Self { id, server, client, flags: u8::from(is_sampled(id)), parent: None, link, state: None }
    }

    /// The trace's id.
    #[must_use]
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// Whether its spans are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The headers that tell the upstream: `traceparent`, and `tracestate` where there is one.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let state = self.state.as_ref().map(|state| (TRACESTATE, state.clone()));
        std::iter::once((TRACEPARENT, self.traceparent())).chain(state)
    }

    /// The names of the headers that tell of traces.
    #[must_use]
    pub fn header_names() -> [HeaderName; 2] {
        [TRACEPARENT, TRACESTATE]
    }

    fn traceparent(&self) -> HeaderValue {
        let mut text = *b"00-................................-................-..";
        spell(&self.id.0, &mut text[3..35]);
        spell(&self.client.0, &mut text[36..52]);
        spell(&[self.flags], &mut text[53..]);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes can be in a header")
    }
}

/// Two span ids out of one draw; version and variant of the UUID keep them from being zero.
fn span_ids() -> (SpanId, SpanId) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = Uuid::new_v4().into_bytes();
    (SpanId([a, b, c, d, e, f, g, h]), SpanId([i, j, k, l, m, n, o, p]))
}

/// Reads hexadecimal digits; those of W3C are in lower case.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Writes bytes in hexadecimal digits.
fn spell(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("hexadecimal digits are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(values: &[&str]) -> Option<TraceParent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        TraceParent::of(&headers)
    }

    #[test]
    fn a_traceparent_is_read() {
        let parent = parse(&[GOOD]).unwrap();
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((parent.span.0, parent.flags), ([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7], 1));
        // A later version is read by what version 00 knows, with or without more.
        for later in ["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &format!("cc{}-what", &GOOD[2..])] {
            assert_eq!(parse(&[later]), Some(parent), "{later}");
        }
        assert_eq!(parse(&[&GOOD.replace("-01", "-fe")]).map(|parent| parent.flags), Some(0xfe));
    }

    #[test]
    fn what_is_malformed_is_not_believed() {
        let long = format!("{GOOD}-what");
        let zeros = |from: &str, to: &str| GOOD.replace(from, to);
        for values in [
            vec![],
            vec![""],
            vec![GOOD, GOOD],
            vec![&GOOD[..54]],
            vec![long.as_str()],
            vec![&format!("{GOOD}.")],
            vec![&format!("cc{}.", &GOOD[2..])],
            vec![&zeros("00-4bf", "ff-4bf")],
            vec![&zeros("00-4bf", "0-4bf")],
            vec![&zeros("00-4bf", "0x-4bf")],
            vec![&zeros("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32))],
            vec![&zeros("00f067aa0ba902b7", &"0".repeat(16))],
            vec![&GOOD.to_uppercase()],
            vec![&zeros("4bf9", "4BF9")],
            vec![&zeros("b7-01", "b7-0G")],
            vec![&zeros("b7-01", "b7-1")],
            vec![&zeros("-", "_")],
            vec![&format!(" {GOOD}")],
            vec![&format!("{GOOD} ")],
            vec![&zeros("4bf9", "4bé")],
        ] {
            assert_eq!(parse(&values), None, "{values:?}");
        }
    }

    #[test]
    fn a_trace_goes_on() {
        let parent = parse(&[GOOD]).unwrap();
        let trace = Trace::below(parent, &HeaderMap::new());
        let told = trace.traceparent();
        let told = TraceParent::parse(told.as_bytes()).unwrap();
        assert_eq!((told.trace, told.span, told.flags), (parent.trace, trace.client, 1));
        assert!(trace.is_sampled() && trace.parent == Some(parent.span) && trace.client != trace.server);
        // Flags that nobody knows yet end here.
        let odd = TraceParent { flags: 0xfe, ..parent };
        assert_eq!(Trace::below(odd, &HeaderMap::new()).flags, RANDOM);
    }

    #[test]
    fn a_trace_begins() {
        let trace = Trace::begin(None, |_| false);
        let told = TraceParent::parse(trace.traceparent().as_bytes()).unwrap();
        assert!(told.flags == 0 && !trace.is_sampled() && told.trace == trace.id);
        assert!(Trace::begin(None, |_| false).id != trace.id);
        assert_eq!(trace.headers().count(), 1);
    }
}
