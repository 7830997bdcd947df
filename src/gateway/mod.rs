//! The data plane: sees the snapshot cell only.

mod admission;
mod context;
mod decide;
mod headers;
mod path;
mod problem;
mod proxy;
mod routes;
pub mod upstream;

pub use proxy::{Gateway, RequestState};
