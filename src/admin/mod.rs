//! The control plane's listener: the flag service, health, diagnostics and metrics.

mod access;
mod acknowledge;
mod analytics;
mod body;
mod conditional;
mod deployments;
mod documents;
mod dry_run;
mod explain;
mod flag_metrics;
mod flags;
mod form;
mod gateways;
mod health;
mod kill_switches;
mod live;
mod models;
mod ofrep;
mod openapi;
mod paging;
mod population;
mod problem;
mod profiles;
mod refusal;
mod reload;
mod segments;
mod tail;
mod told;
mod track;
mod traffic;
mod trail;
mod transfer;
mod ui;
mod ways;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
};
use prometheus::Registry;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use utoipa_axum::router::OpenApiRouter;

use self::{access::Rules, problem::Problem};
use crate::{
    config,
    drain::Drain,
    outbound::Notifier,
    profiles::Profiles,
    recent::Recent,
    snapshot::SnapshotCell,
    store::{AnalyticsStore, CounterStore, ProfileStore, Store, SyncHandle},
    telemetry::{Observers, Tail},
    tracking::Moves,
};

pub use access::Access;
pub use deployments::Deployments;
pub use explain::Explain;
pub use flag_metrics::FlagMetrics;
pub use flags::UsageWatch;
pub use kill_switches::KillMetrics;
pub use live::{Limits as LiveLimits, Live};
pub use models::Training;
pub use population::Recomputes;
pub use reload::{Reload, ReloadRefused, Reloaded};

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub struct Admin {
    /// Who may call.
    pub access: Access,
    /// Where flags are written.
    pub store: Arc<dyn Store>,
    /// The flags that are served.
    pub cell: SnapshotCell,
    /// How the store is followed.
    pub sync: SyncHandle,
    /// Where users' profiles are looked up, if they are.
    pub profiles: Option<Profiles>,
    /// Who was here lately, if it is remembered.
    pub recent: Recent,
    /// Where users' profiles are written.
    pub profile_store: Arc<dyn ProfileStore>,
    /// What all gateways count, by arm and second.
    pub counters: Arc<dyn CounterStore>,
    /// What is kept of traffic for long.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// The routes and upstreams of the gateway.
    pub config: config::Current,
    /// Reads the configuration anew, if there is a gateway.
    pub reload: Option<Reload>,
    /// Whether the gateway is stopping.
    pub drain: Drain,
    /// Who is told of the flags that applications ask for, and of what users did.
    pub observers: Observers,
    /// Decisions as they are made.
    pub tail: Arc<Tail>,
    /// What changes, told as it happens.
    pub live: Live,
    /// Tells channels what people do with kill switches.
    pub notifier: Notifier,
    /// Explains requests that are not sent, if there is a gateway.
    pub explain: Option<Explain>,
    /// After how long behind the store the gateway is not ready any more; none: never.
    pub ready_stale_after: Option<Duration>,
    /// Which flags are still evaluated.
    pub usage: UsageWatch,
    /// Counts who enters and leaves segments.
    pub moves: Moves,
    /// Segments that are worked out anew for everybody.
    pub recomputes: Recomputes,
    /// The model that is being trained, if one is.
    pub training: Training,
    /// What deployments need of this gateway.
    pub deployments: Deployments,
}

/// Serves the admin API on a listener, until another process does.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: tokio::net::TcpListener, admin: Admin) -> std::io::Result<()> {
    let watching = admin.usage.clone().watch(admin.cell.clone());
    let mut handed_over = admin.drain.handed_over();
    // An error says that the gateway is gone, which is the same.
    let end = async move { drop(handed_over.wait_for(|handed_over| *handed_over).await) };
    let serving = async { axum::serve(listener, router(admin)).with_graceful_shutdown(end).await };
    tokio::select! {
        served = serving => served,
        () = watching => Ok(()),
    }
}

/// The routes of the admin API, with their annotations.
fn collected() -> OpenApiRouter<Admin> {
    openapi::collecting()
        .merge(health::router())
        .merge(gateways::router())
        .merge(access::router())
        .merge(flags::router())
        .merge(segments::router())
        .merge(kill_switches::router())
        .merge(deployments::router())
        .merge(transfer::router())
        .merge(traffic::router())
        .merge(tail::router())
        .merge(track::router())
        .merge(analytics::router())
        .merge(trail::router())
        .merge(profiles::router())
        .merge(models::router())
        .merge(population::router())
        .merge(explain::router())
        .merge(reload::router())
        .merge(live::router())
        .merge(ofrep::router())
        .merge(ways::router())
        .merge(openapi::viewer())
}

/// What `/openapi.json` shows.
#[must_use]
pub fn openapi() -> serde_json::Value {
    openapi::finish(&collected().into_openapi())
}

/// The routes of the admin API, and the dashboard.
///
/// # Panics
/// A route does not say who may use it.
pub fn router(admin: Admin) -> Router {
    let (router, collected) = collected().split_for_parts();
    let document = openapi::finish(&collected);
    let rules = Rules::of_document(&document).expect("every route says what it asks for");
    let guarded = middleware::from_fn_with_state((admin.access.clone(), Arc::new(rules)), access::guard);
    let router = router
        .fallback(ui::fallback)
        .layer(Extension(openapi::Served::new(&document)))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CatchPanicLayer::custom(access::panicked))
        .layer(guarded);
    let router = match access::cors(admin.access.cors_origins()) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(admin)
}

/// What a problem says, for who tells it in another shape.
#[derive(Clone, Debug)]
struct Told(String);

fn problem(status: StatusCode, detail: &str) -> Response {
    (Extension(Told(detail.to_owned())), Problem::new(status, detail)).into_response()
}
