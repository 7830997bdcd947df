//! Parameters and answers that several operations have, for their annotations.

use utoipa::IntoParams;

use super::{Refusal, Written};

/// What every write takes in its query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "`WaitFor` and `DryRun` read these; here they are told")]
pub(in crate::admin) struct Writing {
    /// `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time
    wait: Option<String>,
    /// for how many seconds to wait, 25 at most; 2 unless given
    timeout: Option<f64>,
    /// only say what would be done
    dry_run: Option<bool>,
}

/// What every kill takes in its query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "`WaitFor` and `DryRun` read these; here they are told")]
pub(in crate::admin) struct Killing {
    /// `all`, which is the default, or a number: answer once so many live gateways serve it, 202 if they do not in time
    wait: Option<String>,
    /// for how many seconds to wait, 25 at most; 2 unless given
    timeout: Option<f64>,
    /// only say what would be killed
    dry_run: Option<bool>,
}

/// Which entries of the audit log are asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "`Page` and `is_full` read these; here they are told")]
pub(in crate::admin) struct Entries {
    /// at most so many entries
    limit: Option<u64>,
    /// `next` of the page before
    cursor: Option<String>,
    /// with the whole documents, not only what changed
    full: Option<bool>,
}

/// What a change of a document that is there takes in its header.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "`Conditions` reads it; here it is told")]
pub(in crate::admin) struct IfMatch {
    /// only if it still has one of these entity tags
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// How every change in the existing service's shape can end, whatever it changes.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the handlers answer so; here it is told")]
pub(in crate::admin) enum Changing {
    /// written, and not yet served by all who were waited for
    #[response(status = 202)]
    NotYetServed(Written),
    /// a condition or the path cannot be read
    #[response(status = 400)]
    Unreadable(Refusal),
    /// it is not as the conditions expect; `ETag` tells how it is
    #[response(status = 412)]
    Changed(Refusal),
}
