//! The real binary between real sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flaggate::eval::Hash;
use serde_json::{Value, json};

/// An upstream that answers every request with its own name and what it was sent.
fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap(), name));
        }
    });
    address
}

fn answer(stream: TcpStream, name: &str) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let body = format!("{name}\n{head}");
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if reader.get_mut().write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// A running gateway; stopped when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts the gateway with routes, upstreams and flags; `more` goes into the configuration's root.
fn start(more: &str, flags: &Value) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (address, admin) = (free_address(), free_address());
    let (seed, file) = (folder.path().join("flags.json"), folder.path().join("flaggate.toml"));
    std::fs::write(&seed, flags.to_string()).unwrap();
    let text = format!(
        "{more}\n[[listeners]]\nname = \"web\"\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n[store]\nkind = \"memory\"\nseed = {:?}\n[access_log]\nenabled = false\n",
        seed.to_str().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flaggate"));
    let child = command.args(["run", "--config"]).arg(&file).stderr(Stdio::null()).spawn().unwrap();
    let running = Running { child, address, admin, _folder: folder };
    let deadline = flaggate::clock::monotonic() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(flaggate::clock::monotonic() < deadline, "the gateway does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    running
}

/// Sends bytes and gives the whole answer of a connection that ends.
fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{headers}\r\n"))
}

/// The upstream's name and the header lines that it saw.
fn seen(answer: &str) -> (&str, Vec<&str>) {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let (name, head) = body.split_once('\n').unwrap();
    (name, head.lines().skip(1).filter(|line| !line.is_empty()).collect())
}

fn values<'a>(lines: &[&'a str], name: &str) -> Vec<&'a str> {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn shop() -> String {
    let pool =
        |name: &str, address: SocketAddr| format!("upstreams.{name}.endpoints = [{{ address = \"{address}\" }}]\n");
    let pools = ["blue", "green", "canary", "feature"].map(|name| pool(name, upstream(name)));
    format!(
        "{}{}
        upstreams.dead.health_check = {{ interval = \"100ms\" }}
        context.accept_identity_from = \"anyone\"
        context.attributes.plan = {{ header = \"X-User-Plan\" }}
        routes = [
            {{ name = \"dead\", match = {{ path_prefix = \"/dead\" }}, upstream = \"blue\", canary = {{ flag = \"everyone\", upstream = \"dead\" }} }},
            {{ name = \"shop\", upstream = \"blue\", flags = [\"theme\"],
              features = [{{ flag = \"one-click\", variations = {{ \"true\" = \"feature\" }} }}],
              canary = {{ flag = \"checkout\", upstream = \"canary\" }},
              blue_green = {{ flag = \"color\", blue = \"blue\", green = \"green\" }} }},
        ]",
        pools.concat(),
        pool("dead", free_address()),
    )
}

fn flags() -> Value {
    json!([
        {"key": "one-click", "targeting_enabled": true, "targeting_rules": [{"attribute": "plan", "operator": "equals", "value": "pro"}]},
        {"key": "checkout", "rollout_enabled": true, "rollout_percentage": 10},
        {"key": "everyone", "default_value": true},
        {"key": "color", "default_value": "blue", "variants": {"blue": "blue", "green": "green"}, "rollout_enabled": true,
            "split": [{"variant": "blue", "weight": 5_000}, {"variant": "green", "weight": 5_000}]},
        {"key": "theme", "default_value": "dark"},
    ])
}

#[test]
fn users_are_split_exactly_by_their_buckets_and_stay_where_they_are() {
    let gateway = start(&shop(), &flags());
    let client = tokio::runtime::Runtime::new().unwrap();
    let http = reqwest::Client::new();
    client.block_on(async {
        for user in (0..10_000).chain(0..200) {
            let user = format!("user-{user}");
            let response =
                http.get(format!("http://{}/", gateway.address)).header("X-User-Id", &user).send().await.unwrap();
            let body = response.text().await.unwrap();
            let expected = match (Hash::Md5.bucket("checkout", &user) < 1_000, Hash::Md5.bucket("color", &user) < 5_000)
            {
                (true, _) => "canary",
                (false, true) => "blue",
                (false, false) => "green",
            };
            assert_eq!(body.lines().next(), Some(expected), "{user}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_service_decides_as_the_gateway_does() {
    let gateway = start(&shop(), &flags());
    let http = reqwest::Client::new();
    for user in 0..500 {
        let user = format!("user-{user}");
        let routed = http.get(format!("http://{}/", gateway.address)).header("X-User-Id", &user).send().await.unwrap();
        let routed = routed.text().await.unwrap();
        let url = format!("http://{}/flags/checkout/evaluate", gateway.admin);
        let asked = http.post(url).json(&json!({ "user_id": user })).send().await.unwrap();
        let asked: Value = asked.json().await.unwrap();
        assert_eq!(asked["value"] == true, routed.starts_with("canary\n"), "{user}: {asked} {routed}");
    }
}

/// Where the gateway sends a user by what the flags give through the OpenFeature protocol.
fn upstream_by(answer: &Value) -> &str {
    let flags = answer["flags"].as_array().unwrap();
    let value = |key: &str| &flags.iter().find(|flag| flag["key"] == key).unwrap()["value"];
    match (value("one-click") == true, value("checkout") == true) {
        (true, _) => "feature",
        (false, true) => "canary",
        (false, false) => value("color").as_str().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openfeature_client_is_told_what_the_gateway_decides() {
    let gateway = start(&shop(), &flags());
    let ofrep = format!("http://{}/ofrep/v1/evaluate/flags", gateway.admin);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (http, url, ofrep) = (reqwest::Client::new(), format!("http://{}/", gateway.address), ofrep.clone());
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeMap::<String, usize>::new();
                for number in (client..10_000).step_by(4) {
                    let user = format!("user-{number}");
                    let plan = if number % 7 == 0 { "pro" } else { "free" };
                    let request = http.get(&url).header("X-User-Id", &user).header("X-User-Plan", plan);
                    let routed = request.send().await.unwrap().text().await.unwrap();
                    let routed = routed.lines().next().unwrap().to_owned();
                    let context = json!({ "context": { "targetingKey": user, "plan": plan } });
                    let answer: Value = http.post(&ofrep).json(&context).send().await.unwrap().json().await.unwrap();
                    assert_eq!(upstream_by(&answer), routed, "{user}: {answer}");
                    // One flag asked for alone gives the same.
                    let single = http.post(format!("{ofrep}/color")).json(&context).send().await.unwrap();
                    let single: Value = single.json().await.unwrap();
                    let told = answer["flags"].as_array().unwrap();
                    assert_eq!(told.iter().find(|flag| flag["key"] == "color"), Some(&single), "{user}");
                    *seen.entry(routed).or_default() += 1;
                }
                seen
            })
        })
        .collect();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for client in clients {
        for (upstream, count) in client.await.unwrap() {
            *seen.entry(upstream).or_default() += count;
        }
    }
    assert_eq!((seen.values().sum::<usize>(), seen["feature"]), (10_000, 1_429), "{seen:?}");
    assert!(seen["canary"] > 700 && seen["blue"] > 3_000 && seen["green"] > 3_000, "{seen:?}");
    // Evaluations of one flag are counted; those of all flags together say nothing about which is used.
    let counted = async || {
        let metrics = reqwest::get(format!("http://{}/metrics", gateway.admin)).await.unwrap().text().await.unwrap();
        let of_color = |line: &&str| line.starts_with("flaggate_flag_evaluations_total{flag=\"color\"");
        let counts = metrics.lines().filter(of_color).map(|line| line.rsplit(' ').next().unwrap().parse::<usize>());
        counts.map(Result::unwrap).sum::<usize>()
    };
    let expected = 10_000 + seen["blue"] + seen["green"];
    // The last ones are counted a moment after their answers.
    for _ in 0..200 {
        if counted().await >= expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counted().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_changes_ends_when_the_gateway_stops() {
    let mut gateway = start(&shop(), &flags());
    let mut events = reqwest::get(format!("http://{}/ofrep/v1/events", gateway.admin)).await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    let killed = Command::new("kill").args(["-TERM", &gateway.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // An orderly end: the last chunk comes.
    while events.chunk().await.unwrap().is_some() {}
    assert!(gateway.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_routing_at_once_and_fails_no_request_under_load() {
    let gateway = start(&shop(), &flags());
    let (http, done) = (reqwest::Client::new(), Arc::new(AtomicBool::new(false)));
    let url = format!("http://{}/", gateway.address);
    let load: Vec<_> = (0..8)
        .map(|client| {
            let (http, url, done) = (http.clone(), url.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut answered = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    let user = format!("user-{client}-{answered}");
                    let response = http.get(&url).header("X-User-Id", user).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    response.bytes().await.unwrap();
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 0..40 {
        let (percentage, expected) = if round % 2 == 0 { (100, "canary") } else { (0, "blue") };
        let patch = http.patch(format!("http://{}/flags/checkout", gateway.admin));
        let patched = patch.json(&json!({ "rollout_percentage": percentage })).send().await.unwrap();
        assert_eq!(patched.status(), 200);
        // In no canary of 10 %, and blue.
        let user = (0..).map(|user| format!("user-{user}")).find(|user| {
            (1_000..10_000).contains(&Hash::Md5.bucket("checkout", user)) && Hash::Md5.bucket("color", user) < 5_000
        });
        let response = http.get(&url).header("X-User-Id", user.unwrap()).send().await.unwrap();
        let body = response.text().await.unwrap();
        assert!(body.starts_with(&format!("{expected}\n")), "round {round}: {body}");
    }
    done.store(true, Ordering::Relaxed);
    for client in load {
        assert!(client.await.unwrap() > 40);
    }
}

#[test]
fn feature_beats_canary_beats_color() {
    let gateway = start(&shop(), &flags());
    let canary =
        (0..).map(|user| format!("user-{user}")).find(|user| Hash::Md5.bucket("checkout", user) < 1_000).unwrap();
    let user = format!("X-User-Id: {canary}\r\n");
    assert_eq!(seen(&get(gateway.address, "/", &user)).0, "canary");
    assert_eq!(seen(&get(gateway.address, "/", &format!("{user}X-User-Plan: pro\r\n"))).0, "feature");
}

#[test]
fn a_dead_canary_falls_back() {
    let gateway = start(&shop(), &flags());
    let (name, lines) = (
        seen(&get(gateway.address, "/dead", "X-User-Id: a\r\n")).0.to_owned(),
        get(gateway.address, "/dead", "X-User-Id: a\r\n"),
    );
    assert_eq!(name, "blue");
    assert_eq!(values(&seen(&lines).1, "X-Flaggate-Route"), ["dead;strategy=default;upstream=blue;revision=5"]);
}

#[test]
fn the_upstream_is_told_once_and_spoofed_headers_do_not_pass() {
    let gateway = start(&shop(), &flags());
    let spoofed = "X-User-Id: ann\r\nX-Flags: theme=\"light\"\r\nx-flags: a\r\nX-Flag-Theme: x\r\nX-Flaggate-Route: x\r\nX-Forwarded-For: 1.2.3.4\r\nX-User-Segments: admin\r\nX-User-Context: e30\r\nX-Secret: 1\r\n";
    let nominated = spoofed.replace("X-Secret: 1", "X-Secret: 1\r\nConnection: X-User-Id, X-Secret, close");
    for headers in [spoofed, &nominated] {
        let answer = raw(
            gateway.address,
            &format!("GET /x?y=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{headers}\r\n"),
        );
        let (_, lines) = seen(&answer);
        assert_eq!(values(&lines, "X-User-Id"), ["ann"], "{answer}");
        assert_eq!(values(&lines, "X-Flags"), ["theme=\"dark\""], "{answer}");
        assert_eq!(values(&lines, "X-Forwarded-For"), ["127.0.0.1"], "{answer}");
        assert_eq!(values(&lines, "X-Flaggate-Route").len(), 1);
        for gone in ["X-Flag-Theme", "X-User-Segments", "X-User-Context"] {
            assert!(values(&lines, gone).is_empty(), "{gone}: {answer}");
        }
    }
    assert!(
        values(
            &seen(&raw(gateway.address, &format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{nominated}\r\n")))
                .1,
            "X-Secret"
        )
        .is_empty()
    );
}

#[test]
fn bad_requests_are_refused_with_a_problem() {
    let gateway = start(&shop(), &flags());
    // pingora itself refuses this one, without a body.
    assert!(raw(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").starts_with("HTTP/1.1 400"));
    for (request, status) in [
        ("GET /a/%2e%2e%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX_User_Id: b\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ] {
        let answer = raw(gateway.address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {request}{answer}"));
        assert!(
            head.to_ascii_lowercase().contains("content-type: application/problem+json") && problem["status"] == status,
            "{answer}"
        );
    }
}

#[test]
fn a_taken_port_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let address = taken.local_addr().unwrap();
    let text = format!(
        "listeners = [{{ name = \"web\", address = \"{address}\" }}]\nupstreams.u.endpoints = [{{ address = \"127.0.0.1:9\" }}]\nroutes = [{{ name = \"all\", upstream = \"u\" }}]\nstore.kind = \"memory\"\nadmin.address = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flaggate")).args(["run", "--config"]).arg(&file).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && error.contains(&format!("listener \"web\" cannot listen on {address}")),
        "{error}"
    );
}

#[test]
fn an_idle_gateway_stops_at_once() {
    let mut gateway = start(&shop(), &flags());
    let asked = flaggate::clock::monotonic();
    let killed = Command::new("kill").args(["-TERM", &gateway.child.id().to_string()]).status().unwrap();
    assert!(killed.success() && gateway.child.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[test]
fn the_admin_listener_tells_health_and_metrics() {
    let gateway = start(&shop(), &flags());
    get(gateway.address, "/", "X-User-Id: ann\r\nX-User-Plan: pro\r\n");
    let admin = |path: &str| {
        raw(gateway.admin, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    };
    for path in ["/healthz", "/readyz"] {
        assert!(admin(path).starts_with("HTTP/1.1 200"), "{path}");
    }
    let metrics = admin("/metrics");
    for line in [
        "flaggate_flag_evaluations_total{flag=\"one-click\",reason=\"targeting_match\",variation=\"true\"} 1\n",
        "flaggate_requests_total{code_class=\"2xx\",route=\"shop\",strategy=\"features\",upstream=\"feature\"} 1\n",
        "flaggate_snapshot_revision 5\n",
        "flaggate_snapshot_flags 5\n",
        "flaggate_store_up 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    let (_, body) = { admin("/diagnostics") }
        .split_once("\r\n\r\n")
        .map(|(head, body)| (head.to_owned(), body.to_owned()))
        .unwrap();
    let diagnostics: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&diagnostics["flags"], &diagnostics["missing_flags"], &diagnostics["documents"]),
        (&json!(5), &json!([]), &json!([]))
    );
    let rebound = raw(gateway.admin, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
}

/// Sends a change to the flag service; it is served when this returns.
async fn change(gateway: &Running, path: &str, body: Value) {
    let url = format!("http://{}{path}", gateway.admin);
    let answer = reqwest::Client::new().patch(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_routes_and_is_told() {
    let rule = |segment: &str| json!([{ "segments": [segment], "return_value": true }]);
    let documents = json!({
        "flags": [
            { "key": "checkout", "targeting_enabled": true, "targeting_rules": rule("vip") },
            { "key": "theme", "default_value": "dark" },
            { "key": "one-click" }, { "key": "color", "default_value": "blue", "variants": { "blue": "blue", "green": "green" } },
        ],
        "segments": [
            { "id": "payers", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] },
            { "id": "vip", "type": "composite", "expression": "payers", "priority": 3 },
            { "id": "unnamed" },
        ],
    });
    let gateway = start(&shop(), &documents);
    let spoofed = "X-User-Segments: root\r\nx-user-segments: root\r\n";
    let ask = |headers: &str| get(gateway.address, "/", &format!("X-User-Id: ann\r\n{spoofed}{headers}"));
    let answer = ask("X-User-Plan: pro\r\n");
    let (upstream, lines) = seen(&answer);
    assert_eq!((upstream, values(&lines, "X-User-Segments")), ("canary", vec!["vip"]), "{lines:?}");
    assert!(!answer.contains("root"), "{answer}");
    let answer = ask("X-User-Plan: free\r\n");
    let (upstream, lines) = seen(&answer);
    assert_eq!((upstream, values(&lines, "X-User-Segments").len()), ("blue", 0), "in none of what the flags name");
    assert!(!answer.contains("root"), "{answer}");

    let free = json!([{ "field": "plan", "operator": "equals", "value": "free" }]);
    change(&gateway, "/segments/payers", json!({ "rules": free })).await;
    assert_eq!(seen(&ask("X-User-Plan: pro\r\n")).0, "blue");
    let answer = ask("X-User-Plan: free\r\n");
    let (upstream, lines) = seen(&answer);
    assert_eq!((upstream, values(&lines, "X-User-Segments")), ("canary", vec!["vip"]), "the change counts at once");

    // The route of this one names no flag that needs a segment.
    let plain = get(gateway.address, "/dead/x", &format!("X-User-Plan: free\r\n{spoofed}"));
    assert!(!plain.contains("root") && !plain.to_lowercase().contains("x-user-segments"), "{plain}");
}
