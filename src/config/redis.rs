//! Where a shared Redis is and how to get in.

use std::{fmt, path::PathBuf, time::Duration};

use super::Secret;

/// A Redis that several gateways share.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// Where it is.
    pub servers: Servers,
    /// Whether the connections are encrypted (`rediss://`).
    pub tls: bool,
    /// Authorities that are believed, in place of the system's; PEM.
    pub ca: Option<PathBuf>,
    /// Who logs in.
    pub login: Login,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
    /// Stands in front of all keys and of the channel.
    pub key_prefix: String,
    /// For a connection to be there. Default 1 s.
    pub connect_timeout: Duration,
    /// For an answer. Default 2 s.
    pub answer_timeout: Duration,
}

/// How the server that takes writes is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// It is this one.
    Single(Server),
    /// Sentinels know it.
    Sentinel {
        /// The sentinels, asked in this order.
        sentinels: Vec<Server>,
        /// The name under which they watch it.
        master: String,
        /// Who logs in to the sentinels.
        login: Login,
    },
    /// The nodes of a cluster know it: the master of the slot that `key_prefix` names.
    Cluster(Vec<Server>),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

/// A user and a password, as far as they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; none: the server's default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A file with the password, read anew for each connection.
    pub password_file: Option<PathBuf>,
}

impl Redis {
    /// The server at `host` and `port`, without a password, with the default time-outs.
    #[must_use]
    pub fn at(host: &str, port: u16) -> Self {
        Self {
            servers: Servers::Single(Server { host: host.to_owned(), port }),
            tls: false,
            ca: None,
            login: Login::default(),
            database: 0,
            key_prefix: String::new(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(2),
        }
    }
}
