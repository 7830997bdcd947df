//! Deployments of files, for `flaggate apply`: each becomes what its file says. None is started by that; a new version of
//! one that runs takes its place.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    definitions::Definitions,
    documents::{Noun, in_path},
    failure::refused_at,
    remote::Remote,
};

/// What a file does not say of a deployment.
const NOT_WRITTEN: [&str; 3] = ["status", "created_at", "updated_at"];

/// What has to be done so that the deployments are those of the files: rows of a plan.
pub(in crate::cli) fn planned(remote: &Remote, definitions: &Definitions, prune: bool) -> Result<Vec<Value>> {
    if definitions.deployments().next().is_none() {
        return Ok(Vec::new());
    }
    let stored = remote.ask(&Method::GET, "/deployments")?;
    let stored = stored.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows: Vec<Value> = definitions.deployments().map(|wanted| row(wanted, stored)).collect();
    if prune {
        let is_named = |id: &Value| definitions.deployments().any(|wanted| wanted["id"] == *id);
        let gone = stored.iter().map(|document| &document["id"]).filter(|id| !is_named(id));
        rows.extend(gone.map(|id| json!({ "key": id, "action": "deleted" })));
    }
    Ok(rows)
}

fn row(wanted: &Value, stored: &[Value]) -> Value {
    let id = &wanted["id"];
    let Some(found) = stored.iter().find(|document| document["id"] == *id) else {
        return json!({ "key": id, "action": "created" });
    };
    let both = [found, wanted].map(|document| document.as_object().cloned().unwrap_or_default());
    let names = both.iter().flat_map(|fields| fields.keys()).filter(|name| !NOT_WRITTEN.contains(&name.as_str()));
    let mut changes: Vec<Value> = Vec::new();
    for name in names {
        let (before, after) = (&found[name.as_str()], &wanted[name.as_str()]);
        if before != after && changes.iter().all(|change| change["field"] != *name) {
            changes.push(json!({ "field": name, "before": before, "after": after }));
        }
    }
    let action = if changes.is_empty() { "unchanged" } else { "updated" };
    json!({ "key": id, "action": action, "changes": changes })
}

/// Does what the rows of a plan say; `dry_run`: only asks whether it could be done.
pub(in crate::cli) fn apply(remote: &Remote, definitions: &Definitions, rows: &[Value], dry_run: bool) -> Result<()> {
    for row in rows {
        let id = row["key"].as_str().unwrap_or_default();
        let path = Noun::DEPLOYMENT.path(id, if dry_run { "?dry_run=true" } else { "" });
        let (method, body) = match row["action"].as_str() {
            Some("deleted") => (Method::DELETE, None),
            Some("created" | "updated") => {
                let wanted = definitions.deployments().find(|wanted| wanted["id"] == row["key"]);
                (Method::PUT, wanted.map(|wanted| ("application/json", wanted.to_string())))
            }
            Some(_) | None => continue,
        };
        let (status, text) = remote.send(&method, &path, body)?;
        if !status.is_success() {
            let error = refused_at(status, &text, |pointer| definitions.in_deployment(id, pointer));
            return Err(error.context(format!("the deployment {}", in_path(id))));
        }
    }
    Ok(())
}
