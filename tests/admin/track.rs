//! What observers are told of what applications ask and say.

use std::sync::{Arc, Mutex};

use flaggate::{
    model::Profile,
    telemetry::{Action, Evaluated, Observer, Observers},
};
use serde_json::{Value, json};

use crate::harness::{Served, serve_observed};

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Scribe(Mutex<Vec<String>>);

impl Observer for Scribe {
    fn evaluated(&self, told: &Evaluated<'_>) {
        let flags = told.flags.iter().map(|flag| format!("{}={} {}", flag.key, flag.variation, flag.reason.as_str()));
        let flags = flags.collect::<Vec<_>>().join(", ");
        let (all, user) = (if told.all { " all" } else { "" }, told.user_id.unwrap_or("nobody"));
        assert!(told.revision.is_some());
        self.0.lock().unwrap().push(format!("{user}{all}: {flags}"));
    }

    fn acted(&self, action: &Action<'_>) {
        let properties = action.properties.map(|properties| json!(properties).to_string());
        let line = format!("{} {} {:?} {properties:?}", action.user_id, action.event, action.value);
        self.0.lock().unwrap().push(line);
    }
}

impl Scribe {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A flag for those who pay, of whom `ann` is one by her profile.
async fn served() -> (Served, Arc<Scribe>) {
    let scribe = Arc::new(Scribe::default());
    let found = |user: &str| (user == "ann").then(|| Profile::parse(Some(r#"{"plan": "pro"}"#), None, None));
    let source = Box::new(move |user: &str| {
        let found = Ok(found(user));
        Box::pin(async move { found }) as _
    });
    let served = serve_observed(Observers::new(vec![scribe.clone()]), source).await;
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
    for flag in [
        json!({ "key": "paying", "name": "P", "targeting_enabled": true, "targeting_rules": [rule] }),
        json!({ "key": "drawn", "name": "D", "rollout_enabled": true, "rollout_percentage": 50 }),
    ] {
        assert_eq!(served.post("/flags", flag).await.0, 200);
    }
    (served, scribe)
}

#[tokio::test]
async fn flags_that_are_asked_for_are_told_once() {
    let (served, scribe) = served().await;
    let context = json!({ "context": { "targetingKey": "ann" } });
    for (path, body, expected) in [
        // Evaluated twice, as the profile says more than the request.
        ("/flags/paying/evaluate", json!({ "user_id": "ann" }), "ann: paying=true targeting_match"),
        ("/flags/paying/evaluate", json!({ "user_id": "bob" }), "bob: paying=false default"),
        (
            "/flags/evaluate",
            json!({ "context": { "user_id": "ann" }, "flag_keys": ["paying", "gone"] }),
            "ann: paying=true targeting_match",
        ),
        ("/ofrep/v1/evaluate/flags/paying", context.clone(), "ann: paying=true targeting_match"),
        ("/ofrep/v1/evaluate/flags/paying", json!({}), "nobody: paying=false default"),
    ] {
        assert_eq!(served.post(path, body).await.0, 200, "{path}");
        assert_eq!(scribe.take(), [expected], "{path}");
    }
    let all = json!({ "context": { "user_id": "ann" } });
    for (path, body) in [("/flags/evaluate", all), ("/ofrep/v1/evaluate/flags", context)] {
        assert_eq!(served.post(path, body).await.0, 200);
        let told = scribe.take();
        assert!(told.len() == 1 && told[0].starts_with("ann all: drawn="), "{told:?}");
        assert!(told[0].ends_with(", paying=true targeting_match"), "{told:?}");
    }
}

#[tokio::test]
async fn what_gives_no_value_is_not_told() {
    let (served, scribe) = served().await;
    assert_eq!(served.post("/ofrep/v1/evaluate/flags/drawn", json!({})).await.0, 400);
    assert_eq!(served.post("/flags/gone/evaluate", json!({ "user_id": "ann" })).await.0, 404);
    assert_eq!(served.post("/ofrep/v1/evaluate/flags", json!({})).await.0, 200);
    assert_eq!(scribe.take(), ["nobody all: paying=false default"]);
}

#[tokio::test]
async fn an_evaluation_by_ofrep_counts_once() {
    let (served, _) = served().await;
    let context = json!({ "context": { "targetingKey": "ann" } });
    for _ in 0..3 {
        assert_eq!(served.post("/ofrep/v1/evaluate/flags/paying", context.clone()).await.0, 200);
    }
    let metrics = served.client.get(format!("http://{}/metrics", served.address)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("flaggate_flag_evaluations_total{flag=\"paying\"")).collect();
    let counts: Vec<u64> = counted.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 3, "{counted:?}");
}

#[tokio::test]
async fn actions_are_taken_and_told() {
    let (served, scribe) = served().await;
    let ann = json!({ "user_id": "ann", "event": "bought", "value": 19.5, "properties": { "size": "L" } });
    let bob = json!({ "user_id": "bob", "event": "left" });
    let (of_ann, of_bob) = ("ann bought Some(19.5) Some(\"{\\\"size\\\":\\\"L\\\"}\")", "bob left None None");
    for (body, expected) in [
        (ann.clone(), vec![of_ann]),
        (json!([ann, bob]), vec![of_ann, of_bob]),
        (json!({ "events": [bob] }), vec![of_bob]),
        (json!([]), vec![]),
    ] {
        let (status, answer) = served.post("/track", body).await;
        assert_eq!((status, &answer), (202, &json!({ "accepted": expected.len() })));
        assert_eq!(scribe.take(), expected);
    }
}

#[tokio::test]
async fn nothing_is_taken_if_something_is_wrong() {
    let (served, scribe) = served().await;
    let good = json!({ "user_id": "ann", "event": "bought" });
    let (status, answer) = served.post("/track", json!([good, { "user_id": "", "event": "left", "valeu": 1 }])).await;
    let places: Vec<&Value> = answer["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!((status, places), (422, vec![&json!("/1/user_id"), &json!("/1/valeu")]), "{answer}");
    assert_eq!(answer["title"], "Unprocessable Entity");
    let many = vec![good; 1001];
    assert_eq!(served.post("/track", json!({ "events": many })).await.0, 422);
    let request = served.client.post(format!("http://{}/track", served.address)).body("user_id=ann");
    let answered = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!(answered.status(), 422);
    assert_eq!(scribe.take(), [""; 0]);
}
