//! The life of a kill switch, and what it kills.

use std::time::Duration;

use flaggate::{
    clock,
    model::{DocumentKey, KillSwitchDocument},
    store::{Expected, Store, Write},
};
use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Served, serve, serve_among};

fn on(key: &str, tags: &[&str]) -> Value {
    json!({ "key": key, "name": key, "tags": tags, "rollout_enabled": true, "rollout_percentage": 100 })
}

/// A gateway that gives signs of life, with some flags.
async fn shop() -> Served {
    let served = serve_among().await;
    for flag in [on("checkout", &["beta"]), on("search", &["beta", "critical"]), on("theme", &[])] {
        assert_eq!(served.post("/flags", flag).await.0, 200);
    }
    let vip =
        json!({ "id": "vip", "name": "VIP", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] });
    assert_eq!(served.post("/segments", vip).await.0, 201);
    served
}

/// Why a flag gives what it gives.
async fn reason(served: &Served, flag: &str) -> Value {
    let asked = json!({ "user_id": "ann", "attributes": { "plan": "pro" } });
    served.post(&format!("/flags/{flag}/evaluate"), asked).await.1["reason"].clone()
}

async fn reasons(served: &Served) -> [Value; 3] {
    [reason(served, "checkout").await, reason(served, "search").await, reason(served, "theme").await]
}

#[tokio::test]
async fn a_switch_is_created_activated_and_deactivated() {
    let served = shop().await;
    let switch =
        json!({ "id": "k", "name": "Checkout", "affected_features": ["checkout"], "status": { "state": "triggered" } });
    let (status, answer) = served.post("/kill-switches", switch.clone()).await;
    assert_eq!((status, answer), (201, json!({ "success": true, "kill_switch_id": "k" })));
    assert_eq!(served.post("/kill-switches", switch).await.0, 409);
    let (_, shown) = served.get("/kill-switches/k").await;
    assert_eq!(
        (&shown["status"]["state"], &shown["scope"]),
        (&json!("inactive"), &json!("feature")),
        "nobody writes a state"
    );
    assert_eq!(reason(&served, "checkout").await, "rollout");

    let (status, answer) = served.post("/kill-switches/k/activate", json!({ "reason": "errors" })).await;
    assert_eq!((status, &answer["state"], &answer["changed"]), (200, &json!("triggered"), &json!(true)), "{answer}");
    assert_eq!((&answer["acknowledged"], &answer["of"]), (&json!(1), &json!(1)), "it waits for all: {answer}");
    assert_eq!((&answer["kills"]["flags"], &answer["kills"]["flag_count"]), (&json!(["checkout"]), &json!(1)));
    assert_eq!(reasons(&served).await, ["killed", "rollout", "rollout"]);
    let (_, again) = served.post("/kill-switches/k/activate", json!({ "reason": "still" })).await;
    assert_eq!((&again["changed"], &again["reason"]), (&json!(false), &json!("errors")), "who was first counts");

    // What is written keeps its state, and what was read can be sent back.
    let (_, shown) = served.get("/kill-switches/k").await;
    assert_eq!(served.ask(Method::PUT, "/kill-switches/k", Some(shown.clone())).await.0, 200);
    assert_eq!(served.get("/kill-switches/k").await.1, shown);
    let change = json!({ "affected_features": ["search"], "status": { "state": "inactive" } });
    assert_eq!(served.patch("/kill-switches/k", change).await.0, 200);
    assert_eq!(reasons(&served).await, ["rollout", "killed", "rollout"]);
    let (status, problem) = served.delete("/kill-switches/k").await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("deactivate it first"), "{problem}");

    let (status, answer) = served.post("/kill-switches/k/deactivate", json!({ "reason": "mended" })).await;
    assert_eq!((status, &answer["state"], &answer["of"]), (200, &json!("inactive"), &json!(1)), "{answer}");
    assert_eq!(reasons(&served).await, ["rollout", "rollout", "rollout"]);
    let (_, history) = served.get("/kill-switches/k/history").await;
    let record = &history["activations"][0];
    assert_eq!(
        [&record["reason"], &record["automatic"], &record["ended_because"], &record["number"]],
        [&json!("errors"), &json!(false), &json!("mended"), &json!(1)]
    );
    assert!(record["seconds"].as_f64().unwrap() >= 0.0 && record["by"].is_string());
    assert_eq!(history["entries"].as_array().unwrap().len(), 4, "created, triggered, changed, lifted: {history}");
    assert_eq!(served.delete("/kill-switches/k").await.0, 200);
    assert_eq!(served.get("/kill-switches/k").await.0, 404);
    assert_eq!(served.post("/kill-switches/k/activate", json!({ "reason": "x" })).await.0, 404);
}

#[tokio::test]
async fn one_call_kills_and_one_lifts() {
    let served = shop().await;
    let (status, answer) = served.post("/kill", json!({ "flags": ["checkout"], "reason": "errors" })).await;
    assert_eq!(
        (status, &answer["kill_switch_id"], &answer["acknowledged"], &answer["of"]),
        (200, &json!("kill-flag-checkout"), &json!(1), &json!(1)),
        "{answer}"
    );
    assert!(answer["ms"].is_number(), "{answer}");
    assert_eq!(reasons(&served).await, ["killed", "rollout", "rollout"]);
    let (_, again) = served.post("/kill", json!({ "flags": ["checkout"], "reason": "twice" })).await;
    assert_eq!((&again["changed"], &again["kill_switch_id"]), (&json!(false), &answer["kill_switch_id"]));
    let (_, answer) = served.post("/kill", json!({ "all": true, "exempt_critical": true, "reason": "fire" })).await;
    assert_eq!(answer["kills"]["flags"], json!(["checkout", "theme"]));
    assert_eq!(reasons(&served).await, ["killed", "rollout", "killed"]);

    let (_, active) = served.get("/kill-switches?state=active").await;
    assert_eq!(active.as_array().unwrap().len(), 2);
    let (status, answer) = served.post("/kill/lift", json!({ "flags": ["checkout"] })).await;
    assert_eq!((status, &answer["lifted"]), (200, &json!(["kill-flag-checkout"])), "{answer}");
    assert_eq!(answer["still_killed_by"], json!({ "checkout": ["kill-all-but-critical"] }));
    assert_eq!(reasons(&served).await, ["killed", "rollout", "killed"]);
    let (_, answer) = served.post("/kill/lift", json!({ "everything": true })).await;
    assert_eq!(answer["lifted"], json!(["kill-all-but-critical"]), "{answer}");
    assert_eq!(reasons(&served).await, ["rollout", "rollout", "rollout"]);
    let (status, answer) = served.post("/kill/lift", json!({ "flags": ["checkout"] })).await;
    assert_eq!((status, &answer["lifted"]), (200, &json!([])), "what is not killed is no error: {answer}");

    // Members alone; a service; a region that is not this one; by tag.
    served.post("/kill", json!({ "segments": ["vip"], "flags": ["theme"], "reason": "x" })).await;
    assert_eq!(reasons(&served).await, ["rollout", "rollout", "killed"]);
    let others = json!({ "user_id": "bob", "attributes": { "plan": "free" } });
    assert_eq!(served.post("/flags/theme/evaluate", others).await.1["reason"], "rollout");
    let (_, answer) = served.post("/kill", json!({ "service": "checkout-v2", "reason": "x" })).await;
    assert_eq!(
        (&answer["kill_switch_id"], &answer["kills"]["services"]),
        (&json!("kill-service-checkout-v2"), &json!(["checkout-v2"]))
    );
    let (_, answer) = served.post("/kill", json!({ "region": "mars", "reason": "x" })).await;
    assert_eq!(answer["kills"]["region"], "mars");
    served.post("/kill", json!({ "tags": ["beta"], "reason": "x" })).await;
    assert_eq!(reasons(&served).await, ["killed", "killed", "killed"]);
    let (_, answer) = served.post("/kill/lift", json!({ "ids": ["kill-tag-beta"], "reason": "good" })).await;
    assert_eq!(answer["lifted"], json!(["kill-tag-beta"]));
    assert_eq!(reasons(&served).await, ["rollout", "rollout", "killed"]);
}

#[tokio::test]
async fn a_dry_run_tells_and_does_nothing() {
    let served = shop().await;
    let (status, answer) = served.post("/kill?dry_run=true", json!({ "tags": ["beta"], "reason": "x" })).await;
    assert_eq!(
        (status, &answer["dry_run"], &answer["kills"]["flags"]),
        (200, &json!(true), &json!(["checkout", "search"]))
    );
    assert_eq!(served.get("/kill-switches").await.1, json!([]));
    served.post("/kill", json!({ "tags": ["beta"], "reason": "x" })).await;
    let (_, answer) = served.post("/kill/lift?dry_run=true", json!({ "everything": true })).await;
    assert_eq!((&answer["dry_run"], &answer["lifted"]), (&json!(true), &json!(["kill-tag-beta"])), "{answer}");
    let (_, answer) = served.post("/kill-switches/kill-tag-beta/deactivate?dry_run=1", json!({})).await;
    assert_eq!((&answer["dry_run"], &answer["state"]), (&json!(true), &json!("inactive")), "{answer}");
    assert_eq!(reasons(&served).await, ["killed", "killed", "rollout"]);
}

#[tokio::test]
async fn users_come_back_in_steps() {
    let served = shop().await;
    let switch =
        json!({ "id": "k", "name": "K", "affected_features": ["checkout"], "recovery_percentage_steps": [50, 100] });
    assert_eq!(served.post("/kill-switches", switch).await.0, 201);
    served.post("/kill-switches/k/activate", json!({ "reason": "x" })).await;
    let (_, answer) = served.post("/kill-switches/k/deactivate", json!({ "gradually": true })).await;
    assert_eq!((&answer["state"], &answer["recovery"]["percentage"]), (&json!("recovering"), &json!(50.0)), "{answer}");
    let mut killed = 0;
    for user in 0..100 {
        let asked = json!({ "user_id": format!("user-{user}") });
        killed += usize::from(served.post("/flags/checkout/evaluate", asked).await.1["reason"] == "killed");
    }
    assert!((30..=70).contains(&killed), "{killed}");
    let (_, again) = served.post("/kill/lift", json!({ "ids": ["k"], "gradually": true })).await;
    assert_eq!(again["lifted"], json!([]), "it goes on by itself: {again}");
    let (_, answer) = served.post("/kill-switches/k/activate", json!({ "reason": "again" })).await;
    assert_eq!((&answer["state"], &answer["changed"]), (&json!("triggered"), &json!(true)), "{answer}");
    let (_, history) = served.get("/kill-switches/k/history").await;
    let numbers: Vec<&Value> =
        history["activations"].as_array().unwrap().iter().map(|record| &record["number"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
    assert_eq!(history["activations"][0]["relapse"], true);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let served = shop().await;
    for (path, body, pointer, message) in [
        ("/kill", json!({ "flags": ["chekout"], "reason": "x" }), "/flags/0", "did you mean \"checkout\"?"),
        ("/kill", json!({ "tags": ["betta"], "reason": "x" }), "/tags/0", "did you mean \"beta\"?"),
        ("/kill", json!({ "segments": ["vips"], "reason": "x" }), "/segments/0", "did you mean \"vip\"?"),
        ("/kill", json!({ "services": ["chekout-v2"], "reason": "x" }), "/services/0", "did you mean \"checkout-v2\"?"),
        ("/kill", json!({ "flags": ["checkout"] }), "/reason", "field required"),
        ("/kill", json!({ "flags": ["checkout"], "reason": " " }), "/reason", "say in"),
        ("/kill", json!({ "reason": "x" }), "", "name flags"),
        ("/kill", json!({ "all": true, "flags": ["checkout"], "reason": "x" }), "/all", "either all"),
        ("/kill", json!({ "region": "eu", "segments": ["vip"], "reason": "x" }), "/region", "either a region"),
        ("/kill", json!({ "flag": ["checkout"], "all": true, "reason": "x" }), "/flag", "did you mean \"flags\"?"),
        ("/kill", json!({ "flags": 1, "reason": "x" }), "/flags", "valid list"),
        ("/kill", json!({ "flags": ["a\u{0}b"], "reason": "x" }), "/flags/0", "there is no flag"),
        ("/kill/lift", json!({}), "", "name what was killed"),
        ("/kill/lift", json!({ "ids": ["k"] }), "/ids/0", "there is no kill switch"),
        ("/kill/lift", json!({ "everything": true, "flags": ["checkout"] }), "", "either what was killed"),
        (
            "/kill-switches",
            json!({ "id": "k", "name": "K", "affected_features": ["chekout"] }),
            "/affected_features/0",
            "did you mean",
        ),
        (
            "/kill-switches",
            json!({ "id": "k", "name": "K", "scope": "global", "error_treshold": 1 }),
            "/error_treshold",
            "error_threshold",
        ),
        ("/kill-switches", json!({ "id": "a b", "name": "K", "scope": "global" }), "/id", "1 to 128"),
        (
            "/kill-switches",
            json!({ "id": "k", "name": "K", "scope": "global", "volume_threshold": -1 }),
            "/volume_threshold",
            "whole number",
        ),
    ] {
        let (status, problem) = served.post(path, body.clone()).await;
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let told = errors
            .iter()
            .any(|error| error["pointer"] == pointer && error["message"].as_str().unwrap().contains(message));
        assert!(status == 422 && told, "{path} {body}: {status} {problem}");
    }
    assert_eq!(served.get("/kill-switches?state=dead").await.0, 422);
    assert_eq!(served.get("/kill-switches?scope=planet").await.0, 422);
    assert_eq!(served.get("/kill-switches").await.1, json!([]));
}

#[tokio::test]
async fn conditions_hold_for_activations_too() {
    let served = shop().await;
    let switch = json!({ "id": "k", "name": "K", "affected_features": ["checkout"] });
    served.post("/kill-switches", switch).await;
    let activate = |tag: &str| {
        let url = format!("http://{}/kill-switches/k/activate", served.address);
        served.client.post(url).header(header::IF_MATCH, tag).json(&json!({ "reason": "x" })).send()
    };
    assert_eq!(activate("\"r9-00000000\"").await.unwrap().status(), 412);
    let shown = served.client.get(format!("http://{}/kill-switches/k", served.address)).send().await.unwrap();
    let tag = shown.headers()[header::ETAG].to_str().unwrap().to_owned();
    let answer = activate(&tag).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_ne!(answer.headers()[header::ETAG].to_str().unwrap(), tag);
}

#[tokio::test]
async fn what_is_killed_is_measured_and_disabled_for_openfeature() {
    let served = shop().await;
    served.post("/kill", json!({ "flags": ["checkout"], "reason": "x" })).await;
    let asked = json!({ "context": { "targetingKey": "ann" } });
    let (status, answer) = served.post("/ofrep/v1/evaluate/flags/checkout", asked).await;
    assert_eq!((status, &answer["reason"], &answer["value"]), (200, &json!("DISABLED"), &json!(false)), "{answer}");
    assert_eq!(answer["metadata"]["flaggate_reason"], "killed");
    let url = format!("http://{}/metrics", served.address);
    let metrics = served.client.get(url).send().await.unwrap().text().await.unwrap();
    for line in [
        "flaggate_kill_switch_active{switch=\"kill-flag-checkout\"} 1",
        "flaggate_kill_switch_activations_total{switch=\"kill-flag-checkout\"} 1",
        "flaggate_flag_evaluations_total{flag=\"checkout\",reason=\"killed\",variation=\"false\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_damaged_switch_goes_on_killing_and_can_be_written_anew() {
    let served = shop().await;
    served.post("/kill", json!({ "flags": ["checkout"], "reason": "x" })).await;
    let write = Write {
        document: DocumentKey::kill_switch("kill-flag-checkout"),
        text: Some("{".into()),
        expected: Expected::Any,
        actor: "test".to_owned(),
        at: clock::now(),
        fence: None,
    };
    served.store.write(write).await.unwrap();
    for _ in 0..1000 {
        if served.get("/diagnostics").await.1["documents"] != json!([]) {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let (_, told) = served.get("/diagnostics").await;
    assert_eq!(
        (&told["documents"][0]["kind"], &told["documents"][0]["last_good_served"]),
        (&json!("kill_switch"), &json!(true))
    );
    assert_eq!(reason(&served, "checkout").await, "killed");
    assert_eq!(served.post("/kill/lift", json!({ "flags": ["checkout"] })).await.0, 409);
    let switch = json!({ "name": "K", "affected_features": ["checkout"] });
    assert_eq!(served.ask(Method::PUT, "/kill-switches/kill-flag-checkout", Some(switch)).await.0, 200);
    assert_eq!(reason(&served, "checkout").await, "rollout");
}

#[tokio::test]
async fn of_many_who_kill_at_once_one_is_first() {
    let served = shop().await;
    let kill = |number: usize| {
        let client = served.client.clone();
        let url = format!("http://{}/kill", served.address);
        tokio::spawn(async move {
            let body = json!({ "flags": ["checkout"], "reason": format!("{number}") });
            client.post(url).json(&body).send().await.unwrap().json::<Value>().await.unwrap()
        })
    };
    let calls: Vec<_> = (0..20).map(kill).collect();
    let mut changed = 0;
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer["state"], "triggered", "{answer}");
        changed += usize::from(answer["changed"] == true);
    }
    let stored = served.store.get(&DocumentKey::kill_switch("kill-flag-checkout")).await.unwrap().unwrap();
    let status = KillSwitchDocument::parse(&stored.text).unwrap().status().unwrap();
    assert_eq!((changed, status.activations), (1, 1));
}

#[tokio::test]
async fn without_a_live_gateway_the_answer_says_so() {
    let served = serve().await;
    served.post("/flags", on("checkout", &[])).await;
    let (status, answer) = served.post("/kill?timeout=0", json!({ "flags": ["checkout"], "reason": "x" })).await;
    assert_eq!((status, &answer["acknowledged"], &answer["of"]), (202, &json!(0), &json!(0)), "{answer}");
}
