//! Variants: of a feature, or of one of its strategies.

use serde_json::{Map, Value, json};

use super::{
    Feature, attribute,
    strategy::{text, variant_units},
};
use crate::import::{Notes, build};

/// The variants of a flag.
#[derive(Debug)]
pub(super) struct Variants {
    values: Map<String, Value>,
    /// The variation of "off".
    off: String,
    /// The variation of "on, but no variant".
    on: String,
}

/// What a rule asks besides, and what it serves.
type Served = (Option<Value>, Map<String, Value>);

impl Variants {
    /// The variants of a feature and all its strategies, by name.
    pub(super) fn of(feature: &Feature<'_>, notes: &mut Notes<'_>) -> Self {
        let own = feature.list("variants").iter();
        let of_strategies =
            feature.list("strategies").iter().filter_map(|strategy| strategy.get("variants")?.as_array());
        let all: Vec<&Value> = own.chain(of_strategies.flatten()).collect();
        let names: Vec<&str> = all.iter().map(|variant| name(variant)).collect();
        let free = |wanted: &str| {
            let mut name = wanted.to_owned();
            while names.contains(&name.as_str()) {
                name.push('_');
            }
            name
        };
        let mut variants = Self { values: Map::new(), off: free("disabled"), on: free("enabled") };
        if all.is_empty() {
            return variants;
        }
        variants.values.insert(variants.off.clone(), false.into());
        variants.values.insert(variants.on.clone(), true.into());
        for variant in all {
            let (value, key) = (payload(variant), variants.key(variant));
            if key != name(variant) && !variants.values.contains_key(&key) {
                let why = "another variant of the feature has the name with another payload";
                let what = format!("the variant {:?}", name(variant));
                notes.add(format!("{}/variants", feature.pointer), what, why, &format!("it is called {key:?}"));
            }
            variants.values.insert(key, value);
        }
        variants
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn values(self) -> Map<String, Value> {
        self.values
    }

    /// The variation of "on, but no variant".
    pub(super) fn on(&self) -> &str {
        if self.is_empty() { "true" } else { &self.on }
    }

    /// The names and values of all variations that mean "on".
    pub(super) fn all_on(&self) -> impl Iterator<Item = (&str, &Value)> {
        let named = self.values.iter().map(|(name, value)| (name.as_str(), value));
        named.filter(|(name, _)| *name != self.off)
    }

    /// The name under which a variant is kept: its own, unless another payload has it already.
    fn key(&self, variant: &Value) -> String {
        let (mut key, value) = (name(variant).to_owned(), payload(variant));
        while self.values.get(&key).is_some_and(|known| *known != value) {
            key.push('\'');
        }
        key
    }

    /// What the users of a strategy are served: its own variants, else those of the feature, else none.
    pub(super) fn served(
        &self,
        at: &str,
        feature: &Feature<'_>,
        strategy: &Value,
        notes: &mut Notes<'_>,
    ) -> Vec<Served> {
        let parameter = |name: &str| strategy.get("parameters").and_then(|all| all.get(name)).map(text);
        let own = strategy.get("variants").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let salt = parameter("groupId").filter(|group| !group.is_empty()).unwrap_or_else(|| feature.name.to_owned());
        let of_feature = feature.list("variants");
        let drawn = self
            .drawn(at, own, &salt, &parameter("stickiness").unwrap_or_default(), notes)
            .or_else(|| self.drawn(at, of_feature, feature.name, "", notes));
        drawn.unwrap_or_else(|| {
            let on = if self.is_empty() { ("return_value", json!(true)) } else { ("variant", json!(self.on)) };
            vec![(None, Map::from_iter([(on.0.to_owned(), on.1)]))]
        })
    }

    /// Some users by name, the rest by weight. `None`: there is no variant to give.
    fn drawn(
        &self,
        at: &str,
        variants: &[Value],
        salt: &str,
        stickiness: &str,
        notes: &mut Notes<'_>,
    ) -> Option<Vec<Served>> {
        let weight = |variant: &Value| variant.get("weight").and_then(Value::as_u64).unwrap_or(0);
        if variants.iter().map(weight).sum::<u64>() == 0 {
            return None;
        }
        let mut served = Vec::new();
        for variant in variants {
            if let Some(condition) = overridden(at, variant, notes) {
                let named = Map::from_iter([("variant".to_owned(), self.key(variant).into())]);
                served.push((Some(condition), named));
            }
        }
        let given: Vec<&Value> = variants.iter().filter(|variant| weight(variant) > 0).collect();
        let what = match given.as_slice() {
            [only] => ("variant".to_owned(), json!(self.key(only))),
            _ => {
                let own = variants.first().and_then(|first| first.get("stickiness")).map(text);
                let units = variant_units(&own.unwrap_or_else(|| stickiness.to_owned()));
                let share = |variant: &&Value| json!({ "variant": self.key(variant), "weight": weight(variant) });
                let shares: Vec<Value> = given.iter().map(share).collect();
                let split = json!({ "hash": "murmur3", "salt": salt, "bucket_by": units, "shares": shares });
                ("split".to_owned(), split)
            }
        };
        served.push((None, Map::from_iter([what])));
        Some(served)
    }
}

/// Who gets a variant whatever its weight.
fn overridden(at: &str, variant: &Value, notes: &mut Notes<'_>) -> Option<Value> {
    let overrides = variant.get("overrides").and_then(Value::as_array).filter(|overrides| !overrides.is_empty())?;
    let one = |entry: &Value| {
        let context = attribute(entry.get("contextName")?.as_str()?);
        let values = entry.get("values")?.as_array()?.iter().filter_map(Value::as_str);
        Some(build::test(context, "in", build::texts(values)))
    };
    let tests: Vec<Value> = overrides.iter().filter_map(one).collect();
    if tests.len() < overrides.len() {
        let what = format!("an override of the variant {:?}", name(variant));
        notes.add(at, what, "it is not {contextName, values}", "it is left out");
    }
    Some(build::any(tests))
}

fn name(variant: &Value) -> &str {
    variant.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The value of a variant: its payload by its type, else its name.
fn payload(variant: &Value) -> Value {
    let Some(payload) = variant.get("payload").filter(|payload| payload.is_object()) else {
        return name(variant).into();
    };
    let value = payload.get("value").cloned().unwrap_or_default();
    let parsed = |wanted: fn(&Value) -> bool| {
        let text = value.as_str()?;
        serde_json::from_str(text).ok().filter(wanted)
    };
    let typed = match payload.get("type").and_then(Value::as_str) {
        Some("number") => parsed(Value::is_number),
        Some("json") => parsed(|value| !value.is_null()),
        _ => None,
    };
    let value = typed.unwrap_or(value);
    if value.is_null() { name(variant).into() } else { value }
}
