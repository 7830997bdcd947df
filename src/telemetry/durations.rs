//! Histograms of what arms counted, as Prometheus wants them.

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::model::Latency;

/// The first bucket of a histogram ends at so many microseconds, each of the next at twice as many: where buckets of
/// [`Latency`] end, too, so that the counts are exact.
const FIRST: u64 = 512;

/// How many buckets there are: up to 67 seconds.
const BUCKETS: u32 = 18;

const MICROS_PER_SECOND: f64 = 1e6;

/// Histograms of one name.
#[derive(Debug)]
pub struct DurationFamily {
    family: MetricFamily,
    metrics: Vec<Metric>,
}

impl DurationFamily {
    /// None yet.
    #[must_use]
    pub fn new(name: &str, help: &str) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        Self { family, metrics: Vec::new() }
    }

    /// Adds one, unless nothing was counted. The labels are sorted by their names.
    pub fn add(&mut self, labels: &[(&str, &str)], latency: &Latency) {
        let histogram = histogram(latency);
        if histogram.get_sample_count() == 0 {
            return;
        }
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    /// All of them; none: there are none.
    #[must_use]
    pub fn finish(mut self) -> Option<MetricFamily> {
        let is_any = !self.metrics.is_empty();
        self.family.set_metric(self.metrics);
        is_any.then_some(self.family)
    }
}

fn histogram(latency: &Latency) -> Histogram {
    let mut counted = latency.buckets().peekable();
    let (mut requests, mut micros) = (0, 0.0);
    let mut buckets = Vec::with_capacity(BUCKETS as usize);
    for end in (0..BUCKETS).map(|number| FIRST << number) {
        while let Some((bucket, more)) = counted.next_if(|(bucket, _)| Latency::end(*bucket) <= end) {
            requests += more;
            micros += more as f64 * middle(bucket);
        }
        let mut below = Bucket::default();
        below.set_cumulative_count(requests);
        below.set_upper_bound(end as f64 / MICROS_PER_SECOND);
        buckets.push(below);
    }
    for (bucket, more) in counted {
        requests += more;
        micros += more as f64 * middle(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(requests);
    histogram.set_sample_sum(micros / MICROS_PER_SECOND);
    histogram
}

/// The middle of a bucket, in microseconds: off by 1/32 at most.
fn middle(bucket: u16) -> f64 {
    let begin = bucket.checked_sub(1).map_or(0, Latency::end);
    (begin + Latency::end(bucket)) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_below_what_it_took_at_most() {
        let times = [0, 1, 511, 512, 1_023, 1_024, 250_000, 67_108_863, 67_108_864, 200_000_000];
        let mut latency = Latency::default();
        times.iter().for_each(|micros| latency.add(Latency::bucket(*micros), 1));
        let shown = histogram(&latency);
        for bucket in shown.get_bucket() {
            let expected = times.iter().filter(|micros| (**micros as f64) < bucket.upper_bound() * MICROS_PER_SECOND);
            assert_eq!(bucket.cumulative_count(), expected.count() as u64, "{}", bucket.upper_bound());
        }
        assert_eq!((shown.get_bucket().len(), shown.get_sample_count()), (18, 10));
        // What is longer than 134 s is taken for that.
        let sum = times.iter().map(|micros| (*micros).min(134_217_728) as f64).sum::<f64>() / MICROS_PER_SECOND;
        assert!((shown.get_sample_sum() / sum - 1.0).abs() < 1.0 / 32.0, "{} {sum}", shown.get_sample_sum());
    }

    #[test]
    fn what_counted_nothing_is_not_shown() {
        let mut family = DurationFamily::new("a_seconds", "A.");
        family.add(&[("flag", "f")], &Latency::default());
        assert!(family.finish().is_none());
    }
}
