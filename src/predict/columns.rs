//! Which attributes a model looks at, and how one becomes a number.

use std::collections::BTreeSet;

use ahash::AHashMap;
use serde_json::{Map, Value};

use super::{
    LIMIT,
    read::{Reader, escape},
};
use crate::model::{Attribute, Fault};

/// The most attributes that a model may look at.
pub const MAX_COLUMNS: usize = 256;

/// The attributes that a model looks at, in its order.
#[derive(Clone, Debug, Default)]
pub struct Columns(Vec<Column>);

/// One attribute, and how it becomes a number.
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    /// By category; none: the attribute is no string, or one that reads as a number.
    encoding: Option<AHashMap<String, f64>>,
}

impl Columns {
    /// Reads `feature_columns` and `encodings` of an object.
    ///
    /// # Errors
    /// Everything that is wrong with the two.
    pub fn parse(fields: &Map<String, Value>) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(fields);
        let columns = Self::read(&mut reader);
        let faults = reader.finish();
        if faults.is_empty() { Ok(columns) } else { Err(faults) }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let names = reader.names("/feature_columns", MAX_COLUMNS);
        let mut seen = BTreeSet::new();
        for (position, name) in names.iter().enumerate() {
            if !seen.insert(name) {
                reader.fault(format!("/feature_columns/{position}"), format!("the column {name:?} is there twice"));
            }
        }
        let mut encodings = encodings(reader);
        for unknown in
            encodings.keys().filter(|name| !names.is_empty() && !seen.contains(name)).cloned().collect::<BTreeSet<_>>()
        {
            let message = format!("{unknown:?} is no feature column");
            reader.fault(format!("/encodings/{}", escape(&unknown)), message);
        }
        Self(names.into_iter().map(|name| Column { encoding: encodings.remove(&name), name }).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns in the model's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.0.iter()
    }
}

impl Column {
    /// The attribute's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number that an attribute is to the model; `None` when it is none, which is as good as missing.
    #[must_use]
    pub fn number(&self, attribute: Attribute<'_>) -> Option<f64> {
        match (attribute, &self.encoding) {
            (Attribute::Bool(flag), _) => Some(f64::from(u8::from(flag))),
            (Attribute::Text(category), Some(encoding)) => encoding.get(category).copied(),
            (other, _) => other.as_number().filter(|number| number.abs() <= LIMIT),
        }
    }
}

fn encodings(reader: &mut Reader<'_>) -> AHashMap<String, AHashMap<String, f64>> {
    let mut encodings = AHashMap::new();
    for (column, categories) in reader.optional_object("/encodings") {
        let at = format!("/encodings/{}", escape(column));
        let mut encoding = AHashMap::new();
        for category in reader.optional_object(&at).map(|(category, _)| category) {
            encoding.insert(category.clone(), reader.number(&format!("{at}/{}", escape(category))));
        }
        if categories.as_object().is_some_and(Map::is_empty) {
            reader.fault(at, "an encoding has at least one category");
        }
        encodings.insert(column.clone(), encoding);
    }
    encodings
}
