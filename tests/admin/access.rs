//! Who may what: each route for each role, sessions of browsers, origins, limits.

use std::time::Duration;

use flaggate::{
    clock,
    config::{self, AdminToken},
    model::Role,
    store::Store,
};
use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Served, serve, serve_as};

/// A token for each role, named like it.
fn tokens() -> config::Admin {
    let token = |role: Role| AdminToken {
        name: role.to_string(),
        role,
        sha256: Sha256::digest(secret(role)).into(),
        expires_at: None,
    };
    config::Admin { tokens: Role::ALL.map(token).to_vec(), ..config::Admin::default() }
}

fn secret(role: Role) -> String {
    format!("flaggate_secret-of-{role}")
}

fn request(served: &Served, method: Method, path: &str) -> RequestBuilder {
    served.client.request(method, format!("http://{}{path}", served.address))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Every operation of the document, with a path that can be asked for, and its role; none: it is public.
fn operations(document: &Value) -> Vec<(Method, String, Option<Role>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scopes = &operation["security"][0]["token"];
            let role = scopes[0].as_str().map(|role| role.parse().unwrap());
            let path = path.replace("{key}", "no-such-flag").replace("{id}", "nobody").replace("{part}", "LICENSE");
            let path = path.replace("{name}", "nothing");
            assert!(!path.contains('{'), "{path}");
            found.push((method.to_uppercase().parse().unwrap(), path, role));
        }
    }
    found
}

#[tokio::test]
async fn each_route_for_each_role() {
    let served = serve_as(&tokens()).await;
    let document: Value = request(&served, Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let operations = operations(&document);
    assert!(operations.len() >= 18, "{}", operations.len());
    for (method, path, needed) in operations {
        let asked = |token: Option<&str>| {
            let asked = request(&served, method.clone(), &path);
            match token {
                Some(token) => asked.bearer_auth(token),
                None => asked,
            }
        };
        let nobody = status(asked(None)).await;
        let stranger = status(asked(Some("flaggate_unknown"))).await;
        let Some(needed) = needed else {
            assert!(!matches!(nobody, 401 | 403) || path == "/session", "{method} {path}: {nobody}");
            continue;
        };
        assert_eq!((nobody, stranger), (401, 401), "{method} {path}");
        for role in Role::ALL {
            let answered = status(asked(Some(&secret(role)))).await;
            let refused = matches!(answered, 401 | 403);
            assert_eq!(refused, role < needed, "{method} {path} as {role}: {answered}");
            assert!(answered < 500, "{method} {path} as {role}: {answered}");
        }
    }
}

#[tokio::test]
async fn what_is_no_route_tells_nothing() {
    let served = serve_as(&tokens()).await;
    for (method, path, expected) in
        [(Method::GET, "/else", 404), (Method::POST, "/metrics", 405), (Method::TRACE, "/flags", 405)]
    {
        assert_eq!(status(request(&served, method.clone(), path)).await, expected, "{method} {path}");
    }
    // Paths that stand for others ask for the same.
    for path in ["/flags/evaluate", "/flags/", "/flags/a/", "/flags/%65valuate"] {
        assert_eq!(status(request(&served, Method::GET, path)).await, 401, "{path}");
    }
    assert_eq!(status(request(&served, Method::HEAD, "/flags")).await, 401);
    assert_eq!(status(request(&served, Method::HEAD, "/flags").bearer_auth(secret(Role::Viewer))).await, 200);
}

#[tokio::test]
async fn ways_to_show_a_token() {
    let served = serve_as(&tokens()).await;
    let viewer = secret(Role::Viewer);
    for (name, value, expected) in [
        (header::AUTHORIZATION.as_str(), format!("Bearer {viewer}"), 200),
        ("authorization", format!("bearer   {viewer}"), 200),
        ("x-api-key", viewer.clone(), 200),
        ("authorization", viewer.clone(), 401),
        ("authorization", format!("Basic {viewer}"), 401),
        ("authorization", "Bearer".to_owned(), 401),
        ("authorization", String::new(), 401),
        ("x-api-key", String::new(), 401),
        ("x-api-key", viewer[..viewer.len() - 1].to_owned(), 401),
        ("x-api-key", format!("{viewer}x"), 401),
        ("cookie", format!("flaggate_session={viewer}"), 401),
    ] {
        let answered = status(request(&served, Method::GET, "/flags").header(name, &value)).await;
        assert_eq!(answered, expected, "{name}: {value}");
    }
    let refused = request(&served, Method::GET, "/flags").send().await.unwrap();
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let body: Value = refused.json().await.unwrap();
    assert_eq!((&body["status"], &body["title"]), (&json!(401), &json!("Unauthorized")));
}

#[tokio::test]
async fn a_token_ends() {
    let mut config = tokens();
    let second = Duration::from_secs(1);
    config.tokens[1].expires_at = Some(clock::now() - second);
    config.tokens[4].expires_at = Some(clock::now() + 3600 * second);
    let served = serve_as(&config).await;
    let answered = async |role| status(request(&served, Method::GET, "/flags").bearer_auth(secret(role))).await;
    assert_eq!((answered(Role::Viewer).await, answered(Role::Admin).await), (401, 200));
}

#[tokio::test]
async fn changes_are_audited_under_the_tokens_name() {
    let served = serve_as(&tokens()).await;
    let created = request(&served, Method::POST, "/flags")
        .bearer_auth(secret(Role::Editor))
        .json(&json!({ "key": "a", "name": "A" }));
    assert_eq!(status(created).await, 200);
    assert_eq!(served.store.audit(1).await.unwrap()[0].actor, "editor");
}

#[tokio::test]
async fn who_imports_may_not_delete_unless_an_admin() {
    let served = serve_as(&tokens()).await;
    let import = async |role: Role, mode: &str, flags: Value| {
        let asked = request(&served, Method::POST, &format!("/import?mode={mode}")).bearer_auth(secret(role));
        let answer = asked.json(&flags).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let [a, b] = ["a", "b"].map(|key| json!([{ "key": key, "name": key }]));
    assert_eq!(import(Role::Editor, "merge", a).await.0, 200);
    let before = served.store.audit(10).await.unwrap();
    for dry_run in ["replace", "replace&dry_run=true"] {
        let (status, problem) = import(Role::Editor, dry_run, b.clone()).await;
        assert_eq!((status, &problem["status"]), (403, &json!(403)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("needs the role admin"), "{problem}");
    }
    assert_eq!(served.store.audit(10).await.unwrap(), before, "nothing was written");
    let (status, told) = import(Role::Admin, "replace", b).await;
    assert_eq!((status, &told["counts"]["deleted"], &told["counts"]["created"]), (200, &json!(1), &json!(1)));
}

/// Logs in; gives the cookie and the number.
async fn log_in(served: &Served, role: Role) -> (String, String) {
    let answer =
        request(served, Method::POST, "/session").json(&json!({ "token": secret(role) })).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["role"], role.as_str());
    (cookie.split(';').next().unwrap().to_owned(), body["csrf"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_session_needs_its_number_to_change_something() {
    let served = serve_as(&tokens()).await;
    let (cookie, csrf) = log_in(&served, Role::Editor).await;
    let (other_cookie, other_csrf) = log_in(&served, Role::Viewer).await;
    let own = format!("http://{}", served.address);
    let create =
        || request(&served, Method::POST, "/flags").json(&json!({ "key": "a", "name": "A" })).header("cookie", &cookie);
    for (refused, why) in [
        (create(), "no number"),
        (create().header("x-csrf-token", ""), "an empty one"),
        (create().header("x-csrf-token", &other_csrf), "another session's"),
        (create().header("x-csrf-token", csrf.to_uppercase()), "nearly the same"),
        (create().header("x-csrf-token", &csrf).header("origin", "https://evil.example"), "another site"),
        (create().header("x-csrf-token", &csrf).header("origin", "null"), "no site"),
        (create().header("x-csrf-token", &csrf).header("origin", format!("{own}.evil.example")), "a longer name"),
    ] {
        assert_eq!(status(refused).await, 403, "{why}");
    }
    let form = request(&served, Method::POST, "/flags").header("cookie", &cookie).header("x-csrf-token", &csrf);
    let form = form.header("content-type", "text/plain").body(r#"{"key": "a", "name": "A"}"#);
    assert_eq!(status(form).await, 422, "a form of another site is no JSON");
    assert_eq!(status(create().header("x-csrf-token", &csrf).header("origin", &own)).await, 200);
    // Reading needs no number; a role stays what it is.
    assert_eq!(status(request(&served, Method::GET, "/flags").header("cookie", &cookie)).await, 200);
    let viewer = request(&served, Method::DELETE, "/flags/a").header("cookie", &other_cookie);
    assert_eq!(status(viewer.header("x-csrf-token", &other_csrf)).await, 403);
    let who: Value =
        request(&served, Method::GET, "/session").header("cookie", &cookie).send().await.unwrap().json().await.unwrap();
    assert_eq!(who, json!({ "name": "editor", "role": "editor", "csrf": csrf }));
}

#[tokio::test]
async fn a_session_cannot_be_made_or_changed() {
    let served = serve_as(&tokens()).await;
    let (cookie, _) = log_in(&served, Role::Client).await;
    let read = async |cookie: &str| status(request(&served, Method::GET, "/session").header("cookie", cookie)).await;
    assert_eq!(read(&cookie).await, 200);
    assert_eq!(read(&format!("a=b; {cookie}; c=d")).await, 200);
    let value = cookie.strip_prefix("flaggate_session=").unwrap();
    let (payload, signature) = value.rsplit_once('.').unwrap();
    let longer = payload.replacen(|digit: char| digit.is_ascii_digit(), "9", 1);
    for wrong in [
        format!("{longer}.{signature}"),
        format!("{payload}.{}", signature.replacen(|_: char| true, "g", 1)),
        payload.to_owned(),
        format!("{payload}."),
        ".".to_owned(),
        String::new(),
    ] {
        assert_eq!(read(&format!("flaggate_session={wrong}")).await, 401, "{wrong}");
    }
    // The session of another gateway that shares no key.
    let elsewhere = serve_as(&tokens()).await;
    let (foreign, _) = log_in(&elsewhere, Role::Admin).await;
    assert_eq!(read(&foreign).await, 401);
    let logged_out = request(&served, Method::DELETE, "/session").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(logged_out.status(), 204);
    assert!(logged_out.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let wrong = request(&served, Method::POST, "/session").json(&json!({ "token": "flaggate_wrong" }));
    assert_eq!(status(wrong).await, 401);
    assert_eq!(status(request(&served, Method::POST, "/session").json(&json!({}))).await, 422);
}

#[tokio::test]
async fn gateways_that_share_a_key_share_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, [7; 32]).unwrap();
    let config = config::Admin { session_key_file: Some(file.clone()), ..tokens() };
    let (one, other) = (serve_as(&config).await, serve_as(&config).await);
    let (cookie, _) = log_in(&one, Role::Viewer).await;
    assert_eq!(status(request(&other, Method::GET, "/flags").header("cookie", &cookie)).await, 200);
    let without = config::Admin { tokens: config.tokens[2..].to_vec(), ..config.clone() };
    let without = serve_as(&without).await;
    assert_eq!(
        status(request(&without, Method::GET, "/flags").header("cookie", &cookie)).await,
        401,
        "its token is gone"
    );
    std::fs::write(&file, [7; 31]).unwrap();
    assert!(flaggate::admin::Access::new(&config).is_err());
}

#[tokio::test]
async fn a_session_ends() {
    let config = config::Admin { session_ttl: Duration::ZERO, ..tokens() };
    let served = serve_as(&config).await;
    let answer = request(&served, Method::POST, "/session").json(&json!({ "token": secret(Role::Viewer) }));
    let answer = answer.send().await.unwrap();
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(status(request(&served, Method::GET, "/flags").header("cookie", cookie)).await, 401);
}

#[tokio::test]
async fn listed_sites_may_call_with_a_token() {
    let site = "https://app.example";
    let config = config::Admin { cors_origins: vec![site.to_owned()], ..tokens() };
    let served = serve_as(&config).await;
    let preflight = |origin: &str| {
        let asked = request(&served, Method::OPTIONS, "/flags/a/evaluate").header("origin", origin);
        asked.header("access-control-request-method", "POST").header("access-control-request-headers", "authorization")
    };
    let allowed = preflight(site).send().await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], site);
    assert!(allowed.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(!allowed.headers().contains_key("access-control-allow-credentials"));
    let refused = preflight("https://other.example").send().await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    let asked = |origin: &str| request(&served, Method::GET, "/flags").header("origin", origin.to_owned());
    let answered = asked(site).bearer_auth(secret(Role::Viewer)).send().await.unwrap();
    assert_eq!(
        (answered.status().as_u16(), &answered.headers()["access-control-allow-origin"]),
        (200, &site.parse().unwrap())
    );
    assert_eq!(status(asked(site)).await, 401, "a site that is listed still needs a token");
    assert_eq!(status(asked("https://other.example").bearer_auth(secret(Role::Viewer))).await, 403);
}

#[tokio::test]
async fn one_token_that_asks_too_much_does_not_hinder_others() {
    let config = config::Admin { requests_per_second: std::num::NonZeroU32::new(5), ..tokens() };
    let served = serve_as(&config).await;
    let asked = |role| request(&served, Method::GET, "/session").bearer_auth(secret(role));
    let mut refused = None;
    for _ in 0..50 {
        let answer = asked(Role::Client).send().await.unwrap();
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("50 at once are more than 5 a second");
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(status(asked(Role::Viewer)).await, 200);
}

/// What an answer says in the words of the OpenFeature protocol.
async fn openfeature(request: RequestBuilder) -> (u16, Value, Option<String>) {
    let answer = request.send().await.unwrap();
    let (status, after) = (answer.status().as_u16(), answer.headers().get(header::RETRY_AFTER).cloned());
    (status, answer.json().await.unwrap(), after.map(|after| after.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn an_openfeature_client_is_refused_in_its_own_words() {
    let config = config::Admin { requests_per_second: std::num::NonZeroU32::new(5), ..tokens() };
    let served = serve_as(&config).await;
    let (all, one) = ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/a%20b");
    let (status, body, _) = openfeature(request(&served, Method::POST, one)).await;
    assert_eq!((status, &body["key"], &body["errorCode"]), (401, &json!("a b"), &json!("GENERAL")), "{body}");
    assert!(body["errorDetails"].as_str().unwrap().contains("Bearer"), "{body}");
    let challenge = request(&served, Method::POST, all).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(
        (challenge.status().as_u16(), &challenge.headers()[header::WWW_AUTHENTICATE]),
        (401, &"Bearer".parse().unwrap())
    );
    let site =
        request(&served, Method::POST, all).bearer_auth(secret(Role::Client)).header("origin", "https://evil.example");
    let (status, body, _) = openfeature(site).await;
    assert_eq!((status, body.get("key"), &body["errorCode"]), (403, None, &json!("GENERAL")), "{body}");
    let mut asked = 0;
    let (body, after) = loop {
        let key = request(&served, Method::POST, all).header("x-api-key", secret(Role::Client));
        let (status, body, after) = openfeature(key).await;
        if status == 429 {
            break (body, after);
        }
        asked += 1;
        assert!(status == 200 && asked < 100, "{body}");
    };
    assert_eq!((&body["errorCode"], after.as_deref()), (&json!("GENERAL"), Some("1")), "{body}");
}

#[tokio::test]
async fn a_ticket_opens_the_event_stream_and_nothing_else() {
    let (served, replica) = (serve_as(&tokens()).await, serve_as(&tokens()).await);
    let bulk = async |role| {
        let asked = request(&served, Method::POST, "/ofrep/v1/evaluate/flags").bearer_auth(secret(role));
        let (status, body, _) = openfeature(asked).await;
        assert_eq!(status, 200, "{body}");
        body["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned()
    };
    let address = bulk(Role::Client).await;
    assert_eq!(address, bulk(Role::Client).await, "a client keeps its stream");
    assert_ne!(address, bulk(Role::Viewer).await);
    let ticket = address.strip_prefix("/ofrep/v1/events?").unwrap();
    assert_eq!(status(request(&served, Method::GET, &address)).await, 200);
    assert_eq!(status(request(&replica, Method::GET, &address)).await, 200, "another gateway knows the token as well");
    for (method, path) in [
        (Method::GET, "/ofrep/v1/events".to_owned()),
        (Method::GET, "/ofrep/v1/events?ticket=".to_owned()),
        (Method::GET, format!("{address}0")),
        (Method::GET, format!("/flags?{ticket}")),
        (Method::POST, format!("/ofrep/v1/evaluate/flags?{ticket}")),
        (Method::GET, format!("/session?{ticket}")),
    ] {
        assert_eq!(status(request(&served, method.clone(), &path)).await, 401, "{method} {path}");
    }
    let mut without = tokens();
    without.tokens.retain(|token| token.role != Role::Client);
    let without = serve_as(&without).await;
    assert_eq!(status(request(&without, Method::GET, &address)).await, 401, "its token is gone");
}

#[tokio::test]
async fn metrics_may_be_public() {
    let served = serve_as(&config::Admin { public_metrics: true, ..tokens() }).await;
    assert_eq!(status(request(&served, Method::GET, "/metrics")).await, 200);
    assert_eq!(status(request(&served, Method::GET, "/diagnostics")).await, 401);
}

#[tokio::test]
async fn without_tokens_everybody_on_this_machine_may_do_everything() {
    let served = serve().await;
    let who: Value = request(&served, Method::GET, "/session").send().await.unwrap().json().await.unwrap();
    assert_eq!(who, json!({ "name": "anonymous", "role": "admin" }));
    let login = request(&served, Method::POST, "/session").json(&json!({ "token": "x" }));
    assert_eq!(status(login).await, 409);
}
