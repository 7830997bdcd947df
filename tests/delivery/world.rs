//! A world for the machine: flags, a clock and what is seen, with a conductor that does what it says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flaggate::{
    delivery::{
        deployment::{Answered, Deployment, Route, Sides},
        plan::{self, Command, Counts, Observation, Refused, Seen, SetFlag, Status, is_at, with},
    },
    model::{ArmCounts, DeploymentDocument, FlagDocument, Latency, Users},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// When every world begins.
pub(crate) const BEGIN: &str = "2026-03-02T08:00:00Z";

pub(crate) struct World {
    pub(crate) deployment: Deployment,
    pub(crate) status: Status,
    pub(crate) flags: BTreeMap<Arc<str>, FlagDocument>,
    pub(crate) now: Timestamp,
    pub(crate) seen: Seen,
    pub(crate) behind: Option<Vec<String>>,
    pub(crate) in_the_way: Option<(String, String)>,
    /// When the conductor dies in each step.
    pub(crate) dies: Dies,
    died_in: Option<Status>,
    /// What was done, in order.
    pub(crate) log: Vec<String>,
}

/// When a conductor dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dies {
    Never,
    /// Once the status is stored.
    BeforeTheFlags,
    /// Once the first flag is set.
    AfterOneFlag,
}

/// The routes that documents of tests name.
pub(crate) fn routes() -> Vec<Route> {
    let route = |name: &str| Route {
        name: name.into(),
        upstream: "old".into(),
        canary: Some((format!("{name}-canary").into(), "new".into())),
        blue_green: Some(Sides { flag: format!("{name}-side").into(), blue: "blue".into(), green: "green".into() }),
        mirror: Some((format!("{name}-mirror").into(), "new".into())),
    };
    let plain = Route { name: "plain".into(), upstream: "old".into(), canary: None, blue_green: None, mirror: None };
    vec![route("web"), route("api"), plain]
}

pub(crate) fn flags() -> BTreeMap<Arc<str>, FlagDocument> {
    let mut flags = BTreeMap::new();
    let mut add = |document: Value| {
        let document = FlagDocument::parse(&document.to_string()).unwrap();
        flags.insert(Arc::from(document.key()), document);
    };
    for route in ["web", "api"] {
        add(json!({ "key": format!("{route}-canary"), "name": "c", "enabled": false }));
        add(json!({ "key": format!("{route}-mirror"), "name": "m", "enabled": false }));
        add(json!({
            "key": format!("{route}-side"), "name": "s", "flag_type": "string", "default_value": "blue",
            "variants": { "blue": "blue", "green": "green" },
        }));
    }
    add(json!({ "key": "feature", "name": "f" }));
    add(json!({ "key": "other", "name": "o", "rollout_enabled": true, "rollout_percentage": 0 }));
    flags
}

pub(crate) fn deployment(document: &Value) -> Deployment {
    Deployment::read(&DeploymentDocument::parse(&document.to_string()).unwrap(), &routes()).unwrap()
}

/// Counts of so many requests by as many users, with so many errors, that took so many milliseconds.
pub(crate) fn counted(requests: u64, errors: u64, millis: u64) -> ArmCounts {
    let mut counts = ArmCounts { requests, errors, ..ArmCounts::default() };
    counts.latency.add(Latency::bucket(millis * 1000), requests);
    let place = |user: u64| Users::place(Users::hash(&format!("{requests}-{user}")));
    (0..requests).for_each(|user| counts.users.add(place(user)));
    (0..errors).for_each(|user| counts.users_with_error.add(place(user)));
    counts
}

impl World {
    pub(crate) fn new(document: &Value) -> Self {
        Self {
            deployment: deployment(document),
            status: Status::default(),
            flags: flags(),
            now: BEGIN.parse().unwrap(),
            seen: Seen::default(),
            behind: Some(Vec::new()),
            in_the_way: None,
            dies: Dies::Never,
            died_in: None,
            log: Vec::new(),
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
    }

    pub(crate) fn tell(&mut self, command: &Command, by: &str) -> Result<(), Refused> {
        self.status = plan::command(&self.deployment, &self.status, command, by, self.now)?;
        Ok(())
    }

    /// What is seen now, of whatever step a stage is at.
    pub(crate) fn observation(&self) -> Observation {
        let seen = self
            .status
            .stages
            .iter()
            .map(|stage| (stage.name.clone(), Seen { step_id: self.status.step_id(stage), ..self.seen.clone() }));
        Observation {
            now: self.now,
            flags: self.flags.clone(),
            behind: self.behind.clone(),
            in_the_way: self.in_the_way.clone(),
            seen: seen.collect(),
        }
    }

    /// One step, as the conductor does it: the status is stored, then the flags are set. `false`: nothing was left to do.
    pub(crate) fn step(&mut self) -> bool {
        let observation = self.observation();
        let step = plan::step(&self.deployment, &self.status, &observation);
        assert_eq!(
            step,
            plan::step(&self.deployment, &self.status, &observation),
            "the same question, the same answer"
        );
        // Another conductor reads it from the store.
        let stored = Status::read(Some(&step.status.to_value())).unwrap();
        assert_eq!(stored, step.status, "the status is stored whole");
        let mut did = without_words(&stored) != without_words(&self.status);
        self.status = stored;
        let lives = self.dies == Dies::Never || self.died_in.as_ref() == Some(&self.status);
        let most = match self.dies {
            _ if lives => usize::MAX,
            Dies::Never | Dies::BeforeTheFlags => 0,
            Dies::AfterOneFlag => 1,
        };
        self.died_in = Some(self.status.clone());
        did |= !step.commands.is_empty();
        for command in step.commands.iter().take(most) {
            self.set(command);
        }
        did
    }

    pub(crate) fn set(&mut self, SetFlag { flag, fields }: &SetFlag) {
        let before = &self.flags[flag];
        assert!(!is_at(before, fields), "{flag} is set to what it is");
        let after = FlagDocument::from_map(with(before, fields)).unwrap();
        assert!(is_at(&after, fields));
        self.log.push(format!("set {flag} {}", told(fields)));
        self.flags.insert(flag.clone(), after);
    }

    /// All steps that can be done now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            if !self.step() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.status);
    }

    pub(crate) fn see(&mut self, new: ArmCounts, old: ArmCounts, is_fresh: bool) {
        let counts = Counts { new, old, is_fresh };
        self.seen.look = Some(counts.clone());
        self.seen.window = Some(counts);
    }

    pub(crate) fn answer(&mut self, answered: Answered) {
        self.seen.query = Some(answered);
    }

    pub(crate) fn share(&self, flag: &str) -> f64 {
        let whole = self.flags[flag].complete();
        let on = |name: &str| whole[name] == true;
        if on("enabled") && on("rollout_enabled") { whole["rollout_percentage"].as_f64().unwrap() } else { 0.0 }
    }
}

fn without_words(status: &Status) -> Status {
    Status { waiting_on: Vec::new(), ..status.clone() }
}

fn told(fields: &serde_json::Map<String, Value>) -> String {
    let told: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    told.join(" ")
}
