//! Users who are held to where they went first.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};

use crate::{
    process::Process,
    upstream::free,
    world::{Answer, echo, explain, get, metric},
};

const ROUTE: &str = "sticky = { ttl = \"1h\" }";

/// A canary at so many percent, whose upstream is at `next`.
async fn gateway(folder: &Path, percent: u64, next: SocketAddr, route: &str) -> Process {
    fs::write(folder.join("key"), "a key of thirty-two bytes or more.").unwrap();
    fs::write(folder.join("old"), "another key of thirty-two bytes...").unwrap();
    let stable = echo("stable").await;
    let more = format!(
        "[sticky]\nkeys = [{{ id = \"k2\", secret_file = {:?} }}, {{ id = \"k1\", secret_file = {:?} }}]\n\
         [upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n\
         [upstreams.next]\nendpoints = [{{ address = \"{next}\" }}]\nhealth_check = {{ interval = \"50ms\", unhealthy = 1 }}\n\
         [[routes]]\nname = \"all\"\nupstream = \"stable\"\ncanary = {{ flag = \"canary\", upstream = \"next\" }}\n{route}\n",
        folder.join("key"),
        folder.join("old"),
    );
    let flags = json!([{ "key": "canary", "name": "c", "rollout_enabled": true, "rollout_percentage": percent }]);
    Process::start(&flags, &more).await
}

async fn ask(gateway: &Process, user: &str, cookie: Option<&str>) -> Answer {
    let mut lines = vec![format!("X-User-Id: {user}")];
    lines.extend(cookie.map(|cookie| format!("Cookie: a=b; flaggate_v={cookie}")));
    get(gateway.web, &lines).await
}

/// The value of the cookie that an answer sets.
fn cookie(answer: &Answer) -> Option<String> {
    let line = answer.header("set-cookie")?;
    let value = line.strip_prefix("flaggate_v=").unwrap().split(';').next().unwrap();
    assert_eq!(line, format!("flaggate_v={value}; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"));
    assert_eq!(answer.headers("cache-control"), ["private"]);
    Some(value.to_owned())
}

async fn post(gateway: &Process, path: &str, body: &Value) {
    let url = format!("http://{}{path}", gateway.admin);
    let client = reqwest::Client::new();
    let request = if path.starts_with("/flags") { client.patch(url) } else { client.post(url) };
    let answer = request.json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path} {}", answer.text().await.unwrap());
    // A change is served soon after it is written.
    let wait = format!("http://{}/flags/canary", gateway.admin);
    assert!(client.get(wait).send().await.unwrap().status().is_success());
}

/// Asks until this upstream answers.
async fn served_by(gateway: &Process, cookie: &str, upstream: &str) -> Answer {
    let by = flaggate::clock::monotonic() + crate::process::PATIENCE;
    loop {
        let answer = ask(gateway, "ann", Some(cookie)).await;
        if answer.status == 200 && answer.upstream() == upstream {
            return answer;
        }
        assert!(flaggate::clock::monotonic() < by, "{upstream} never answers");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_user_stays_where_it_was_first() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), 100, echo("next").await, ROUTE).await;
    let first = ask(&gateway, "ann", None).await;
    let held = cookie(&first).unwrap();
    assert_eq!((first.upstream(), first.told("x-flaggate-route").unwrap().contains("strategy=canary")), ("next", true));
    post(&gateway, "/flags/canary", &json!({ "rollout_percentage": 0 })).await;
    // Who comes anew sees that the canary is over.
    served_by(&gateway, "none", "stable").await;
    let again = ask(&gateway, "ann", Some(&held)).await;
    assert_eq!((again.upstream(), again.header("set-cookie")), ("next", None));
    assert!(again.told("x-flaggate-route").unwrap().contains("strategy=sticky;upstream=next"));
    let series = "flaggate_requests_total{code_class=\"2xx\",route=\"all\",strategy=\"sticky\",upstream=\"next\"}";
    assert_eq!(metric(&gateway, series).await, 1);
    // What the flag gives now had no say in it, and is not blamed for it.
    let counted = "flaggate_variation_requests_total{code_class=\"2xx\",flag=\"canary\",variation=\"false\"}";
    let before = metric(&gateway, counted).await;
    ask(&gateway, "ann", Some(&held)).await;
    assert_eq!(metric(&gateway, counted).await, before);
    let request =
        json!({ "path": "/a", "host": "h", "headers": { "X-User-Id": "ann", "Cookie": format!("flaggate_v={held}") } });
    let told = explain(&gateway, &request).await;
    assert_eq!(told["decision"]["strategy"], "sticky");
    let way =
        json!([{ "strategy": "sticky", "flag": "canary", "variation": "true", "upstream": "next", "result": "taken" }]);
    assert_eq!(told["strategies"], way);
    // Who was at the route's own upstream first stays there as well.
    let own = cookie(&ask(&gateway, "bob", None).await).unwrap();
    post(&gateway, "/flags/canary", &json!({ "rollout_percentage": 100 })).await;
    served_by(&gateway, "none", "next").await;
    assert_eq!(ask(&gateway, "bob", Some(&own)).await.upstream(), "stable");
    // Nobody known is not held.
    assert_eq!(get(gateway.web, &[]).await.header("set-cookie"), None);
}

#[tokio::test]
async fn a_kill_switch_wins() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), 100, echo("next").await, ROUTE).await;
    let held = cookie(&ask(&gateway, "ann", None).await).unwrap();
    for target in [
        json!({ "flags": ["canary"] }),
        json!({ "services": ["next"] }),
        json!({ "services": ["all"] }),
        json!({ "all": true }),
    ] {
        let mut kill = target.clone();
        kill["reason"] = "test".into();
        post(&gateway, "/kill", &kill).await;
        for user in ["ann", "bob"] {
            let killed = ask(&gateway, user, Some(&held)).await;
            assert_eq!((killed.upstream(), killed.header("set-cookie")), ("stable", None), "{target} {user}");
            assert!(killed.told("x-flaggate-route").unwrap().contains("strategy=default"), "{target}");
        }
        post(&gateway, "/kill/lift", &target).await;
        served_by(&gateway, &held, "next").await;
    }
    // A flag that is off is off.
    post(&gateway, "/flags/canary", &json!({ "enabled": false })).await;
    let off = served_by(&gateway, &held, "stable").await;
    assert_eq!(off.header("set-cookie"), None);
}

#[tokio::test]
async fn an_upstream_that_is_ill_or_gone_holds_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let healthy = gateway(folder.path(), 100, echo("next").await, ROUTE).await;
    let held = cookie(&ask(&healthy, "ann", None).await).unwrap();
    // The same keys: any gateway opens it.
    let ill = gateway(folder.path(), 100, free(), ROUTE).await;
    let answer = served_by(&ill, &held, "stable").await;
    assert_eq!(answer.header("set-cookie"), None, "it may come back");
    assert_eq!(ask(&ill, "bob", None).await.header("set-cookie"), None, "nobody is held to where only a failure leads");
    // A route without a canary: the user is held anew.
    let gone = "sticky = { ttl = \"1h\" }\n[[routes]]\nname = \"other\"\nupstream = \"next\"\nmatch = { path_prefix = \"/other\" }";
    let gone = gateway(folder.path(), 0, echo("next").await, gone).await;
    assert_eq!(ask(&gone, "ann", Some(&held)).await.upstream(), "next", "the way is still there");
    let file = gone.folder.path().join("flaggate.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("canary = { flag = \"canary\", upstream = \"next\" }\n", "")).unwrap();
    let reload = format!("http://{}/config/reload", gone.admin);
    assert!(reqwest::Client::new().post(reload).send().await.unwrap().status().is_success());
    let answer = ask(&gone, "ann", Some(&held)).await;
    assert_eq!(answer.upstream(), "stable");
    assert!(cookie(&answer).is_some());
}

#[tokio::test]
async fn a_cookie_that_is_not_the_users_own_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), 100, echo("next").await, ROUTE).await;
    let held = cookie(&ask(&gateway, "ann", None).await).unwrap();
    post(&gateway, "/flags/canary", &json!({ "rollout_percentage": 0 })).await;
    served_by(&gateway, "none", "stable").await;
    assert_eq!(ask(&gateway, "ann", Some(&held)).await.upstream(), "next");
    assert_eq!(ask(&gateway, "bob", Some(&held)).await.upstream(), "stable");
    for place in 0..held.len() {
        let mut flipped = held.clone().into_bytes();
        flipped[place] ^= 1;
        if flipped[place].is_ascii_graphic() && flipped[place] != b';' {
            let flipped = String::from_utf8(flipped).unwrap();
            assert_eq!(ask(&gateway, "ann", Some(&flipped)).await.upstream(), "stable", "{flipped}");
        }
    }
}
