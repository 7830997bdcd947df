//! The OpenFeature Remote Evaluation Protocol on the wire.

mod answers;
mod bulk;
mod events;
mod schema;

use flaggate::{
    clock,
    model::DocumentKey,
    store::{Expected, Store, Write},
};
use reqwest::{Response, header};
use serde_json::{Value, json};

use crate::harness::{Served, serve};

const ALL: &str = "/ofrep/v1/evaluate/flags";

fn flags() -> [Value; 12] {
    [
        json!({ "key": "on", "default_value": true }),
        json!({ "key": "off", "default_value": true, "enabled": false }),
        json!({ "key": "limit", "flag_type": "number", "default_value": 1 }),
        json!({ "key": "theme", "flag_type": "string", "default_value": "dark",
            "variants": { "dark": "dark", "light": "light" }, "targeting_enabled": true,
            "targeting_rules": [{ "attribute": "plan", "operator": "equals", "value": "pro", "variant": "light" }] }),
        json!({ "key": "layout", "flag_type": "json", "default_value": { "columns": 2, "wide": null } }),
        json!({ "key": "list", "flag_type": "json", "default_value": [1, "a"] }),
        json!({ "key": "nothing", "flag_type": "json", "default_value": null }),
        json!({ "key": "half", "rollout_enabled": true, "rollout_percentage": 50 }),
        json!({ "key": "everyone", "rollout_enabled": true, "rollout_percentage": 100 }),
        json!({ "key": "nobody", "rollout_enabled": true, "rollout_percentage": 0 }),
        json!({ "key": "by-company", "rollout_enabled": true, "rollout_percentage": 50, "bucket_by": "company" }),
        json!({ "key": "needs-half", "default_value": true, "prerequisites": ["half"] }),
    ]
}

/// A flag service with these flags, and with one whose document is damaged.
async fn served() -> Served {
    let served = serve().await;
    for mut flag in flags() {
        flag["name"] = flag["key"].clone();
        let (status, answer) = served.post("/flags", flag).await;
        assert_eq!(status, 200, "{answer}");
    }
    let write = Write {
        document: DocumentKey::flag("broken"),
        text: Some("{".into()),
        expected: Expected::Absent,
        actor: "another program".to_owned(),
        at: clock::now(),
        fence: None,
    };
    let written = served.store.write(write).await.unwrap();
    assert!(written.world.number > 0);
    // Whoever waits for a later write waits for this one too.
    assert_eq!(served.patch("/flags/on", json!({ "tags": ["t"] })).await.0, 200);
    served
}

impl Served {
    async fn ofrep(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let request = self.client.post(format!("http://{}{path}", self.address)).body(body.to_owned());
        let kind = (header::CONTENT_TYPE.as_str(), "application/json; charset=utf-8");
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(kind.0));
        let headers = headers.iter().copied().chain((!named).then_some(kind));
        headers.fold(request, |request, (name, value)| request.header(name, value)).send().await.unwrap()
    }

    /// The status and the JSON of one evaluation.
    async fn evaluated(&self, key: &str, context: &Value) -> (u16, Value) {
        let body = json!({ "context": context }).to_string();
        let response = self.ofrep(&format!("{ALL}/{key}"), &[], &body).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }
}
