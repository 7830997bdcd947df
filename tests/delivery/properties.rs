//! Whatever people tell a deployment, and whatever is seen, some things hold.

use std::{cell::Cell, sync::LazyLock, time::Duration};

use flaggate::{
    delivery::plan::{Command, StageState, State, is_at},
    model::{ArmCounts, Users},
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::world::{World, counted, flags};

fn document(barrier: bool, parallel: bool) -> Value {
    let analysis = json!({ "interval": "1s", "initial_delay": "0s", "min_requests": 200, "min_users": 0, "deadline": "1h",
        "metrics": [{ "name": "error_rate", "max_absolute": 0.05 }], "on_failure": "rollback" });
    json!({ "id": "d", "parallel_stages": parallel, "max_duration_hours": 40, "stages": [
        { "name": "switch", "strategy": "blue_green", "rollback_on_failure": !barrier,
          "config": { "route": "web", "bake": "5m", "thresholds": { "error_rate": 5 } } },
        { "name": "canary", "strategy": "canary", "config": { "route": "web", "analysis": analysis,
          "steps": [{ "set_weight": 5 }, { "analysis": "5m" }, { "set_weight": 50 }, { "pause": {} }, { "analysis": "5m" }, { "set_weight": 100 }] } },
        { "name": "feature", "strategy": "feature_flag", "dependencies": ["switch"],
          "config": { "flag_key": "feature", "rollout_stages": [{ "percentage": 20, "duration": "5m" }, { "percentage": 100 }] },
          "gates": [{ "type": "manual", "required_approvers": ["ada"] }] },
    ] })
}

#[derive(Clone, Debug)]
enum Event {
    Tell(Command),
    Pass(u64),
    Back(u64),
    Smoke(bool),
    See(Look),
    Behind(bool),
    /// Somebody changes a flag by hand.
    Meddle,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Nothing,
    Good,
    Bad,
    Few,
    Stale,
}

fn event() -> impl Strategy<Value = Event> {
    let command = prop_oneof![
        Just(Command::Start),
        Just(Command::Pause { reason: None }),
        Just(Command::Resume),
        Just(Command::Promote),
        Just(Command::PromoteFull),
        Just(Command::Abort { reason: None }),
        Just(Command::Retry),
        Just(Command::Approve { stage: None, approver: "ada".to_owned() }),
    ];
    let look = prop_oneof![
        1 => Just(Look::Nothing),
        4 => Just(Look::Good),
        1 => Just(Look::Bad),
        1 => Just(Look::Few),
        1 => Just(Look::Stale),
    ];
    prop_oneof![
        6 => command.prop_map(Event::Tell),
        6 => (1..900_u64).prop_map(Event::Pass),
        1 => (1..90_u64).prop_map(Event::Back),
        3 => any::<bool>().prop_map(Event::Smoke),
        5 => look.prop_map(Event::See),
        1 => any::<bool>().prop_map(Event::Behind),
        1 => Just(Event::Meddle),
    ]
}

/// Requests of nobody in particular: so they are of any share of the users.
fn nameless(requests: u64, errors: u64) -> ArmCounts {
    ArmCounts { users: Users::default(), users_with_error: Users::default(), ..counted(requests, errors, 10) }
}

fn see(world: &mut World, look: Look) {
    static GOOD: LazyLock<ArmCounts> = LazyLock::new(|| nameless(1000, 2));
    static BAD: LazyLock<ArmCounts> = LazyLock::new(|| nameless(1000, 200));
    static OLD: LazyLock<ArmCounts> = LazyLock::new(|| nameless(9000, 18));
    match look {
        Look::Nothing => (world.seen.look, world.seen.window) = (None, None),
        Look::Good => world.see(GOOD.clone(), OLD.clone(), true),
        Look::Bad => world.see(BAD.clone(), OLD.clone(), true),
        Look::Few => world.see(nameless(3, 0), ArmCounts::default(), true),
        Look::Stale => world.see(GOOD.clone(), OLD.clone(), false),
    }
}

fn check(events: &[Event], barrier: bool, parallel: bool) -> State {
    let mut world = World::new(&document(barrier, parallel));
    let original = flags();
    let mut look = Look::Nothing;
    // The highest share that the canary may have: 5 before a pass or a person's word.
    let mut canary_may_rise = false;
    for event in events {
        let before = world.status.clone();
        let mut told = None;
        match event {
            Event::Tell(command) => {
                if world.tell(command, "ada").is_ok() {
                    told = Some(command.clone());
                }
            }
            Event::Pass(seconds) => world.pass(Duration::from_secs(*seconds)),
            Event::Back(seconds) => world.now = world.now.checked_sub(Duration::from_secs(*seconds)).unwrap(),
            Event::Smoke(ok) => world.seen.smoke = Some(if *ok { Vec::new() } else { vec!["no".to_owned()] }),
            Event::See(seen) => {
                look = *seen;
                see(&mut world, look);
            }
            Event::Behind(behind) => {
                world.behind = Some(if *behind { vec!["other".to_owned()] } else { Vec::new() });
            }
            Event::Meddle => {
                let fields = json!({ "rollout_percentage": 77, "enabled": true, "rollout_enabled": true });
                let has_begun = before.stages.iter().any(|stage| &*stage.name == "canary" && stage.state.is_running());
                if has_begun && !is_at(&world.flags["web-canary"], fields.as_object().unwrap()) {
                    let set = flaggate::delivery::plan::SetFlag {
                        flag: "web-canary".into(),
                        fields: fields.as_object().unwrap().clone(),
                    };
                    world.set(&set);
                }
            }
        }
        world.settle();
        let status = &world.status;
        // What is aborted stays so until somebody retries.
        let was_aborted = matches!(before.state, State::RollingBack | State::RolledBack);
        if was_aborted && !matches!(told, Some(Command::Retry)) {
            assert!(
                matches!(status.state, State::RollingBack | State::RolledBack | State::Failed),
                "{event:?}: {status:?}"
            );
        }
        // Nothing stands still without a reason.
        assert!(status.state.is_ended() || !status.waiting_on.is_empty(), "{event:?}: {status:?}");
        // No share rises without a pass, but for a person's word.
        let said = matches!(told, Some(Command::Promote | Command::PromoteFull | Command::Retry | Command::Resume));
        let canary = status.stages.iter().find(|stage| &*stage.name == "canary");
        let before_canary = before.stages.iter().find(|stage| &*stage.name == "canary");
        let passed = |from: usize| {
            before.epoch == status.epoch
                && before_canary.is_some_and(|stage| stage.step <= from)
                && canary.is_some_and(|stage| stage.step > from)
        };
        if passed(1) || passed(4) {
            assert!(said || look == Look::Good, "{event:?} with {look:?}: {status:?}");
        }
        if told == Some(Command::Retry) {
            canary_may_rise = false;
        }
        canary_may_rise |= canary.is_some_and(|stage| stage.step >= 2);
        if !canary_may_rise && status.state.is_live() {
            assert!(world.share("web-canary") <= 5.0, "{event:?}: {status:?}");
        }
        // After a rollback the flags are as they were, down to the stage that stays.
        if status.state == State::RolledBack {
            for stage in &status.stages {
                assert!(!stage.state.is_running() && stage.state != StageState::RollingBack, "{status:?}");
                let flag = match &*stage.name {
                    "switch" => "web-side",
                    "canary" => "web-canary",
                    _ => "feature",
                };
                if stage.state == StageState::RolledBack {
                    let fields: serde_json::Map<String, Value> =
                        ["enabled", "rollout_enabled", "rollout_percentage", "default_value"]
                            .iter()
                            .map(|name| ((*name).to_owned(), original[flag].complete()[*name].clone()))
                            .collect();
                    assert!(is_at(&world.flags[flag], &fields), "{flag}: {:?}", world.flags[flag]);
                }
            }
        }
    }
    world.status.state
}

#[test]
fn whatever_happens() {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let whatever = (prop::collection::vec(event(), 1..80), any::<bool>(), any::<bool>());
    let ended = [State::Completed, State::RolledBack, State::Failed].map(|state| (state, Cell::new(0)));
    let judged = TestRunner::new(config).run(&whatever, |(events, barrier, parallel)| {
        let state = check(&events, barrier, parallel);
        for (_, times) in ended.iter().filter(|(end, _)| *end == state) {
            times.set(times.get() + 1);
        }
        Ok(())
    });
    judged.unwrap();
    // Each end was come to.
    println!("{ended:?}");
    assert!(ended.iter().all(|(_, times)| times.get() > 0), "{ended:?}");
}
