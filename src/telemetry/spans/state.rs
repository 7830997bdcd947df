//! `tracestate`: what tracing systems keep for themselves in a request (W3C Trace Context, 3.3).

use http::{HeaderMap, HeaderValue};

use super::context::TRACESTATE;

/// Members that there may be.
const MOST_MEMBERS: usize = 32;

/// Bytes that are passed on; 512 are the least that must be.
const MOST_BYTES: usize = 2048;

/// The `tracestate` of a request in one value; `None`: there is none, or anything in it is malformed.
pub(super) fn of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let first = values.next()?;
    let state = match values.next() {
        None => first.clone(),
        Some(second) => {
            let mut joined = [first.as_bytes(), second.as_bytes()].join(&b',');
            for more in values {
                joined.push(b',');
                joined.extend_from_slice(more.as_bytes());
            }
            HeaderValue::from_bytes(&joined).ok()?
        }
    };
    is_valid(state.to_str().ok()?).then_some(state)
}

fn is_valid(text: &str) -> bool {
    let mut keys = smallvec::SmallVec::<[&str; MOST_MEMBERS]>::new();
    // A member may be empty.
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else { return false };
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    (1..=MOST_MEMBERS).contains(&keys.len()) && text.len() <= MOST_BYTES
}

/// A simple key, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let letters = |text: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let begins = |text: &str, digits: bool| {
        text.starts_with(|first: char| first.is_ascii_lowercase() || (digits && first.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => letters(key, 256) && begins(key, false),
        Some((tenant, system)) => {
            letters(tenant, 241) && begins(tenant, true) && letters(system, 14) && begins(system, false)
        }
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
        && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_values(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
        }
        of(&headers).map(|state| state.to_str().unwrap().to_owned())
    }

    #[test]
    fn states_go_on() {
        let long = format!("a={}", "x".repeat(256));
        for values in
            [&["a=1"][..], &["a=1, b=2"], &["fw529a3039@dt=FfFfF"], &["0tenant@sys=1"], &["a=1,,b=2"], &[&long]]
        {
            assert_eq!(of_values(values).as_deref(), Some(values[0]), "{values:?}");
        }
        assert_eq!(of_values(&["a=1", "b=2", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
    }

    #[test]
    fn malformed_states_end_here() {
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        let long = format!("a={}", "x".repeat(257));
        let heavy: Vec<String> = (0..10).map(|number| format!("k{number}={}", "x".repeat(250))).collect();
        for values in [
            &[][..],
            &[""],
            &["a"],
            &["=1"],
            &["a="],
            &["A=1"],
            &["1a=1"],
            &["a@b@c=1"],
            &["@b=1"],
            &["a@1b=1"],
            &["a=1=2"],
            &["a=1,a=2"],
            &["a=é"],
            &["a=1", "b"],
            &[&many.join(",")],
            &[&long],
            &[&heavy.join(",")],
        ] {
            assert_eq!(of_values(values), None, "{values:?}");
        }
    }
}
