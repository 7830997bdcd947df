//! `[context.jwt]`: whose JSON Web Tokens are believed, and where in a request they are.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, header::AUTHORIZATION};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};

use super::{
    check::Checker,
    error::At,
    key_file::KeyFile,
    keys::{Kind, REQUIRED, Section, TEXTS, key},
    read::Table,
};

/// A secret has so many bytes or more: fewer than the hash has make it the weaker part (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// An RSA key has a modulus of so many bytes or more: 2048 bits.
const SHORTEST_MODULUS: usize = 256;

/// The memory that verified tokens may take unless the configuration says otherwise: 16 MiB.
const CACHE: u64 = 16 << 20;

const ALGORITHMS: [&str; 12] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"];

pub(super) static KEYS: Section = Section {
    keys: &[
        key("issuers", Kind::List(&Kind::Table(&ISSUER)), REQUIRED, "whose tokens are believed"),
        key(
            "header",
            Kind::Text,
            "\"Authorization\"",
            "where the token is: behind `Bearer`, in a header of another name also alone",
        ),
        key("cookie", Kind::Text, "none", "a cookie with the token, for requests without that header"),
        key(
            "required",
            Kind::Boolean,
            "false",
            "whether requests without a good token are refused (401); a route's `require_jwt` goes before",
        ),
        key("cache", Kind::Size, "\"16MiB\"", "memory for verified tokens, so that none is verified twice; `0B`: none"),
    ],
    later: &["jwks_url"],
};

static ISSUER: Section = Section {
    keys: &[
        key("issuer", Kind::Text, "none", "the claim `iss` of its tokens; none: it is not looked at"),
        key(
            "audience",
            TEXTS,
            "[]",
            "the claim `aud` must name one of these; none: tokens for an audience are refused",
        ),
        key("jwks_file", Kind::Text, "none", "a file with a JSON Web Key Set of public keys"),
        key("public_key", Kind::Text, "none", "a PEM file with one public key"),
        key("secret_file", Kind::Text, "none", "a file with 32 bytes or more that the issuer shares, for HMAC"),
        key(
            "algorithms",
            Kind::List(&Kind::Choice(&ALGORITHMS)),
            "[\"RS256\", \"ES256\", \"EdDSA\"]",
            "the only ones that are taken, each with keys of its kind only; with a `secret_file`: `[\"HS256\"]`",
        ),
        key("leeway", Kind::Duration, "\"30s\"", "how far its clock and this one may be apart"),
    ],
    later: &["jwks_url"],
};

/// Whose JSON Web Tokens are believed, and where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// The header with the token. Default `Authorization`.
    pub header: HeaderName,
    /// The cookie with it, where that header is not there.
    pub cookie: Option<String>,
    /// Whether requests without a good token are refused, unless their route says otherwise. Default false.
    pub required: bool,
    /// Bytes of memory for verified tokens. Default 16 MiB.
    pub cache: u64,
    /// Whose tokens are believed. At least one.
    pub issuers: Vec<JwtIssuer>,
}

/// Whose tokens are believed.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtIssuer {
    /// The claim `iss`; none: it is not looked at.
    pub issuer: Option<String>,
    /// Of what the claim `aud` must name one; none: tokens for an audience are refused.
    pub audience: Vec<String>,
    /// How far its clock and this one may be apart. Default 30 s.
    pub leeway: Duration,
    /// What its tokens are verified with.
    pub keys: JwtKeys,
}

/// Keys of an issuer, and the file they come from.
#[derive(Clone, Debug)]
pub struct JwtKeys {
    /// The file.
    pub file: KeyFile,
    /// The keys. At least one.
    pub keys: Arc<[JwtKey]>,
}

/// A key, and what it may verify.
#[derive(Clone, Debug)]
pub struct JwtKey {
    /// The `kid` of its tokens; none: whatever they say.
    pub id: Option<String>,
    /// What it may verify: those of its kind that are allowed.
    pub algorithms: Vec<Algorithm>,
    /// The key itself.
    pub key: DecodingKey,
}

impl PartialEq for JwtKeys {
    /// The keys follow from the file, but for what is allowed.
    fn eq(&self, other: &Self) -> bool {
        let allowed = |keys: &Self| keys.keys.iter().map(|key| key.algorithms.clone()).collect::<Vec<_>>();
        self.file == other.file && allowed(self) == allowed(other)
    }
}

impl Jwt {
    pub(super) fn check(checker: &mut Checker<'_>, table: &Table, at: &At) -> Self {
        let header = table.text("header").and_then(|text| checker.header(text)).unwrap_or(AUTHORIZATION);
        let cookie = table.text("cookie").and_then(|text| checker.cookie(text));
        let issuers: Vec<JwtIssuer> =
            table.tables("issuers").filter_map(|(table, at)| JwtIssuer::check(checker, table, at)).collect();
        if table.get("issuers").is_some() && table.list("issuers").is_empty() {
            checker.problem(at, "there must be at least one issuer");
        }
        let (required, cache) = (table.boolean("required", false), table.size("cache", CACHE));
        Self { header, cookie, required, cache, issuers }
    }
}

impl JwtIssuer {
    fn check(checker: &mut Checker<'_>, table: &Table, at: &At) -> Option<Self> {
        let (kind, path) = checker.one_of(table, at, &["jwks_file", "public_key", "secret_file"])?;
        let allowed = algorithms(checker, table, kind == "secret_file")?;
        let file = KeyFile::read(checker, path)?;
        let keys = match kind {
            "jwks_file" => key_set(file.bytes(), &allowed),
            "public_key" => public_key(file.bytes(), &allowed),
            _ => secret(file.secret(), &allowed),
        };
        let keys = keys.map_err(|wrong| checker.problem(path.1, format!("{}: {wrong}", path.0))).ok()?;
        Some(Self {
            issuer: table.text("issuer").map(|(text, _)| text.to_owned()),
            audience: table.texts("audience").map(|(text, _)| text.to_owned()).collect(),
            leeway: table.duration("leeway", Duration::from_secs(30)),
            keys: JwtKeys { file, keys: keys.into() },
        })
    }
}

/// What is allowed: never HMAC with what everybody may know, and nothing else with a secret.
fn algorithms(checker: &mut Checker<'_>, table: &Table, is_secret: bool) -> Option<Vec<Algorithm>> {
    let Some(node) = table.get("algorithms") else {
        let usual = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
        return Some(if is_secret { vec![Algorithm::HS256] } else { usual.to_vec() });
    };
    let allowed: Vec<Algorithm> = table.texts("algorithms").filter_map(|(text, _)| text.parse().ok()).collect();
    let wrong = match is_secret {
        _ if allowed.is_empty() => "there must be at least one algorithm",
        true if allowed.iter().any(|algorithm| algorithm.family() != AlgorithmFamily::Hmac) => {
            "a `secret_file` goes with HS256, HS384 and HS512 only"
        }
        false if allowed.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac) => {
            "HS256, HS384 and HS512 need a `secret_file`: whoever knows a public key could sign with it"
        }
        true | false => return Some(allowed),
    };
    checker.problem(&node.at, wrong);
    None
}

fn secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Vec<JwtKey>, String> {
    if secret.len() < SHORTEST_SECRET {
        return Err("a secret has 32 bytes or more, like what `openssl rand -hex 32` gives".to_owned());
    }
    let key = DecodingKey::from_secret(secret).map_err(|error| error.to_string())?;
    Ok(vec![JwtKey { id: None, algorithms: allowed.to_vec(), key }])
}

fn public_key(pem: &[u8], allowed: &[Algorithm]) -> Result<Vec<JwtKey>, String> {
    // A private key has no place here, though a public one could be made of it.
    let is_public = std::str::from_utf8(pem).is_ok_and(|text| text.contains("PUBLIC KEY-----"));
    let read = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
    let key = read.into_iter().find_map(|read| read(pem).ok()).filter(|_| is_public);
    let key = key.ok_or("this is no PEM file with a public key of RSA, P-256, P-384 or Ed25519")?;
    let algorithms = fitting(&key, allowed);
    if algorithms.is_empty() {
        return Err(format!("this key fits none of the algorithms {}", named(allowed)));
    }
    Ok(vec![JwtKey { id: None, algorithms, key }])
}

fn key_set(json: &[u8], allowed: &[Algorithm]) -> Result<Vec<JwtKey>, String> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|error| format!("this is no JSON Web Key Set: {error}"))?;
    let keys: Vec<JwtKey> = set.keys.iter().filter_map(|jwk| of_set(jwk, allowed)).collect();
    if keys.is_empty() {
        return Err(format!("there is no public key in it that fits one of {}", named(allowed)));
    }
    Ok(keys)
}

/// A key of a set; none: it is for something else, or of a kind that is not allowed.
fn of_set(jwk: &Jwk, allowed: &[Algorithm]) -> Option<JwtKey> {
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
    let only = jwk.common.key_algorithm.map(|only| only.to_string());
    let mut algorithms = fitting(&key, allowed);
    algorithms.retain(|algorithm| only.as_ref().is_none_or(|only| *only == format!("{algorithm:?}")));
    let id = jwk.common.key_id.clone();
    (!algorithms.is_empty()).then_some(JwtKey { id, algorithms, key })
}

/// Those of the algorithms that a public key can verify; none for one that is too short or of another curve.
fn fitting(key: &DecodingKey, allowed: &[Algorithm]) -> Vec<Algorithm> {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    let length = match key.kind() {
        SecretOrDer(bytes) => bytes.len(),
        RsaModulusExponent { n, .. } => n.len(),
    };
    let fits = |algorithm: &Algorithm| match key.family() {
        AlgorithmFamily::Hmac => false,
        AlgorithmFamily::Rsa => algorithm.family() == AlgorithmFamily::Rsa && length >= SHORTEST_MODULUS,
        // An uncompressed point: one byte and two coordinates.
        AlgorithmFamily::Ec => matches!((algorithm, length), (Algorithm::ES256, 65) | (Algorithm::ES384, 97)),
        AlgorithmFamily::Ed => *algorithm == Algorithm::EdDSA && length == 32,
    };
    allowed.iter().copied().filter(fits).collect()
}

fn named(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect::<Vec<_>>().join(", ")
}
