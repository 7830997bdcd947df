//! What is told about requests: metrics and the access log.

pub mod access_log;
pub mod arms;
mod durations;
mod exposition;
mod histogram;
pub mod metrics;
mod mirror;
mod observed;
mod process_log;
pub mod spans;

pub use access_log::{AccessLine, AccessLog};
pub use arms::{Arms, RouteArms, Second};
pub use durations::DurationFamily;
pub use exposition::Exposition;
pub use metrics::{Metrics, ProfileMetrics, RequestMetrics};
pub use mirror::{MirrorMetrics, Mirrored};
pub use observed::{Action, Evaluated, Observed, ObservedFlag, Observer, Observers};
pub use process_log::{LastLines, ProcessLog};
pub use spans::{RequestSpans, Trace, Tracer, Try};
