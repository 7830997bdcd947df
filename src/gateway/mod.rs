//! The data plane: takes requests, decides by feature flag where they go, and passes them on. Sees the snapshot cell only.

mod admission;
mod baggage;
mod context;
mod counting;
mod decide;
mod direct;
mod exchange;
mod explain;
mod explained;
mod failure;
mod flip;
mod forwarded;
mod grpc;
mod headers;
mod mirror;
mod path;
mod patience;
mod problem;
mod proxy;
mod report;
mod request;
mod response;
mod routes;
mod routing;
mod service;
mod sticky;
mod tls;
mod token;
mod trace;
mod upgrade;
pub mod upstream;

pub use exchange::Exchange;
pub use explain::{Explainer, UnknownListener};
pub use proxy::Gateway;
pub use routing::{RoutingCell, Sources};
pub use service::{Parts, add_services, check_listeners, server_conf};
