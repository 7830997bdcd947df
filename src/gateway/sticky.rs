//! Users who are held to where they went first, by a signed cookie.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac::{self, HMAC_SHA256};
use subtle::ConstantTimeEq as _;

use crate::config::StickyKey;

/// What is signed begins with this, so that nothing else that the same secret signs is taken for it.
const PURPOSE: &str = "flaggate sticky 1";

/// A longer cookie is neither made nor looked at.
const LONGEST: usize = 2048;

/// Signs and opens cookies.
///
/// Invariant: a cookie opens only as it was signed: for its route and its user, until it expires.
#[derive(Debug)]
pub(super) struct Seal {
    /// The first signs.
    keys: Vec<(String, hmac::Key)>,
}

/// Where a user is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The strategy that sent the user there first.
    pub(super) strategy: String,
    /// The name of the upstream.
    pub(super) upstream: String,
    /// The flag of the strategy, and its variation; empty where there was none.
    pub(super) flag: String,
    pub(super) variation: String,
}

/// Whose cookie it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder<'a> {
    pub(super) route: &'a str,
    pub(super) user_id: &'a str,
}

impl Seal {
    pub(super) fn new(keys: &[StickyKey]) -> Self {
        let key = |key: &StickyKey| (key.id.clone(), hmac::Key::new(HMAC_SHA256, key.secret.secret()));
        Self { keys: keys.iter().map(key).collect() }
    }

    /// The cookie's value that holds a user there; `until`: in seconds of Unix time. None: it would be too long.
    pub(super) fn sign(&self, holder: Holder<'_>, held: &Held, until: i64) -> Option<String> {
        let (id, key) = self.keys.first()?;
        let Held { strategy, upstream, flag, variation } = held;
        let mut fields = Vec::new();
        for field in [&until.to_string(), strategy, upstream, flag, variation] {
            push(&mut fields, field);
        }
        let claim = URL_SAFE_NO_PAD.encode(fields);
        let tag = tag(key, id, &claim, holder);
        Some(format!("{id}.{claim}.{tag}")).filter(|text| text.len() <= LONGEST)
    }

    /// Where a cookie's value holds this user, if it is good; `now`: in seconds of Unix time.
    pub(super) fn open(&self, text: &str, holder: Holder<'_>, now: i64) -> Option<Held> {
        let mut parts = text.split('.').filter(|_| text.len() <= LONGEST);
        let (Some(id), Some(claim), Some(given), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (_, key) = self.keys.iter().find(|(known, _)| known == id)?;
        // What is compared is the text: there is one way only to write a signature.
        if !bool::from(tag(key, id, claim, holder).as_bytes().ct_eq(given.as_bytes())) {
            return None;
        }
        let fields = URL_SAFE_NO_PAD.decode(claim).ok()?;
        let mut rest = &*fields;
        let mut next = || pop(&mut rest);
        let until: i64 = next()?.parse().ok()?;
        let held = Held { strategy: next()?, upstream: next()?, flag: next()?, variation: next()? };
        (until > now).then_some(held)
    }
}

fn tag(key: &hmac::Key, id: &str, claim: &str, holder: Holder<'_>) -> String {
    let mut signed = Vec::with_capacity(256);
    for field in [PURPOSE, id, claim, holder.route, holder.user_id] {
        push(&mut signed, field);
    }
    URL_SAFE_NO_PAD.encode(hmac::sign(key, &signed))
}

/// Appends a field behind its length, so that no two lists of fields look the same.
fn push(bytes: &mut Vec<u8>, field: &str) {
    bytes.extend_from_slice(&(field.len() as u64).to_be_bytes()[4..]);
    bytes.extend_from_slice(field.as_bytes());
}

fn pop(rest: &mut &[u8]) -> Option<String> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (field, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = behind;
    String::from_utf8(field.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secrets: &[(&str, &[u8])]) -> Seal {
        let key = |(id, secret): &(&str, &[u8])| ((*id).to_owned(), hmac::Key::new(HMAC_SHA256, secret));
        Seal { keys: secrets.iter().map(key).collect() }
    }

    fn held() -> Held {
        let [strategy, upstream, flag, variation] = ["canary", "shop-v2", "the-flag", "on"].map(str::to_owned);
        Held { strategy, upstream, flag, variation }
    }

    const ANN: Holder<'_> = Holder { route: "shop", user_id: "ann" };

    #[test]
    fn no_flipped_bit_is_taken() {
        let seal = seal(&[("k1", b"first"), ("k0", b"second")]);
        let mut flips = 0;
        for number in 0.. {
            let until = 1_000 + number;
            let text = seal.sign(ANN, &held(), until).unwrap();
            assert_eq!(seal.open(&text, ANN, 999), Some(held()));
            for bit in 0..text.len() * 8 {
                let mut bytes = text.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                assert_eq!(seal.open(&flipped, ANN, 999), None, "{flipped}");
                flips += 1;
            }
            if flips >= 20_000 {
                return;
            }
        }
    }

    #[test]
    fn a_cookie_is_for_one_user_on_one_route_until_it_expires() {
        let seal = seal(&[("k1", b"first")]);
        let text = seal.sign(ANN, &held(), 1_000).unwrap();
        for (route, user_id, now, is_good) in [
            ("shop", "ann", 999, true),
            ("shop", "ann", 1_000, false),
            ("shop", "bob", 999, false),
            ("shop", "", 999, false),
            ("shopa", "nn", 999, false),
            ("other", "ann", 999, false),
        ] {
            let opened = seal.open(&text, Holder { route, user_id }, now);
            assert_eq!(opened, is_good.then(held), "{route} {user_id} {now}");
        }
        for text in ["", ".", "..", "k1..", "k1.a.b", "k1.a.b.c", &"x".repeat(5_000)] {
            assert_eq!(seal.open(text, ANN, 0), None, "{text}");
        }
    }

    #[test]
    fn keys_are_rotated() {
        let (old, both, new) = (seal(&[("a", b"1")]), seal(&[("b", b"2"), ("a", b"1")]), seal(&[("b", b"2")]));
        let [by_old, by_both] = [&old, &both].map(|seal| seal.sign(ANN, &held(), 9).unwrap());
        assert_eq!(both.open(&by_old, ANN, 0), Some(held()));
        assert_eq!(new.open(&by_both, ANN, 0), Some(held()));
        assert_eq!((new.open(&by_old, ANN, 0), old.open(&by_both, ANN, 0)), (None, None));
        // An id alone makes no key.
        assert_eq!(seal(&[("a", b"2")]).open(&by_old, ANN, 0), None);
    }
}
