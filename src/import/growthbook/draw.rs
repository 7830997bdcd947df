//! Who is drawn: GrowthBook hashes an attribute with a seed to a number from 0 up to 1 (in thousandths with version 1 of its
//! hash, in ten-thousandths with version 2), and asks in which range it lies.

use serde_json::{Value, json};

use super::Why;

/// The parts of a split: as fine as the finer hash.
const PARTS: u32 = 10_000;

/// How a rule draws.
#[derive(Debug)]
pub(super) struct Drawn {
    hash: &'static str,
    seed: String,
    by: Vec<String>,
}

impl Drawn {
    pub(super) fn of(feature: &str, rule: &Value) -> Result<Self, Why> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        // An experiment is drawn by its key, a rollout by the feature's.
        let own = if rule.get("force").is_some() { None } else { text("key") };
        let mut by = vec![attribute(text("hashAttribute").unwrap_or("id")).to_owned()];
        by.extend(text("fallbackAttribute").map(|name| attribute(name).to_owned()));
        Ok(Self { hash: hash(rule, 1)?, seed: text("seed").or(own).unwrap_or(feature).to_owned(), by })
    }

    /// What the namespace and the filters of a rule ask of other draws.
    pub(super) fn filters(&self, rule: &Value) -> Result<Vec<Value>, Why> {
        let mut conditions = Vec::new();
        if let Some(filters) = rule.get("filters").filter(|filters| !filters.is_null()) {
            for filter in filters.as_array().ok_or("`filters` is not an array")? {
                let seed = filter["seed"].as_str().ok_or("a filter without `seed`")?;
                let by = filter["attribute"].as_str().filter(|name| !name.is_empty());
                let by = by.map_or(&*self.by[0], attribute);
                let ranges = filter["ranges"].as_array().ok_or("a filter without `ranges`")?;
                let hash = hash(filter, 2)?;
                let within = ranges.iter().map(|range| Ok(bucket(hash, seed, by, ends(range)?)));
                conditions.push(json!({ "any": within.collect::<Result<Vec<_>, Why>>()? }));
            }
        } else if let Some(namespace) = rule.get("namespace").filter(|namespace| !namespace.is_null()) {
            let name = namespace[0].as_str().ok_or("a namespace without a name")?;
            let range = json!([namespace[1], namespace[2]]);
            conditions.push(bucket("fnv1a_v1", &format!("__{name}"), &self.by[0], ends(&range)?));
        }
        Ok(conditions)
    }

    /// The split of a forced value; none: everybody gets it.
    pub(super) fn rollout(&self, rule: &Value, variant: &str) -> Result<Option<Value>, Why> {
        let given = |name: &str| rule.get(name).filter(|value| !value.is_null());
        let (from, to) = match (given("range"), given("coverage")) {
            (Some(range), _) => {
                let (from, to) = ends(range)?;
                (first_at(from), first_at(to))
            }
            // Here the end is within.
            (None, Some(coverage)) => (0, first_after(share(coverage)?)),
            (None, None) => return Ok(None),
        };
        Ok(Some(self.split(&[(from, to, variant)])))
    }

    /// The split of an experiment.
    pub(super) fn experiment(&self, rule: &Value, variants: &[String]) -> Result<Value, Why> {
        let given = |name: &str| rule.get(name).filter(|value| !value.is_null());
        let ranges = match given("ranges") {
            Some(ranges) => {
                let ranges = ranges.as_array().ok_or("`ranges` is not an array")?;
                ranges.iter().map(ends).collect::<Result<Vec<_>, _>>()?
            }
            None => {
                let coverage = given("coverage").map(share).transpose()?.unwrap_or(1.0).clamp(0.0, 1.0);
                weighted(&weights(given("weights"), variants.len())?, coverage)
            }
        };
        if ranges.len() != variants.len() {
            return Err(format!("{} ranges for {} variations", ranges.len(), variants.len()));
        }
        let parts =
            ranges.iter().zip(variants).map(|((from, to), variant)| (first_at(*from), first_at(*to), &**variant));
        let parts: Vec<(u32, u32, &str)> = parts.collect();
        if parts.windows(2).any(|pair| pair[1].0 < pair[0].1) {
            return Err("its ranges overlap or are out of order".to_owned());
        }
        Ok(self.split(&parts))
    }

    /// A split of parts, from and up to; the gaps serve nobody.
    fn split(&self, parts: &[(u32, u32, &str)]) -> Value {
        let (mut shares, mut end) = (Vec::new(), 0);
        for (from, to, variant) in parts {
            if *from > end {
                shares.push(json!({ "weight": from - end }));
            }
            let from = (*from).max(end);
            shares.push(json!({ "variant": variant, "weight": to.saturating_sub(from) }));
            end = from.max(*to);
        }
        if end < PARTS {
            shares.push(json!({ "weight": PARTS - end }));
        }
        json!({ "hash": self.hash, "salt": self.seed, "bucket_by": self.by, "shares": shares })
    }
}

/// The user's id is called `id` there.
pub(super) fn attribute(name: &str) -> &str {
    if name == "id" { "user_id" } else { name }
}

fn hash(of: &Value, default: u64) -> Result<&'static str, Why> {
    match of.get("hashVersion").map_or(Some(default), Value::as_u64) {
        Some(1) => Ok("fnv1a_v1"),
        Some(2) => Ok("fnv1a"),
        _ => Err("a `hashVersion` that is neither 1 nor 2".to_owned()),
    }
}

fn share(value: &Value) -> Result<f64, Why> {
    value.as_f64().ok_or_else(|| format!("{value} is not a number"))
}

fn ends(range: &Value) -> Result<(f64, f64), Why> {
    match range.as_array().map(Vec::as_slice) {
        Some([from, to]) => Ok((share(from)?, share(to)?)),
        _ => Err(format!("{range} is not a range")),
    }
}

/// A condition: the draw lies in a range.
fn bucket(hash: &str, seed: &str, by: &str, (from, to): (f64, f64)) -> Value {
    let percent = |share: f64| f64::from(first_at(share)) / 100.0;
    json!({ "bucket": { "hash": hash, "salt": seed, "bucket_by": [by], "from": percent(from), "to": percent(to) } })
}

/// The first part that is not below a share. Compared as GrowthBook compares, in double precision.
fn first_at(share: f64) -> u32 {
    (0..PARTS).find(|part| f64::from(*part) / f64::from(PARTS) >= share).unwrap_or(PARTS)
}

/// The first part that is beyond a share.
fn first_after(share: f64) -> u32 {
    (0..PARTS).find(|part| f64::from(*part) / f64::from(PARTS) > share).unwrap_or(PARTS)
}

/// Weights that do not sum up to 1 count as equal ones, as in GrowthBook.
fn weights(given: Option<&Value>, count: usize) -> Result<Vec<f64>, Why> {
    #[expect(clippy::cast_precision_loss, reason = "a handful of variations")]
    let equal = || vec![1.0 / count as f64; count];
    let Some(given) = given else { return Ok(equal()) };
    let given = given.as_array().ok_or("`weights` is not an array")?;
    let given = given.iter().map(share).collect::<Result<Vec<f64>, _>>()?;
    let sum: f64 = given.iter().sum();
    Ok(if given.len() == count && (0.99..=1.01).contains(&sum) { given } else { equal() })
}

/// The ranges of weights: each begins where its weight begins, and is as long as the coverage leaves of it.
fn weighted(weights: &[f64], coverage: f64) -> Vec<(f64, f64)> {
    let mut begin = 0.0;
    let range = |weight: &f64| {
        let from = begin;
        begin += weight;
        (from, from + coverage * weight)
    };
    weights.iter().map(range).collect()
}
