//! What each route asks for, read from the OpenAPI document: there is no other list that could differ from it.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;

use crate::model::Role;

/// The security scheme of tokens in the OpenAPI document; its scopes are roles.
pub(in crate::admin) const SCHEME: &str = "token";

/// Paths that stand for others: a flag may be named like a part of the API, and some clients add a slash.
const ALIASES: &[(&str, &str)] = &[
    ("/flags/evaluate", "/flags/{key}"),
    ("/flags/stale", "/flags/{key}"),
    ("/flags/", "/flags"),
    ("/flags/{key}/", "/flags/{key}"),
];

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Rule {
    /// Nothing.
    Public,
    /// A role.
    Role(Role),
    /// What the configuration says of metrics.
    Metrics,
}

/// The rules of all routes.
#[derive(Debug, Default)]
pub(in crate::admin) struct Rules(HashMap<String, Vec<(Method, Rule)>>);

impl Rules {
    /// Reads the rules.
    ///
    /// # Errors
    /// A route says nothing, or names an unknown role.
    pub(in crate::admin) fn of_document(openapi: &Value) -> Result<Self, String> {
        let mut rules = Self::default();
        for (path, item) in openapi["paths"].as_object().into_iter().flatten() {
            for (name, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = name.to_ascii_uppercase().parse::<Method>() else { continue };
                let rule = rule(path, operation).map_err(|why| format!("{method} {path}: {why}"))?;
                rules.0.entry(path.clone()).or_default().push((method, rule));
            }
        }
        Ok(rules)
    }

    /// The rule of a route for a method. HEAD is GET without a body.
    ///
    /// # Errors
    /// Nothing is said of the method; the methods that have a rule.
    pub(in crate::admin) fn of(&self, method: &Method, path: &str) -> Result<Rule, Vec<Method>> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == path).map(|(_, path)| *path);
        let rules = [Some(path), alias].into_iter().flatten().filter_map(|path| self.0.get(path)).flatten();
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let found = rules.clone().find(|(known, _)| known == method).map(|(_, rule)| *rule);
        found.ok_or_else(|| {
            let mut allowed: Vec<Method> = rules.map(|(known, _)| known.clone()).collect();
            if allowed.contains(&Method::GET) {
                allowed.push(Method::HEAD);
            }
            allowed
        })
    }
}

fn rule(path: &str, operation: &Value) -> Result<Rule, String> {
    let requirements = operation["security"].as_array().ok_or("its annotation says nothing of security")?;
    let mut scopes = requirements.iter().filter_map(|requirement| requirement[SCHEME].as_array()).flatten();
    match (scopes.next().and_then(Value::as_str), scopes.next()) {
        (None, None) if requirements.iter().any(|requirement| requirement == &serde_json::json!({})) => {
            Ok(Rule::Public)
        }
        (Some("viewer"), None) if path == "/metrics" => Ok(Rule::Metrics),
        (Some(role), None) => Ok(Rule::Role(role.parse()?)),
        _ => Err("its annotation names no role, or several".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(security: Value) -> Result<Option<Rule>, String> {
        let document = json!({ "paths": { "/flags/{key}": { "get": { "security": security } } } });
        let rules = Rules::of_document(&document)?;
        let found = rules.of(&Method::GET, "/flags/{key}");
        for (method, path) in [(Method::GET, "/flags/evaluate"), (Method::HEAD, "/flags/{key}")] {
            assert_eq!(rules.of(&method, path), found);
        }
        assert_eq!(rules.of(&Method::PUT, "/flags/{key}"), Err(vec![Method::GET, Method::HEAD]));
        assert_eq!(rules.of(&Method::GET, "/else"), Err(Vec::new()));
        Ok(found.ok())
    }

    #[test]
    fn annotations_become_rules() {
        assert_eq!(read(json!([{ "token": ["editor"] }])), Ok(Some(Rule::Role(Role::Editor))));
        assert_eq!(read(json!([{ "token": ["viewer"] }, { "session": [] }])), Ok(Some(Rule::Role(Role::Viewer))));
        assert_eq!(read(json!([{}])), Ok(Some(Rule::Public)));
        for wrong in [json!(null), json!([]), json!([{ "token": [] }]), json!([{ "token": ["root"] }])] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(read(json!([{ "token": ["viewer", "editor"] }])).is_err());
        assert!(read(json!([{}, { "token": ["viewer"] }])).is_ok_and(|rule| rule == Some(Rule::Role(Role::Viewer))));
    }
}
