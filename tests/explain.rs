//! What is explained of a request is what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/process.rs"]
mod process;
#[path = "support/upstream.rs"]
mod upstream;

use std::{collections::BTreeMap, net::SocketAddr, process::Command, time::Duration};

use flaggate::clock;
use reqwest::{Client, Method, redirect::Policy};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::{
    process::{PATIENCE, Process},
    upstream::{free, upstream},
};

/// The content type of what is refused.
const PROBLEM: &str = "application/problem+json";

/// A gateway in a process of its own, with five upstreams of which `beta` is down.
struct Gateway {
    process: Process,
    client: Client,
}

impl Gateway {
    async fn start() -> Self {
        let rules = json!([{ "attribute": "plan", "operator": "equals", "value": "pro", "return_value": true }]);
        let flags = json!([
            { "key": "feature", "name": "f", "targeting_enabled": true, "targeting_rules": rules },
            { "key": "beta", "name": "f", "rollout_enabled": true, "rollout_percentage": 40 },
            { "key": "canary", "name": "f", "rollout_enabled": true, "rollout_percentage": 30, "prerequisites": ["gate"] },
            { "key": "gate", "name": "f", "rollout_enabled": true, "rollout_percentage": 80 },
            { "key": "color", "name": "f", "flag_type": "string", "default_value": "none", "rollout_enabled": true,
              "variants": { "blue": "blue", "green": "green" },
              "split": [{ "variant": "blue", "weight": 5000 }, { "variant": "green", "weight": 5000 }] },
            { "key": "path", "name": "f", "targeting_enabled": true, "targeting_rules": [
                { "attribute": "request.path", "operator": "starts_with", "value": "/api/new", "return_value": true }] },
        ]);
        let pool = |name: &str, address: SocketAddr| {
            format!(
                "[upstreams.{name}]\nendpoints = [{{ address = \"{address}\" }}]\nhealth_check = {{ path = \"/healthz\", interval = \"100ms\" }}\n"
            )
        };
        let pools = [
            pool("stable", upstream("stable").await),
            pool("feature", upstream("feature").await),
            pool("beta", free()),
            pool("canary", upstream("canary").await),
            pool("blue", upstream("blue").await),
            pool("green", upstream("green").await),
        ];
        let text = format!(
            r#"
            inject.context_attributes = ["plan", "country"]
            [context]
            user_id = [{{ header = "X-User-Id" }}, {{ cookie = "uid" }}]
            attributes = {{ plan = {{ header = "X-Plan" }}, country = {{ query = "country" }} }}
            {}
            [[routes]]
            name = "api"
            match = {{ path_prefix = "/api" }}
            upstream = "stable"
            limits = {{ body = "1KiB" }}
            rewrite = {{ strip_prefix = "/api" }}
            features = [{{ flag = "path", variations = {{ "true" = "feature" }} }}]
            blue_green = {{ flag = "color", blue = "blue", green = "green" }}
            [[routes]]
            name = "shop"
            match = {{ hosts = ["shop.example", "*.shop.example"] }}
            upstream = "stable"
            features = [{{ flag = "feature", variations = {{ "true" = "feature" }} }}, {{ flag = "beta", variations = {{ "true" = "beta" }} }}]
            canary = {{ flag = "canary", upstream = "canary" }}
            flags = ["color", "nowhere"]
            "#,
            pools.concat()
        );
        let process = Process::start(&flags, &text).await;
        Self { process, client: Client::builder().redirect(Policy::none()).build().unwrap() }
    }

    /// Waits until the checks have found the upstream that is down.
    async fn knows_that_beta_is_down(&self) {
        let by = clock::monotonic() + PATIENCE;
        loop {
            let mut fell_back = false;
            for user in 0..20 {
                let headers = json!({ "X-User-Id": user.to_string() });
                let told = self.explain(json!({ "path": "/", "host": "shop.example", "headers": headers })).await;
                fell_back |= told["decision"]["fell_back"] == true;
            }
            if fell_back {
                return;
            }
            assert!(clock::monotonic() < by, "the upstream that is down is never found");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn explain(&self, request: Value) -> Value {
        let answer =
            self.client.post(format!("http://{}/explain", self.process.admin)).json(&request).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{request}");
        answer.json().await.unwrap()
    }

    /// The upstream that answers, or the status of the gateway's own answer.
    async fn send(&self, request: &Value) -> String {
        let text = |name: &str| request[name].as_str().unwrap();
        let method: Method = text("method").parse().unwrap();
        let mut sent = self.client.request(method, format!("http://{}{}", self.process.web, text("path")));
        sent = sent.header("Host", text("host"));
        for (name, value) in request["headers"].as_object().unwrap() {
            sent = sent.header(name, value.as_str().unwrap());
        }
        let answer = sent.send().await.unwrap();
        match answer.status().as_u16() {
            200 => answer.text().await.unwrap(),
            status => status.to_string(),
        }
    }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn request(&mut self) -> Value {
        let hosts = ["shop.example", "a.shop.example", "SHOP.example:8080", "elsewhere.example"];
        let paths = [
            "/",
            "/api",
            "/api/new",
            "/api/%6eew?a=b",
            "/api//new",
            "/a/../api/new/x",
            "/cart?country=DE",
            "/a%2fb",
            "/apis",
        ];
        let mut headers = json!({});
        match self.below(4) {
            0 => {}
            1 => headers["Cookie"] = format!("a=b; uid=cookie-{}", self.below(500)).into(),
            _ => headers["X-User-Id"] = format!("user-{}", self.below(500)).into(),
        }
        if self.below(3) == 0 {
            headers["X-Plan"] = self.of(&["pro", "free", ""]).into();
        }
        if self.below(40) == 0 {
            headers["X_Odd"] = "1".into();
        }
        json!({ "method": self.of(&["GET", "GET", "DELETE", "TRACE"]), "host": self.of(&hosts), "path": self.of(&paths), "headers": headers })
    }
}

#[tokio::test]
async fn a_thousand_requests_go_where_it_was_explained() {
    let gateway = Gateway::start().await;
    gateway.knows_that_beta_is_down().await;
    let (mut numbers, mut ends) = (Numbers(7), BTreeMap::<String, usize>::new());
    for _ in 0..1000 {
        let request = numbers.request();
        let explained = gateway.explain(request.clone()).await;
        let expected = match (&explained["decision"]["upstream"], &explained["refused"]["status"]) {
            (Value::String(upstream), _) => upstream.clone(),
            (_, status) => status.to_string(),
        };
        let sent = gateway.send(&request).await;
        assert_eq!(sent, expected, "{request} {explained:#}");
        let fell_back = explained["decision"]["fell_back"] == true;
        *ends.entry(format!("{expected}{}", if fell_back { " instead" } else { "" })).or_default() += 1;
    }
    let seen: Vec<&str> = ends.keys().map(String::as_str).collect();
    let all = ["400", "404", "405", "blue", "canary", "canary instead", "feature", "green", "stable", "stable instead"];
    assert_eq!(seen, all, "{ends:?}");
}

#[tokio::test]
async fn the_way_is_told() {
    let gateway = Gateway::start().await;
    let told = gateway
        .explain(json!({ "path": "/cart?country=DE", "host": "a.shop.example",
        "headers": { "X-User-Id": "ann", "X-Plan": "pro", "X-Forwarded-For": "192.0.2.1" } }))
        .await;
    assert_eq!((&told["listener"], &told["route"]), (&json!("web"), &json!("shop")));
    assert_eq!(told["peer"], json!({ "address": "127.0.0.1", "client": "192.0.2.1", "trusted": true }));
    let decision = json!({ "strategy": "features", "upstream": "feature", "fell_back": false, "available": true,
        "mirrored": false });
    assert_eq!(told["decision"], decision);
    let taken = json!([{ "strategy": "features", "flag": "feature", "variation": "true", "upstream": "feature", "result": "taken" }]);
    assert_eq!(told["strategies"], taken);
    let attributes = &told["context"]["attributes"];
    assert_eq!(
        (&attributes["plan"], &attributes["country"], &attributes["request.path"]),
        (&json!("pro"), &json!("DE"), &json!("/cart"))
    );
    assert_eq!((&told["context"]["user_id"], &told["context"]["profile"]), (&json!("ann"), &json!("not_asked_for")));
    let flags: Vec<_> = told["flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| (flag["key"].as_str().unwrap(), &flag["evaluated"]))
        .collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(flags, [("feature", &yes), ("beta", &no), ("canary", &no), ("color", &yes), ("nowhere", &yes)]);
    assert_eq!(told["flags"][0]["steps"][0]["condition"]["seen"], "pro");
    assert_eq!(told["flags"][4]["error"], "there is no such flag");
    let headers = &told["forwarded"]["headers"];
    assert_eq!((&headers["x-user-id"], &headers["x-forwarded-for"]), (&json!("ann"), &json!("192.0.2.1, 127.0.0.1")));

    // From elsewhere nobody is believed.
    let told = gateway
        .explain(
            json!({ "path": "/api/a", "client_ip": "198.51.100.7", "headers": { "Host": "h", "X-User-Id": "ann" } }),
        )
        .await;
    assert_eq!((&told["peer"]["trusted"], &told["context"]["user_id"]), (&json!(false), &json!("")));
    assert_eq!((&told["route"], &told["forwarded"]["path"]), (&json!("api"), &json!("/a")));

    for (request, status, route) in [
        (json!({ "path": "/api", "host": "h", "headers": { "Content-Length": "1025" } }), 413, json!("api")),
        (json!({ "path": "/api", "host": "h", "method": "CONNECT" }), 405, Value::Null),
        (json!({ "path": "/api" }), 400, Value::Null),
        (json!({ "path": "/a b", "host": "shop.example" }), 400, Value::Null),
        (json!({ "path": "\u{0}", "host": "shop.example" }), 400, Value::Null),
        (json!({ "path": "", "host": "shop.example" }), 400, Value::Null),
        (json!({ "path": format!("/{}", "a".repeat(9000)), "host": "shop.example" }), 414, Value::Null),
        (json!({ "path": "/", "host": "shop.example", "headers": { "a": vec!["b"; 101] } }), 431, Value::Null),
    ] {
        let told = gateway.explain(request.clone()).await;
        assert_eq!((&told["refused"]["status"], &told["route"]), (&json!(status), &route), "{request}");
        assert!(told.get("decision").is_none() && told["refused"]["detail"].is_string(), "{told}");
    }
    for (request, status, pointer) in [
        (json!({ "path": "/", "listener": "x" }), 422, "/listener"),
        (json!({ "path": "/", "headers": { "a/b": 1 } }), 422, "/headers/a~1b"),
        (json!({ "method": "GET" }), 422, "/path"),
        (json!("text"), 422, ""),
    ] {
        let refused = gateway.client.post(format!("http://{}/explain", gateway.process.admin)).json(&request);
        let refused = refused.send().await.unwrap();
        let kind = refused.headers()["content-type"].to_str().unwrap();
        assert_eq!((refused.status().as_u16(), kind), (status, PROBLEM), "{request}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(
            (&problem["status"], &problem["errors"][0]["pointer"]),
            (&json!(status), &json!(pointer)),
            "{problem}"
        );
    }
    // Nothing was counted.
    let metrics = gateway
        .client
        .get(format!("http://{}/metrics", gateway.process.admin))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        !metrics.lines().any(|line| line.starts_with("flaggate_flag_evaluations_total") && !line.ends_with(" 0")),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_command_tells_people() {
    let gateway = Gateway::start().await;
    let explain = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flaggate"))
            .args(["explain", "--admin", &format!("http://{}", gateway.process.admin)])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain(&["http://shop.example/cart", "-H", "X-User-Id: ann", "-H", "X-Plan: pro"]);
    for expected in [
        "route       shop",
        "upstream    feature (by features)",
        "user        ann",
        "flag feature\n",
        "gives        true",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(told.contains("flag nowhere\n  there is no such flag"), "{told}");
    let refused = explain(&["/a", "-X", "TRACE"]);
    assert!(refused.contains("REFUSED     405"), "{refused}");
    let json: Value = serde_json::from_str(&explain(&["/api/new", "--json"])).unwrap();
    assert_eq!(json["route"], "api");
}

#[tokio::test]
async fn what_is_killed_is_told_and_goes_to_the_upstream_of_the_route() {
    let gateway = Gateway::start().await;
    let admin = gateway.process.admin;
    let kill = async |path: &str, body: Value| {
        let answer = gateway.client.post(format!("http://{admin}{path}")).json(&body).send().await.unwrap();
        let (status, told) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
        assert_eq!((status, &told["acknowledged"]), (200, &json!(1)), "{told}");
    };
    let request =
        json!({ "path": "/cart", "host": "shop.example", "headers": { "X-User-Id": "ann", "X-Plan": "pro" } });
    let reached = async || {
        let asked = gateway.client.get(format!("http://{}/cart", gateway.process.web)).header("Host", "shop.example");
        asked.header("X-User-Id", "ann").header("X-Plan", "pro").send().await.unwrap().text().await.unwrap()
    };
    assert_eq!(reached().await, "feature");

    for service in ["feature", "shop"] {
        kill("/kill", json!({ "service": service, "reason": "x" })).await;
        let told = gateway.explain(request.clone()).await;
        let first = &told["strategies"][0];
        let id = format!("kill-service-{service}");
        assert_eq!((&first["result"], &first["killed_by"]), (&json!("killed"), &json!(id)), "{told}");
        assert_ne!(told["decision"]["upstream"], "feature");
        assert_eq!(reached().await, told["decision"]["upstream"].as_str().unwrap());
        if service == "shop" {
            assert_eq!(told["decision"]["upstream"], "stable", "a killed route uses its own upstream alone");
        }
        kill("/kill/lift", json!({ "service": service })).await;
        assert_eq!(reached().await, "feature");
    }

    kill("/kill", json!({ "flags": ["feature"], "reason": "errors" })).await;
    let told = gateway.explain(request).await;
    let flag = &told["flags"][0];
    assert_eq!((&flag["reason"], &flag["value"]), (&json!("killed"), &json!(false)), "{told}");
    let step = &flag["steps"][0];
    assert_eq!(
        (&step["step"], &step["killed"], &step["because"]),
        (&json!("kill_switch"), &json!(true), &json!("errors"))
    );
    assert_ne!(reached().await, "feature");
}

/// `flaggate tail` with these arguments, until it has shown so many requests of those that are made meanwhile.
async fn watched(gateway: &Gateway, arguments: &[&str], count: usize) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
    command.args(["tail", "--admin", &format!("http://{}", gateway.process.admin), "--count", &count.to_string()]);
    command.args(arguments);
    let watching = tokio::task::spawn_blocking(move || command.output().unwrap());
    let by = clock::monotonic() + PATIENCE;
    while !watching.is_finished() {
        assert!(clock::monotonic() < by, "nothing is shown");
        for (user, path) in [("ann", "/a"), ("bob", "/b?secret=1")] {
            let url = format!("http://{}{path}", gateway.process.web);
            let request = gateway.client.get(url).header("Host", "shop.example").header("X-User-Id", user);
            request.header("X-Plan", "pro").send().await.unwrap();
        }
        sleep(Duration::from_millis(20)).await;
    }
    let output = watching.await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{err}");
    let lines: Vec<String> = out.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{out} {err}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_shown_while_somebody_watches() {
    let gateway = Gateway::start().await;
    let explained = gateway
        .explain(json!({ "path": "/a", "host": "shop.example", "headers": { "X-User-Id": "ann", "X-Plan": "pro" } }))
        .await;
    let decision = &explained["decision"];
    for line in watched(&gateway, &["--json", "--user", "ann"], 3).await {
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&told["user_id"], &told["path"], &told["status"]), (&json!("ann"), &json!("/a"), &json!(200)));
        assert_eq!((&told["strategy"], &told["upstream"]), (&decision["strategy"], &decision["upstream"]));
        let flags = told["flags"].as_array().unwrap();
        assert!(flags.iter().any(|flag| flag["flag"] == "feature" && flag["reason"] == "targeting_match"), "{told}");
    }
    for line in watched(&gateway, &["--flag", "feature"], 4).await {
        assert!(line.contains(" GET /") && line.contains(" 200 ") && line.contains(" feature="), "{line}");
        assert!(line.contains(" → ") && !line.contains("secret"), "{line}");
    }
    let listed = gateway.client.get(format!("http://{}/tail?colour=red", gateway.process.admin)).send().await.unwrap();
    assert_eq!((listed.status().as_u16(), &listed.headers()["content-type"]), (422, &PROBLEM.parse().unwrap()));
}
