//! `/analytics`: what flags, routes and deployments do to the traffic.

mod changes;
mod deployment;
mod flag;
mod insights;
mod route;

use axum::middleware;
use jiff::Timestamp;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    problem::as_problems,
    refusal::{Issue, Refusal},
};
use crate::analytics::{Range, Sources};

pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(flag::flag))
        .routes(routes!(route::route))
        .routes(routes!(deployment::deployment))
        .routes(routes!(insights::get))
        .layer(middleware::map_response(as_problems))
}

/// Over which time.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are the parameters in the OpenAPI document")]
struct Over {
    /// When it begins: a time, or how long ago, like `1h` or `7d`; 24 h ago unless given, 30 days at most.
    from: Option<String>,
    /// When it ends; now unless given.
    to: Option<String>,
    /// The length of a step of the series, like `5m`; a whole number of minutes, of hours for what is older than a day.
    step: Option<String>,
    /// What the others are compared with; a flag's default variation, a route's strategy `default`, unless given.
    control: Option<String>,
}

/// What a query asks for.
struct Wanted {
    range: Range,
    control: Option<String>,
}

impl Wanted {
    fn parse(query: Option<&str>, now: Timestamp) -> Result<Self, Refusal> {
        let given = |name: &str| {
            let mut all = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            all.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let (from, to, step) = (given("from"), given("to"), given("step"));
        let range = Range::parse(from.as_deref(), to.as_deref(), step.as_deref(), now)
            .map_err(|wrong| Refusal::Invalid(vec![Issue::of_query(wrong.parameter, wrong.expected)]))?;
        Ok(Self { range, control: given("control") })
    }
}

impl Admin {
    fn sources(&self) -> Sources {
        Sources { counters: self.counters.clone(), analytics: self.analytics.clone() }
    }
}
