//! The text of `/metrics`: Prometheus' own format, or `OpenMetrics` for who asks for it.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>

use std::fmt::Write as _;

use prometheus::{
    TextEncoder,
    proto::{LabelPair, Metric, MetricFamily, MetricType},
};

/// In which format metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Exposition {
    /// The format that an `Accept` header prefers; Prometheus' text where it does not say.
    #[must_use]
    pub fn preferred(accept: Option<&str>) -> Self {
        let ranges = accept.unwrap_or_default().split(',').map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            (kind, quality)
        });
        let (mut open, mut text) = (0.0_f32, None::<f32>);
        for (kind, quality) in ranges {
            match kind.as_str() {
                OPEN_METRICS => open = open.max(quality),
                "text/plain" | "text/*" | "*/*" => text = Some(text.unwrap_or(0.0).max(quality)),
                _ => {}
            }
        }
        if open > 0.0 && text.is_none_or(|text| open >= text) { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The text of these metrics.
    ///
    /// # Errors
    /// A metric has no name or no values.
    pub fn encode(self, families: &[MetricFamily]) -> prometheus::Result<String> {
        match self {
            Self::Text => TextEncoder::new().encode_to_string(families),
            Self::OpenMetrics => Ok(open_metrics(families)),
        }
    }
}

fn open_metrics(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        describe(family, &mut out);
        for metric in family.get_metric() {
            samples(family, metric, &mut out);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// The name of a family: a counter's samples are named after it, with an end of their own.
fn name(family: &MetricFamily) -> &str {
    let name = family.name();
    match family.get_field_type() {
        MetricType::COUNTER => name.strip_suffix("_total").unwrap_or(name),
        MetricType::GAUGE | MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => name,
    }
}

fn describe(family: &MetricFamily, out: &mut String) {
    let name = name(family);
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "unknown",
    };
    line(out, format_args!("# TYPE {name} {kind}"));
    if name.ends_with("_seconds") {
        line(out, format_args!("# UNIT {name} seconds"));
    }
    line(out, format_args!("# HELP {name} {}", escaped(family.help())));
}

fn samples(family: &MetricFamily, metric: &Metric, out: &mut String) {
    let (name, labels) = (name(family), metric.get_label());
    let mut sample = |end: &str, bound: Option<&str>, value: f64| {
        line(out, format_args!("{name}{end}{} {}", shown(labels, bound), number(value)));
    };
    match family.get_field_type() {
        MetricType::COUNTER => sample("_total", None, metric.get_counter().get_value()),
        MetricType::GAUGE => sample("", None, metric.get_gauge().get_value()),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            for bucket in histogram.get_bucket() {
                let bound = canonical(bucket.upper_bound());
                sample("_bucket", Some(&bound), bucket.cumulative_count() as f64);
            }
            sample("_bucket", Some("+Inf"), histogram.get_sample_count() as f64);
            sample("_sum", None, histogram.get_sample_sum());
            sample("_count", None, histogram.get_sample_count() as f64);
        }
        // There are none.
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
}

fn shown(labels: &[LabelPair], bound: Option<&str>) -> String {
    let pairs = labels.iter().map(|pair| (pair.name(), pair.value())).chain(bound.map(|bound| ("le", bound)));
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

/// The bound of a bucket: always with a point.
fn canonical(bound: f64) -> String {
    format!("{bound:?}")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string can be written to");
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_them() {
        use Exposition::{OpenMetrics, Text};
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (None, Text),
            (Some(""), Text),
            (Some("*/*"), Text),
            (Some("text/plain"), Text),
            (Some("text/html, */*;q=0.8"), Text),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some("Application/OpenMetrics-Text; version=1.0.0"), OpenMetrics),
            (Some(prometheus), OpenMetrics),
            (Some("application/openmetrics-text;q=0.5, text/plain"), Text),
            (Some("application/openmetrics-text;q=0"), Text),
        ] {
            assert_eq!(Exposition::preferred(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn open_metrics_by_the_book() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "A \"b\".\nC\\"), &["l"]).unwrap();
        counter.with_label_values(&["x\"y\\z\n"]).inc_by(3);
        let histogram = Histogram::with_opts(HistogramOpts::new("b_seconds", "B.").buckets(vec![0.5, 1.0])).unwrap();
        histogram.observe(0.75);
        let gauge = IntGauge::new("c", "C.").unwrap();
        gauge.set(-1);
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry.register(Box::new(gauge)).unwrap();
        let text = Exposition::OpenMetrics.encode(&registry.gather()).unwrap();
        let expected = concat!(
            "# TYPE a counter\n",
            "# HELP a A \\\"b\\\".\\nC\\\\\n",
            "a_total{l=\"x\\\"y\\\\z\\n\"} 3\n",
            "# TYPE b_seconds histogram\n",
            "# UNIT b_seconds seconds\n",
            "# HELP b_seconds B.\n",
            "b_seconds_bucket{le=\"0.5\"} 0\n",
            "b_seconds_bucket{le=\"1.0\"} 1\n",
            "b_seconds_bucket{le=\"+Inf\"} 1\n",
            "b_seconds_sum 0.75\n",
            "b_seconds_count 1\n",
            "# TYPE c gauge\n",
            "# HELP c C.\n",
            "c -1\n",
            "# EOF\n",
        );
        assert_eq!(text, expected);
    }
}
