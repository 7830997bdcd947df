//! Weighted splits: who gets which variant.
//!
//! A split is an array with weights in basis points, drawn by the bucket of its flag or rule; or an object that draws by
//! itself: `{hash?, salt?, bucket_by?, shares: [{variant?, weight}, …]}`, where the weights are parts of their sum and a
//! share without a variant serves nobody.

use serde_json::{Map, Value};

use super::{
    bucket::{BUCKETS, Hash, Share},
    compile::Compiler,
    fields::escape,
    flag::{Bucketing, OutcomeIndex, Serve},
    unit::Unit,
};
use crate::model::Context;

/// The fields of a split that draws by itself.
const DRAW_FIELDS: [&str; 4] = ["hash", "salt", "bucket_by", "shares"];

/// The highest sum of weights.
const MOST_PARTS: u64 = i32::MAX as u64;

/// A split that draws by itself.
#[derive(Debug)]
pub(crate) struct Draw {
    pub(crate) bucketing: Bucketing,
    /// The sum of the weights.
    parts: u32,
    /// Each share: one more than its last part, and what it serves.
    shares: Box<[(u32, Option<OutcomeIndex>)]>,
}

impl Draw {
    /// Whether the bucket of a user's id decides what is served.
    pub(crate) fn draws_by_user(&self) -> bool {
        // A share that has all parts leaves nothing to draw.
        self.bucketing.by.is_user() && self.shares.iter().any(|(end, _)| 0 < *end && *end < self.parts)
    }

    /// The part that is drawn, from 0, and how many there are.
    pub(crate) fn part(&self, context: &Context<'_>) -> (Option<u32>, u32) {
        let Bucketing { hash, salt, by } = &self.bucketing;
        (by.with(context, |unit| hash.part(salt, unit, self.parts)), self.parts)
    }

    /// What is served; `None`: the share serves nobody, or there is nobody to draw for.
    pub(crate) fn pick(&self, context: &Context<'_>) -> Option<OutcomeIndex> {
        let part = self.part(context).0?;
        self.shares.iter().find(|(end, _)| part < *end)?.1
    }
}

/// A place below the split, and what is wrong there.
type Wrong = (String, String);

impl<'d> Compiler<'d> {
    /// Compiles a split; what it does not say itself it takes from the `around`.
    pub(super) fn split(&mut self, split: &'d Value, around: &Bucketing) -> Result<Serve, Wrong> {
        match split.as_object() {
            Some(fields) => self.draw(fields, around).map(|draw| Serve::Draw(Box::new(draw))),
            None => self.shares(split).map(Serve::Split),
        }
    }

    fn draw(&mut self, fields: &'d Map<String, Value>, around: &Bucketing) -> Result<Draw, Wrong> {
        if let Some(unknown) = fields.keys().find(|name| !DRAW_FIELDS.contains(&name.as_str())) {
            let message = format!("unknown field {unknown:?}; known are {}", DRAW_FIELDS.join(", "));
            return Err((format!("/{}", escape(unknown)), message));
        }
        let bucketing = bucketing(fields, around)?;
        let entries = fields.get("shares").and_then(Value::as_array).filter(|entries| !entries.is_empty());
        let entries =
            entries.ok_or_else(|| ("/shares".to_owned(), "expected an array of {variant, weight}".to_owned()))?;
        let (mut sum, mut shares) = (0_u64, Vec::with_capacity(entries.len()));
        for (position, entry) in entries.iter().enumerate() {
            let (variant, weight) =
                self.drawn(entry).map_err(|(below, message)| (format!("/shares/{position}{below}"), message))?;
            sum = sum.saturating_add(weight);
            shares.push((u32::try_from(sum).unwrap_or(u32::MAX), variant));
        }
        match u32::try_from(sum) {
            Ok(parts) if parts > 0 && sum <= MOST_PARTS => Ok(Draw { bucketing, parts, shares: shares.into() }),
            _ => Err(("/shares".to_owned(), format!("the weights sum to {sum}; expected 1 to {MOST_PARTS}"))),
        }
    }

    /// One share: its variant, and its weight.
    fn drawn(&mut self, entry: &'d Value) -> Result<(Option<OutcomeIndex>, u64), Wrong> {
        let shape = || (String::new(), "expected {variant, weight}, or {weight} to serve nobody".to_owned());
        let fields = entry.as_object().ok_or_else(shape)?;
        if fields.keys().any(|name| name != "variant" && name != "weight") {
            return Err(shape());
        }
        let weight = fields.get("weight").and_then(Value::as_u64);
        let weight = weight.ok_or_else(|| ("/weight".to_owned(), "expected a whole number, 0 or more".to_owned()))?;
        let outcome = match fields.get("variant").filter(|name| !name.is_null()) {
            None => None,
            Some(Value::String(name)) => Some(self.served(name, "/variant")?),
            Some(_) => return Err(("/variant".to_owned(), "expected the name of a variant".to_owned())),
        };
        Ok((outcome, weight))
    }

    /// `[{variant, weight}, …]`, weights in basis points that sum to 10 000.
    fn shares(&mut self, split: &'d Value) -> Result<Box<[Share<OutcomeIndex>]>, Wrong> {
        let shape = |at: String| (at, "expected an array of {variant, weight}".to_owned());
        let entries = split.as_array().ok_or_else(|| shape(String::new()))?;
        let mut shares = Vec::with_capacity(entries.len());
        let mut sum: u64 = 0;
        for (position, entry) in entries.iter().enumerate() {
            let at = format!("/{position}");
            let fields = entry.as_object().filter(|fields| fields.len() == 2).ok_or_else(|| shape(at.clone()))?;
            let name = fields.get("variant").and_then(Value::as_str).ok_or_else(|| shape(at.clone()))?;
            let weight = fields.get("weight").and_then(Value::as_u64).ok_or_else(|| {
                (format!("{at}/weight"), "expected a whole number of basis points, 0 to 10000".to_owned())
            })?;
            let what = self.served(name, &format!("{at}/variant"))?;
            let start = u16::try_from(sum).unwrap_or(BUCKETS);
            sum = sum.saturating_add(weight);
            shares.push(Share { start, weight: u16::try_from(weight).unwrap_or(BUCKETS), what });
        }
        if sum != u64::from(BUCKETS) {
            return Err((String::new(), format!("the weights sum to {sum}; basis points must sum to {BUCKETS}")));
        }
        Ok(shares.into())
    }

    /// The outcome of a variant that a share names.
    fn served(&mut self, name: &str, at: &str) -> Result<OutcomeIndex, Wrong> {
        let value = self.variants.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| (at.to_owned(), format!("unknown variant {name:?}")))?;
        Ok(self.named(value.clone(), name))
    }
}

/// `{hash?, salt?, bucket_by?}` of a rule, a split or a condition; what is not said is as `around`.
pub(super) fn bucketing(fields: &Map<String, Value>, around: &Bucketing) -> Result<Bucketing, Wrong> {
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let wrong = |name: &str, wanted: &str| (format!("/{name}"), format!("expected {wanted}"));
    let hash = match given("hash") {
        None => around.hash,
        Some(name) => Hash::of_json(name).ok_or_else(|| wrong("hash", &Hash::names()))?,
    };
    let salt = match given("salt") {
        None => std::sync::Arc::clone(&around.salt),
        Some(salt) => salt.as_str().ok_or_else(|| wrong("salt", "a string"))?.into(),
    };
    let by = match given("bucket_by") {
        None => around.by.clone(),
        Some(by) => Unit::compile(by).ok_or_else(|| wrong("bucket_by", "the name of an attribute, or several"))?,
    };
    Ok(Bucketing { hash, salt, by })
}
