//! Reads what a report is made from.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{Range, report};
use crate::{
    model::{Arm, Subject},
    snapshot::Snapshot,
    statistics::Test,
    store::{AnalyticsStore, CounterStore, Series, StoreError, read_series},
};

/// Where is read from.
#[derive(Clone)]
pub struct Sources {
    /// What was counted in the last seconds.
    pub counters: Arc<dyn CounterStore>,
    /// What is kept for long.
    pub analytics: Arc<dyn AnalyticsStore>,
}

impl Sources {
    /// The store's time.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        self.counters.now().await
    }

    pub(super) async fn read(&self, of: &Subject, range: &Range) -> Result<(Series, BTreeMap<Arm, f64>), StoreError> {
        let series = read_series(&*self.counters, &*self.analytics, of, range.from, range.to).await?;
        let arms: Vec<Arm> = series.total().into_keys().collect();
        let users = self.analytics.visitors(&arms, range.from, range.to).await?;
        Ok((series, arms.into_iter().zip(users).collect()))
    }
}

/// What a flag did; none: there is no such flag, and was none in this time.
///
/// # Errors
/// The store does not answer.
pub async fn flag_report(
    sources: &Sources,
    snapshot: &Snapshot,
    key: &str,
    range: Range,
    control: Option<&str>,
) -> Result<Option<report::FlagReport>, StoreError> {
    Ok(flag_report_of(sources, snapshot, key, range, control).await?.0)
}

/// The same, with what it was made from.
///
/// # Errors
/// The store does not answer.
pub async fn flag_report_of(
    sources: &Sources,
    snapshot: &Snapshot,
    key: &str,
    range: Range,
    control: Option<&str>,
) -> Result<(Option<report::FlagReport>, Series), StoreError> {
    let (series, users) = sources.read(&Subject::Flag(key.into()), &range).await?;
    let experiment = sources.analytics.experiment(key).await?;
    if snapshot.flag(key).is_none() && series.pieces.is_empty() && experiment.is_none() {
        return Ok((None, series));
    }
    let asked = report::Asked {
        range,
        control: control.or_else(|| snapshot.default_variation(key)),
        test: Test::default(),
        shares: snapshot.drawn_shares(key, range.to),
        split_since: snapshot.changed_at(key),
    };
    Ok((Some(report::flag(key, &asked, &series, &users, experiment.as_ref())), series))
}

/// What a route did.
///
/// # Errors
/// The store does not answer.
pub async fn route_report(
    sources: &Sources,
    name: &str,
    range: Range,
    control: Option<&str>,
) -> Result<report::RouteReport, StoreError> {
    Ok(route_report_of(sources, name, range, control).await?.0)
}

/// The same, with what it was made from.
///
/// # Errors
/// The store does not answer.
pub async fn route_report_of(
    sources: &Sources,
    name: &str,
    range: Range,
    control: Option<&str>,
) -> Result<(report::RouteReport, Series), StoreError> {
    let (series, users) = sources.read(&Subject::Route(name.into()), &range).await?;
    let asked = report::Asked { range, control, test: Test::default(), shares: None, split_since: None };
    Ok((report::route(name, &asked, &series, &users), series))
}
