//! Compiles a flag's effective document (environment and inheritance applied) into a [`CompiledFlag`].

use std::{collections::BTreeSet, sync::Arc};

use ahash::AHashMap;
use serde_json::{Map, Value, json};

use super::{
    bucket::{Hash, threshold},
    condition,
    fields::{FLAG_FIELDS, RULE_FIELDS, RULE_NOTES, Reader, STAGE_FIELDS, escape},
    flag::{
        Bucketing, CompiledFlag, FlagIndex, Outcome, OutcomeIndex, Parent, Prerequisite, Rollout, Rule, Serve, Stage,
        Switch, VariationTally, Wants,
    },
    json::{equal, is_truthy},
    membership::MembershipTest,
    operator::parse_time,
    segment::{SegmentIndex, SegmentNames},
    split,
    unit::Unit,
};
use crate::model::{Detail, Effect, Fault};

/// The longest string that names its own variation, in bytes.
const MAX_VARIATION_BYTES: usize = 64;

/// How many variations of earlier versions are remembered for their counts.
const MAX_RETIRED: usize = 64;

/// What compiling a document gives.
#[derive(Debug)]
pub struct Compiled {
    /// The flag. When a fault quarantines the document, it is off.
    pub flag: CompiledFlag,
    /// Everything that is wrong with the document itself.
    pub faults: Vec<Fault>,
}

/// Compiles the effective fields of the flag `key`.
///
/// `find` gives the position of other flags, `segments` those of segments; `earlier` is the version before this one,
/// whose counts go on.
#[must_use]
pub fn compile(
    key: &Arc<str>,
    fields: &Map<String, Value>,
    find: &dyn Fn(&str) -> Option<FlagIndex>,
    segments: &SegmentNames,
    earlier: Option<&CompiledFlag>,
) -> Compiled {
    let (read, outcomes) = (Reader::new(fields), Vec::new());
    let mut compiler = Compiler { read, key, outcomes, variants: &EMPTY, segments, earlier };
    let flag = compiler.flag(find);
    Compiled { flag, faults: compiler.read.faults }
}

fn named_segments(rules: &[Rule]) -> Box<[SegmentIndex]> {
    let tests = rules.iter().flat_map(|rule| rule.condition.memberships()).filter(|test| test.names_segments());
    let named: BTreeSet<SegmentIndex> = tests.flat_map(MembershipTest::segments).collect();
    named.into_iter().collect()
}

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

pub(super) struct Compiler<'d> {
    read: Reader<'d>,
    key: &'d Arc<str>,
    outcomes: Vec<Outcome>,
    pub(super) variants: &'d Map<String, Value>,
    segments: &'d SegmentNames,
    earlier: Option<&'d CompiledFlag>,
}

impl<'d> Compiler<'d> {
    fn flag(&mut self, find: &dyn Fn(&str) -> Option<FlagIndex>) -> CompiledFlag {
        self.read.only("", self.read.fields, &FLAG_FIELDS, Effect::Tolerated);
        let object = |value: &'d Value| value.as_object();
        self.variants =
            self.read.typed("variants", Effect::Quarantined, "an object of name: value", object).unwrap_or(&EMPTY);
        let default_value = self.read.fields.get("default_value").cloned().unwrap_or(json!(false));
        let default = self.outcome(default_value, "default");
        let off = self.off(default);
        let parent = match self.read.text("parent", Effect::Quarantined) {
            None => Parent::None,
            Some(parent) => find(parent).map_or(Parent::Missing, Parent::Flag),
        };
        let enabled = self.read.boolean("enabled", true);
        let prerequisites = self.prerequisites(find);
        let bucketing = self.bucketing();
        let targeting = self.read.boolean("targeting_enabled", false);
        let (targets, rules) = (self.targets(), self.rules(&bucketing));
        let rollout = self.rollout(bucketing);
        let quarantined = self.read.faults.iter().any(|fault| fault.effect == Effect::Quarantined);
        let switch = match (quarantined, enabled) {
            (true, _) => Switch::Off(Some(Detail::Quarantined)),
            (false, true) => Switch::On,
            (false, false) => Switch::Off(None),
        };
        CompiledFlag {
            key: Arc::clone(self.key),
            retired: self.retired(),
            outcomes: std::mem::take(&mut self.outcomes).into(),
            switch,
            default,
            off,
            parent,
            prerequisites,
            targets: if targeting { targets } else { AHashMap::new() },
            segments: if targeting { named_segments(&rules) } else { Box::default() },
            rules: if targeting { rules.into() } else { Box::default() },
            rollout: rollout
                .filter(|_| quarantined || self.read.fields.get("rollout_enabled") == Some(&Value::Bool(true))),
        }
    }

    fn off(&mut self, default: OutcomeIndex) -> OutcomeIndex {
        let Some(name) = self.read.text("off_variant", Effect::Inert) else { return default };
        match self.variants.get(name) {
            Some(value) => self.named(value.clone(), name),
            None => {
                self.unknown_variant("/off_variant", name);
                default
            }
        }
    }

    fn prerequisites(&mut self, find: &dyn Fn(&str) -> Option<FlagIndex>) -> Box<[Prerequisite]> {
        let entries = self.read.array("prerequisites");
        let compiled = entries.iter().enumerate().map(|(position, entry)| match prerequisite(entry) {
            Ok((key, wants, negated)) => Prerequisite { flag: find(key), key: key.into(), wants, negated },
            Err(message) => {
                self.read.fault(Effect::Inert, format!("/prerequisites/{position}"), message);
                Prerequisite { key: Box::default(), flag: None, wants: Wants::Truthy, negated: false }
            }
        });
        compiled.collect()
    }

    fn bucketing(&mut self) -> Bucketing {
        let wanted = "the name of an attribute, or several";
        let by = self.read.typed("bucket_by", Effect::Quarantined, wanted, Unit::compile).unwrap_or_default();
        let salt = self.read.text("salt", Effect::Quarantined).map_or_else(|| Arc::clone(self.key), Arc::from);
        let hash = self.read.typed("hash", Effect::Quarantined, &Hash::names(), Hash::of_json).unwrap_or_default();
        Bucketing { hash, salt, by }
    }

    fn targets(&mut self) -> AHashMap<Box<str>, OutcomeIndex> {
        let mut targets = AHashMap::new();
        let object = |value: &'d Value| value.as_object();
        let Some(entries) = self.read.typed("targets", Effect::Quarantined, "an object of variant: [user ids]", object)
        else {
            return targets;
        };
        for (name, users) in entries {
            let at = format!("/targets/{}", escape(name));
            let Some(value) = self.variants.get(name) else {
                self.unknown_variant(&at, name);
                continue;
            };
            let outcome = self.named(value.clone(), name);
            let Some(users) = users.as_array().filter(|users| users.iter().all(Value::is_string)) else {
                self.read.fault(Effect::Inert, at, "expected an array of user ids");
                continue;
            };
            for user in users.iter().filter_map(Value::as_str) {
                targets.entry(user.into()).or_insert(outcome);
            }
        }
        targets
    }

    fn rules(&mut self, bucketing: &Bucketing) -> Vec<Rule> {
        let entries = self.read.array("targeting_rules");
        let mut rules = Vec::with_capacity(entries.len());
        for (position, entry) in (0_u16..).zip(entries) {
            let at = format!("/targeting_rules/{position}");
            match self.rule(&at, position, entry, bucketing) {
                Ok(rule) => rules.push(rule),
                Err((below, message)) => self.read.fault(Effect::Inert, format!("{at}{below}"), message),
            }
        }
        rules
    }

    fn rule(
        &mut self,
        at: &str,
        position: u16,
        entry: &'d Value,
        bucketing: &Bucketing,
    ) -> Result<Rule, (String, String)> {
        let fields = entry.as_object().ok_or_else(|| (String::new(), "a rule is an object".to_owned()))?;
        let known = |name: &str| RULE_FIELDS.contains(&name) || RULE_NOTES.contains(&name);
        if let Some(unknown) = fields.keys().find(|name| !known(name)) {
            return Err((
                format!("/{}", escape(unknown)),
                format!("unknown field {unknown:?}; known are {}", RULE_FIELDS.join(", ")),
            ));
        }
        let condition = condition::compile(fields, self.segments)?;
        let mut read = Reader::new(fields);
        let percentage = read.percentage("percentage", Effect::Inert, 100.0);
        if let Some(Fault { pointer, message, .. }) = read.faults.pop() {
            return Err((pointer, message));
        }
        let bucketing = split::bucketing(fields, bucketing)?;
        let serve = match fields.get("split").filter(|split| !split.is_null()) {
            Some(split) => {
                self.split(split, &bucketing).map_err(|(below, message)| (format!("/split{below}"), message))?
            }
            None => Serve::One(self.rule_outcome(at, position, fields)),
        };
        Ok(Rule { position, condition, threshold: threshold(percentage), bucketing, serve })
    }

    /// `return_value` wins over `variant`; neither, or an unknown variant, is `true`. A null value is no outcome.
    fn rule_outcome(&mut self, at: &str, position: u16, fields: &'d Map<String, Value>) -> Option<OutcomeIndex> {
        match (fields.get("return_value"), fields.get("variant").filter(|name| !name.is_null())) {
            (Some(Value::Null), _) => None,
            (Some(value), _) => Some(self.outcome(value.clone(), &format!("rule_{position}"))),
            (None, Some(Value::String(name))) => match self.variants.get(name) {
                Some(Value::Null) => None,
                Some(value) => Some(self.named(value.clone(), name)),
                None => {
                    self.unknown_variant(&format!("{at}/variant"), name);
                    Some(self.outcome(json!(true), "true"))
                }
            },
            (None, Some(_)) => {
                self.read.fault(Effect::Tolerated, format!("{at}/variant"), "expected the name of a variant");
                Some(self.outcome(json!(true), "true"))
            }
            (None, None) => Some(self.outcome(json!(true), "true")),
        }
    }

    fn rollout(&mut self, bucketing: Bucketing) -> Option<Rollout> {
        let enabled = self.read.boolean("rollout_enabled", false);
        let split = self.read.get("split").map(|split| self.split(split, &bucketing));
        let whole = if split.is_some() { 100.0 } else { 0.0 };
        let percentage = self.read.percentage("rollout_percentage", Effect::Quarantined, whole);
        // Stages replace the percentage, even when none of them is active.
        let percentage =
            if self.read.get("rollout_stages").is_none_or(|stages| stages == &json!([])) { percentage } else { 0.0 };
        let stages = self.stages();
        let serve = match split {
            Some(Ok(serve)) => serve,
            Some(Err((below, message))) => {
                self.read.fault(Effect::Inert, format!("/split{below}"), message);
                Serve::One(None)
            }
            None => Serve::One(match self.variants.iter().next() {
                Some((_, Value::Null)) => None,
                Some((name, value)) => Some(self.named(value.clone(), name)),
                None => Some(self.outcome(json!(true), "true")),
            }),
        };
        enabled.then_some(Rollout { bucketing, stages, threshold: threshold(percentage), serve })
    }

    fn stages(&mut self) -> Box<[Stage]> {
        let entries = self.read.array("rollout_stages");
        let mut stages = Vec::with_capacity(entries.len());
        for (position, entry) in (0_u16..).zip(entries) {
            match self.stage(position, entry) {
                Ok(stage) => stages.push(stage),
                Err((below, message)) => {
                    self.read.fault(Effect::Inert, format!("/rollout_stages/{position}{below}"), message)
                }
            }
        }
        stages.into()
    }

    fn stage(&mut self, position: u16, entry: &'d Value) -> Result<Stage, (String, String)> {
        let fields = entry.as_object().ok_or_else(|| (String::new(), "a stage is an object".to_owned()))?;
        if let Some(unknown) = fields.keys().find(|name| !STAGE_FIELDS.contains(&name.as_str())) {
            return Err((
                format!("/{}", escape(unknown)),
                format!("unknown field {unknown:?}; known are {}", STAGE_FIELDS.join(", ")),
            ));
        }
        let mut read = Reader::new(fields);
        if read.get("percentage").is_none() {
            return Err(("/percentage".to_owned(), "the percentage is missing".to_owned()));
        }
        let percentage = read.percentage("percentage", Effect::Inert, 0.0);
        let time = |value: &Value| value.as_str().and_then(parse_time);
        let wanted = "a time like \"2026-01-31T12:00:00Z\"";
        let start = read.typed("start_time", Effect::Inert, wanted, time);
        let end = read.typed("end_time", Effect::Inert, wanted, time);
        if let Some(Fault { pointer, message, .. }) = read.faults.pop() {
            return Err((pointer, message));
        }
        let value = fields.get("value").ok_or_else(|| ("/value".to_owned(), "the value is missing".to_owned()))?;
        let outcome = (!value.is_null()).then(|| self.outcome(value.clone(), &format!("stage_{position}")));
        Ok(Stage { position, threshold: threshold(percentage), outcome, start, end })
    }

    fn unknown_variant(&mut self, at: &str, name: &str) {
        let known: Vec<&str> = self.variants.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "the flag has none".to_owned() } else { format!("known are {}", known.join(", ")) };
        self.read.fault(Effect::Inert, at, format!("unknown variant {name:?}; {known}"));
    }

    /// The outcome of a value whose variation is named by the variant that has this value, else by the value itself.
    fn outcome(&mut self, value: Value, otherwise: &str) -> OutcomeIndex {
        let variant = self.variants.iter().find(|(_, known)| equal(known, &value));
        let variation = match (variant, &value) {
            (Some((name, _)), _) => name.clone(),
            (None, Value::Bool(flag)) => flag.to_string(),
            (None, Value::Number(number)) => number.to_string(),
            (None, Value::String(text)) if !text.is_empty() && text.len() <= MAX_VARIATION_BYTES => text.clone(),
            (None, Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_)) => otherwise.to_owned(),
        };
        self.named(value, &variation)
    }

    pub(super) fn named(&mut self, value: Value, variation: &str) -> OutcomeIndex {
        let same = |outcome: &Outcome| &*outcome.variation == variation && outcome.value == value;
        let position = self.outcomes.iter().position(same).unwrap_or_else(|| {
            let tally = self.tally(variation);
            self.outcomes.push(Outcome { truthy: is_truthy(&value), value, variation: variation.into(), tally });
            self.outcomes.len() - 1
        });
        // A document of at most 1 MiB cannot hold 65 536 outcomes of its own: each takes more than 16 bytes.
        OutcomeIndex::try_from(position).unwrap_or(OutcomeIndex::MAX)
    }

    /// The counts of a variation go on from the version before.
    fn tally(&self, variation: &str) -> Arc<VariationTally> {
        let here = self.outcomes.iter().map(|outcome| (&outcome.variation, &outcome.tally));
        let before = self.earlier.into_iter().flat_map(CompiledFlag::named_tallies);
        let known = here.chain(before).find(|(name, _)| &***name == variation);
        known.map_or_else(Arc::default, |(_, tally)| Arc::clone(tally))
    }

    fn retired(&self) -> Vec<(Box<str>, Arc<VariationTally>)> {
        let gone = self.earlier.into_iter().flat_map(CompiledFlag::named_tallies);
        let mut retired: Vec<(Box<str>, Arc<VariationTally>)> = Vec::new();
        for (name, tally) in gone {
            let kept = self.outcomes.iter().any(|outcome| outcome.variation == *name);
            if !kept && retired.len() < MAX_RETIRED && retired.iter().all(|(known, _)| known != name) {
                retired.push((name.clone(), Arc::clone(tally)));
            }
        }
        retired
    }
}

/// The key of a prerequisite, if it can be read.
pub(crate) fn prerequisite_key(entry: &Value) -> Option<&str> {
    prerequisite(entry).ok().map(|(key, _, _)| key)
}

/// `key`, `{key}`, `{key, variations: [...]}` or `{key, value}`, each object with `negate` besides.
fn prerequisite(entry: &Value) -> Result<(&str, Wants, bool), String> {
    let wrong = || "expected a flag key, {key, variations: [...]} or {key, value}".to_owned();
    match entry {
        Value::String(key) => Ok((key, Wants::Truthy, false)),
        Value::Object(fields) => {
            let key = fields.get("key").and_then(Value::as_str).ok_or_else(wrong)?;
            let negated = match fields.get("negate") {
                None => None,
                Some(negate) => Some(negate.as_bool().ok_or_else(wrong)?),
            };
            let others = fields.len() - usize::from(negated.is_some());
            let wants = match (fields.get("variations"), fields.get("value"), others) {
                (None, None, 1) => Wants::Truthy,
                (Some(Value::Array(names)), None, 2) if names.iter().all(Value::is_string) => {
                    Wants::Variations(names.iter().filter_map(Value::as_str).map(Into::into).collect())
                }
                (None, Some(value), 2) => Wants::Value(value.clone()),
                _ => return Err(wrong()),
            };
            Ok((key, wants, negated.unwrap_or(false)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(wrong()),
    }
}
