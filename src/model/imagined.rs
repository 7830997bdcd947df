//! Requests that are not sent.

use std::net::IpAddr;

/// A request that is only asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImaginedRequest {
    /// The listener that it would come to; none: the first one.
    pub listener: Option<String>,
    /// The address that it would come from; none: this machine.
    pub peer: Option<IpAddr>,
    /// Its method.
    pub method: String,
    /// Its target: the path, and the query if there is one.
    pub path: String,
    /// Its headers as they would be sent, `Host` among them.
    pub headers: Vec<(String, String)>,
}
