//! Histograms of times on the way of a request: two additions for each, where prometheus' own takes four and a loop that other
//! threads prolong.

use std::{
    array,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

/// From half a millisecond to a minute, in microseconds.
const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

const NANOS_PER_MICRO: u64 = 1_000;

const NANOS_PER_SECOND: f64 = 1e9;

/// Times, by buckets.
///
/// Invariant: what was observed is in one bucket, and their sum is the count.
#[derive(Debug)]
pub(super) struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// The times of one name, by the values of its labels. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct DurationVec {
    description: Desc,
    labels: &'static [&'static str],
    all: Arc<Mutex<BTreeMap<Vec<String>, Arc<Durations>>>>,
}

impl Durations {
    fn new() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }

    /// Adds one.
    pub(super) fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * NANOS_PER_MICRO < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn shown(&self) -> Histogram {
        let mut count = 0;
        let mut shown = Vec::with_capacity(BOUNDS.len());
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            count += bucket.load(Ordering::Relaxed);
            let mut below = Bucket::default();
            below.set_cumulative_count(count);
            below.set_upper_bound(bound as f64 / 1e6);
            shown.push(below);
        }
        count += self.buckets[BOUNDS.len()].load(Ordering::Relaxed);
        let mut histogram = Histogram::default();
        histogram.set_bucket(shown);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(self.nanos.load(Ordering::Relaxed) as f64 / NANOS_PER_SECOND);
        histogram
    }
}

impl DurationVec {
    /// None yet. The labels are sorted.
    pub(super) fn new(name: &str, help: &str, labels: &'static [&'static str]) -> prometheus::Result<Self> {
        let names = labels.iter().map(|label| (*label).to_owned()).collect();
        let description = Desc::new(name.to_owned(), help.to_owned(), names, Default::default())?;
        Ok(Self { description, labels, all: Arc::default() })
    }

    /// Those with these values of the labels. It takes a lock: who observes keeps what it is given.
    pub(super) fn with(&self, values: &[&str]) -> Arc<Durations> {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Arc::clone(self.all().entry(values).or_insert_with(|| Arc::new(Durations::new())))
    }

    /// Takes those with these values away, if they are there.
    pub(super) fn remove(&self, values: &[&str]) {
        self.all().retain(|known, _| !known.iter().map(String::as_str).eq(values.iter().copied()));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Arc<Durations>>> {
        self.all.lock().expect("nothing panics while it holds the histograms")
    }
}

impl Collector for DurationVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.all();
        let metrics = all.iter().map(|(values, durations)| {
            let pairs = self.labels.iter().zip(values).map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name((*name).to_owned());
                pair.set_value(value.clone());
                pair
            });
            let mut metric = Metric::from_label(pairs.collect());
            metric.set_histogram(durations.shown());
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, Registry, TextEncoder};

    use super::*;

    #[test]
    fn it_shows_what_prometheus_own_would() {
        let text = |registry: &Registry| TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let (ours, theirs) = (Registry::new(), Registry::new());
        let vec = DurationVec::new("a_seconds", "A.", &["route"]).unwrap();
        let seconds = BOUNDS.map(|bound| bound as f64 / 1e6);
        let options = HistogramOpts::new("a_seconds", "A.").buckets(seconds.to_vec());
        let reference = prometheus::HistogramVec::new(options, &["route"]).unwrap();
        ours.register(Box::new(vec.clone())).unwrap();
        theirs.register(Box::new(reference.clone())).unwrap();
        for micros in [0, 1, 499, 500, 501, 1_000, 250_000, 60_000_000, 61_000_000, 3_600_000_000_u64] {
            vec.with(&["shop"]).observe(Duration::from_micros(micros));
            reference.with_label_values(&["shop"]).observe(Duration::from_micros(micros).as_secs_f64());
        }
        vec.with(&["b"]);
        reference.with_label_values(&["b"]);
        assert_eq!(text(&ours), text(&theirs));
    }
}
