//! What arms are called in keys and fields.

use std::sync::Arc;

use crate::model::{Arm, Subject};

/// What an arm is called: an array of its parts, two for a variation and three for a route.
pub(in crate::store) fn name(arm: &Arm) -> String {
    let parts: Vec<&str> = match arm {
        Arm::Route { route, strategy, upstream } => vec![route, strategy, upstream],
        Arm::Variation { flag, variation } => vec![flag, variation],
    };
    serde_json::json!(parts).to_string()
}

/// The arm of a name; none: of another version perhaps.
pub(in crate::store) fn arm(name: &str) -> Option<Arm> {
    let parts: Vec<Arc<str>> = serde_json::from_str(name).ok()?;
    match <[Arc<str>; 3]>::try_from(parts) {
        Ok([route, strategy, upstream]) => Some(Arm::Route { route, strategy, upstream }),
        Err(parts) => {
            let [flag, variation] = <[Arc<str>; 2]>::try_from(parts).ok()?;
            Some(Arm::Variation { flag, variation })
        }
    }
}

/// What a flag or a route is called: an array of its kind and its name.
pub(in crate::store) fn subject_name(subject: &Subject) -> String {
    let (kind, name) = match subject {
        Subject::Flag(key) => ("flag", key),
        Subject::Route(name) => ("route", name),
    };
    serde_json::json!([kind, name]).to_string()
}

/// The flag or route of a name.
pub(in crate::store) fn subject(name: &str) -> Option<Subject> {
    let (kind, name): (String, Arc<str>) = serde_json::from_str(name).ok()?;
    match kind.as_str() {
        "flag" => Some(Subject::Flag(name)),
        "route" => Some(Subject::Route(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let route = Arm::Route { route: "r".into(), strategy: "canary".into(), upstream: "u:1".into() };
        let odd = Arm::Variation { flag: "a\",\"b:\0".into(), variation: "".into() };
        for known in [route, odd] {
            assert_eq!(arm(&name(&known)), Some(known.clone()));
            assert_eq!(subject(&subject_name(&known.subject())), Some(known.subject()));
        }
        assert_eq!((arm("[]"), arm("x"), arm("[1,2]")), (None, None, None));
        assert_eq!((subject("[\"flag\"]"), subject("[\"other\",\"x\"]")), (None, None));
    }
}
