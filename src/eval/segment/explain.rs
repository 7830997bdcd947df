//! Why a user is a member of a segment, or is not.

use serde_json::{Map, Value, json};

use super::{Accept, Expression, MemberTest, Rule, Rules, Scope, Segment, SegmentIndex};
use crate::{
    eval::evaluate::Flags,
    model::Context,
    predict::{Prediction, Predictor},
};

/// Decides one segment and tells every part: `{id, member, because?, parents, exclusions, …}`.
///
/// `because` names the first part that keeps the user out. As far as there are such parts, `expression` has the answer of
/// each segment that it names, `rules` the attribute that each rule saw, `score` what the rules weigh together, `activity`
/// whether there is any, `model` what the model says, and `cycle` the segments that lead to each other. `None` if there is
/// no such segment.
#[must_use]
pub fn explain<F: Flags>(flags: &F, segment: SegmentIndex, context: Context<'_>) -> Option<Value> {
    let scope = Scope::new(context, flags.segments());
    let compiled = scope.segment(segment)?;
    let member = scope.is_member(segment);
    let mut parts = Parts { scope: &scope, told: Map::new(), because: None };
    parts.named("parents", &compiled.parents, true);
    parts.named("exclusions", &compiled.exclusions, false);
    parts.test(compiled);
    if !compiled.cycle.is_empty() {
        let names = compiled.cycle.iter().filter_map(|segment| scope.name(*segment));
        parts.told.insert("cycle".to_owned(), names.collect());
    }
    let mut told = Map::from_iter([("id".to_owned(), compiled.id().into()), ("member".to_owned(), member.into())]);
    if !member {
        let on_a_cycle = || "only a cycle of segments could decide it".to_owned();
        told.insert("because".to_owned(), parts.because.unwrap_or_else(on_a_cycle).into());
    }
    told.extend(parts.told);
    Some(told.into())
}

/// What was told so far.
struct Parts<'p, 's, 'c> {
    scope: &'p Scope<'s, 'c>,
    told: Map<String, Value>,
    /// What keeps the user out.
    because: Option<String>,
}

impl Parts<'_, '_, '_> {
    fn tell(&mut self, name: &str, value: impl Into<Value>) {
        self.told.insert(name.to_owned(), value.into());
    }

    fn keeps_out(&mut self, why: impl Into<String>) {
        self.because.get_or_insert_with(|| why.into());
    }

    /// The segments of a list, each with its answer.
    fn answers<'i>(&self, segments: impl IntoIterator<Item = &'i SegmentIndex>) -> Vec<Value> {
        let answer = |segment: &SegmentIndex| {
            let member = self.scope.is_member(*segment);
            json!({ "id": self.scope.name(*segment), "member": member })
        };
        segments.into_iter().map(answer).collect()
    }

    fn named(&mut self, part: &str, segments: &[SegmentIndex], wanted: bool) {
        self.tell(part, self.answers(segments));
        if let Some(other) = segments.iter().find(|segment| self.scope.is_member(**segment) != wanted) {
            let name = self.scope.name(*other).unwrap_or_default();
            self.keeps_out(match wanted {
                true => format!("the user is not a member of the parent {name:?}"),
                false => format!("the user is a member of {name:?}, which is excluded"),
            });
        }
    }

    fn test(&mut self, segment: &Segment) {
        match &segment.test {
            MemberTest::Nobody => self.keeps_out("nobody is a member; the diagnostics tell why"),
            MemberTest::Rules(rules) => self.rules(rules),
            MemberTest::Composite(expression, rules) => {
                self.expression(expression);
                self.rules(rules);
            }
            MemberTest::Live(rules) => {
                let is_active = self.scope.context.attribute(super::ACTIVITY).is_some();
                self.tell("activity", is_active);
                if !is_active {
                    self.keeps_out("nothing is known of what the user is doing now");
                }
                self.rules(rules);
            }
            MemberTest::Predicted(model, accept, rules) => {
                self.rules(rules);
                self.model(model, accept);
            }
        }
    }

    fn expression(&mut self, expression: &Expression) {
        let is_member = |segment: &SegmentIndex| self.scope.is_member(*segment);
        let holds = expression.holds(&is_member, &is_member);
        let mut names = expression.names();
        names.sort_unstable();
        names.dedup();
        self.tell("expression", json!({ "holds": holds, "segments": self.answers(names) }));
        if !holds {
            self.keeps_out("the expression does not hold");
        }
    }

    fn rules(&mut self, rules: &Rules) {
        let told: Vec<Value> = rules.rules.iter().map(|rule| tell_rule(rule, self.scope)).collect();
        self.tell("rules", told);
        if let Some(least) = rules.min_score {
            let held = rules.rules.iter().filter(|rule| rule.holds(self.scope));
            let score: f64 = held.map(|rule| rule.weight).sum();
            self.tell("score", score);
            self.tell("min_score", least);
            if score < least {
                self.keeps_out(format!("the rules that hold weigh {score} together, and {least} is needed"));
            }
        } else if let Some(position) = rules.rules.iter().position(|rule| !rule.holds(self.scope)) {
            self.keeps_out(format!("rule {position} does not hold"));
        }
    }

    fn model(&mut self, model: &Predictor, accept: &Accept) {
        let prediction = model.predict(&|name| self.scope.context.attribute(name));
        let is_accepted = accept.accepts(&prediction);
        let mut told = match prediction {
            Prediction::Probability(probability) => json!({ "probability": probability }),
            Prediction::Cluster(cluster) => json!({ "cluster": cluster }),
        };
        match accept {
            Accept::AtLeast(threshold) => told["threshold"] = (*threshold).into(),
            Accept::Clusters(clusters) => told["clusters"] = json!(clusters),
        }
        told["holds"] = is_accepted.into();
        self.tell("model", told);
        if !is_accepted {
            self.keeps_out("the model says no");
        }
    }
}

/// A rule, the attribute that it saw, and why it does not hold.
fn tell_rule(rule: &Rule, scope: &Scope<'_, '_>) -> Value {
    let holds = rule.holds(scope);
    let mut told = Map::new();
    let Some(condition) = &rule.condition else {
        return json!({ "holds": false, "because": "the rule cannot be used; the diagnostics tell why" });
    };
    if let Value::Object(trace) = condition.trace(scope) {
        let renamed = trace.into_iter().map(|(name, value)| match name.as_str() {
            "attribute" => ("field".to_owned(), value),
            _ => (name, value),
        });
        // A null that the rule asks for holds, though nothing can be known of it.
        told.extend(renamed.filter(|(name, _)| name != "result" && !(holds && name == "because")));
    }
    told.insert("weight".to_owned(), rule.weight.into());
    told.insert("holds".to_owned(), holds.into());
    told.into()
}
