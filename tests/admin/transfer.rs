//! `/export` and `/import`.

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::harness::{Served, serve};

impl Served {
    /// An import: the status and the JSON of the answer.
    async fn import(&self, query: &str, kind: &str, text: impl Into<String>) -> (u16, Value) {
        let url = format!("http://{}/import{query}", self.address);
        let answer = self.client.post(url).header(CONTENT_TYPE, kind).body(text.into()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
    }

    async fn text(&self, path: &str) -> (String, String) {
        let answer = self.client.request(Method::GET, format!("http://{}{path}", self.address)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (kind, answer.text().await.unwrap())
    }
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// Two flags, the first resting on the second.
fn two() -> Value {
    json!({"flags": [
        {"key": "top", "name": "Top", "prerequisites": ["base"], "tags": ["x"]},
        {"key": "base", "name": "Base", "rollout_enabled": true, "rollout_percentage": 12.5},
    ]})
}

fn actions(plan: &Value) -> Vec<String> {
    let flags = plan["flags"].as_array().unwrap_or_else(|| panic!("{plan}"));
    flags.iter().map(|flag| format!("{} {}", flag["key"].as_str().unwrap(), flag["action"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_is_exported_is_imported_again_without_a_change() {
    let served = serve().await;
    let (status, plan) = served.import("?dry_run=true", JSON, two().to_string()).await;
    assert_eq!((status, &plan["dry_run"]), (200, &json!(true)));
    assert_eq!(served.get("/flags/base").await.0, 404, "a dry run writes nothing");
    let (status, plan) = served.import("", JSON, two().to_string()).await;
    assert_eq!((status, actions(&plan)), (200, vec!["base created".to_owned(), "top created".to_owned()]));
    assert_eq!(plan["counts"], json!({"created": 2, "updated": 0, "unchanged": 0, "deleted": 0}));
    assert_eq!(served.get("/flags/base").await.1["rollout_percentage"], 12.5);
    for (format, kind) in [("json", JSON), ("yaml", YAML)] {
        let (sent, text) = served.text(&format!("/export?format={format}")).await;
        assert_eq!(sent, kind);
        let (status, plan) = served.import("?mode=replace&format=flaggate", kind, text.clone()).await;
        assert_eq!((status, &plan["counts"]["unchanged"]), (200, &json!(2)), "{text}{plan}");
        let (status, plan) = serve().await.import("?wait=all", kind, text).await;
        assert_eq!((status, &plan["counts"]["created"], &plan["acknowledged"]), (202, &json!(2), &json!(0)));
    }
    assert_eq!(served.get("/export?format=xml").await.0, 422);
}

#[tokio::test]
async fn merge_leaves_others_alone_and_replace_deletes_them() {
    let served = serve().await;
    assert_eq!(served.import("", JSON, two().to_string()).await.0, 200);
    let other = "- key: other\n  name: Other\n- key: base\n  name: Base\n  rollout_enabled: false\n";
    let (_, plan) = served.import("?dry_run=1", YAML, other).await;
    assert_eq!(actions(&plan), ["other created", "base updated"]);
    assert_eq!(
        plan["flags"][1]["changes"],
        json!([
            {"field": "rollout_enabled", "before": true, "after": false},
            {"field": "rollout_percentage", "before": 12.5, "after": 0.0}
        ])
    );
    let (status, answer) = served
        .import("?mode=replace", JSON, json!([{"key": "top", "name": "Top", "prerequisites": ["base"]}]).to_string())
        .await;
    assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/0/prerequisites/0")), "{answer}");
    let (status, plan) = served.import("?mode=replace", YAML, other).await;
    assert_eq!(
        (status, actions(&plan)),
        (200, ["other created", "base updated", "top deleted"].map(str::to_owned).to_vec())
    );
    assert_eq!((served.get("/flags/top").await.0, served.get("/flags/other").await.0), (404, 200));
}

#[tokio::test]
async fn nothing_is_written_when_anything_is_wrong() {
    let served = serve().await;
    let with = |flag: Value| json!({"flags": [{"key": "good", "name": "Good"}, flag]}).to_string();
    for (body, pointer) in [
        (
            with(
                json!({"key": "a", "name": "A", "targeting_rules": [{"attribute": "x", "operator": "eq", "value": 1}]}),
            ),
            "/flags/1/targeting_rules/0/operator",
        ),
        (with(json!({"key": "a", "name": "A", "zzz": 1})), "/flags/1/zzz"),
        (with(json!({"key": "a/b", "name": "A"})), "/flags/1/key"),
        (with(json!({"key": "a"})), "/flags/1/name"),
        (with(json!({"name": "A"})), "/flags/1/key"),
        (with(json!({"key": 1, "name": "A"})), "/flags/1/key"),
        (with(json!({"key": "a", "name": "A", "prerequisites": ["nobody"]})), "/flags/1/prerequisites/0"),
        (with(json!({"key": "a", "name": "A", "parent": "a"})), "/flags/1/parent"),
        (with(json!({"key": "good", "name": "Twice"})), "/flags/1"),
        (with(json!("a")), "/flags/1"),
        (json!({"flags": [], "more": 1}).to_string(), "/more"),
        (json!({"flags": 1}).to_string(), "/flags"),
        (json!({"nothing": "known"}).to_string(), ""),
        (
            json!([{"key": "a", "name": "A", "parent": "b"}, {"key": "b", "name": "B", "prerequisites": ["a"]}])
                .to_string(),
            "/0/parent",
        ),
        ("{\"flags\": [".to_owned(), ""),
        ("\"text\"".to_owned(), ""),
        (String::new(), ""),
    ] {
        let (status, answer) = served.import("", JSON, body.clone()).await;
        assert_eq!(
            (status, &answer["status"], &answer["errors"][0]["pointer"]),
            (422, &json!(422), &json!(pointer)),
            "{body}: {answer}"
        );
    }
    assert_eq!(served.import("?mode=all", JSON, "[]").await.0, 422);
    assert_eq!(served.import("?dry_run=maybe", JSON, "[]").await.0, 422);
    assert_eq!(served.import("?format=xml", JSON, "[]").await.0, 422);
    assert_eq!(served.import("", "text/plain", "[]").await.0, 415);
    assert_eq!(served.import("", JSON, " ".repeat((16 << 20) + 1)).await.0, 413);
    assert_eq!(served.get("/flags").await.1, json!([]));
}

#[tokio::test]
async fn a_large_import_is_one_request() {
    let served = serve().await;
    let flags: Vec<Value> = (0..2_000)
        .map(|number| json!({"key": format!("f{number}"), "name": "F", "description": "d".repeat(700)}))
        .collect();
    let body = json!({ "flags": flags }).to_string();
    assert!(body.len() > 1 << 20);
    let (status, plan) = served.import("", JSON, body.clone()).await;
    assert_eq!((status, &plan["counts"]["created"]), (200, &json!(2_000)));
    assert_eq!(
        served.post("/flags", json!({"key": "x", "name": "x".repeat(1 << 20)})).await.0,
        413,
        "others stay small"
    );
}

#[tokio::test]
async fn segments_go_with_the_flags_that_name_them() {
    let served = serve().await;
    let bar =
        json!({ "key": "bar", "name": "Bar", "targeting_rules": [{ "segments": ["vip"], "return_value": true }] });
    let vip = json!({ "id": "vip", "name": "VIP", "parent_segments": ["rich"], "estimated_size": 7 });
    let rich = json!({ "id": "rich", "name": "Rich" });
    let both = json!({ "flags": [bar], "segments": [vip, rich] });
    let (status, plan) = served.import("", JSON, both.to_string()).await;
    assert_eq!((status, actions(&plan)), (200, vec!["bar created".to_owned()]), "{plan}");
    assert_eq!(
        plan["segments"],
        json!([{ "key": "rich", "action": "created" }, { "key": "vip", "action": "created" }])
    );
    assert_eq!(plan["counts"]["created"], 3);

    let (_, exported) = served.text("/export").await;
    let (_, plan) = served.import("?mode=replace", JSON, exported.clone()).await;
    assert_eq!(plan["counts"], json!({ "created": 0, "updated": 0, "unchanged": 3, "deleted": 0 }));
    let elsewhere = serve().await;
    assert_eq!(elsewhere.import("", JSON, exported).await.1["counts"]["created"], 3);

    // What the service works out is no difference, and stays.
    let sized = json!({ "segments": [{ "id": "vip", "name": "Very", "parent_segments": ["rich"] }] });
    let (_, plan) = served.import("", JSON, sized.to_string()).await;
    assert_eq!(plan["segments"][0]["changes"], json!([{ "field": "name", "before": "VIP", "after": "Very" }]));
    assert_eq!(served.get("/segments/vip").await.1["estimated_size"], 7);

    // A flag may name a segment that is there already; an array of flags says nothing of segments.
    let (status, plan) = served.import("?mode=replace", JSON, json!([bar]).to_string()).await;
    assert_eq!((status, &plan["segments"]), (200, &json!([])));
    assert_eq!(served.get("/segments/vip").await.0, 200);

    let (status, problem) = served.import("?mode=replace", JSON, r#"{"segments": []}"#).await;
    let message = "the flag \"bar\" names the segment \"vip\", which would be deleted";
    assert_eq!((status, &problem["errors"][0]["message"]), (422, &json!(message)), "{problem}");
    let (status, plan) = served.import("?mode=replace", JSON, r#"{"flags": [], "segments": []}"#).await;
    assert_eq!((status, &plan["counts"]["deleted"]), (200, &json!(3)), "{plan}");
    assert_eq!(
        plan["segments"],
        json!([{ "key": "vip", "action": "deleted" }, { "key": "rich", "action": "deleted" }])
    );

    for (body, pointer) in [
        (json!({ "segments": [{ "id": "a", "name": "A" }, { "id": "a", "name": "A" }] }), "/segments/1"),
        (json!({ "models": [{ "id": "m", "kind": "logistic", "feature_columns": [] }] }), "/models/0/coefficients"),
        (
            json!({ "segments": [{ "id": "a", "name": "A", "type": "composite", "expression": "(b" }] }),
            "/segments/0/expression",
        ),
        (
            json!({ "segments": [{ "id": "a", "name": "A", "parent_segments": ["b"] }, { "id": "b", "name": "B", "parent_segments": ["a"] }] }),
            "/segments/0/parent_segments/0",
        ),
        (json!({ "segments": [{ "name": "A" }] }), "/segments/0/id"),
        (json!({ "segments": {} , "flags": [] }), "/segments"),
        (json!({ "flags": [], "colors": [] }), "/colors"),
    ] {
        let (status, problem) = served.import("?format=flaggate", JSON, body.to_string()).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {problem}");
    }
    let (status, plan) = served.import("", YAML, "id: lone\nname: A single one\n").await;
    assert_eq!((status, &plan["segments"][0]["key"]), (200, &json!("lone")), "{plan}");
}

#[tokio::test]
async fn models_go_with_the_segments_that_ask_them() {
    let served = serve().await;
    let churn = json!({ "id": "churn", "kind": "logistic", "feature_columns": ["visits"], "scaler": { "mean": [10.0], "scale": [2.0] },
        "coefficients": [-1.0], "intercept": 0.0 });
    let leaving = json!({ "id": "leaving", "name": "Leaving", "type": "ml_based", "ml_model_id": "churn",
        "feature_columns": ["visits"] });
    let both = json!({ "segments": [leaving], "models": [churn] });
    let (status, plan) = served.import("", JSON, both.to_string()).await;
    assert_eq!((status, &plan["models"]), (200, &json!([{ "key": "churn", "action": "created" }])), "{plan}");
    let (_, exported) = served.text("/export").await;
    let elsewhere = serve().await;
    assert_eq!(elsewhere.import("?mode=replace", JSON, exported.clone()).await.1["counts"]["created"], 2);
    let (_, plan) = elsewhere.import("?mode=replace", JSON, exported).await;
    assert_eq!(plan["counts"], json!({ "created": 0, "updated": 0, "unchanged": 2, "deleted": 0 }));
    let ask = json!({ "user_id": "ann", "segments": ["leaving"], "attributes": { "visits": 1 } });
    assert_eq!(elsewhere.ask(Method::POST, "/segments/evaluate", Some(ask)).await.1["segments"], json!(["leaving"]));

    let (status, problem) = served.import("?mode=replace", JSON, r#"{"models": []}"#).await;
    let message = "the segment \"leaving\" asks the model \"churn\", which would be deleted";
    assert_eq!((status, &problem["errors"][0]["message"]), (422, &json!(message)), "{problem}");
    let (status, plan) = served.import("?mode=replace", JSON, r#"{"segments": [], "models": []}"#).await;
    assert_eq!((status, &plan["counts"]["deleted"]), (200, &json!(2)), "{plan}");
    let (status, plan) = served.import("", JSON, churn.to_string()).await;
    assert_eq!((status, &plan["models"][0]["action"]), (200, &json!("created")), "a single one");
}
