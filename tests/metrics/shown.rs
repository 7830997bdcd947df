//! Dashboards and alerts find what they ask for, in a Prometheus that scrapes the real binary.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    prometheus::Prometheus,
    world::{Gateway, Upstream, free, until},
};

/// Labels that Prometheus adds, or that no series keeps.
const PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// A gateway of whose metrics each has a value.
async fn busy() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed.json");
    let flag = |key: &str, percentage: u32| json!({ "key": key, "name": key, "rollout_enabled": true, "rollout_percentage": percentage });
    fs::write(&seed, json!([flag("canary", 50), flag("copy", 100), flag("banner", 100), flag("step", 0)]).to_string())
        .unwrap();
    let upstreams = ["stable", "next", "shadow"]
        .map(|name| format!("[upstreams.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n"));
    let more = format!(
        "{}[[routes]]\nname = \"shop\"\nupstream = \"stable\"\ncanary = {{ flag = \"canary\", upstream = \"next\" }}\n\
         mirror = {{ flag = \"copy\", upstream = \"shadow\" }}\nflags = [\"banner\", \"step\"]\n",
        upstreams.concat()
    );
    let gateway = Gateway::start(&format!("kind = \"memory\"\nseed = {seed:?}"), &more).await;
    let stage = json!({ "name": "all", "strategy": "feature_flag",
        "config": { "flag_key": "step", "rollout_stages": [{ "percentage": 10, "duration": "1h" }, { "percentage": 100 }] } });
    gateway.tell("POST", "/deployments?wait=all", json!({ "id": "step", "name": "Step", "stages": [stage] })).await;
    gateway.tell("POST", "/deployments/step/start", json!({})).await;
    until("the deployment runs", async || {
        gateway.ask("GET", "/deployments/step", None).await.1["status"]["stages"][0]["doing"] == "wait 1h"
    })
    .await;
    let rule = json!([{ "field": "plan", "operator": "equals", "value": "pro" }]);
    gateway.tell("POST", "/segments?wait=all", json!({ "id": "pro", "name": "Pro", "rules": rule })).await;
    gateway.tell("PUT", "/profiles/ann", json!({ "attributes": { "plan": "pro" } })).await;
    (gateway, upstream)
}

async fn ask(gateway: &Gateway, requests: std::ops::Range<u64>) {
    let client = reqwest::Client::new();
    for number in requests {
        let path = if number % 10 == 0 { "status/503" } else { "fine" };
        let asked = client.get(format!("http://{}/{path}", gateway.web)).header("X-User-Id", format!("user-{number}"));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), if number % 10 == 0 { 503 } else { 200 });
        answer.bytes().await.unwrap();
    }
}

/// An expression, what is said beside it, and whether a panel shows it.
type Expression = (String, String, bool);

/// The expressions of all dashboards and alerts.
fn expressions() -> Vec<Expression> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deploy("grafana")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&entry).unwrap()).unwrap();
        assert_eq!(dashboard["uid"], format!("flaggate-{}", entry.file_stem().unwrap().display()));
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel:#}");
                let text = |name: &str| target[name].as_str().unwrap().to_owned();
                found.push((text("expr"), text("legendFormat"), true));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            if let Some((metric, label)) = variable["definition"]
                .as_str()
                .and_then(|query| query.strip_prefix("label_values(")?.strip_suffix(')')?.split_once(", "))
            {
                found.push((metric.to_owned(), format!("{{{{{label}}}}}"), false));
            }
        }
    }
    let alerts: Value = serde_saphyr::from_str(&fs::read_to_string(deploy("prometheus/alerts.yml")).unwrap()).unwrap();
    for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
        found.push((rule["expr"].as_str().unwrap().to_owned(), rule["annotations"].to_string(), false));
    }
    found
}

/// The names of labels between these marks.
fn between<'t>(text: &'t str, begin: &'t str, end: char) -> impl Iterator<Item = &'t str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

/// What is wrong with the names in an expression and beside it, where these metrics have these labels.
fn unknown(known: &BTreeMap<String, BTreeSet<String>>, expression: &str, beside: &str) -> Vec<String> {
    let (mut wrong, mut labels) = (Vec::new(), PROMETHEUS.map(str::to_owned).into_iter().collect::<BTreeSet<_>>());
    for (at, _) in expression.match_indices("flaggate_") {
        let rest = &expression[at..];
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let Some(own) = known.get(name) else {
            wrong.push(format!("there is no metric {name}"));
            continue;
        };
        labels.extend(own.iter().cloned());
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        for label in matchers.split(", ").filter_map(|matcher| matcher.split(['=', '!']).next()) {
            if !label.is_empty() && !own.contains(label) && !PROMETHEUS.contains(&label) {
                wrong.push(format!("{name} has no label {label}"));
            }
        }
    }
    let groups =
        between(expression, "by (", ')').chain(between(expression, "on (", ')')).flat_map(|all| all.split(", "));
    let legend = between(beside, "{{", '}').filter(|label| !label.contains(['$', ' ']));
    let told = between(beside, "$labels.", ' ');
    for label in groups.chain(legend).chain(told) {
        if !labels.contains(label.trim_end_matches('}')) {
            wrong.push(format!("nothing has a label {label}"));
        }
    }
    wrong
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut process = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: scripts/setup test");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The result of a query.
async fn query(prometheus: &Prometheus, expression: &str) -> Vec<Value> {
    let asked = reqwest::Client::new()
        .post(format!("{}api/v1/query", prometheus.url()))
        .header("Content-Type", "application/x-www-form-urlencoded");
    let body: String = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
    let answer: Value = asked.body(body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "success", "{expression}: {answer:#}");
    answer["data"]["result"].as_array().unwrap().clone()
}

#[test]
fn what_does_not_exist_is_found() {
    let known = BTreeMap::from([("flaggate_a_total".to_owned(), BTreeSet::from(["x".to_owned()]))]);
    for (expression, beside, expected) in [
        ("sum by (x, instance) (rate(flaggate_a_total{x=\"1\", job!=\"j\"}[5m]))", "{{x}} of {{instance}}", 0),
        ("flaggate_b_total", "", 1),
        ("flaggate_a_total{y=~\"1\"}", "", 1),
        ("sum by (y) (flaggate_a_total)", "", 1),
        ("flaggate_a_total", "{{y}}", 1),
        ("flaggate_a_total", "{{ $labels.y }} and {{ $labels.x }} is {{ $value }}", 1),
    ] {
        assert_eq!(unknown(&known, expression, beside).len(), expected, "{expression} {beside}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_and_alerts_find_what_they_ask_for() {
    let (gateway, _upstream) = busy().await;
    ask(&gateway, 0..200).await;
    gateway.tell("POST", "/kill?wait=all", json!({ "flags": ["canary"], "reason": "a test" })).await;
    ask(&gateway, 200..230).await;
    gateway.tell("POST", "/deployments/step/abort", json!({ "reason": "a test" })).await;
    until("all is counted", async || {
        let metrics = gateway.metrics().await;
        metrics.sum("flaggate_requests_total") == 230
            && metrics.sum("flaggate_deployment_rollbacks_total") > 0
            && metrics.sum("flaggate_segment_moves_total") > 0
            && metrics.sum("flaggate_mirror_requests_total") > 0
    })
    .await;

    // What is there has clean names, in both formats.
    let (kind, text) = gateway.exposed("text/plain").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(promtool(&["check", "metrics"], &text), (true, String::new()));
    let (kind, open) = gateway.exposed("application/openmetrics-text; version=1.0.0, text/plain;q=0.5").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("\n# EOF\n") && open.contains("# TYPE flaggate_requests counter\n"), "{open}");
    for file in ["scrape.yml", "alerts.yml"] {
        let (is_config, path) = (file == "scrape.yml", deploy("prometheus").join(file));
        let (is_clean, said) =
            promtool(&["check", if is_config { "config" } else { "rules" }, &path.display().to_string()], "");
        assert!(is_clean, "{said}");
    }
    let (is_clean, said) =
        promtool(&["test", "rules", &deploy("prometheus/alerts_test.yml").display().to_string()], "");
    assert!(is_clean, "{said}");

    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, labels) in gateway.metrics().await.0.into_keys() {
        known.entry(name).or_default().extend(labels.into_keys());
    }
    let expressions = expressions();
    assert!(expressions.len() > 70, "{}", expressions.len());
    let named = expressions.iter().filter(|(expression, ..)| expression != "up{job=\"flaggate\"} == 0");
    let wrong: Vec<String> = named
        .flat_map(|(expression, beside, _)| {
            unknown(&known, expression, beside).into_iter().map(move |wrong| format!("{wrong}: {expression}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    documented(known.keys());

    // A Prometheus takes what is told (it asks for OpenMetrics), counts as we do, and every panel has something to show.
    let prometheus = Prometheus::start(free(), &[gateway.admin]);
    until("it scrapes", async || {
        let ready = reqwest::get(format!("{}-/ready", prometheus.url())).await;
        ready.is_ok_and(|ready| ready.status() == 200)
            && !query(&prometheus, "flaggate_requests_total").await.is_empty()
    })
    .await;
    let count = query(&prometheus, "sum(flaggate_requests_total)").await;
    assert_eq!(count[0]["value"][1], "230", "{}", prometheus.log());
    // A rate needs two scrapes.
    until("it scraped twice", async || !query(&prometheus, "rate(flaggate_requests_total[10s])").await.is_empty())
        .await;
    ask(&gateway, 230..260).await;
    sleep(Duration::from_millis(500)).await;
    let count = query(
        &prometheus,
        "sum(flaggate_requests_total{upstream=\"stable\"}) + sum(flaggate_requests_total{upstream=\"next\"})",
    )
    .await;
    assert_eq!(count[0]["value"][1], "260");
    let mut empty = Vec::new();
    for (expression, ..) in expressions.iter().filter(|(.., is_shown)| *is_shown) {
        let mut asked = expression.replace("$__rate_interval", "30s");
        for variable in ["$instance", "$route", "$flag"] {
            asked = asked.replace(variable, ".*");
        }
        if query(&prometheus, &asked).await.is_empty() {
            empty.push(asked);
        }
    }
    assert!(empty.is_empty(), "nothing to show:\n{}\n{}", empty.join("\n"), prometheus.log());
}

/// Every metric stands in the documentation.
fn documented<'k>(known: impl Iterator<Item = &'k String>) {
    let told = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md")).unwrap();
    let family = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        ends.filter(|name| name.ends_with("_seconds")).unwrap_or(name).to_owned()
    };
    let missing: BTreeSet<String> =
        known.map(|name| family(name)).filter(|name| !told.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty(), "docs/telemetry.md does not tell of {missing:?}");
}
