//! What flags do to the traffic and to what users do: gathered from the store, compared, and told.

mod compared;
mod gather;
mod insights;
mod observe;
mod range;
mod report;

pub use gather::{Sources, flag_report, flag_report_of, route_report, route_report_of};
pub use insights::{
    Attribution, Cause, Change, DeploymentView, FlagView, Insight, RouteView, SegmentView, Severity, Tried, View,
    attribute, insights,
};
pub use observe::{AnalyticsMetrics, Notes, Watcher, flush_experience};
pub use range::{InvalidRange, Range};
pub use report::{ArmReport, Asked, FlagReport, MetricReport, Point, RouteReport, SampleRatio, flag, route};
