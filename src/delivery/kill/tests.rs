use serde_json::{Value, json};

use super::*;
use crate::{
    eval,
    model::{KillStatus, KillSwitchDocument},
};

/// A switch with a clock, told second by second.
struct Bench {
    document: KillSwitchDocument,
    watch: Watch,
    second: i64,
    log: Vec<String>,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

impl Bench {
    fn new(fields: Value) -> Self {
        let mut switch = json!({ "id": "k", "name": "K", "affected_features": ["a"], "auto_trigger_enabled": true,
            "error_threshold": 20, "volume_threshold": 20, "success_count_threshold": 3 });
        switch.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let document = KillSwitchDocument::parse(&switch.to_string()).unwrap();
        let (checked, faults) = eval::check_kill_switch(&document);
        assert_eq!(faults, []);
        Self { document, watch: Watch::new(&checked, Duration::ZERO), second: 0, log: Vec::new() }
    }

    fn status(&self) -> KillStatus {
        self.document.status().unwrap()
    }

    /// One second after the other with so many requests and errors among them; what is moved comes to pass.
    fn seconds(&mut self, count: usize, requests: u64, errors: u64) {
        for _ in 0..count {
            self.second += 1;
            let (switch, _) = eval::check_kill_switch(&self.document);
            let counts = ArmCounts { requests, errors, ..ArmCounts::default() };
            let (elapsed, now) = (Duration::from_secs(self.second.unsigned_abs()), at(self.second));
            let Some(moved) = self.watch.step(&switch, &counts, elapsed, Some(now)) else { continue };
            let mut status = switch.status.clone();
            let second = self.second;
            match moved {
                Move::Trigger { reason, error_rate, usual } => {
                    assert!(status.trigger("breaker", &reason, true, Some(error_rate), now));
                    status.history[0].requests_per_second = Some(usual);
                    self.log.push(format!("{second} triggered: {reason}"));
                }
                Move::LetThrough(percentage) => {
                    assert!(status.let_through(&plan(&switch).steps, "breaker", "recovery", now));
                    assert_eq!(status.recovery.unwrap().percentage, percentage);
                    self.log.push(format!("{second} {percentage} %"));
                }
                Move::Lift { .. } => {
                    assert!(status.lift("breaker", "recovered", now));
                    self.log.push(format!("{second} lifted"));
                }
            }
            self.document = self.document.with_status(&status);
        }
    }
}

#[test]
fn an_error_burst_trips_it_and_it_recovers_in_steps() {
    let mut bench = Bench::new(json!({ "auto_recovery_enabled": true, "recovery_delay_seconds": 10,
        "recovery_step_seconds": 5, "recovery_percentage_steps": [10, 50, 100] }));
    bench.seconds(10, 100, 1);
    bench.seconds(1, 100, 60);
    bench.seconds(9, 0, 0);
    assert_eq!(bench.log, ["11 triggered: 60 of 100 requests failed (60 %; it opens at 20 %)"]);
    assert_eq!(bench.status().history[0].error_rate_before, Some(60.0));
    bench.seconds(40, 10, 0);
    assert_eq!(bench.log[1..], ["21 10 %", "26 50 %", "31 100 %", "36 lifted"]);
    assert!(!bench.status().is_active());
}

#[test]
fn a_relapse_triggers_it_anew() {
    let mut bench = Bench::new(json!({ "auto_recovery_enabled": true, "recovery_delay_seconds": 10,
        "recovery_step_seconds": 5, "recovery_percentage_steps": [10, 100] }));
    bench.seconds(1, 100, 100);
    bench.seconds(10, 0, 0);
    assert_eq!(bench.log.last().unwrap(), "11 10 %");
    bench.seconds(2, 10, 9);
    assert_eq!(bench.log.last().unwrap(), "13 triggered: 18 of 20 requests failed (90 %; it opens at 20 %)");
    assert!(bench.status().history[0].relapse);
    bench.seconds(9, 0, 0);
    assert_eq!(bench.log.len(), 3);
    bench.seconds(1, 0, 0);
    assert_eq!(bench.log.last().unwrap(), "23 10 %");
}

#[test]
fn silence_lets_nobody_else_through() {
    let mut bench = Bench::new(json!({ "auto_recovery_enabled": true, "recovery_delay_seconds": 1,
        "recovery_step_seconds": 1, "recovery_percentage_steps": [10, 100] }));
    bench.seconds(1, 100, 100);
    bench.seconds(1000, 0, 0);
    assert_eq!(bench.log.len(), 2, "{:?}", bench.log);
    bench.seconds(2, 1, 0);
    assert_eq!(bench.log.len(), 2);
    bench.seconds(1, 1, 0);
    assert_eq!(bench.log.last().unwrap(), "1004 100 %");
}

#[test]
fn a_circuit_breaker_probes_with_a_few_requests_and_closes() {
    let mut bench =
        Bench::new(json!({ "circuit_breaker_enabled": true, "failure_count_threshold": 5, "timeout_seconds": 3,
        "half_open_requests": 2 }));
    bench.seconds(5, 100, 0);
    bench.seconds(2, 3, 3);
    assert_eq!(bench.log, ["7 triggered: 6 requests in a row failed"]);
    bench.seconds(3, 0, 0);
    assert_eq!(bench.log.last().unwrap(), "10 66.67 %", "two of three requests a second");
    bench.seconds(1, 2, 1);
    assert_eq!(bench.log.last().unwrap(), "11 triggered: 1 of 2 requests that were let through went wrong");
    bench.seconds(3, 0, 0);
    bench.seconds(1, 2, 0);
    bench.seconds(1, 2, 0);
    assert_eq!(bench.log.last().unwrap(), "16 lifted");
}

#[test]
fn what_people_do_only_people_undo() {
    let mut bench =
        Bench::new(json!({ "auto_recovery_enabled": true, "recovery_delay_seconds": 1, "recovery_step_seconds": 5,
        "recovery_percentage_steps": [10, 100] }));
    let mut status = bench.status();
    status.trigger("ann", "x", false, None, at(0));
    bench.document = bench.document.with_status(&status);
    bench.seconds(100, 100, 0);
    assert!(bench.log.is_empty(), "{:?}", bench.log);
    status.let_through(&[10.0, 100.0], "ann", "x", at(100));
    bench.document = bench.document.with_status(&status);
    bench.seconds(20, 100, 0);
    assert_eq!(bench.log, ["105 100 %", "110 lifted"], "its steps follow by themselves");
}

/// What was counted before a person lifted it does not trigger it anew; what comes after does.
#[test]
fn a_lift_is_not_undone_by_what_was_before() {
    let mut bench = Bench::new(json!({}));
    bench.seconds(1, 100, 60);
    let mut status = bench.status();
    assert!(status.lift("ann", "mended", at(1)));
    bench.document = bench.document.with_status(&status);
    bench.seconds(1, 100, 50);
    assert_eq!(bench.log.len(), 1, "{:?}", bench.log);
    bench.seconds(1, 100, 0);
    bench.seconds(1, 100, 60);
    assert_eq!(bench.log.last().unwrap(), "4 triggered: 60 of 100 requests failed (60 %; it opens at 20 %)");
    // Another gateway triggered it and a person lifted it, both since the last look.
    let mut bench = Bench::new(json!({}));
    bench.seconds(1, 100, 0);
    let mut status = bench.status();
    assert!(status.trigger("another", "x", true, None, at(1)) && status.lift("ann", "mended", at(2)));
    bench.document = bench.document.with_status(&status);
    bench.seconds(1, 100, 60);
    assert!(bench.log.is_empty(), "{:?}", bench.log);
}

#[test]
fn slow_requests_trip_it() {
    let mut bench = Bench::new(json!({ "latency_threshold": 0.5 }));
    let (switch, _) = eval::check_kill_switch(&bench.document);
    let mut counts = ArmCounts { requests: 40, ..ArmCounts::default() };
    counts.latency.add(Latency::bucket(100_000), 10);
    counts.latency.add(Latency::bucket(2_000_000), 30);
    let moved = bench.watch.step(&switch, &counts, Duration::from_secs(1), None);
    let Some(Move::Trigger { reason, error_rate, .. }) = moved else { panic!("{moved:?}") };
    assert_eq!((reason.as_str(), error_rate), ("30 of 40 requests took longer than 0.5 s", 0.0));
}

#[test]
fn without_the_time_of_the_store_nobody_is_let_through() {
    let mut bench = Bench::new(json!({ "auto_recovery_enabled": true, "recovery_delay_seconds": 0 }));
    bench.seconds(1, 100, 100);
    let (switch, _) = eval::check_kill_switch(&bench.document);
    let counts = ArmCounts::default();
    assert_eq!(bench.watch.step(&switch, &counts, Duration::from_secs(2), None), None);
    assert_eq!(
        bench.watch.step(&switch, &counts, Duration::from_secs(3), Some(at(-5))),
        None,
        "a clock that went back"
    );
    assert!(bench.watch.step(&switch, &counts, Duration::from_secs(4), Some(at(5))).is_some());
}
