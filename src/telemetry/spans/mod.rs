//! Traces: which trace a request belongs to, and its spans, which an exporter brings to an OpenTelemetry collector.
//!
//! What is here runs in the data plane's threads. Every request gets its place in a trace, as its upstream has to be told of
//! it; only one that is sampled is encoded, when it is over, into one buffer that is handed to the exporter. What waits is
//! bounded by its bytes, and nothing here waits.

mod context;
mod encode;
mod queue;
mod state;
mod tracer;
mod wire;

pub use context::{Trace, TraceId, TraceParent};
pub use encode::{RequestSpans, Try, partial_success, request_body};
pub use queue::{Encoded, SpanMetrics, Spans};
pub use tracer::Tracer;
