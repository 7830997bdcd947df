//! Calls that flaggate itself makes: questions to a Prometheus, notifications, events to a web hook, and spans for a collector.
//!
//! URLs of questions and notifications come from documents, so they are not believed: only the hosts that `[outbound]` lists are called, at addresses that
//! `guard` lets through, without redirects or proxies, with a bound on the answer and on the time.

mod client;
mod credentials;
mod error;
mod events;
mod guard;
mod kill_switch;
pub mod notify;
pub mod prometheus;
mod spans;

pub use client::{Answer, Client, Names, Request};
pub use error::OutboundError;
pub use events::WebhookEvents;
pub use notify::{Notice, Notifier};
pub use spans::SpanExporter;
