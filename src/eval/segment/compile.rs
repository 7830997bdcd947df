//! Compiles a segment's document.

use std::sync::Arc;

use ahash::AHashMap;
use serde_json::{Map, Value, json};

use super::{Accept, Expression, MemberTest, Rule, Rules, Segment, SegmentIndex};
use crate::{
    eval::{condition, fields::Reader},
    model::{Effect, Fault},
    predict::{Kind, Predictor},
};

/// The segments that there are.
pub type SegmentNames = AHashMap<Arc<str>, SegmentIndex>;

/// What compiling a document gives.
#[derive(Debug)]
pub struct CompiledSegment {
    /// The segment. When a fault quarantines the document, nobody is a member.
    pub segment: Segment,
    /// Everything that is wrong with the document.
    pub faults: Vec<Fault>,
}

/// The fields that a segment may have.
const FIELDS: [&str; 22] = [
    "id",
    "name",
    "description",
    "type",
    "rules",
    "parent_segments",
    "exclusion_segments",
    "ml_model_id",
    "feature_columns",
    "created_at",
    "updated_at",
    "estimated_size",
    "last_computed",
    "cache_ttl_seconds",
    "priority",
    "expression",
    "min_score",
    "threshold",
    "clusters",
    "tags",
    "created_by",
    "updated_by",
];

/// The fields that a rule of a segment may have.
const RULE_FIELDS: [&str; 7] = ["field", "operator", "value", "weight", "negate", "ignore_case", "description"];

/// The types of segments.
const TYPES: [&str; 4] = ["rule_based", "composite", "dynamic", "ml_based"];

/// The segment whose rules the service that was there before had in its code: it went by those alone.
const ABANDONERS: &str = "checkout_abandoners";

/// Compiles the fields of the segment `id`. `model` finds a model by its id.
#[must_use]
pub fn compile(
    id: &Arc<str>,
    fields: &Map<String, Value>,
    segments: &SegmentNames,
    model: &dyn Fn(&str) -> Option<Arc<Predictor>>,
) -> CompiledSegment {
    let mut read = Reader::new(fields);
    read.only("", fields, &FIELDS, Effect::Tolerated);
    let kind = read.text("type", Effect::Quarantined).unwrap_or("rule_based");
    let priority = read.typed("priority", Effect::Tolerated, "a whole number", Value::as_i64).unwrap_or(0);
    for name in ["name", "description"] {
        read.text(name, Effect::Tolerated);
    }
    let mut compiler = Compiler { read, segments, is_closed: false };
    let parents = compiler.named("parent_segments", true);
    let exclusions = compiler.named("exclusion_segments", false);
    let rules = compiler.rules();
    let expression = compiler.expression(kind);
    let predicted = (kind == "ml_based").then(|| compiler.predicted(model)).flatten();
    let test = match kind {
        "rule_based" => MemberTest::Rules(rules),
        "composite" => match expression {
            Some(expression) => MemberTest::Composite(expression, rules),
            None => MemberTest::Rules(rules),
        },
        "dynamic" => match asks_for_activity(fields) {
            true => MemberTest::Live(rules),
            false if &**id == ABANDONERS => MemberTest::Live(abandoners()),
            false => {
                let message = "a dynamic segment has members only by a rule whose field is activity.…";
                compiler.read.fault(Effect::Inert, "/rules", message);
                MemberTest::Nobody
            }
        },
        "ml_based" => {
            predicted.map_or(MemberTest::Nobody, |(model, accept)| MemberTest::Predicted(model, accept, rules))
        }
        other => {
            let message = format!("unknown type {other:?}; known are {}", TYPES.join(", "));
            compiler.read.fault(Effect::Quarantined, "/type", message);
            MemberTest::Nobody
        }
    };
    let Compiler { read: Reader { faults, .. }, is_closed, .. } = compiler;
    let segment = match is_closed || faults.iter().any(|fault| fault.effect == Effect::Quarantined) {
        true => Segment::closed(id, priority),
        false => Segment { id: Arc::clone(id), priority, parents, exclusions, test, cycle: Arc::default() },
    };
    CompiledSegment { segment, faults }
}

/// The segments that a document names as parents, exclusions and in its expression, with the places.
#[must_use]
pub fn references(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let listed = ["parent_segments", "exclusion_segments"].into_iter().flat_map(|name| {
        let entries = fields.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        entries.filter_map(move |(at, entry)| Some((format!("/{name}/{at}"), entry.as_str()?.to_owned())))
    });
    let expression = fields.get("expression").and_then(Value::as_str).map(Expression::parse);
    let named = expression.and_then(Result::ok);
    let named = named.iter().flat_map(Expression::names).map(|id| ("/expression".to_owned(), id.clone()));
    listed.chain(named).collect()
}

struct Compiler<'d> {
    read: Reader<'d>,
    segments: &'d SegmentNames,
    /// Something that the segment depends on is not there, so that nobody may be a member.
    is_closed: bool,
}

impl<'d> Compiler<'d> {
    /// The segments of a list. One that does not exist has no members.
    fn named(&mut self, name: &'static str, is_needed: bool) -> Box<[SegmentIndex]> {
        let mut found = Vec::new();
        for (at, entry) in self.read.array(name).iter().enumerate() {
            let pointer = format!("/{name}/{at}");
            let Some(id) = entry.as_str() else {
                self.read.fault(Effect::Quarantined, pointer, "expected the id of a segment");
                continue;
            };
            match self.segments.get(id) {
                Some(segment) => found.push(*segment),
                None => self.missing(pointer, id, is_needed),
            }
        }
        found.into()
    }

    fn missing(&mut self, pointer: String, id: &str, is_needed: bool) {
        self.is_closed |= is_needed;
        let so = if is_needed { "so nobody is a member" } else { "so it excludes nobody" };
        self.read.fault(Effect::Inert, pointer, format!("there is no segment {id:?}, {so}"));
    }

    fn expression(&mut self, kind: &str) -> Option<Expression> {
        let text = self.read.text("expression", Effect::Quarantined)?;
        if kind != "composite" {
            let message = "only a composite segment has an expression; set \"type\": \"composite\"";
            self.read.fault(Effect::Quarantined, "/expression", message);
            return None;
        }
        let parsed = match Expression::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.read.fault(Effect::Quarantined, "/expression", error.to_string());
                return None;
            }
        };
        for id in parsed.names().into_iter().filter(|id| !self.segments.contains_key(id.as_str())) {
            self.missing("/expression".to_owned(), id, true);
        }
        parsed.rename(&|id| self.segments.get(id.as_str()).copied())
    }

    fn rules(&mut self) -> Rules {
        let entries = self.read.array("rules");
        let mut rules = Vec::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            rules.push(rule(entry).unwrap_or_else(|(below, message)| {
                self.read.fault(Effect::Inert, format!("/rules/{position}{below}"), message);
                Rule { condition: None, weight: 0.0, null_field: None }
            }));
        }
        let least = self.read.typed("min_score", Effect::Quarantined, "a number", finite);
        Rules { rules: rules.into(), min_score: least }
    }

    /// The model, and which of its predictions make a member.
    fn predicted(&mut self, model: &dyn Fn(&str) -> Option<Arc<Predictor>>) -> Option<(Arc<Predictor>, Accept)> {
        let threshold = self.read.typed("threshold", Effect::Quarantined, "a number from 0 to 1", |value| {
            finite(value).filter(|number| (0.0..=1.0).contains(number))
        });
        let whole = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let clusters = self.read.typed("clusters", Effect::Quarantined, "an array of whole numbers", |value| {
            value.as_array()?.iter().map(whole).collect::<Option<Box<[u32]>>>()
        });
        let Some(id) = self.read.text("ml_model_id", Effect::Quarantined) else {
            self.read.fault(Effect::Inert, "/ml_model_id", "the model is missing, so nobody is a member");
            return None;
        };
        let Some(found) = model(id) else {
            let message = format!("there is no model {id:?} that can be used, so nobody is a member");
            self.read.fault(Effect::Inert, "/ml_model_id", message);
            return None;
        };
        let accept = match (found.kind(), clusters) {
            (Kind::Clusters, Some(clusters)) => Accept::Clusters(clusters),
            (Kind::Clusters, None) => {
                let message = "the model says clusters, so the clusters of the segment must be named";
                self.read.fault(Effect::Quarantined, "/clusters", message);
                return None;
            }
            (Kind::Probability, None) => Accept::AtLeast(threshold.unwrap_or(0.5)),
            (Kind::Probability, Some(_)) => {
                let message = "the model says a probability, so the segment has a threshold and no clusters";
                self.read.fault(Effect::Quarantined, "/clusters", message);
                return None;
            }
        };
        Some((found, accept))
    }
}

/// Whether a rule is about what the user is doing.
fn asks_for_activity(fields: &Map<String, Value>) -> bool {
    let rules = fields.get("rules").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| rule.get("field")?.as_str()).any(|field| field.starts_with("activity."))
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// `{field, operator, value, weight?, negate?, ignore_case?}`.
fn rule(entry: &Value) -> Result<Rule, (String, String)> {
    let at = |name: &str, message: &str| (format!("/{name}"), message.to_owned());
    let fields = entry.as_object().ok_or_else(|| (String::new(), "a rule is an object".to_owned()))?;
    if let Some(unknown) = fields.keys().find(|name| !RULE_FIELDS.contains(&name.as_str())) {
        let message = format!("unknown field {unknown:?}; known are {}", RULE_FIELDS.join(", "));
        return Err((format!("/{unknown}"), message));
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let field = text("field").ok_or_else(|| at("field", "expected the name of an attribute"))?;
    if text("operator") == Some("segment") || condition::SEGMENT_ATTRIBUTES.contains(&field) {
        let message = "a segment names others in parent_segments, exclusion_segments and expression, not in a rule";
        return Err(at("field", message));
    }
    let weight = match fields.get("weight").filter(|weight| !weight.is_null()) {
        None => 1.0,
        Some(weight) => finite(weight).ok_or_else(|| at("weight", "expected a number"))?,
    };
    let condition = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "weight" | "description"));
    let condition = condition.map(|(name, value)| {
        let name = if name == "field" { "attribute" } else { name };
        (name.to_owned(), value.clone())
    });
    let condition = condition::compile(&condition.collect(), &SegmentNames::default())
        .map_err(|(below, message)| (below.replace("/attribute", "/field"), message))?;
    let null_field = text("field").filter(|_| holds_for_null(fields)).map(Into::into);
    Ok(Rule { condition: Some(condition), weight, null_field })
}

/// Null equals null, and nothing else. All other operators cannot use it.
fn holds_for_null(fields: &Map<String, Value>) -> bool {
    let is_negated = fields.get("negate") == Some(&Value::Bool(true));
    let equals_null = fields.get("value").is_some_and(Value::is_null);
    match fields.get("operator").and_then(Value::as_str) {
        Some("equals") => equals_null != is_negated,
        Some("not_equals") => equals_null == is_negated,
        Some(_) | None => false,
    }
}

fn abandoners() -> Rules {
    let rules = [
        json!({ "field": "activity.current_page", "operator": "starts_with", "value": "/checkout" }),
        json!({ "field": "activity.page_duration_seconds", "operator": "greater_than", "value": 300 }),
    ];
    Rules { rules: rules.iter().filter_map(|entry| rule(entry).ok()).collect(), min_score: None }
}
