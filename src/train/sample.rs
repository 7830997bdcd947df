//! The profiles that a model is trained on.

use std::{collections::BTreeMap, fmt};

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::Request;
use crate::{
    model::Attribute,
    predict::{Column, Columns},
};

/// A sample of the profiles that were offered, and the numbers that they are to the model.
///
/// Invariant: what is drawn depends on the set of users and the seed alone, not on the order in which they come, and a user who
/// comes twice counts once.
#[derive(Debug)]
pub struct Sample {
    columns: Columns,
    label: Option<String>,
    seed: u64,
    most: usize,
    /// By the hash of the user's id; those with the smallest are kept.
    rows: BTreeMap<u128, Row>,
    seen: usize,
    left_out: LeftOut,
}

/// One profile's numbers.
#[derive(Debug)]
pub(super) struct Row {
    /// By column; NaN where the profile says none.
    pub(super) features: Box<[f64]>,
    pub(super) label: bool,
}

/// How many profiles could not be learnt from, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// They have none of the feature columns.
    pub no_features: usize,
    /// They lack the label.
    pub no_label: usize,
    /// Their label is not true or false, 1 or 0.
    pub other_label: usize,
}

impl Sample {
    /// A sample for a request, with nothing in it.
    #[must_use]
    pub fn new(request: &Request) -> Self {
        Self {
            columns: request.columns.clone(),
            label: request.label().map(str::to_owned),
            seed: request.seed,
            most: request.rows,
            rows: BTreeMap::new(),
            seen: 0,
            left_out: LeftOut::default(),
        }
    }

    /// Offers a profile.
    pub fn offer<'a>(&mut self, user_id: &str, attribute: &impl Fn(&str) -> Option<Attribute<'a>>) {
        self.seen += 1;
        let number = |column: &Column| attribute(column.name()).and_then(|found| column.number(found));
        let features: Box<[f64]> = self.columns.iter().map(|column| number(column).unwrap_or(f64::NAN)).collect();
        if features.iter().all(|feature| feature.is_nan()) {
            self.left_out.no_features += 1;
            return;
        }
        let label = match self.label.as_deref().map(attribute) {
            None => false,
            Some(None) => {
                self.left_out.no_label += 1;
                return;
            }
            Some(Some(found)) => match truth(found) {
                Some(label) => label,
                None => {
                    self.left_out.other_label += 1;
                    return;
                }
            },
        };
        self.rows.insert(hash(self.seed, user_id), Row { features, label });
        if self.rows.len() > self.most {
            self.rows.pop_last();
        }
    }

    /// How many profiles are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many profiles were offered.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// How many could not be learnt from.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// How many profiles fit in.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// The number of columns.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The rows by the hash of the user's id.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }
}

impl LeftOut {
    pub(super) fn to_json(self) -> Value {
        let Self { no_features, no_label, other_label } = self;
        json!({"no_features": no_features, "no_label": no_label, "other_label": other_label})
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { no_features, no_label, other_label } = self;
        write!(out, "{no_features} have no feature, {no_label} lack the label, {other_label} have another label")
    }
}

/// Whether a label is true: a boolean, 1 or 0.
fn truth(label: Attribute<'_>) -> Option<bool> {
    match (label, label.as_number()) {
        (Attribute::Bool(flag), _) => Some(flag),
        (_, Some(1.0)) => Some(true),
        (_, Some(0.0)) => Some(false),
        (_, Some(_) | None) => None,
    }
}

/// Puts users in an order that the seed decides: the MD5 of the seed's eight bytes, the lowest first, and the id.
fn hash(seed: u64, user_id: &str) -> u128 {
    let digest = Md5::new().chain_update(seed.to_le_bytes()).chain_update(user_id).finalize();
    u128::from_be_bytes(digest.into())
}
