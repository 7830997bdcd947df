//! What is told about requests: metrics, the access log, events, and decisions as they are made.

pub mod access_log;
pub mod arms;
mod durations;
pub mod events;
mod exposition;
mod histogram;
mod limit;
mod limits;
pub mod metrics;
mod mirror;
mod observed;
mod privacy;
mod process_log;
pub mod spans;
mod tail;
mod tokens;
mod upstreams;

pub use access_log::{AccessLine, AccessLog};
pub use arms::{Arms, RouteArms, Second};
pub use durations::DurationFamily;
pub use events::{EventMetrics, EventSink, Events};
pub use exposition::Exposition;
pub use limits::ConnectionMetrics;
pub use metrics::{Metrics, ProfileMetrics, RequestMetrics};
pub use mirror::{MirrorMetrics, Mirrored};
pub use observed::{Action, Evaluated, Observed, ObservedFlag, Observer, Observers};
pub use privacy::Privacy;
pub use process_log::{LastLines, ProcessLog};
pub use spans::{RequestSpans, Trace, Tracer, Try};
pub use tail::{Tail, Watched, Watching};
pub use tokens::{TokenMetrics, TokenOutcome};
pub use upstreams::{EndpointMetrics, RetryMetrics};
