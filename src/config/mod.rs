//! Configuration: TOML read by one table of keys (`keys`, `read`), then checked into the types that the rest of the
//! program uses.
//!
//! Everything that is wrong is reported at once, each with its place; environment variables `FLAGGATE__SECTION__KEY`
//! override the file.

mod access_log;
mod analytics;
mod balance;
mod check;
mod check_admin;
mod check_redis;
mod check_routes;
mod checked;
mod context;
mod current;
mod error;
mod events;
mod explain;
mod files;
mod jwt;
mod key_file;
mod keys;
mod limits;
mod listener;
mod mirror;
mod outbound;
mod overrides;
mod protocol;
mod read;
mod recent;
mod redis;
mod schema;
mod secret;
mod server;
mod sticky;
mod tls;
mod tracing;
mod units;

use std::path::Path;

pub use self::redis::{Login, Redis, Server as RedisServer, Servers};
pub use access_log::{AccessLog, AccessLogFormat};
pub use analytics::Analytics;
pub use balance::{LoadBalance, Outlier, Retries, Subject};
pub use checked::*;
pub use context::{AcceptIdentityFrom, AttributeConfig, AttributeKind, AttributeSource, ContextConfig, IdentitySource};
pub use current::Current;
pub use error::ConfigError;
pub use events::{EventFile, EventStream, EventWebhook, Events, Privacy, SessionSource};
pub use explain::{Explain, ExplainToken};
pub use files::Files;
pub use jwt::{Jwt, JwtIssuer, JwtKey, JwtKeys};
pub use key_file::KeyFile;
pub use limits::{Per, RateLimit};
pub use listener::{Listener, ListenerTls};
pub use mirror::Mirror;
pub use outbound::{AllowedHost, Channel, ChannelKind, ChannelUrl, Credential, Outbound, SecretAt};
pub use protocol::{Protocol, UpstreamTls};
pub use recent::Recent;
pub use schema::json_schema;
pub use secret::{Secret, TOKEN_PREFIX};
pub use server::Server;
pub use sticky::{Sticky, StickyKey};
pub use tls::{Authorities, Certificate};
pub use tracing::{Tracing, TracingHeader};
pub use units::Share;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something wrong.
    #[error(transparent)]
    Config(Box<ConfigError>),
}

impl Config {
    /// Reads a file, with overrides from environment variables.
    ///
    /// # Errors
    /// The file cannot be read, or anything in it or in a variable is wrong.
    pub fn load(path: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, LoadError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: name.clone(), source })?;
        Self::parse(&name, &text, variables).map_err(LoadError::Config)
    }

    /// Reads TOML text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// Anything in it or in a variable is wrong.
    pub fn parse(
        name: &str,
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Box<ConfigError>> {
        let (mut raw, mut problems) = read::parse(text);
        if !problems.is_empty() {
            return Err(Box::new(ConfigError::new(name, text, problems)));
        }
        overrides::apply(&mut raw, &keys::ROOT, variables, &mut problems);
        let table = read::table(raw, "", &keys::ROOT, &mut problems);
        let config = check::check(&table, &mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Box::new(ConfigError::new(name, text, problems).with_files(config.files)))
        }
    }

    /// A small configuration: one listener and the admin on ports of the system's choice, a store in memory, one upstream
    /// that nobody listens on, one route.
    #[must_use]
    pub fn for_testing() -> Self {
        let text = "
            listeners = [{ name = \"web\", address = \"127.0.0.1:0\" }]
            admin.address = \"127.0.0.1:0\"
            store.kind = \"memory\"
            upstreams.stable.endpoints = [{ address = \"127.0.0.1:9\" }]
            routes = [{ name = \"all\", upstream = \"stable\" }]
        ";
        Self::parse("testing", text, std::iter::empty()).expect("the testing configuration is right")
    }

    /// The keys of all flags that routes name.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().flat_map(|route| {
            let features = route.features.iter().map(|feature| &feature.flag);
            let canary = route.canary.iter().map(|canary| &canary.flag);
            let blue_green = route.blue_green.iter().map(|blue_green| &blue_green.flag);
            let mirror = route.mirror.iter().map(|mirror| &mirror.flag);
            let headers = route.flag_headers.iter().map(|header| &header.flag);
            features
                .chain(canary)
                .chain(blue_green)
                .chain(mirror)
                .chain(&route.flags)
                .chain(headers)
                .map(|flag| &**flag)
        })
    }

    /// The names of all routes, then of all upstreams.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let routes = self.routes.iter().map(|route| route.name.as_str());
        routes.chain(self.upstreams.iter().map(|upstream| upstream.name.as_str()))
    }
}
