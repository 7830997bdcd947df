//! What a preview says of a change is what the change does, to those who were here.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/process.rs"]
mod process;
#[path = "support/upstream.rs"]
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use flaggate::model::Role;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::{process::Process, upstream::upstream};

const USERS: usize = 500;
const KEYS: [&str; 4] = ["flag", "needs-flag", "child", "apart"];

/// A gateway, and somebody who talks to it.
struct World {
    process: Process,
    client: Client,
}

fn flags() -> Value {
    let pro = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "percentage": 50 }]);
    json!([
        { "key": "flag", "name": "f", "rollout_enabled": true, "rollout_percentage": 30,
          "targeting_enabled": true, "targeting_rules": pro },
        { "key": "needs-flag", "name": "f", "rollout_enabled": true, "rollout_percentage": 60, "prerequisites": ["flag"] },
        { "key": "child", "name": "f", "parent": "flag", "salt": "child" },
        { "key": "apart", "name": "f", "rollout_enabled": true, "rollout_percentage": 50 },
    ])
}

fn token(role: Role) -> String {
    format!("flaggate_secret-of-{role}")
}

impl World {
    async fn start(more: &str) -> Self {
        let mut text = format!(
            "{more}\n[context]\nuser_id = [{{ header = \"X-User-Id\" }}, {{ anonymous_cookie = \"anon\" }}]\n\
             attributes = {{ plan = {{ header = \"X-Plan\" }} }}\n\
             [upstreams.one]\nendpoints = [{{ address = \"{}\" }}]\n[[routes]]\nname = \"all\"\nupstream = \"one\"\n\
             canary = {{ flag = \"flag\", upstream = \"one\" }}\n",
            upstream("one").await
        );
        for role in Role::ALL {
            let digest: String = Sha256::digest(token(role)).iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("[[admin.tokens]]\nname = \"{role}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n");
        }
        Self { process: Process::start(&flags(), &text).await, client: Client::new() }
    }

    /// A request through the gateway; gives the cookie that it sets.
    async fn visit(&self, headers: &[(&str, &str)]) -> Option<String> {
        let request = self.client.get(format!("http://{}/", self.process.web));
        let answer = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await;
        let answer = answer.unwrap();
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        assert_eq!(answer.text().await.unwrap(), "one");
        cookie
    }

    async fn ask_as(&self, role: Role, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request =
            self.client.request(method, format!("http://{}{path}", self.process.admin)).bearer_auth(token(role));
        let answer = body.iter().fold(request, |request, body| request.json(body)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask_as(Role::Admin, method, path, body).await;
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    }

    async fn preview(&self, key: &str, body: &Value) -> Value {
        self.ask(Method::POST, &format!("/flags/{key}/preview"), Some(body)).await
    }

    /// What each user is given of each flag, by the API.
    async fn given(&self, users: &[(String, String)]) -> Vec<BTreeMap<String, Value>> {
        let mut given = Vec::new();
        for (user, plan) in users {
            let body = json!({ "context": { "user_id": user, "attributes": { "plan": plan } }, "flag_keys": KEYS });
            let answer = self.ask(Method::POST, "/flags/evaluate", Some(&body)).await;
            let fields = answer.as_object().unwrap().iter();
            given.push(fields.map(|(key, found)| (key.clone(), found["value"].clone())).collect());
        }
        given
    }

    /// The same once so many visits are counted: the last one is a moment after its answer.
    async fn written_after(&self, visits: u64) -> (Value, Value, Vec<String>) {
        loop {
            let written = self.written().await;
            let flag = "flaggate_flag_evaluations_total{flag=\"flag\"";
            let counts = written.2.iter().filter(|line| line.starts_with(flag));
            if counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>() >= visits {
                return written;
            }
        }
    }

    /// Everything that a write would change.
    async fn written(&self) -> (Value, Value, Vec<String>) {
        let metrics =
            self.client.get(format!("http://{}/metrics", self.process.admin)).bearer_auth(token(Role::Viewer));
        let metrics = metrics.send().await.unwrap().text().await.unwrap();
        let counted =
            ["flaggate_flag_evaluations_total", "flaggate_profile_lookups_total", "flaggate_snapshot_revision"];
        let counted = metrics.lines().filter(|line| counted.iter().any(|name| line.starts_with(name)));
        (
            self.ask(Method::GET, "/flags", None).await,
            self.ask(Method::GET, "/audit", None).await,
            counted.map(str::to_owned).collect(),
        )
    }
}

fn plan(number: usize) -> &'static str {
    if number.is_multiple_of(3) { "pro" } else { "free" }
}

/// Everybody, with the plan of the last visit.
fn users() -> Vec<(String, String)> {
    (0..USERS).map(|number| (format!("user-{number}"), plan(number).to_owned())).collect()
}

#[tokio::test]
async fn what_is_previewed_comes_to_pass() {
    let world = World::start("recent.per_second = 100000").await;
    for visit in 0..2_000 {
        let number = visit % USERS;
        // Only what is said last counts.
        let plan = if visit < 1_500 { plan(number + 1) } else { plan(number) };
        world.visit(&[("X-User-Id", &format!("user-{number}")), ("X-Plan", plan)]).await;
    }
    let rules = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "percentage": 80 }]);
    let patch = json!({ "rollout_percentage": 20, "targeting_rules": rules });
    let written = world.written_after(2_000).await;
    let told = world.preview("flag", &json!({ "patch": patch })).await;
    let whole = json!({ "name": "f", "rollout_enabled": true, "rollout_percentage": 20,
        "targeting_enabled": true, "targeting_rules": rules });
    let same = world.preview("flag", &json!({ "document": whole })).await;
    assert_eq!(world.written().await, written, "nothing is written or counted");
    assert_eq!(told["changes"], same["changes"]);
    assert_eq!(told["affected_flags"], same["affected_flags"]);

    // By oneself: before, the change itself, after.
    let before = world.given(&users()).await;
    world.ask(Method::PATCH, "/flags/flag", Some(&patch)).await;
    let after = world.given(&users()).await;
    let mut rows = BTreeMap::<(String, String), u64>::new();
    let mut affected = BTreeMap::<String, u64>::new();
    for (before, after) in before.iter().zip(&after) {
        for key in KEYS.iter().filter(|key| before[**key] != after[**key]) {
            match *key {
                "flag" => *rows.entry((before["flag"].to_string(), after["flag"].to_string())).or_default() += 1,
                other => *affected.entry(other.to_owned()).or_default() += 1,
            }
        }
    }
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(affected.keys().collect::<Vec<_>>(), ["child", "needs-flag"]);
    assert_eq!(
        (&told["users"], &told["requests"], &told["requests_passed_over"]),
        (&json!(USERS), &json!(2_000), &json!(0))
    );
    let changed: u64 = rows.values().sum();
    assert_eq!((&told["changed_users"], &told["changed_requests"]), (&json!(changed), &json!(changed * 4)));
    let told_rows: BTreeMap<_, _> = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!(row["requests"].as_u64().unwrap(), row["users"].as_u64().unwrap() * 4);
            ((row["from"]["value"].to_string(), row["to"]["value"].to_string()), row["users"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told_rows, rows);
    let told_affected: BTreeMap<String, u64> = told["affected_flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| (flag["key"].as_str().unwrap().to_owned(), flag["users"].as_u64().unwrap()))
        .collect();
    assert_eq!(told_affected, affected);
    // Each example is one of those who changed, from and to what it says.
    let examples = told["examples"].as_array().unwrap();
    let ids: BTreeSet<&str> = examples.iter().map(|example| example["user_id"].as_str().unwrap()).collect();
    assert_eq!((examples.len(), ids.len()), (10, 10));
    for example in examples {
        let number: usize = example["user_id"].as_str().unwrap().strip_prefix("user-").unwrap().parse().unwrap();
        let variation = |side: &str| example[side]["variation"].as_str().unwrap().to_owned();
        assert_eq!(before[number]["flag"].to_string(), variation("from"), "{example}");
        assert_eq!(after[number]["flag"].to_string(), variation("to"), "{example}");
        assert_ne!(variation("from"), variation("to"));
    }
    assert!(told["seen"]["from"].as_str().unwrap() < told["seen"]["to"].as_str().unwrap(), "{}", told["seen"]);
    // What was previewed is there now, so that nothing would change any more.
    let again = world.preview("flag", &json!({ "patch": patch })).await;
    assert_eq!((&again["changed_users"], &again["affected_flags"]), (&json!(0), &json!([])));
    assert_ne!(again["revision"], told["revision"]);
}

#[tokio::test]
async fn a_flag_that_is_new() {
    let world = World::start("").await;
    let body = json!({ "user_id": "ann", "attributes": { "plan": "pro" } });
    world.ask(Method::POST, "/flags/flag/evaluate", Some(&body)).await;
    let body = json!({ "context": { "targetingKey": "bob", "plan": "pro" } });
    world.ask(Method::POST, "/ofrep/v1/evaluate/flags/flag", Some(&body)).await;
    let body = json!({ "context": { "targetingKey": "eve", "plan": "free" } });
    world.ask(Method::POST, "/ofrep/v1/evaluate/flags", Some(&body)).await;
    let rule = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": "big" }]);
    let document = json!({ "name": "n", "flag_type": "string", "default_value": "small",
        "targeting_enabled": true, "targeting_rules": rule });
    let told = world.preview("new", &json!({ "document": document })).await;
    let row = |to: &str, users: u64| json!({ "from": null, "to": { "variation": to, "value": to }, "users": users, "requests": users });
    assert_eq!(told["changes"], json!([row("big", 2), row("small", 1)]), "{told}");
    assert_eq!(told["examples"][0]["from"], Value::Null);
    assert_eq!(world.ask_as(Role::Admin, Method::GET, "/flags/new", None).await.0, 404, "it is not created");
    let patch = json!({ "patch": { "enabled": false } });
    assert_eq!(world.ask_as(Role::Admin, Method::POST, "/flags/new/preview", Some(&patch)).await.0, 404);
}

#[tokio::test]
async fn who_may_and_what_is_no_preview() {
    let world = World::start("").await;
    let (first, second) = (world.visit(&[]).await, world.visit(&[]).await);
    let cookie = first.unwrap().split(';').next().unwrap().to_owned();
    assert!(second.is_some());
    world.visit(&[("Cookie", &cookie)]).await;
    let off = json!({ "patch": { "default_value": true } });
    for role in Role::ALL {
        let (status, told) = world.ask_as(role, Method::POST, "/flags/apart/preview?examples=3", Some(&off)).await;
        if role < Role::Viewer {
            assert_eq!(status, 403);
            continue;
        }
        // Who never came back with the id that was drawn is nobody.
        assert_eq!((status, &told["users"], &told["requests"]), (200, &json!(1), &json!(1)), "{told}");
        assert_eq!(told["examples"].as_array().unwrap().len() as u64, told["changed_users"].as_u64().unwrap());
        for example in told["examples"].as_array().unwrap() {
            assert_eq!(example.get("user_id").is_some(), role >= Role::Editor, "{role}: {example}");
        }
    }
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "document": {}, "patch": {} }), ""),
        (json!({ "patch": [1] }), "/patch"),
        (json!({ "patch": null }), "/patch"),
        (json!({ "document": "x" }), "/document"),
        (json!({ "patch": {}, "more": 1 }), "/more"),
        (json!({ "patch": { "rollout_percentage": 101 } }), "/patch/rollout_percentage"),
        (json!({ "patch": { "prerequisites": ["nowhere"] } }), "/patch/prerequisites/0"),
        (json!({ "patch": { "prerequisites": ["needs-flag"] } }), "/patch/prerequisites/0"),
        (json!({ "document": { "name": "n", "zzz": 1 } }), "/document/zzz"),
        (json!({ "document": { "key": "other" } }), "/document/key"),
    ] {
        let (status, problem) = world.ask_as(Role::Viewer, Method::POST, "/flags/flag/preview", Some(&body)).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {problem}");
    }
    for query in ["examples=101", "examples=-1", "examples="] {
        let path = format!("/flags/flag/preview?{query}");
        assert_eq!(world.ask_as(Role::Viewer, Method::POST, &path, Some(&off)).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn the_memory_has_bounds() {
    let world = World::start("recent = { contexts = 50, bytes = \"64KiB\", per_second = 100000 }").await;
    let evaluate = async |user: &str, length: usize| {
        let body = json!({ "user_id": user, "attributes": { "text": "x".repeat(length) } });
        world.ask(Method::POST, "/flags/apart/evaluate", Some(&body)).await;
    };
    let remembered =
        async || world.preview("apart", &json!({ "patch": { "enabled": false } })).await["users"].as_u64().unwrap();
    for number in 0..300 {
        evaluate(&format!("small-{number}"), 10).await;
    }
    assert_eq!(remembered().await, 50);
    for number in 0..100 {
        evaluate(&format!("large-{number}"), 8_000).await;
    }
    assert_eq!(remembered().await, 7, "64 KiB hold seven of somewhat more than 8 000 bytes");
    for length in [100_000, 900_000] {
        evaluate("huge", length).await;
    }
    let told = world.preview("apart", &json!({ "patch": { "enabled": false } })).await;
    assert_eq!((&told["users"], &told["requests_passed_over"]), (&json!(7), &json!(2)));

    let off = World::start("recent.contexts = 0").await;
    off.visit(&[("X-User-Id", "ann")]).await;
    let told = off.preview("flag", &json!({ "patch": { "rollout_percentage": 100 } })).await;
    assert_eq!(
        (&told["remembers"], &told["users"], &told["changes"], &told["seen"]),
        (&json!(false), &json!(0), &json!([]), &Value::Null)
    );
}

#[tokio::test]
async fn the_command_tells_people() {
    let world = World::start("").await;
    for number in 0..40 {
        world.visit(&[("X-User-Id", &format!("user-{number}")), ("X-Plan", "free")]).await;
    }
    let preview = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["flags", "preview", "--admin", &format!("http://{}", world.process.admin)])
            .args(arguments)
            .env("FLAGGATE_TOKEN", token(Role::Editor))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let told = world.preview("flag", &json!({ "patch": { "rollout_percentage": 100 } })).await;
    let changed = &told["changed_users"];
    let (code, said, _) = preview(&["flag", "rollout_percentage=100", "--examples", "2"]);
    assert_eq!(code, 0);
    for expected in [
        format!("{changed} of 40 recent users would get something else"),
        format!("false  true  {changed}"),
        "for example".to_owned(),
        "needs-flag".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    let (_, json, _) = preview(&["flag", "rollout_percentage=100", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["changes"], told["changes"]);
    let file = world.process.folder.path().join("new.yaml");
    std::fs::write(&file, "name: New\ndefault_value: true\n").unwrap();
    let (code, said, _) = preview(&["new", "--replace", "-f", file.to_str().unwrap()]);
    assert_eq!((code, said.contains("40 of 40")), (0, true), "{said}");
    let (_, said, _) = preview(&["flag", "targeting_rules.0.percentage=50"]);
    assert!(said.contains("nobody of 40 recent users would get something else"), "{said}");
    let (code, _, complaint) = preview(&["flag", "rollout_percentage=101"]);
    assert!(code != 0 && complaint.contains("rollout_percentage"), "{code} {complaint}");
}
