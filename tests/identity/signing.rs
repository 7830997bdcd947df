//! Signs tokens, as issuers do.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
        RsaKeyPair,
    },
};
use serde_json::Value;

/// Where the keys are. They are for tests only.
pub(crate) const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jwt");

/// What is shared with the issuer that signs by HMAC.
pub(crate) const SECRET: &str = "a secret of thirty-two bytes or more";

fn key(name: &str) -> Vec<u8> {
    fs::read(format!("{KEYS}/{name}")).unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with this header and these claims, signed as `by` does.
pub(crate) fn token(header: &Value, claims: &Value, by: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = by(message.as_bytes());
    format!("{message}.{}", encode(signature))
}

fn rsa(encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let pair = RsaKeyPair::from_pkcs8(&key("rsa.pk8")).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

pub(crate) fn rs256(message: &[u8]) -> Vec<u8> {
    rsa(&RSA_PKCS1_SHA256, message)
}

pub(crate) fn ps256(message: &[u8]) -> Vec<u8> {
    rsa(&RSA_PSS_SHA256, message)
}

pub(crate) fn es256(message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key("ec.pk8"), &random).unwrap();
    pair.sign(&random, message).unwrap().as_ref().to_vec()
}

pub(crate) fn eddsa(message: &[u8]) -> Vec<u8> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key("ed.pk8")).unwrap().sign(message).as_ref().to_vec()
}

/// HMAC with any bytes, also with a public key that somebody takes for a secret.
pub(crate) fn hs256(secret: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    move |message| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}
