//! Gives each request its place in a trace, and takes the spans of those that are sampled.

use std::{borrow::Cow, sync::Arc};

use http::HeaderMap;

use super::{
    context::{Trace, TraceId, TraceParent},
    encode::RequestSpans,
    queue::{Queue, SpanMetrics, Spans},
};
use crate::{
    config::{AcceptIdentityFrom, Share, Tracing},
    telemetry::Privacy,
};

/// Traces requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    queue: Queue,
    sampler: Sampler,
    accept_parent_from: AcceptIdentityFrom,
    user_id: bool,
    privacy: Privacy,
    environment: Option<Arc<str>>,
}

/// Which of the traces that begin here are recorded.
#[derive(Clone, Copy, Debug)]
struct Sampler {
    /// Those whose randomness is not less, out of 2^56: the threshold of OpenTelemetry's consistent sampling, so that a
    /// sampler behind this gateway that takes a larger share takes all of these.
    from: u64,
}

impl Tracer {
    /// A tracer, and where its spans can be taken. `environment` is the one of the flags; `privacy` says how users are named.
    #[must_use]
    pub fn new(config: &Tracing, environment: Option<&str>, privacy: Privacy, metrics: &SpanMetrics) -> (Self, Spans) {
        let (queue, spans) = Queue::new(config.queue, metrics.no_room.clone());
        let tracer = Self {
            queue,
            sampler: Sampler::new(config.sample),
            accept_parent_from: config.accept_parent_from,
            user_id: config.user_id,
            privacy,
            environment: environment.map(Arc::from),
        };
        (tracer, spans)
    }

    /// The place of a request in a trace. Whether a trace is recorded is decided where it begins: a parent who is believed is
    /// followed in that. Somebody else's trace is not continued: it is linked to one that begins here.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap, is_proxy: impl FnOnce() -> bool) -> Trace {
        let parent = TraceParent::of(headers);
        let is_believed = |_: &TraceParent| match self.accept_parent_from {
            AcceptIdentityFrom::TrustedProxies => is_proxy(),
            AcceptIdentityFrom::Anyone => true,
            AcceptIdentityFrom::Nobody => false,
        };
        match parent {
            Some(parent) if is_believed(&parent) => Trace::below(parent, headers),
            link => Trace::begin(link, |id| self.sampler.takes(id)),
        }
    }

    /// Whether spans name the user.
    #[must_use]
    pub fn tells_user_ids(&self) -> bool {
        self.user_id
    }

    /// How spans name a user, if they do.
    #[must_use]
    pub fn shown<'u>(&self, user_id: &'u str) -> Option<Cow<'u, str>> {
        self.user_id.then(|| self.privacy.shown(user_id))
    }

    /// Where the flags are set.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    /// Takes the spans of a sampled request that is over; never waits.
    pub fn record(&self, spans: &RequestSpans<'_>) {
        let (bytes, count) = spans.encode();
        self.queue.put(bytes, count);
    }
}

impl Sampler {
    fn new(share: Share) -> Self {
        let rejected = Share::ALL.millionths() - share.millionths();
        let of_all = (1_u128 << 56) * u128::from(rejected) / u128::from(Share::ALL.millionths());
        Self { from: u64::try_from(of_all).expect("a share of 2^56 is less than 2^64") }
    }

    fn takes(self, id: TraceId) -> bool {
        id.randomness() >= self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(sample: &str, from: &str) -> Tracer {
        let text = format!(
            "listeners = [{{ name = \"web\", address = \"127.0.0.1:0\" }}]\nroutes = [{{ name = \"all\", upstream = \"u\" }}]\n\
             upstreams.u.endpoints = [{{ address = \"127.0.0.1:9\" }}]\n\
             tracing = {{ endpoint = \"http://h\", sample = {sample:?}, accept_parent_from = {from:?} }}"
        );
        let config = crate::config::Config::parse("testing", &text, std::iter::empty()).unwrap();
        let metrics = SpanMetrics::register(&prometheus::Registry::new()).unwrap();
        Tracer::new(config.tracing.as_ref().unwrap(), None, Privacy::default(), &metrics).0
    }

    fn headers(flags: &str) -> HeaderMap {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let pairs = [("traceparent", parent.as_str()), ("tracestate", "a=1")];
        pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_believed_parent_decides() {
        for (from, is_proxy, believed) in [
            ("anyone", false, true),
            ("trusted_proxies", true, true),
            ("trusted_proxies", false, false),
            ("nobody", true, false),
        ] {
            for (flags, sample) in [("01", "0%"), ("00", "100%")] {
                let trace = tracer(sample, from).begin(&headers(flags), || is_proxy);
                let parent = "4bf92f3577b34da6a3ce929d0e0e4736";
                assert_eq!(trace.id().to_string() == parent, believed, "{from} {is_proxy}");
                assert_eq!(trace.is_sampled(), believed == (flags == "01"), "{from} {is_proxy} {flags}");
                assert_eq!((trace.state.is_some(), trace.link.is_none()), (believed, believed));
            }
        }
    }

    #[test]
    fn shares_of_new_traces_are_sampled() {
        for (sample, low, high) in [("0%", 0, 0), ("100%", 20_000, 20_000), ("1%", 130, 280), ("50%", 9_700, 10_300)] {
            let tracer = tracer(sample, "anyone");
            let sampled = (0..20_000).filter(|_| tracer.begin(&HeaderMap::new(), || true).is_sampled()).count();
            assert!((low..=high).contains(&sampled), "{sample}: {sampled}");
        }
    }
}
