//! Analytics in memory.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    AnalyticsStore, Experience, Experiment, Span, Step,
    local::{self, Read, Write},
};
use crate::{
    clock,
    model::{Arm, ArmCounts, Subject},
    store::StoreError,
};

/// Analytics that live and die with the process.
pub struct MemoryAnalytics {
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    rows: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryAnalytics {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(clock::now)
    }

    /// Nothing yet, and a time of its own.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), rows: Mutex::default() }
    }

    /// How many rows there are, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let rows = self.rows();
        (rows.len(), rows.iter().map(|(key, bytes)| key.len() + bytes.len()).sum())
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.rows.lock().expect("nothing panics while it holds the rows")
    }
}

impl Default for MemoryAnalytics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryAnalytics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryAnalytics").finish_non_exhaustive()
    }
}

impl Read for BTreeMap<String, Vec<u8>> {
    type Error = Infallible;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(Self::get(self, key).cloned())
    }

    fn range(&self, from: &str, to: &str) -> Result<Vec<(String, Vec<u8>)>, Infallible> {
        let rows = (from < to)
            .then(|| Self::range::<str, _>(self, (Bound::Included(from), Bound::Excluded(to))))
            .into_iter()
            .flatten();
        Ok(rows.map(|(key, bytes)| (key.clone(), bytes.clone())).collect())
    }

    fn keys(&self, from: &str, to: &str) -> Result<Vec<String>, Infallible> {
        let rows = (from < to)
            .then(|| Self::range::<str, _>(self, (Bound::Included(from), Bound::Excluded(to))))
            .into_iter()
            .flatten();
        Ok(rows.map(|(key, _)| key.clone()).collect())
    }
}

impl Write for BTreeMap<String, Vec<u8>> {
    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), Infallible> {
        self.insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), Infallible> {
        Self::remove(self, key);
        Ok(())
    }
}

/// What cannot fail.
fn surely<T>(done: Result<T, Infallible>) -> Result<T, StoreError> {
    done.map_err(|never| match never {})
}

#[async_trait]
impl AnalyticsStore for MemoryAnalytics {
    async fn put_counts(&self, step: Step, number: i64, counts: &[(Arm, ArmCounts)]) -> Result<(), StoreError> {
        let (mut rows, now) = (self.rows(), (self.clock)());
        if step == Step::Hour {
            surely(local::prune(&mut *rows, now))?;
        }
        surely(local::put_counts(&mut *rows, step, number, counts))
    }

    async fn until(&self, step: Step) -> Result<Option<i64>, StoreError> {
        surely(local::until(&*self.rows(), step))
    }

    async fn spans(&self, step: Step, of: &Subject, from: i64, to: i64) -> Result<Vec<Span>, StoreError> {
        surely(local::spans(&*self.rows(), step, of, (from, to)))
    }

    async fn subjects(&self, from: i64, to: i64) -> Result<Vec<Subject>, StoreError> {
        surely(local::subjects(&*self.rows(), from, to))
    }

    async fn deliver(&self, experience: &Experience) -> Result<usize, StoreError> {
        let mut rows = self.rows();
        surely(local::deliver(&mut *rows, experience, (self.clock)()))
    }

    async fn visitors(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Vec<f64>, StoreError> {
        surely(local::visitors(&*self.rows(), arms, (from, to), (self.clock)()))
    }

    async fn experiment(&self, flag: &str) -> Result<Option<Experiment>, StoreError> {
        surely(local::experiment(&*self.rows(), flag))
    }

    async fn experiments(&self) -> Result<Vec<Arc<str>>, StoreError> {
        surely(local::experiments(&*self.rows()))
    }
}
