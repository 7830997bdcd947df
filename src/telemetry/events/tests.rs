//! Events from who gives them in to their sinks.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{clock, model::Reason};

/// What a sink does with batches.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Takes,
    /// It fails so often, and takes everything then.
    FailsFirst(usize),
    Refuses,
    /// It never answers.
    Hangs,
}

#[derive(Debug)]
struct Kept {
    name: &'static str,
    habit: Habit,
    tries: AtomicUsize,
    taken: Mutex<Vec<Value>>,
}

#[async_trait]
impl EventSink for Kept {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), SinkError> {
        let tried = self.tries.fetch_add(1, Ordering::SeqCst);
        match self.habit {
            Habit::Takes => {}
            Habit::FailsFirst(times) if tried >= times => {}
            Habit::FailsFirst(_) => return Err(SinkError::Passing("down".to_owned())),
            Habit::Refuses => return Err(SinkError::Refused("no".to_owned())),
            Habit::Hangs => std::future::pending().await,
        }
        let events = batch.events.iter().map(|event| serde_json::from_str(&event.json).unwrap());
        self.taken.lock().unwrap().extend(events);
        Ok(())
    }
}

impl Kept {
    fn new(name: &'static str, habit: Habit) -> Arc<Self> {
        Arc::new(Self { name, habit, tries: AtomicUsize::new(0), taken: Mutex::default() })
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

/// Events that go to these sinks, with what counts them.
fn start(config: &config::Events, privacy: Privacy, sinks: &[&Arc<Kept>]) -> (Events, Running, EventMetrics) {
    let metrics = EventMetrics::register(&Registry::new()).unwrap();
    let origin = Origin { service: "test".into(), environment: None, region: None };
    let sinks = sinks.iter().map(|sink| Arc::clone(sink) as Arc<dyn EventSink>).collect();
    let (events, running) = Events::start(config, origin, privacy, sinks, &metrics).unwrap();
    (events, running, metrics)
}

/// An application asked for a flag.
fn expose(events: &Events, user_id: &str, variation: &str) {
    let key: Arc<str> = "theme".into();
    let flags = [ObservedFlag { key: &key, variation, reason: Reason::Rollout, detail: None }];
    events.evaluated(&Evaluated {
        time: Timestamp::UNIX_EPOCH,
        user_id: Some(user_id),
        revision: Some(7),
        all: false,
        flags: &flags,
    });
}

fn act(events: &Events, user_id: &str, value: Option<f64>, text: &str) {
    let properties = json!({ "text": text }).as_object().cloned().unwrap();
    events.acted(&Action {
        time: Timestamp::UNIX_EPOCH,
        user_id,
        event: "bought",
        value,
        properties: Some(&properties),
    });
}

/// The counters of a name, by their labels.
fn counted(metrics: &prometheus::IntCounterVec) -> BTreeMap<String, u64> {
    use prometheus::core::Collector as _;
    let families = metrics.collect();
    let all = families[0].get_metric().iter().map(|metric| {
        let labels: Vec<&str> = metric.get_label().iter().map(|label| label.value()).collect();
        (labels.join(" "), metric.get_counter().get_value() as u64)
    });
    all.collect()
}

#[tokio::test]
async fn exposures_once_and_actions_each_time() {
    let sink = Kept::new("kept", Habit::Takes);
    let privacy = Privacy::hashing(b"a secret of some length");
    let (events, running, metrics) = start(&config::Events::default(), privacy.clone(), &[&sink]);
    for (user_id, variation) in [("ann", "dark"), ("ann", "dark"), ("bob", "dark"), ("ann", "light"), ("ann", "dark")] {
        expose(&events, user_id, variation);
    }
    act(&events, "ann", Some(2.5), "x");
    act(&events, "ann", None, "x");
    running.end(Duration::from_secs(10)).await;
    let (ann, bob) = (privacy.shown("ann"), privacy.shown("bob"));
    let told: Vec<_> = sink
        .taken()
        .iter()
        .map(|event| (event["event_type"].clone(), event["user_id"].clone(), event["data"].clone()))
        .collect();
    let theme =
        |variation: &str| json!({ "flag": "theme", "variation": variation, "reason": "rollout", "revision": 7 });
    assert_eq!(
        told,
        [
            (json!("flag_evaluated"), json!(ann), theme("dark")),
            (json!("flag_evaluated"), json!(bob), theme("dark")),
            (json!("flag_evaluated"), json!(ann), theme("light")),
            (
                json!("metric_recorded"),
                json!(ann),
                json!({ "event": "bought", "value": 2.5, "properties": { "text": "x" } })
            ),
            (json!("user_action"), json!(ann), json!({ "event": "bought", "properties": { "text": "x" } })),
        ]
    );
    assert_eq!(counted(&metrics.delivered), BTreeMap::from([("kept".to_owned(), 5)]));
}

#[tokio::test]
async fn a_batch_is_tried_until_it_is_taken_or_refused() {
    let (late, never) = (Kept::new("late", Habit::FailsFirst(2)), Kept::new("never", Habit::Refuses));
    let (events, running, metrics) = start(&config::Events::default(), Privacy::default(), &[&late, &never]);
    expose(&events, "ann", "dark");
    act(&events, "ann", None, "x");
    timeout(Duration::from_secs(20), async {
        while late.taken().is_empty() || counted(&metrics.dropped).len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    running.end(Duration::from_secs(10)).await;
    assert_eq!((late.taken().len(), late.tries.load(Ordering::SeqCst)), (2, 3));
    let dropped = [("never flag_evaluated".to_owned(), 1), ("never user_action".to_owned(), 1)];
    assert_eq!(counted(&metrics.dropped), BTreeMap::from(dropped));
    assert_eq!(metrics.exposures_dropped(), 1);
    assert_eq!(counted(&metrics.failures), BTreeMap::from([("late".to_owned(), 2), ("never".to_owned(), 1)]));
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_nobody_and_takes_no_more_than_its_memory() {
    let (good, hung) = (Kept::new("good", Habit::Takes), Kept::new("hung", Habit::Hangs));
    let config = config::Events { memory: 1 << 20, ..config::Events::default() };
    let (events, running, metrics) = start(&config, Privacy::default(), &[&good, &hung]);
    let (text, rounds, each) = ("x".repeat(300), 10, MOST_EVENTS);
    for round in 1..=rounds {
        for _ in 0..each {
            act(&events, "ann", None, &text);
        }
        timeout(Duration::from_secs(20), async {
            while good.taken().len() < round * each {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
    let dropped = counted(&metrics.dropped)["hung user_action"];
    // A batch is more than half a megabyte: of ten the first one or two wait.
    let waits = rounds as u64 * each as u64 - dropped;
    assert!((1_000..=2_000).contains(&waits), "{waits} wait");
    let began = clock::monotonic();
    running.end(Duration::from_millis(200)).await;
    assert!(clock::monotonic() - began < Duration::from_secs(5));
    assert_eq!(good.taken().len(), rounds * each);
}

#[tokio::test]
async fn an_exposure_without_a_place_is_not_taken_for_told() {
    let sink = Kept::new("kept", Habit::Takes);
    let config = config::Events { memory: 0, ..config::Events::default() };
    let (events, running, metrics) = start(&config, Privacy::default(), &[&sink]);
    for _ in 0..3 {
        expose(&events, "ann", "dark");
    }
    assert_eq!(metrics.exposures_dropped(), 3);
    assert_eq!(counted(&metrics.dropped), BTreeMap::from([("queue flag_evaluated".to_owned(), 3)]));
    running.end(Duration::from_secs(10)).await;
    assert!(sink.taken().is_empty());
}
