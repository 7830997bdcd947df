//! `baggage` towards the upstream (W3C Baggage): what the client sent, and the request's flags as `flag.<key>=<variation>`.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub(super) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What the names of our members begin with. Nobody else may say such a thing.
const PREFIX: &str = "flag.";

/// Members that every system must pass on; there are no more.
const MOST_MEMBERS: usize = 64;

/// Bytes that every system must pass on; there are no more.
const MOST_BYTES: usize = 8192;

/// What cannot stand in a value as it is: all but `baggage-octet`, and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// The value for the upstream; `None`: there is nothing to say. Where not all has room, the client's last members go first.
pub(super) fn baggage<'f>(headers: &HeaderMap, flags: impl Iterator<Item = (&'f str, &'f str)>) -> Option<HeaderValue> {
    let mut room = Room { members: MOST_MEMBERS, bytes: MOST_BYTES };
    let mut ours = String::new();
    for (key, variation) in flags.filter(|(key, _)| is_token(key)) {
        let value = utf8_percent_encode(variation, ENCODED);
        let member = format!("{PREFIX}{key}={value}");
        if room.takes(&member) {
            append(&mut ours, &member);
        }
    }
    let mut all = String::new();
    let values = headers.get_all(BAGGAGE).iter().filter_map(|value| value.to_str().ok());
    let theirs = values.flat_map(|value| value.split(',')).map(|member| member.trim_matches([' ', '\t']));
    for member in theirs.filter(|member| is_theirs(member)) {
        if !room.takes(member) {
            break;
        }
        append(&mut all, member);
    }
    if !ours.is_empty() {
        append(&mut all, &ours);
    }
    if all.is_empty() { None } else { HeaderValue::from_str(&all).ok() }
}

/// What still fits.
struct Room {
    members: usize,
    bytes: usize,
}

impl Room {
    /// Whether a member, with its comma, fits; then it is taken.
    fn takes(&mut self, member: &str) -> bool {
        let size = member.len() + 1;
        let fits = self.members > 0 && size <= self.bytes;
        if fits {
            self.members -= 1;
            self.bytes -= size;
        }
        fits
    }
}

fn append(all: &mut String, member: &str) {
    if !all.is_empty() {
        all.push(',');
    }
    all.push_str(member);
}

/// Whether a member is well-formed and does not pretend to be ours, not even where names are decoded or taken in any case.
fn is_theirs(member: &str) -> bool {
    let Some((name, _)) = member.split_once('=') else { return false };
    let name = name.trim_end_matches([' ', '\t']);
    let mut decoded = percent_decode_str(name).map(|byte| byte.to_ascii_lowercase());
    is_token(name) && !PREFIX.bytes().all(|byte| decoded.next() == Some(byte))
}

/// A token of RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[&str], flags: &[(&str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(BAGGAGE, HeaderValue::from_str(value).unwrap());
        }
        baggage(&headers, flags.iter().copied()).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn flags_stand_behind_what_the_client_sent() {
        for (values, flags, expected) in [
            (&[][..], &[][..], None),
            (&[""], &[], None),
            (&[], &[("theme", "blue")], Some("flag.theme=blue")),
            (&["a=1;p=2 , b=%20"], &[("theme", "blue")], Some("a=1;p=2,b=%20,flag.theme=blue")),
            (&["a=1", "b=2"], &[("x", "y"), ("z", "1")], Some("a=1,b=2,flag.x=y,flag.z=1")),
            // What is malformed goes.
            (&["a, =1, b c=2, ok=1,,"], &[], Some("ok=1")),
            // A key that is no token cannot be said.
            (&[], &[("a b", "x"), ("ü", "x"), ("ok", "é, \";\\%")], Some("flag.ok=%C3%A9%2C%20%22%3B%5C%25")),
        ] {
            assert_eq!(told(values, flags).as_deref(), expected, "{values:?} {flags:?}");
        }
    }

    #[test]
    fn nobody_else_says_what_a_flag_gave() {
        for forged in [
            "flag.theme=red",
            "Flag.theme=red",
            "flag.=x",
            "fl%61g.theme=red",
            "%66lag%2etheme=red",
            "flag.theme =red;p",
        ] {
            assert_eq!(told(&[forged], &[("theme", "blue")]).as_deref(), Some("flag.theme=blue"), "{forged}");
        }
        assert_eq!(told(&["flags=1,flag=2"], &[]).as_deref(), Some("flags=1,flag=2"));
    }

    #[test]
    fn there_is_never_more_than_every_system_passes_on() {
        let many: Vec<String> = (0..100).map(|number| format!("k{number}=v")).collect();
        let long = format!("a=1,b={},c=3", "x".repeat(8180));
        let flag = [("theme", "blue")];
        let all = told(&[&many.join(",")], &flag).unwrap();
        assert_eq!((all.split(',').count(), all.split(',').next_back()), (64, Some("flag.theme=blue")));
        assert_eq!(told(&[&long], &flag).as_deref(), Some("a=1,flag.theme=blue"));
        let keys: Vec<String> = (0..200).map(|number| format!("{number}{}", "y".repeat(120))).collect();
        let flags: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "on")).collect();
        let all = told(&["a=1"], &flags).unwrap();
        assert!(
            all.len() <= MOST_BYTES && all.split(',').count() <= MOST_MEMBERS && all.contains("flag.0yy"),
            "{}",
            all.len()
        );
    }
}
