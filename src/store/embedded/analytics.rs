//! Analytics in the file of the embedded store.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError};

use super::{EmbeddedStore, Failure, File};
use crate::{
    clock,
    model::{Arm, ArmCounts, Subject},
    store::{
        AnalyticsStore, Experience, Experiment, Span, Step, StoreError,
        analytics::{Read, Write, local},
    },
};

/// The rows of analytics.
const ANALYTICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("analytics");

/// A table to be read.
struct Rows<T>(T);

impl<T: ReadableTable<&'static str, &'static [u8]>> Read for Rows<T> {
    type Error = Failure;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.get(key)?.map(|found| found.value().to_vec()))
    }

    fn range(&self, from: &str, to: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut rows = Vec::new();
        if from < to {
            for row in self.0.range(from..to)? {
                let (key, bytes) = row?;
                rows.push((key.value().to_owned(), bytes.value().to_vec()));
            }
        }
        Ok(rows)
    }

    fn keys(&self, from: &str, to: &str) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        if from < to {
            for row in self.0.range(from..to)? {
                keys.push(row?.0.value().to_owned());
            }
        }
        Ok(keys)
    }
}

impl Write for Rows<Table<'_, &'static str, &'static [u8]>> {
    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.0.insert(key, bytes)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), Failure> {
        self.0.remove(key)?;
        Ok(())
    }
}

impl File {
    /// Reads rows; where none was ever written there is none.
    fn analytics<T: Default>(
        &self,
        read: impl FnOnce(&Rows<redb::ReadOnlyTable<&'static str, &'static [u8]>>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.database.begin_read()?.open_table(ANALYTICS) {
            Ok(table) => read(&Rows(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(T::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes rows in one transaction. What is not `durable` is safe with the next that is: at most a minute is lost when the
    /// machine crashes.
    fn write_analytics<T>(
        &self,
        is_durable: bool,
        write: impl FnOnce(&mut Rows<Table<'_, &'static str, &'static [u8]>>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut writing = self.database.begin_write()?;
        if !is_durable {
            writing.set_durability(Durability::None).map_err(|error| Failure::Damaged(error.to_string()))?;
        }
        let written = write(&mut Rows(writing.open_table(ANALYTICS)?))?;
        writing.commit()?;
        Ok(written)
    }
}

#[async_trait]
impl AnalyticsStore for EmbeddedStore {
    async fn put_counts(&self, step: Step, number: i64, counts: &[(Arm, ArmCounts)]) -> Result<(), StoreError> {
        let counts = counts.to_vec();
        self.in_turn(move |file| {
            file.write_analytics(true, |rows| {
                if step == Step::Hour {
                    local::prune(rows, clock::now())?;
                }
                local::put_counts(rows, step, number, &counts)
            })
        })
        .await
    }

    async fn until(&self, step: Step) -> Result<Option<i64>, StoreError> {
        self.blocking(move |file| file.analytics(|rows| local::until(rows, step))).await
    }

    async fn spans(&self, step: Step, of: &Subject, from: i64, to: i64) -> Result<Vec<Span>, StoreError> {
        let of = of.clone();
        self.blocking(move |file| file.analytics(|rows| local::spans(rows, step, &of, (from, to)))).await
    }

    async fn subjects(&self, from: i64, to: i64) -> Result<Vec<Subject>, StoreError> {
        self.blocking(move |file| file.analytics(|rows| local::subjects(rows, from, to))).await
    }

    async fn deliver(&self, experience: &Experience) -> Result<usize, StoreError> {
        let experience = experience.clone();
        self.in_turn(move |file| file.write_analytics(false, |rows| local::deliver(rows, &experience, clock::now())))
            .await
    }

    async fn visitors(&self, arms: &[Arm], from: Timestamp, to: Timestamp) -> Result<Vec<f64>, StoreError> {
        let arms = arms.to_vec();
        self.blocking(move |file| {
            let found = file.analytics(|rows| local::visitors(rows, &arms, (from, to), clock::now()))?;
            Ok(if found.is_empty() { vec![0.0; arms.len()] } else { found })
        })
        .await
    }

    async fn experiment(&self, flag: &str) -> Result<Option<Experiment>, StoreError> {
        let flag = flag.to_owned();
        self.blocking(move |file| file.analytics(|rows| local::experiment(rows, &flag))).await
    }

    async fn experiments(&self) -> Result<Vec<Arc<str>>, StoreError> {
        self.blocking(|file| file.analytics(local::experiments)).await
    }
}
