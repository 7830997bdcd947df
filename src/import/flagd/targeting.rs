//! From a targeting rule to the rules of a flag.

use serde_json::{Map, Value, json};

use super::{
    argument::Argument,
    fractional,
    logic::{Logic, Why, operation},
};
use crate::import::{Notes, build};

/// How many rules a flag may get.
const MOST_RULES: usize = 2_000;

/// Takes one flag's targeting apart.
pub(super) struct Targeting<'s, 'n, 'r> {
    pub(super) logic: Logic<'s>,
    variants: &'s Map<String, Value>,
    default: Option<&'s str>,
    /// The value where nothing decides.
    fallback: Value,
    pub(super) notes: &'n mut Notes<'r>,
    rules: Vec<Value>,
}

impl<'s, 'n, 'r> Targeting<'s, 'n, 'r> {
    pub(super) fn new(
        flag: &'s str,
        variants: &'s Map<String, Value>,
        default: Option<&'s str>,
        fallback: Value,
        evaluators: &'s Map<String, Value>,
        notes: &'n mut Notes<'r>,
    ) -> Self {
        Self { logic: Logic::new(flag, evaluators), variants, default, fallback, notes, rules: Vec::new() }
    }

    /// The rules of a targeting rule.
    pub(super) fn rules(mut self, at: &str, rule: &'s Value) -> Vec<Value> {
        self.decide(at, rule, &build::always());
        if self.rules.len() > MOST_RULES {
            let why = format!("it comes to more than {MOST_RULES} rules");
            self.notes.add(at, "the targeting", why, "the flag gives its default");
            return Vec::new();
        }
        // Where the default comes last for all, the flag gives it anyway.
        let default = Value::Object(self.rule(&build::always(), self.served_default()));
        while self.rules.last() == Some(&default) {
            self.rules.pop();
        }
        self.rules
    }

    /// Adds rules that decide for all for whom `condition` holds.
    fn decide(&mut self, at: &str, expression: &'s Value, condition: &Value) {
        if self.rules.len() > MOST_RULES || *condition == build::never() {
            return;
        }
        if let Err(why) = self.decided(at, expression, condition) {
            self.notes.add(at, what(expression), why, "who gets here gets the default");
            self.serve_default(condition);
        }
    }

    fn decided(&mut self, at: &str, expression: &'s Value, condition: &Value) -> Result<(), Why> {
        let expression = self.logic.resolved(expression)?;
        let Some((name, arguments)) = operation(expression) else {
            let served = self.variant(expression)?;
            return self.serve(condition, served);
        };
        match (name, arguments) {
            ("if", Value::Array(branches)) => {
                self.branches(&format!("{at}/if"), branches, condition);
                Ok(())
            }
            ("fractional", Value::Array(entries)) => {
                fractional::decide(self, &format!("{at}/fractional"), entries, condition)
            }
            ("var", _) => self.named_by(expression, condition),
            _ => self.truth(expression, condition),
        }
    }

    fn branches(&mut self, at: &str, branches: &'s [Value], condition: &Value) {
        let mut position = 0;
        while let [test, then, ..] = &branches[position..] {
            match self.logic.condition(test) {
                Ok(holds) => {
                    let both = build::all(vec![condition.clone(), holds]);
                    self.decide(&format!("{at}/{}", position + 1), then, &both);
                }
                Err(why) => {
                    self.notes.add(format!("{at}/{position}"), what(test), why, "it counts as false");
                }
            }
            position += 2;
        }
        match &branches[position..] {
            [otherwise] => self.decide(&format!("{at}/{position}"), otherwise, condition),
            _ => self.serve_default(condition),
        }
    }

    /// The name of the variant is a property of the context.
    fn named_by(&mut self, expression: &Value, condition: &Value) -> Result<(), Why> {
        let Argument::Attribute(attribute, None) = Argument::of(expression, self.logic.flag) else {
            return Err("which variant it names has to be computed".to_owned());
        };
        let names: Vec<String> = self.variants.keys().cloned().collect();
        for name in names {
            let is = build::test(&attribute, "equals", name.as_str());
            self.serve(&build::all(vec![condition.clone(), is]), variant(&name))?;
        }
        self.serve_default(condition);
        Ok(())
    }

    /// A truth names the variants `true` and `false`.
    fn truth(&mut self, expression: &Value, condition: &Value) -> Result<(), Why> {
        let holds = self.logic.condition(expression)?;
        let (yes, no) = (self.variant(&json!(true))?, self.variant(&json!(false))?);
        self.serve(&build::all(vec![condition.clone(), holds]), yes)?;
        self.serve(condition, no)
    }

    /// What a plain result serves.
    pub(super) fn variant(&self, result: &Value) -> Result<Map<String, Value>, Why> {
        let name = match result {
            Value::Null => return Ok(self.served_default()),
            Value::String(name) => name.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(_) | Value::Array(_) | Value::Object(_) => return Err(format!("{result} names no variant")),
        };
        match self.variants.contains_key(&name) {
            true => Ok(variant(&name)),
            false => Err(format!("the flag has no variant {name:?}")),
        }
    }

    pub(super) fn serve(&mut self, condition: &Value, served: Map<String, Value>) -> Result<(), Why> {
        if *condition == build::never() {
            return Ok(());
        }
        if let Some(why) = build::fault(condition) {
            return Err(why);
        }
        let rule = self.rule(condition, served);
        self.rules.push(rule.into());
        Ok(())
    }

    pub(super) fn serve_default(&mut self, condition: &Value) {
        let served = self.served_default();
        let condition = if build::fault(condition).is_none() { condition.clone() } else { build::never() };
        let rule = self.rule(&condition, served);
        self.rules.push(rule.into());
    }

    fn rule(&self, condition: &Value, served: Map<String, Value>) -> Map<String, Value> {
        let mut rule = build::rule(condition.clone());
        rule.extend(served);
        rule
    }

    fn served_default(&self) -> Map<String, Value> {
        match self.default {
            Some(name) => variant(name),
            None => Map::from_iter([("return_value".to_owned(), self.fallback.clone())]),
        }
    }
}

fn variant(name: &str) -> Map<String, Value> {
    Map::from_iter([("variant".to_owned(), name.into())])
}

/// An expression in a message.
fn what(expression: &Value) -> String {
    match operation(expression) {
        Some((name, _)) => format!("the operation {name:?}"),
        None => format!("the result {expression}"),
    }
}
