//! What a model is to be trained to.

use serde_json::{Map, Value, json};

use super::refused;
use crate::{model::Fault, predict::Columns};

/// The most rows that a model is trained on.
pub const MAX_ROWS: usize = 100_000;

/// How many rows a model is trained on unless the request says.
const ROWS: usize = 20_000;

/// How often KMeans starts anew unless the request says: the best of all is taken.
const RESTARTS: u32 = 10;

/// The most clusters that are looked for.
const MAX_K: u64 = 64;

/// One round of KMeans looks at no more numbers than this.
const MAX_WORK: u64 = 200_000_000;

/// What a model is to be trained to.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the model looks at.
    pub columns: Columns,
    /// How it is trained.
    pub method: Method,
    /// Rows are drawn, and clusters begun, by this.
    pub seed: u64,
    /// At most so many rows are drawn.
    pub rows: usize,
    /// The name of the model, and its encodings, as they were said.
    said: Map<String, Value>,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Into clusters.
    KMeans {
        /// How many clusters.
        k: usize,
        /// How often it starts anew; the best of all is taken.
        restarts: u32,
    },
    /// To say how probable it is that an attribute is true.
    Logistic {
        /// The attribute.
        label: String,
        /// The weight of the L2 penalty, `alpha`/2 · ‖w‖² against the summed loss: 1/C in scikit-learn's words.
        alpha: f64,
    },
}

impl Request {
    /// Reads a request: `kind`, `feature_columns`, `encodings`, `k`, `restarts`, `label`, `alpha`, `sample`, `seed`, `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(fields: &Map<String, Value>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let known =
            ["kind", "feature_columns", "encodings", "k", "restarts", "label", "alpha", "sample", "seed", "name"];
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            faults.push(refused(&pointer, format!("unknown; known are {}", known.join(", "))));
        }
        let columns = Columns::parse(fields).unwrap_or_else(|wrong| {
            faults.extend(wrong);
            Columns::default()
        });
        if fields.get("name").is_some_and(|name| !name.is_string() && !name.is_null()) {
            faults.push(refused("/name", "expected a string".to_owned()));
        }
        let rows = whole(fields, "sample", ROWS as u64, 10, MAX_ROWS as u64, &mut faults);
        let seed = whole(fields, "seed", 0, 0, u64::MAX, &mut faults);
        let method = match fields.get("kind").and_then(Value::as_str) {
            Some("kmeans") => kmeans(fields, rows * columns.len() as u64, &mut faults),
            Some("logistic") => logistic(fields, &columns, &mut faults),
            Some(_) | None => {
                faults.push(refused("/kind", "one of kmeans, logistic".to_owned()));
                None
            }
        };
        match method {
            Some(method) if faults.is_empty() => {
                let said = ["name", "encodings", "feature_columns"].into_iter().filter_map(|name| {
                    let value = fields.get(name).filter(|value| !value.is_null())?;
                    Some((name.to_owned(), value.clone()))
                });
                Ok(Self {
                    columns,
                    method,
                    seed,
                    rows: usize::try_from(rows).unwrap_or(MAX_ROWS),
                    said: said.collect(),
                })
            }
            Some(_) | None => Err(faults),
        }
    }

    /// The attribute that is learnt, if one is.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match &self.method {
            Method::Logistic { label, .. } => Some(label),
            Method::KMeans { .. } => None,
        }
    }

    /// The beginning of the model's document.
    pub(super) fn begin(&self, id: &str) -> Map<String, Value> {
        let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
        document.extend(self.said.get("name").map(|name| ("name".to_owned(), name.clone())));
        document.insert("kind".to_owned(), json!(self.kind()));
        for name in ["feature_columns", "encodings"] {
            document.extend(self.said.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        document.extend(self.label().map(|label| ("label".to_owned(), json!(label))));
        document
    }

    /// How the model was trained, so that it can be trained again.
    pub(super) fn training(&self, rows: usize) -> Value {
        match &self.method {
            Method::KMeans { k, restarts } => {
                json!({"sample": rows, "seed": self.seed, "k": k, "restarts": restarts})
            }
            Method::Logistic { alpha, .. } => json!({"sample": rows, "seed": self.seed, "alpha": alpha}),
        }
    }

    const fn kind(&self) -> &'static str {
        match self.method {
            Method::KMeans { .. } => "kmeans",
            Method::Logistic { .. } => "logistic",
        }
    }
}

fn kmeans(fields: &Map<String, Value>, cells: u64, faults: &mut Vec<Fault>) -> Option<Method> {
    if fields.get("k").is_none_or(Value::is_null) {
        faults.push(refused("/k", format!("missing; the number of clusters, from 2 to {MAX_K}")));
        return None;
    }
    let k = whole(fields, "k", 2, 2, MAX_K, faults);
    let restarts = whole(fields, "restarts", u64::from(RESTARTS), 1, 100, faults);
    if cells * k > MAX_WORK {
        let message = format!("sample × feature columns × k is {}; at most {MAX_WORK} is taken on", cells * k);
        faults.push(refused("/sample", message));
    }
    Some(Method::KMeans { k: usize::try_from(k).ok()?, restarts: u32::try_from(restarts).ok()? })
}

fn logistic(fields: &Map<String, Value>, columns: &Columns, faults: &mut Vec<Fault>) -> Option<Method> {
    let alpha = match fields.get("alpha").filter(|alpha| !alpha.is_null()) {
        None => Some(1.0),
        Some(alpha) => alpha.as_f64().filter(|alpha| (0.0..=1e6).contains(alpha)),
    };
    if alpha.is_none() {
        faults.push(refused("/alpha", "expected a number from 0 to 1000000".to_owned()));
    }
    let label = fields.get("label").and_then(Value::as_str).filter(|label| !label.is_empty());
    match label {
        None => faults.push(refused("/label", "expected the name of an attribute that is true or false".to_owned())),
        Some(label) if columns.iter().any(|column| column.name() == label) => {
            faults.push(refused("/label", format!("{label:?} is a feature column too: the model would learn nothing")));
        }
        Some(_) => {}
    }
    Some(Method::Logistic { label: label?.to_owned(), alpha: alpha? })
}

/// A whole number within limits.
fn whole(fields: &Map<String, Value>, name: &str, default: u64, least: u64, most: u64, faults: &mut Vec<Fault>) -> u64 {
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else { return default };
    match value.as_u64().filter(|number| (least..=most).contains(number)) {
        Some(number) => number,
        None => {
            faults.push(refused(&format!("/{name}"), format!("expected a whole number from {least} to {most}")));
            default
        }
    }
}
