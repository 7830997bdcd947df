//! What is told about requests: metrics and the access log.

pub mod access_log;
pub mod arms;
pub mod metrics;
mod mirror;
mod observed;

pub use access_log::{AccessLine, AccessLog};
pub use arms::{Arms, RouteArms, Second};
pub use metrics::{CodeClass, Metrics, ProfileMetrics, RequestMetrics};
pub use mirror::{MirrorMetrics, Mirrored};
pub use observed::{Action, Evaluated, Observed, ObservedFlag, Observer, Observers};
