//! Checks what the configuration says of a Redis.

use std::{path::PathBuf, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::{
    check::Checker,
    error::At,
    read::Table,
    redis::{Login, Redis, Server, Servers},
    secret::Secret,
};

/// The keys that say something of a Redis and nothing of another store.
const OWN_KEYS: [&str; 9] =
    ["url", "urls", "sentinel", "cluster", "ca", "password_file", "key_prefix", "connect_timeout", "answer_timeout"];

/// What a URL says.
struct Url<'t> {
    at: &'t At,
    server: Server,
    tls: bool,
    username: Option<String>,
    password: Option<Secret>,
    database: u32,
}

impl Checker<'_> {
    /// Notes keys that are for a Redis where the store is another one.
    pub(super) fn no_redis(&mut self, table: &Table) {
        for name in OWN_KEYS {
            if let Some(node) = table.get(name) {
                self.problem(&node.at, format!("`{name}` is for kind = \"redis\""));
            }
        }
    }

    /// Reads what is said of a Redis.
    pub(super) fn redis(&mut self, table: &Table, kind_at: &At) -> Redis {
        if let Some(node) = table.get("path") {
            self.problem(&node.at, "`path` is for kind = \"embedded\"; a Redis is named by `url` or `urls`");
        }
        let urls = self.urls(table, kind_at);
        let login = self.login(table, &urls);
        let path = |name: &str| table.text(name).map(|(text, _)| PathBuf::from(text));
        let (tls, database) = urls.first().map_or((false, 0), |url| (url.tls, url.database));
        if let (Some(node), false, false) = (table.get("ca"), tls, urls.is_empty()) {
            self.problem(&node.at, "`ca` is for a rediss:// URL: this one is not encrypted");
        }
        let servers = self.servers(table, &urls);
        Redis {
            servers,
            tls,
            ca: path("ca"),
            login,
            database,
            key_prefix: table.text("key_prefix").map_or_else(String::new, |(text, _)| text.to_owned()),
            connect_timeout: table.duration("connect_timeout", Duration::from_secs(1)),
            answer_timeout: table.duration("answer_timeout", Duration::from_secs(2)),
        }
    }

    fn urls<'t>(&mut self, table: &'t Table, kind_at: &At) -> Vec<Url<'t>> {
        match (table.text("url"), table.get("urls")) {
            (None, None) => self.problem(kind_at, "kind = \"redis\" needs `url` or `urls`"),
            (Some(_), Some(node)) => self.problem(&node.at, "`url` and `urls` cannot both be given"),
            (None, Some(node)) if table.list("urls").is_empty() => {
                self.problem(&node.at, "`urls` needs at least one URL");
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        let texts: Vec<_> = match table.text("url") {
            Some(url) => vec![url],
            None => table.texts("urls").collect(),
        };
        let urls: Vec<Url<'t>> = texts.into_iter().filter_map(|(text, at)| self.url(text, at)).collect();
        for url in urls.iter().skip(1) {
            let first = &urls[0];
            let alike = url.tls == first.tls
                && url.username == first.username
                && url.password == first.password
                && url.database == first.database;
            if !alike {
                self.problem(url.at, "all `urls` must have the same scheme, user, password and database");
            }
        }
        urls
    }

    /// What is wrong is told without the text: it can hold a password.
    fn url<'t>(&mut self, text: &str, at: &'t At) -> Option<Url<'t>> {
        let known_scheme = text.starts_with("redis://") || text.starts_with("rediss://");
        if !known_scheme || text.contains(['?', '#']) {
            self.problem(at, "this is not a URL like \"redis://user@host:6379/0\" (or \"rediss://…\" for TLS)");
            return None;
        }
        let info = text.into_connection_info().ok();
        let read = info.as_ref().and_then(|info| read_url(info, at));
        if read.is_none() {
            self.problem(
                at,
                "this URL cannot be read; it is like \"redis://user@host:6379/0\", with special letters in \
                 the password percent-encoded",
            );
        }
        read
    }

    fn login(&mut self, table: &Table, urls: &[Url<'_>]) -> Login {
        let first = urls.first();
        let password = first.and_then(|url| url.password.clone());
        let file = table.text("password_file");
        if let (Some((_, at)), Some(_)) = (file, &password) {
            self.problem(at, "the password stands in the URL already: give one of the two");
        }
        Login {
            username: first.and_then(|url| url.username.clone()),
            password,
            password_file: file.map(|(text, _)| PathBuf::from(text)),
        }
    }

    fn servers(&mut self, table: &Table, urls: &[Url<'_>]) -> Servers {
        let mut servers: Vec<Server> = urls.iter().map(|url| url.server.clone()).collect();
        let cluster = table.boolean("cluster", false);
        match (table.table("sentinel"), table.get("cluster").filter(|_| cluster)) {
            (Some(_), Some(node)) => {
                self.problem(&node.at, "`sentinel` and `cluster` cannot both be given");
                Servers::Cluster(servers)
            }
            (Some((sentinel, _)), None) => {
                let text = |name: &str| sentinel.text(name).map(|(text, _)| text.to_owned());
                let login = Login {
                    username: text("username"),
                    password: None,
                    password_file: text("password_file").map(PathBuf::from),
                };
                Servers::Sentinel { sentinels: servers, master: text("master").unwrap_or_default(), login }
            }
            (None, Some(node)) => {
                self.cluster(table, urls, &node.at);
                Servers::Cluster(servers)
            }
            (None, None) => {
                if let Some(second) = urls.get(1) {
                    self.problem(second.at, "several `urls` are for `sentinel` or `cluster`; one server is one `url`");
                }
                servers.truncate(1);
                Servers::Single(servers.pop().unwrap_or(Server { host: String::new(), port: 0 }))
            }
        }
    }

    fn cluster(&mut self, table: &Table, urls: &[Url<'_>], at: &At) {
        if urls.iter().any(|url| url.database != 0) {
            self.problem(at, "a cluster has database 0 only");
        }
        let prefix = table.text("key_prefix");
        if !prefix.is_some_and(|(text, _)| has_hash_tag(text)) {
            self.problem(
                prefix.map_or(at, |(_, at)| at),
                "a cluster needs a `key_prefix` with a hash tag, like \"{flaggate}:\", so that all keys are in one slot",
            );
        }
    }
}

fn read_url<'t>(info: &ConnectionInfo, at: &'t At) -> Option<Url<'t>> {
    let (host, port, tls) = if let ConnectionAddr::TcpTls { host, port, .. } = info.addr() {
        (host, port, true)
    } else if let ConnectionAddr::Tcp(host, port) = info.addr() {
        (host, port, false)
    } else {
        return None;
    };
    let settings = info.redis_settings();
    Some(Url {
        at,
        server: Server { host: host.trim_matches(['[', ']']).to_owned(), port: *port },
        tls,
        username: settings.username().map(str::to_owned),
        password: settings.password().map(Secret::new),
        database: u32::try_from(settings.db()).ok()?,
    })
}

/// Whether the first braces of a text hold something: only then all keys that begin with it are in one slot.
fn has_hash_tag(text: &str) -> bool {
    let inside = text.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.is_some_and(|(tag, _)| !tag.is_empty())
}
