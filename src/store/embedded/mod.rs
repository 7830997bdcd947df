//! The store in one file, for one gateway.

mod analytics;
mod audit;
mod profiles;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::{sync::Mutex, task::spawn_blocking};
use uuid::Uuid;

use crate::{
    clock,
    model::{DocumentKey, DocumentKind, WorldRevision},
};

use super::{
    AuditEntry, Contents, Entries, Gateway, Hint, Hints, Lease, Place, SeenGateway, Store, StoreError, Stored, Write,
    Written,
    commit::{audit_entry, compare, hint, reseed_hint, reseeding},
    feed::Feed,
    lease::Leases,
    presence::Presence,
    profiles::UserFeed,
};

/// Kind and key → the document's revision and text.
const DOCUMENTS: TableDefinition<'_, (&str, &str), (u64, &str)> = TableDefinition::new("documents");
/// `revision`: of the world. `audit_bytes`: the sizes of all audit entries together. `format`: of this file.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// `epoch`: of this file's life.
const NAMES: TableDefinition<'_, &str, &str> = TableDefinition::new("names");

/// The format that this version reads and writes.
const FORMAT: u64 = 1;

/// Why a released store does not answer.
const RELEASED: &str = "it was handed to the process that takes over";

/// Documents in one file that this process holds under an exclusive lock.
pub struct EmbeddedStore {
    path: Arc<Path>,
    /// None: it was released.
    file: Arc<RwLock<Option<File>>>,
    /// Held from the start of a write to its hint, so that hints come in the order of the writes and waiting writers
    /// do not fill up the threads for blocking work.
    writing: Arc<Mutex<Leases>>,
    users: UserFeed,
    /// At how many activities those that ended are thrown away next.
    activity_full_at: Arc<AtomicU64>,
    presence: Presence,
}

/// What the blocking threads share.
struct File {
    database: Database,
    feed: Feed,
}

impl EmbeddedStore {
    /// Opens the file, or creates it and the folder that it is to be in. Blocks.
    ///
    /// # Errors
    /// Another process holds the file, it cannot be read or written, or what it holds is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.into(),
            file: Arc::new(RwLock::new(Some(File::open(path)?))),
            writing: Arc::default(),
            users: UserFeed::new(),
            activity_full_at: Arc::default(),
            presence: Presence::default(),
        })
    }

    /// Lets go of the file, so that another process can open it, once what is under way is done. Until
    /// [`take_back`](Self::take_back) the store is unavailable.
    pub async fn release(&self) {
        let file = Arc::clone(&self.file);
        let released = spawn_blocking(move || drop(file.write().unwrap_or_else(PoisonError::into_inner).take())).await;
        if let Err(error) = released {
            log::error!("store: the file was not closed: {error}");
        }
    }

    /// Opens the file again; whoever follows the store finds out what changed. Blocks.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn take_back(&self) -> Result<(), StoreError> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            *file = Some(File::open(&self.path)?);
        }
        Ok(())
    }

    /// Tells of users whose profile changed.
    fn users(&self) -> &UserFeed {
        &self.users
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (file, path) = (Arc::clone(&self.file), Arc::clone(&self.path));
        let done = spawn_blocking(move || match &*file.read().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => work(file).map_err(|failure| failure.at(&path)),
            None => Err(unavailable(&path, &RELEASED)),
        });
        done.await.unwrap_or_else(|join| Err(damaged(&self.path, &join)))
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn load(&self) -> Result<Contents, StoreError> {
        self.blocking(File::load).await
    }

    async fn read(&self, documents: &[DocumentKey]) -> Result<Vec<Stored>, StoreError> {
        let documents = documents.to_vec();
        self.blocking(move |file| file.read(documents)).await
    }

    async fn list(&self, kind: DocumentKind) -> Result<Vec<Stored>, StoreError> {
        self.blocking(move |file| list(&file.database.begin_read()?.open_table(DOCUMENTS)?, kind)).await
    }

    async fn revision(&self) -> Result<WorldRevision, StoreError> {
        self.blocking(|file| {
            let reading = file.database.begin_read()?;
            revision(&reading.open_table(NUMBERS)?, &reading.open_table(NAMES)?)
        })
        .await
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let turn = self.writing.clone().lock_owned().await;
        turn.check(&write)?;
        self.blocking(move |file| {
            let (written, hint) = file.write(write)?;
            file.feed.send(hint);
            drop(turn);
            Ok(written)
        })
        .await
    }

    async fn subscribe(&self) -> Result<Hints, StoreError> {
        self.blocking(|file| Ok(file.feed.subscribe())).await
    }

    async fn entries(&self, wanted: Entries<'_>) -> Result<Vec<(Place, AuditEntry)>, StoreError> {
        let (of, behind, limit) = (wanted.of.cloned(), wanted.behind.map(str::to_owned), wanted.limit);
        self.blocking(move |file| {
            let wanted = Entries { of: of.as_ref(), behind: behind.as_deref(), limit };
            audit::entries(&file.database.begin_read()?, wanted)
        })
        .await
    }

    async fn take_lease(&self, holder: &str, within: Duration) -> Result<Lease, StoreError> {
        Ok(self.writing.lock().await.take(holder, within, clock::monotonic()))
    }

    async fn give_back_lease(&self, holder: &str) -> Result<(), StoreError> {
        self.writing.lock().await.give_back(holder);
        Ok(())
    }

    async fn reseed(
        &self,
        expected: &WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, StoreError> {
        let turn = self.writing.clone().lock_owned().await;
        let (expected, actor) = (expected.clone(), actor.to_owned());
        self.blocking(move |file| {
            let world = file.reseed(expected, documents, &actor, at)?;
            file.feed.send(reseed_hint(world.clone()));
            drop(turn);
            Ok(world)
        })
        .await
    }

    async fn beat(&self, gateway: &Gateway) -> Result<(), StoreError> {
        // One gateway owns the file, so nobody else needs to read it there.
        self.presence.beat(gateway);
        Ok(())
    }

    async fn leave(&self, id: &str) -> Result<(), StoreError> {
        self.presence.leave(id);
        Ok(())
    }

    async fn gateways(&self) -> Result<Vec<SeenGateway>, StoreError> {
        Ok(self.presence.seen())
    }
}

impl File {
    fn open(path: &Path) -> Result<Self, StoreError> {
        // A file whose insides were overwritten can fail checks of the database that panic.
        let opened = catch_unwind(AssertUnwindSafe(|| open(path)));
        let database = opened.unwrap_or_else(|_| Err(damaged(path, &"it contradicts itself")))?;
        Ok(Self { database, feed: Feed::new() })
    }

    fn load(&self) -> Result<Contents, Failure> {
        let reading = self.database.begin_read()?;
        let revision = revision(&reading.open_table(NUMBERS)?, &reading.open_table(NAMES)?)?;
        let table = reading.open_table(DOCUMENTS)?;
        let mut documents = Vec::new();
        for kind in DocumentKind::ALL {
            documents.append(&mut list(&table, kind)?);
        }
        Ok(Contents { revision, documents })
    }

    fn read(&self, documents: Vec<DocumentKey>) -> Result<Vec<Stored>, Failure> {
        let table = self.database.begin_read()?.open_table(DOCUMENTS)?;
        let mut read = Vec::with_capacity(documents.len());
        for document in documents {
            if let Some(found) = table.get((document.kind.as_str(), &*document.key))? {
                let (revision, text) = found.value();
                read.push(Stored { document, text: text.into(), revision });
            }
        }
        Ok(read)
    }

    /// Writes in one transaction; a conflict leaves it uncommitted, which undoes it.
    fn write(&self, write: Write) -> Result<(Written, Hint), Failure> {
        let writing = self.database.begin_write()?;
        let (written, entry) = write_in(&writing, write)?;
        writing.commit()?;
        Ok((written, hint(&entry)))
    }

    /// Replaces everything in one transaction.
    fn reseed(
        &self,
        expected: WorldRevision,
        documents: Vec<(DocumentKey, Arc<str>)>,
        actor: &str,
        at: Timestamp,
    ) -> Result<WorldRevision, Failure> {
        let writing = self.database.begin_write()?;
        let found = revision(&writing.open_table(NUMBERS)?, &writing.open_table(NAMES)?)?;
        if found != expected {
            return Err(StoreError::Moved { expected, found }.into());
        }
        writing.open_table(NAMES)?.insert("epoch", &*Uuid::new_v4().to_string())?;
        let mut there = Vec::new();
        for kind in DocumentKind::ALL {
            there.extend(list(&writing.open_table(DOCUMENTS)?, kind)?.into_iter().map(|stored| stored.document));
        }
        for write in reseeding(there, documents, actor, at) {
            write_in(&writing, write)?;
        }
        let world = next_revision(&writing)?;
        writing.commit()?;
        Ok(world)
    }
}

/// Writes within a transaction.
fn write_in(writing: &WriteTransaction, write: Write) -> Result<(Written, AuditEntry), Failure> {
    let mut documents = writing.open_table(DOCUMENTS)?;
    let key = (write.document.kind.as_str(), &*write.document.key);
    let current = documents.get(key)?.map(|found| (found.value().0, Arc::<str>::from(found.value().1)));
    let last = audit::last_revision(writing, &write.document)?;
    let passed = compare(&write, current.as_ref().map(|(revision, _)| *revision), last)?;
    match &write.text {
        Some(text) => drop(documents.insert(key, (passed.revision, &**text))?),
        None => drop(documents.remove(key)?),
    }
    let world = next_revision(writing)?;
    let before = current.map(|(_, text)| text);
    let entry = audit_entry(write, passed, world.clone(), before);
    audit::remember(writing, &entry)?;
    Ok((Written { revision: passed.revision, world }, entry))
}

fn next_revision(writing: &WriteTransaction) -> Result<WorldRevision, Failure> {
    let mut numbers = writing.open_table(NUMBERS)?;
    let mut world = revision(&numbers, &writing.open_table(NAMES)?)?;
    world.number += 1;
    numbers.insert("revision", world.number)?;
    Ok(world)
}

fn revision(
    numbers: &impl ReadableTable<&'static str, u64>,
    names: &impl ReadableTable<&'static str, &'static str>,
) -> Result<WorldRevision, Failure> {
    let epoch = names.get("epoch")?.map(|epoch| Arc::<str>::from(epoch.value()));
    let epoch = epoch.ok_or_else(|| Failure::Damaged("it has no epoch".to_owned()))?;
    Ok(WorldRevision { epoch, number: number(numbers, "revision")? })
}

fn open(path: &Path) -> Result<Database, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unavailable(path, &error))?;
    }
    let fail = |failure: Failure| failure.at(path);
    let database = Database::create(path).map_err(|error| fail(error.into()))?;
    prepare(&database).map_err(fail)?;
    Ok(database)
}

/// Creates the tables of a new file and draws its epoch; checks the format of one that was there.
fn prepare(database: &Database) -> Result<(), Failure> {
    let writing = database.begin_write()?;
    {
        writing.open_table(DOCUMENTS)?;
        audit::prepare(&writing)?;
        let mut numbers = writing.open_table(NUMBERS)?;
        let mut names = writing.open_table(NAMES)?;
        if names.get("epoch")?.is_some() {
            let format = number(&numbers, "format")?;
            if format != FORMAT {
                return Err(Failure::Damaged(format!("its format is {format}, this version reads {FORMAT}")));
            }
        } else {
            names.insert("epoch", &*Uuid::new_v4().to_string())?;
            numbers.insert("format", FORMAT)?;
            numbers.insert("revision", 0)?;
            numbers.insert("audit_bytes", 0)?;
        }
    }
    writing.commit()?;
    Ok(())
}

fn list(
    documents: &impl ReadableTable<(&'static str, &'static str), (u64, &'static str)>,
    kind: DocumentKind,
) -> Result<Vec<Stored>, Failure> {
    let mut found = Vec::new();
    for document in documents.range((kind.as_str(), "")..)? {
        let (key, value) = document?;
        let (name, key) = key.value();
        if name != kind.as_str() {
            break;
        }
        let (revision, text) = value.value();
        found.push(Stored { document: DocumentKey { kind, key: key.into() }, text: text.into(), revision });
    }
    Ok(found)
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, Failure> {
    let found = numbers.get(name)?.map(|found| found.value());
    found.ok_or_else(|| Failure::Damaged(format!("it has no {name}")))
}

/// Why work on the file failed, before the file is named.
#[derive(Debug)]
enum Failure {
    Database(redb::Error),
    Damaged(String),
    Store(StoreError),
}

impl Failure {
    fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Database(redb::Error::DatabaseAlreadyOpen) => unavailable(
                path,
                &"another process holds the file; one gateway owns an embedded store: stop that process, or use its \
                  admin API",
            ),
            Self::Database(error) if is_damage(&error) => damaged(path, &error),
            Self::Database(error) => unavailable(path, &error),
            Self::Damaged(what) => damaged(path, &what),
            Self::Store(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(format!("an entry cannot be understood: {error}"))
    }
}

macro_rules! failure_from {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Failure {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        })*
    };
}

failure_from!(CommitError, DatabaseError, StorageError, TableError, TransactionError);

/// Whether the file is to blame, not the machine that it is on.
fn is_damage(error: &redb::Error) -> bool {
    use redb::Error as E;
    if let E::Io(error) = error {
        return error.kind() == std::io::ErrorKind::InvalidData;
    }
    matches!(
        error,
        E::Corrupted(_)
            | E::RepairAborted
            | E::UpgradeRequired(_)
            | E::TableTypeMismatch { .. }
            | E::TableIsMultimap(_)
            | E::TypeDefinitionChanged { .. }
            | E::TableDoesNotExist(_)
    )
}

fn damaged(path: &Path, what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!(
        "{}: {what}; stop the gateway, move the file away and start again: the backup, if one is configured, is \
         served until the documents are written anew",
        path.display()
    ))
}

fn unavailable(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {why}", path.display()).into())
}
