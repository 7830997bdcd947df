//! JSON Web Tokens: found, verified, and remembered while they hold. They are never merely decoded.

mod ring;

use std::{collections::HashSet, sync::Arc};

use ahash::RandomState;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, errors::ErrorKind};
use quick_cache::{Weighter, sync::Cache};
use serde::Deserialize;
use serde_json::Value;

use super::context::cookie;
use crate::{
    config::{Jwt, JwtIssuer},
    telemetry::TokenOutcome,
};

/// A longer token is not looked at: none that is sent by a browser is.
const LONGEST: usize = 8 << 10;

/// How many bytes of memory a token takes for one of its own, its claims included.
const SPREAD: u64 = 4;

/// The smallest number of bytes that a token takes.
const LEAST: u64 = 512;

/// Finds and verifies the tokens of requests.
///
/// Invariant: claims come from tokens whose signature, algorithm, issuer, audience and time were checked.
#[derive(Debug)]
pub(super) struct Tokens {
    header: HeaderName,
    cookie: Option<String>,
    issuers: Vec<Issuer>,
    verified: Option<Cache<u64, Arc<Verified>, Weight>>,
    /// Keyed anew in each process, so that nobody can make two tokens meet.
    hasher: RandomState,
}

/// What became of a request's token.
pub(super) type Checked = Result<Arc<Verified>, TokenOutcome>;

/// A token that was verified.
#[derive(Debug)]
pub(super) struct Verified {
    token: Box<str>,
    claims: Value,
    /// From when it holds, in seconds of Unix time, the leeway included.
    from: i64,
    /// When it ends to hold.
    until: i64,
}

/// Whose tokens are believed.
#[derive(Debug)]
struct Issuer {
    name: Option<String>,
    leeway: i64,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<u64, Arc<Verified>> for Weight {
    fn weight(&self, _key: &u64, verified: &Arc<Verified>) -> u64 {
        (verified.token.len() as u64 * SPREAD).max(LEAST)
    }
}

/// What is read of a token before its signature is checked, to know by which key.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
}

/// The same, of its claims.
#[derive(Deserialize)]
struct Origin {
    iss: Option<Value>,
}

impl Tokens {
    pub(super) fn new(config: &Jwt) -> Self {
        ring::install();
        let Jwt { header, cookie, required: _, cache, issuers } = config;
        let places = usize::try_from(cache / LEAST).unwrap_or(usize::MAX);
        Self {
            header: header.clone(),
            cookie: cookie.clone(),
            issuers: issuers.iter().map(Issuer::new).collect(),
            verified: (places > 0).then(|| Cache::with_weighter(places, *cache, Weight)),
            hasher: RandomState::new(),
        }
    }

    /// The token of a request, verified; none: there is none.
    pub(super) fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Checked> {
        match self.find(headers) {
            Ok(found) => found.map(|token| self.verify(token, now)),
            Err(outcome) => Some(Err(outcome)),
        }
    }

    fn find<'r>(&self, headers: &'r HeaderMap) -> Result<Option<&'r str>, TokenOutcome> {
        let mut values = headers.get_all(&self.header).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(TokenOutcome::Repeated);
        }
        let named = match first.map(|value| value.to_str()) {
            None => None,
            Some(Err(_)) => return Err(TokenOutcome::Malformed),
            Some(Ok(text)) => match (bearer(text), self.header == AUTHORIZATION) {
                (Some(token), _) => Some(token),
                // `Basic` and others are none of ours.
                (None, true) => None,
                (None, false) => Some(text.trim()),
            },
        };
        let found = named.or_else(|| cookie(headers, self.cookie.as_ref()?));
        Ok(found.filter(|token| !token.is_empty()))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Checked {
        if token.len() > LONGEST {
            return Err(TokenOutcome::TooLong);
        }
        let hash = self.hasher.hash_one(token);
        let known = self.verified.as_ref().and_then(|verified| verified.get(&hash));
        if let Some(known) = known.filter(|known| &*known.token == token) {
            return known.holds(now).map(|()| known);
        }
        let checked = Arc::new(self.check(token)?);
        checked.holds(now)?;
        if let Some(verified) = &self.verified {
            verified.insert(hash, Arc::clone(&checked));
        }
        Ok(checked)
    }

    /// Checks everything but the time.
    fn check(&self, token: &str) -> Result<Verified, TokenOutcome> {
        let mut parts = token.split('.');
        let (Some(head), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(TokenOutcome::Malformed);
        };
        let head: Head = read(head).ok_or(TokenOutcome::Malformed)?;
        let algorithm: Algorithm = head.alg.parse().map_err(|_| TokenOutcome::Algorithm)?;
        let origin: Origin = read(claims).ok_or(TokenOutcome::Malformed)?;
        let name = origin.iss.as_ref().and_then(Value::as_str);
        let mut outcome = TokenOutcome::Issuer;
        for issuer in self.issuers.iter().filter(|issuer| issuer.name.is_none() || issuer.name.as_deref() == name) {
            match issuer.check(token, algorithm, head.kid.as_deref()) {
                Ok(verified) => return Ok(verified),
                Err(other) => outcome = other,
            }
        }
        Err(outcome)
    }
}

impl Issuer {
    fn new(config: &JwtIssuer) -> Self {
        let JwtIssuer { issuer, audience, leeway, keys } = config;
        let validation = |algorithms: &[Algorithm]| {
            let mut validation = Validation::new(algorithms[0]);
            validation.algorithms = algorithms.to_vec();
            // The time is looked at each time, also of a token that is remembered.
            (validation.validate_exp, validation.validate_nbf) = (false, false);
            if let Some(issuer) = issuer {
                validation.set_issuer(&[issuer]);
                validation.required_spec_claims.insert("iss".to_owned());
            }
            if !audience.is_empty() {
                validation.aud = Some(audience.iter().cloned().collect::<HashSet<_>>());
                validation.required_spec_claims.insert("aud".to_owned());
            }
            validation
        };
        let keys = keys.keys.iter().map(|key| Key {
            id: key.id.clone(),
            key: key.key.clone(),
            validation: validation(&key.algorithms),
        });
        Self { name: issuer.clone(), leeway: i64::try_from(leeway.as_secs()).unwrap_or(i64::MAX), keys: keys.collect() }
    }

    fn check(&self, token: &str, algorithm: Algorithm, kid: Option<&str>) -> Result<Verified, TokenOutcome> {
        let mut fitting = self.keys.iter().filter(|key| key.validation.algorithms.contains(&algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenOutcome::Algorithm);
        }
        // Without an id to go by there must be one key only, so that a bad token costs one check.
        let mut meant = fitting.filter(|key| key.id.is_none() || kid.is_none() || key.id.as_deref() == kid);
        let (Some(key), None) = (meant.next(), meant.next()) else { return Err(TokenOutcome::UnknownKey) };
        let claims = decode::<Value>(token, &key.key, &key.validation).map_err(|error| outcome(error.kind()))?.claims;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
        let until = seconds("exp").ok_or(TokenOutcome::Malformed)?;
        let from = match claims.get("nbf") {
            None => f64::MIN,
            Some(from) => from.as_f64().ok_or(TokenOutcome::Malformed)?,
        };
        #[expect(clippy::cast_possible_truncation, reason = "beyond all time is as good as its end")]
        let (from, until) = (from as i64, until as i64);
        let (from, until) = (from.saturating_sub(self.leeway), until.saturating_add(self.leeway));
        Ok(Verified { token: token.into(), claims, from, until })
    }
}

impl Verified {
    /// A claim by its name; a dot leads into a nested one, unless it belongs to a name.
    pub(super) fn claim(&self, path: &str) -> Option<&Value> {
        within(&self.claims, path)
    }

    fn holds(&self, now: Timestamp) -> Result<(), TokenOutcome> {
        match now.as_second() {
            now if now < self.from => Err(TokenOutcome::NotYetValid),
            now if now >= self.until => Err(TokenOutcome::Expired),
            _ => Ok(()),
        }
    }
}

fn within<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    let nested = || {
        let dots = path.match_indices('.').map(|(at, _)| at);
        dots.filter_map(|at| within(fields.get(&path[..at])?, &path[at + 1..])).next()
    };
    fields.get(path).or_else(nested)
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn read<'t, T: for<'de> Deserialize<'de>>(part: &'t str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors may become more")]
fn outcome(error: &ErrorKind) -> TokenOutcome {
    match error {
        ErrorKind::InvalidSignature => TokenOutcome::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenOutcome::Algorithm,
        ErrorKind::InvalidIssuer => TokenOutcome::Issuer,
        ErrorKind::InvalidAudience => TokenOutcome::Audience,
        ErrorKind::MissingRequiredClaim(name) if name == "iss" => TokenOutcome::Issuer,
        ErrorKind::MissingRequiredClaim(name) if name == "aud" => TokenOutcome::Audience,
        _ => TokenOutcome::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_into_claims() {
        let claims = json!({
            "sub": "ann", "realm": { "roles": ["a"], "x.y": 1 }, "https://shop.example/plan": "gold", "a.b": { "c": 2 },
            "a": { "b": { "c": 3, "d": 4 } },
        });
        for (path, expected) in [
            ("sub", Some(json!("ann"))),
            ("realm.roles", Some(json!(["a"]))),
            ("realm.x.y", Some(json!(1))),
            ("https://shop.example/plan", Some(json!("gold"))),
            ("a.b.c", Some(json!(3))),
            ("a.b.d", Some(json!(4))),
            ("sub.x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(within(&claims, path), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn a_bearer_is_found_in_any_case() {
        for (text, expected) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  a.b.c ", Some("a.b.c")),
            ("Basic xyz", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(bearer(text), expected, "{text}");
        }
    }
}
