//! `fractional`: variants by weight.
//!
//! flagd hashes one text with murmur3 and takes the part of the sum of weights that the hash falls into. The text is the
//! flag's key and the targeting key, unless an operation says otherwise.

use serde_json::{Map, Value, json};

use super::{
    argument::Argument,
    logic::{Why, operation, own_name},
    targeting::Targeting,
};
use crate::eval::Hash;

/// The highest sum of weights.
const MOST: u64 = i32::MAX as u64;

/// What is hashed: a text that is known, and an attribute after it.
struct Bucketing {
    salt: String,
    attribute: Option<String>,
    /// Whether the text alone is hashed where the attribute is absent.
    alone: bool,
}

/// Whether an entry is `[variant]` or `[variant, weight]`.
pub(super) fn is_distribution(entry: &Value) -> bool {
    match entry.as_array().map(Vec::as_slice) {
        Some([_]) => true,
        Some([_, weight]) => weight.is_u64() || weight.is_object(),
        _ => false,
    }
}

/// Adds the rules of a distribution.
pub(super) fn decide<'s>(
    targeting: &mut Targeting<'s, '_, '_>,
    at: &str,
    entries: &'s [Value],
    condition: &Value,
) -> Result<(), Why> {
    let (bucketing, entries, first) = match entries {
        [by, rest @ ..] if by.is_object() => (bucketing(targeting, by)?, rest, 1),
        all => {
            let salt = targeting.logic.flag.to_owned();
            (Bucketing { salt, attribute: Some("user_id".to_owned()), alone: false }, all, 0)
        }
    };
    let (mut sum, mut shares) = (0_u64, Vec::with_capacity(entries.len()));
    for (position, entry) in (first..).zip(entries) {
        let weight = match entry.get(1) {
            None => 1,
            Some(weight) => weight.as_u64().ok_or("a weight that has to be computed changes with time or context")?,
        };
        sum = sum.saturating_add(weight);
        let place = format!("{at}/{position}/0");
        shares.push((share(targeting, &place, entry.get(0).unwrap_or(&Value::Null), weight), sum));
    }
    if sum == 0 || sum > MOST {
        return Err(format!("the weights sum to {sum}; expected 1 to {MOST}"));
    }
    let Bucketing { salt, attribute, alone } = bucketing;
    let of_text = || {
        // Only the text is hashed, so all get the same.
        let part = Hash::Murmur3Flagd.part(&salt, "", u32::try_from(sum).unwrap_or(u32::MAX));
        shares.iter().find(|(_, end)| u64::from(part) < *end).and_then(|(share, _)| share.get("variant")).cloned()
    };
    let by_text = if alone { of_text() } else { None };
    if let Some(attribute) = attribute {
        let shares: Vec<Value> = shares.into_iter().map(|(share, _)| share.into()).collect();
        let split = json!({ "hash": "murmur3_flagd", "salt": salt, "bucket_by": [attribute], "shares": shares });
        targeting.serve(condition, Map::from_iter([("split".to_owned(), split)]))?;
    }
    match by_text {
        Some(variant) => targeting.serve(condition, Map::from_iter([("variant".to_owned(), variant)])),
        None => {
            targeting.serve_default(condition);
            Ok(())
        }
    }
}

/// One share. One that leads to the default serves nobody here: the default comes next.
fn share(targeting: &mut Targeting<'_, '_, '_>, at: &str, result: &Value, weight: u64) -> Map<String, Value> {
    let mut share = Map::from_iter([("weight".to_owned(), json!(weight))]);
    let served = match operation(result) {
        None => targeting.variant(result),
        Some((name, _)) => Err(format!("a variant that {name:?} gives cannot be part of a split")),
    };
    match served {
        Ok(served) => share.extend(served.into_iter().filter(|(name, _)| name == "variant")),
        Err(why) => targeting.notes.add(at, format!("the share of {weight}"), why, "its users get the default"),
    }
    share
}

fn bucketing<'s>(targeting: &mut Targeting<'s, '_, '_>, by: &'s Value) -> Result<Bucketing, Why> {
    let by = targeting.logic.resolved(by)?;
    let flag = targeting.logic.flag;
    let parts = match operation(by) {
        Some(("cat", Value::Array(parts))) => parts.as_slice(),
        _ => {
            let Argument::Attribute(name, None) = Argument::of(by, flag) else {
                return Err("by what it draws has to be computed".to_owned());
            };
            return Ok(Bucketing { salt: String::new(), attribute: Some(name), alone: false });
        }
    };
    let (mut salt, mut attribute) = (String::new(), None);
    for part in parts {
        match (Argument::of(part, flag), &attribute) {
            (Argument::Known(Value::String(text)), None) => salt += &text,
            (Argument::Known(number @ Value::Number(_)), None) => salt += &number.to_string(),
            (Argument::Attribute(name, None), None) => attribute = Some(own_name(&name).to_owned()),
            _ => return Err("it draws by more than one property after a known text".to_owned()),
        }
    }
    Ok(Bucketing { salt, attribute, alone: true })
}
