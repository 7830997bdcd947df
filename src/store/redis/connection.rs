//! The way to the server that takes writes.

use std::{cmp::Reverse, io, path::Path, sync::Arc};

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, ScriptInvocation, TlsCertificates, Value, aio::MultiplexedConnection,
};
use tokio::{
    sync::Mutex,
    time::{Duration, timeout},
};

use crate::{
    config::{Login, Redis, RedisServer, Servers},
    store::StoreError,
};

use super::error::{read_failed, unavailable};

/// Finds the master, and keeps one connection to it that all operations share.
pub(super) struct Link {
    config: Redis,
    /// A key of ours: names the slot in a cluster.
    any_key: String,
    live: Mutex<Option<Live>>,
}

/// A connection to a master. Operations of several steps hold on to one, so that all steps see the same server.
#[derive(Clone)]
pub(super) struct Live {
    connection: MultiplexedConnection,
    server: RedisServer,
    /// Which run of the server it is; empty when it does not tell.
    run: Arc<str>,
    /// Which connection this is, so that a failure drops no later one.
    number: u64,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(config: Redis, any_key: String) -> Self {
        Self { config, any_key, live: Mutex::new(None) }
    }

    pub(super) fn config(&self) -> &Redis {
        &self.config
    }

    /// The connection that is there, or a new one.
    pub(super) async fn live(&self) -> Result<Live, StoreError> {
        let mut live = self.live.lock().await;
        if let Some(live) = &*live {
            return Ok(live.clone());
        }
        Ok(live.insert(self.connect().await?).clone())
    }

    /// After a failure: the next operation connects anew. Damage is told by a server that is well.
    pub(super) async fn keep<T>(&self, used: &Live, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Unavailable(_)) = result {
            self.live.lock().await.take_if(|live| live.number == used.number);
        }
        result
    }

    /// The next operation connects anew.
    pub(super) async fn forget(&self) {
        *self.live.lock().await = None;
    }

    /// A client for a connection of its own to the master, and the master.
    pub(super) async fn client(&self) -> Result<(Client, RedisServer), StoreError> {
        let server = self.live().await?.server;
        Ok((self.client_for(&server, &self.config.login, self.config.database).await?, server))
    }

    /// Whether `server` is still the one that takes writes, as far as that can be found out.
    pub(super) async fn is_still(&self, server: &RedisServer) -> bool {
        match timeout(self.config.connect_timeout, self.candidates()).await {
            Ok(Ok(candidates)) => {
                let most = candidates.first().map_or(0, |(_, votes)| *votes);
                candidates.iter().any(|(candidate, votes)| candidate == server && *votes == most)
            }
            // Who knows the master may be gone while the master is well.
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn connect(&self) -> Result<Live, StoreError> {
        let mut failure = None;
        for (server, _) in self.candidates().await? {
            match self.master(&server).await {
                Ok(mut connection) => {
                    let run = introduce(&mut connection, &server).await;
                    let number = uuid::Uuid::new_v4().as_u64_pair().0;
                    return Ok(Live { connection, server, run, number });
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| unavailable("no server is known that takes writes")))
    }

    /// Connects, and makes sure that it is a master: a replica may be behind, and one that was a master until a moment
    /// ago may be named still.
    async fn master(&self, server: &RedisServer) -> Result<MultiplexedConnection, StoreError> {
        let mut connection = self.open(server, &self.config.login, self.config.database).await?;
        let role: Vec<Value> = redis::cmd("ROLE")
            .query_async(&mut connection)
            .await
            .map_err(|error| read_failed(&error, &format!("{server} did not tell its role (ACL: +role)")))?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            _ => Err(unavailable(format!("{server} is a replica, it takes no writes"))),
        }
    }

    /// The servers that may be the master, each with how many say so, most votes first: one sentinel may be behind.
    async fn candidates(&self) -> Result<Vec<(RedisServer, usize)>, StoreError> {
        let askable = match &self.config.servers {
            Servers::Single(server) => return Ok(vec![(server.clone(), 1)]),
            Servers::Sentinel { sentinels: servers, .. } | Servers::Cluster(servers) => servers,
        };
        let mut found: Vec<(RedisServer, usize)> = Vec::new();
        let mut failure = None;
        for answer in join_all(askable.iter().map(|server| self.ask_for_master(server))).await {
            match answer {
                Ok(master) => match found.iter_mut().find(|(known, _)| *known == master) {
                    Some((_, votes)) => *votes += 1,
                    None => found.push((master, 1)),
                },
                Err(error) => failure = Some(error),
            }
        }
        found.sort_by_key(|(_, votes)| Reverse(*votes));
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }

    async fn ask_for_master(&self, server: &RedisServer) -> Result<RedisServer, StoreError> {
        match &self.config.servers {
            Servers::Single(server) => Ok(server.clone()),
            Servers::Sentinel { master, login, .. } => {
                let mut connection = self.open(server, login, 0).await?;
                let mut command = redis::cmd("SENTINEL");
                command.arg("get-master-addr-by-name").arg(master);
                let found: Option<(String, u16)> = command
                    .query_async(&mut connection)
                    .await
                    .map_err(|error| read_failed(&error, &format!("sentinel {server}")))?;
                let unknown = || unavailable(format!("sentinel {server} knows no master named {master:?}"));
                found.map(|(host, port)| RedisServer { host, port }).ok_or_else(unknown)
            }
            Servers::Cluster(_) => {
                let mut connection = self.open(server, &self.config.login, 0).await?;
                let failed = |error: RedisError| read_failed(&error, &format!("cluster node {server}"));
                let mut command = redis::cmd("CLUSTER");
                let slot: u16 =
                    command.arg("KEYSLOT").arg(&self.any_key).query_async(&mut connection).await.map_err(failed)?;
                let slots: Vec<Value> =
                    redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.map_err(failed)?;
                let owner = slots.iter().find_map(|range| owner_of(slot, range, server));
                owner.ok_or_else(|| unavailable(format!("cluster node {server} knows no master of slot {slot}")))
            }
        }
    }

    async fn open(
        &self,
        server: &RedisServer,
        login: &Login,
        database: u32,
    ) -> Result<MultiplexedConnection, StoreError> {
        let client = self.client_for(server, login, database).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.config.connect_timeout))
            .set_response_timeout(Some(self.config.answer_timeout));
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        opening.await.map_err(|error| read_failed(&error, &format!("{server} cannot be connected to")))
    }

    async fn client_for(&self, server: &RedisServer, login: &Login, database: u32) -> Result<Client, StoreError> {
        let info = self.connection_info(server, login, database).await?;
        let client = match &self.config.ca {
            Some(path) if self.config.tls => {
                let root_cert = Some(read_file(path, "the authorities").await?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(info),
        };
        client.map_err(|error| read_failed(&error, &format!("{server} cannot be connected to")))
    }

    async fn connection_info(
        &self,
        server: &RedisServer,
        login: &Login,
        database: u32,
    ) -> Result<ConnectionInfo, StoreError> {
        let RedisServer { host, port } = server.clone();
        let address = match self.config.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(database));
        if let Some(username) = &login.username {
            settings = settings.set_username(username);
        }
        if let Some(path) = &login.password_file {
            let password = String::from_utf8(read_file(path, "the password").await?);
            let password = password.map_err(|_| unavailable(format!("{} is not UTF-8", path.display())))?;
            settings = settings.set_password(password.trim_end_matches(['\r', '\n']));
        } else if let Some(password) = &login.password {
            settings = settings.set_password(password.expose());
        }
        let info = address.into_connection_info().map_err(|error| read_failed(&error, &server.to_string()))?;
        Ok(info.set_redis_settings(settings))
    }
}

impl Live {
    /// Runs a script.
    pub(super) async fn script<T: FromRedisValue>(&mut self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let answer = call.invoke_async(&mut self.connection).await;
        answer.map_err(|error| read_failed(&error, &self.server.to_string()))
    }

    /// Runs a command.
    pub(super) async fn command<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, StoreError> {
        let answer = command.query_async(&mut self.connection).await;
        answer.map_err(|error| read_failed(&error, &self.server.to_string()))
    }

    /// Runs several commands in one round trip.
    pub(super) async fn pipeline<T: FromRedisValue>(&mut self, commands: &redis::Pipeline) -> Result<T, StoreError> {
        let answer = commands.query_async(&mut self.connection).await;
        answer.map_err(|error| read_failed(&error, &self.server.to_string()))
    }

    /// Names this run of the server: another run may have lost what the earlier one had.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Names one life of the server's keys in memory, or a shorter time: where a scan is means nothing in another one.
    pub(super) fn life(&self) -> String {
        if self.run.is_empty() { self.number.to_string() } else { self.run.to_string() }
    }

    /// The same connection, for something that takes long.
    pub(super) fn patient(mut self, answer_timeout: Duration) -> Self {
        self.connection.set_response_timeout(answer_timeout);
        self
    }
}

/// Waits for an answer as long as is configured, where the client does not.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, StoreError> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| read_failed(&error, what)),
        Err(_) => Err(unavailable(format!("{what}: no answer within {limit:?}"))),
    }
}

/// Asks the server which run of it this is, and warns of a server that throws away what it should keep.
async fn introduce(connection: &mut MultiplexedConnection, server: &RedisServer) -> Arc<str> {
    // Some users may not ask for this; all works without it but what guards against a failover that lost writes.
    let info: String = redis::cmd("INFO").query_async(connection).await.unwrap_or_default();
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    if let Some(policy) = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys")) {
        log::warn!(
            "store: {server} may throw flags away when its memory is full: set maxmemory-policy to noeviction, it is \
             {policy}"
        );
    }
    field("run_id").unwrap_or_default().into()
}

/// The master of a slot, from one entry of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
fn owner_of(slot: u16, range: &Value, asked: &RedisServer) -> Option<RedisServer> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &parts[..] else { return None };
    if !(*first..=*last).contains(&i64::from(slot)) {
        return None;
    }
    let [host, Value::Int(port), ..] = &master[..] else { return None };
    let known = if let Value::BulkString(host) = host { String::from_utf8(host.clone()).ok()? } else { String::new() };
    // A node that does not know its own address leaves it out.
    let host = if known.is_empty() { asked.host.clone() } else { known };
    Some(RedisServer { host, port: u16::try_from(*port).ok()? })
}

async fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, StoreError> {
    let read: io::Result<Vec<u8>> = tokio::fs::read(path).await;
    read.map_err(|error| unavailable(format!("{what} cannot be read from {}: {error}", path.display())))
}
