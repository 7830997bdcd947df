//! JSON Web Tokens: what is believed, and what is not.

use std::{fs, path::Path};

use flaggate::clock;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    process::{PATIENCE, Process},
    signing::{KEYS, SECRET, eddsa, encode, es256, hs256, ps256, rs256, token},
    world::{Answer, echo, explain, get, metric},
};

const ISSUER: &str = "https://id.example";

fn now() -> i64 {
    clock::now().as_second()
}

/// Good claims, with some of them replaced.
fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "shop", "sub": "ann", "exp": now() + 600, "plan": "gold", "age": 42,
        "realm": { "roles": ["a", "b"] }, "https://id.example/beta": true,
    });
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// The issuers: one with a set of public keys, one with a single one, one with a secret.
async fn gateway(folder: &Path, context: &str, route: &str) -> Process {
    fs::write(folder.join("secret"), format!("{SECRET}\n")).unwrap();
    let (upstream, secret) = (echo("shop").await, folder.join("secret"));
    let more = format!(
        r#"
[context]
user_id = [{{ jwt = "sub" }}, {{ header = "X-User-Id" }}]
[context.attributes]
plan = {{ jwt = "plan" }}
age = {{ jwt = "age" }}
roles = {{ jwt = "realm.roles" }}
beta = {{ jwt = "https://id.example/beta" }}
level = {{ jwt = "level", type = "number" }}
[context.jwt]
{context}
[[context.jwt.issuers]]
issuer = "{ISSUER}"
audience = ["shop", "other"]
jwks_file = "{KEYS}/keys.json"
algorithms = ["RS256", "PS256", "ES256", "EdDSA"]
[[context.jwt.issuers]]
issuer = "https://one.example"
audience = ["shop"]
public_key = "{KEYS}/rsa.pub.pem"
leeway = "1s"
[[context.jwt.issuers]]
issuer = "https://shared.example"
audience = ["shop"]
secret_file = {secret:?}
[inject]
context_attributes = ["plan", "age", "roles", "beta", "level"]
[upstreams.shop]
endpoints = [{{ address = "{upstream}" }}]
[[routes]]
name = "all"
upstream = "shop"
{route}
"#
    );
    Process::start(&json!([]), &more).await
}

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}")]
}

/// Who the upstream was told that asks.
async fn user(gateway: &Process, lines: &[String]) -> Option<String> {
    let answer = get(gateway.web, lines).await;
    assert_eq!(answer.status, 200);
    answer.told("x-user-id")
}

#[tokio::test]
async fn every_algorithm_that_is_allowed_is_verified_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), "", "").await;
    let head = |alg: &str, kid: &str| json!({ "alg": alg, "typ": "JWT", "kid": kid });
    let good = claims(json!({}));
    let one = claims(json!({ "iss": "https://one.example" }));
    let shared = claims(json!({ "iss": "https://shared.example" }));
    let pem = fs::read(format!("{KEYS}/rsa.pub.pem")).unwrap();
    let text = std::str::from_utf8(&pem).unwrap().trim().as_bytes();
    let cut = |token: String| token.rsplit_once('.').unwrap().0.to_owned() + ".";
    let with = |name: &str, value: Value| claims(json!({ name: value }));
    let rs = |claims: &Value| token(&head("RS256", "rsa-1"), claims, rs256);
    let crit = json!({ "alg": "RS256", "kid": "rsa-1", "crit": ["b64"], "b64": false });
    let cases = [
        ("verified", rs(&good)),
        ("verified", token(&head("ES256", "ec-1"), &good, es256)),
        ("verified", token(&head("EdDSA", "ed-1"), &good, eddsa)),
        ("verified", token(&json!({ "alg": "ES256" }), &good, es256)),
        ("verified", token(&head("RS256", "whatever"), &one, rs256)),
        ("verified", token(&json!({ "alg": "HS256" }), &shared, hs256(SECRET.as_bytes()))),
        ("verified", rs(&with("aud", json!(["x", "other"])))),
        ("verified", rs(&with("nbf", json!(now() + 20)))),
        ("verified", rs(&with("exp", json!(now() - 20)))),
        // Confusion: a public key taken for a secret, in each spelling.
        ("algorithm", token(&head("HS256", "rsa-1"), &good, hs256(&pem))),
        ("algorithm", token(&head("HS256", "rsa-1"), &one, hs256(&pem))),
        ("algorithm", token(&head("HS256", "rsa-1"), &one, hs256(text))),
        ("algorithm", token(&head("HS256", "secret"), &good, hs256(&[b'x'; 32]))),
        ("algorithm", token(&head("RS256", "x"), &shared, rs256)),
        ("algorithm", cut(token(&json!({ "alg": "none" }), &good, rs256))),
        ("algorithm", cut(token(&json!({ "alg": "None" }), &good, rs256))),
        ("algorithm", token(&json!({ "alg": "RS1" }), &good, rs256)),
        ("algorithm", token(&head("RS512", "rsa-1"), &good, rs256)),
        // The key is for RS256 only, or the issuer is.
        ("algorithm", token(&head("PS256", "rsa-1"), &good, ps256)),
        ("algorithm", token(&head("PS256", "x"), &one, ps256)),
        ("signature", token(&head("RS256", "rsa-1"), &good, es256)),
        ("signature", token(&head("RS256", "rsa-1"), &good, |_| vec![0; 256])),
        ("signature", cut(rs(&good))),
        ("signature", token(&json!({ "alg": "HS256" }), &shared, hs256(b"another secret of thirty-two bytes.."))),
        ("unknown_key", token(&head("RS256", "rsa-2"), &good, rs256)),
        ("unknown_key", token(&head("RS256", "for-encryption"), &good, rs256)),
        ("unknown_key", token(&head("ES256", "rsa-1"), &good, es256)),
        ("expired", rs(&with("exp", json!(now() - 31)))),
        (
            "expired",
            token(&head("RS256", "x"), &claims(json!({ "iss": "https://one.example", "exp": now() - 2 })), rs256),
        ),
        ("not_yet_valid", rs(&with("nbf", json!(now() + 40)))),
        ("malformed", rs(&with("exp", Value::Null))),
        ("malformed", rs(&with("exp", json!("soon")))),
        ("malformed", rs(&with("nbf", json!("soon")))),
        ("audience", rs(&with("aud", json!("else")))),
        ("audience", rs(&with("aud", Value::Null))),
        ("audience", rs(&with("aud", json!([])))),
        ("issuer", rs(&with("iss", json!("https://evil.example")))),
        ("issuer", rs(&with("iss", Value::Null))),
        ("issuer", rs(&with("iss", json!([ISSUER])))),
        ("malformed", token(&crit, &good, rs256)),
        ("malformed", "a.b".to_owned()),
        ("malformed", "opaque".to_owned()),
        ("malformed", rs(&good) + ".x"),
        ("malformed", format!("{}.{}.", encode("{}"), encode("{}"))),
        ("malformed", format!("{}.{}.", encode("[1"), encode("{}"))),
        ("too_long", rs(&with("x", json!("y".repeat(7_000))))),
    ];
    for (number, (outcome, token)) in cases.iter().enumerate() {
        let series = format!("flaggate_jwt_tokens_total{{result=\"{outcome}\"}}");
        let before = metric(&gateway, &series).await;
        let told = user(&gateway, &bearer(token)).await;
        assert_eq!(told.as_deref(), (*outcome == "verified").then_some("ann"), "{number} {outcome} {token}");
        assert_eq!(metric(&gateway, &series).await, before + 1, "{number} {outcome} {token}");
        let request = json!({ "path": "/", "host": "h", "headers": { "Authorization": format!("Bearer {token}") } });
        let explained = explain(&gateway, &request).await;
        assert_eq!(explained["context"]["token"], *outcome, "{number}");
        assert_eq!(metric(&gateway, &series).await, before + 1, "nothing of what is only asked about is counted");
    }
}

#[tokio::test]
async fn a_token_with_a_flipped_bit_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), "", "").await;
    let good = token(&json!({ "alg": "EdDSA", "kid": "ed-1" }), &claims(json!({})), eddsa);
    // It is remembered, and what resembles it is not taken for it.
    assert_eq!(user(&gateway, &bearer(&good)).await.as_deref(), Some("ann"));
    for place in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[place] ^= 1 << (place % 5);
        if !bytes[place].is_ascii_graphic() {
            continue;
        }
        let flipped = String::from_utf8(bytes).unwrap();
        assert_eq!(user(&gateway, &bearer(&flipped)).await, None, "{place} {flipped}");
    }
    assert_eq!(user(&gateway, &bearer(&good)).await.as_deref(), Some("ann"));
}

#[tokio::test]
async fn claims_become_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), "", "").await;
    let signed = |more: Value| token(&json!({ "alg": "RS256", "kid": "rsa-1" }), &claims(more), rs256);
    for (more, expected) in [
        (json!({ "level": "7" }), json!({ "plan": "gold", "age": 42, "roles": ["a", "b"], "beta": true, "level": 7 })),
        (json!({ "level": 7.5, "plan": null }), json!({ "age": 42, "roles": ["a", "b"], "beta": true, "level": 7.5 })),
        (json!({ "level": "x", "realm": 1 }), json!({ "plan": "gold", "age": 42, "beta": true })),
    ] {
        let headers = json!({ "Authorization": format!("bearer {}", signed(more)) });
        let explained = explain(&gateway, &json!({ "path": "/", "host": "h", "headers": headers })).await;
        let mut attributes = explained["context"]["attributes"].clone();
        attributes
            .as_object_mut()
            .unwrap()
            .retain(|name, _| expected.get(name).is_some() || !name.contains(['.', '_']));
        assert_eq!(attributes, expected);
    }
    assert_eq!(user(&gateway, &bearer(&signed(json!({ "sub": 17 })))).await.as_deref(), Some("17"));
    // Without a subject the next source is asked.
    let lines = [bearer(&signed(json!({ "sub": null }))), vec!["X-User-Id: bob".to_owned()]].concat();
    assert_eq!(user(&gateway, &lines).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn where_a_token_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let good = token(&json!({ "alg": "EdDSA", "kid": "ed-1" }), &claims(json!({})), eddsa);
    let other = token(&json!({ "alg": "EdDSA", "kid": "ed-1" }), &claims(json!({ "sub": "bob" })), eddsa);
    let usual = gateway(folder.path(), "cookie = \"session\"", "").await;
    let lines = |lines: &[String]| lines.to_vec();
    for (lines, expected) in [
        (bearer(&good), Some("ann")),
        (lines(&[format!("Cookie: a=b; session={good}")]), Some("ann")),
        (lines(&[format!("Authorization: Bearer {other}"), format!("Cookie: session={good}")]), Some("bob")),
        // Whoever logs in otherwise may still have a cookie.
        (lines(&["Authorization: Basic YTpi".to_owned(), format!("Cookie: session={good}")]), Some("ann")),
        // One that is bad is not made up for.
        (lines(&["Authorization: Bearer x.y.z".to_owned(), format!("Cookie: session={good}")]), None),
        // Twice is ambiguous, even if both are the same.
        ([bearer(&good), bearer(&good)].concat(), None),
        ([bearer(&good), bearer(&other)].concat(), None),
        (lines(&[format!("X-Token: {good}")]), None),
    ] {
        assert_eq!(user(&usual, &lines).await.as_deref(), expected, "{lines:?}");
    }
    assert_eq!(metric(&usual, "flaggate_jwt_tokens_total{result=\"repeated\"}").await, 2);
    let own = gateway(folder.path(), "header = \"X-Token\"", "").await;
    for (lines, expected) in [
        (vec![format!("X-Token: {good}")], Some("ann")),
        (vec![format!("X-Token: Bearer {good}")], Some("ann")),
        (bearer(&good), None),
    ] {
        assert_eq!(user(&own, &lines).await.as_deref(), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn a_route_can_want_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let signed = |more: Value| token(&json!({ "alg": "EdDSA", "kid": "ed-1" }), &claims(more), eddsa);
    for (context, route) in [("", "require_jwt = true"), ("required = true", "")] {
        let gateway = gateway(folder.path(), context, route).await;
        assert_eq!(get(gateway.web, &bearer(&signed(json!({})))).await.status, 200);
        let refused = |answer: &Answer| {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
            let problem: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!((&problem["status"], &problem["code"]), (&json!(401), &json!("unauthenticated")));
            answer.header("www-authenticate").unwrap()
        };
        assert_eq!(refused(&get(gateway.web, &[]).await), "Bearer");
        let expired = refused(&get(gateway.web, &bearer(&signed(json!({ "exp": now() - 60 })))).await);
        assert_eq!(expired, "Bearer error=\"invalid_token\", error_description=\"the token has expired\"");
        assert_eq!(refused(&get(gateway.web, &bearer("x.y.z")).await), "Bearer error=\"invalid_token\"");
        assert_eq!(metric(&gateway, "flaggate_jwt_tokens_total{result=\"expired\"}").await, 1);
    }
    let free = gateway(folder.path(), "required = true", "require_jwt = false").await;
    assert_eq!(get(free.web, &[]).await.status, 200);
}

#[tokio::test]
async fn keys_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), "", "").await;
    let by = |secret: &str| {
        token(&json!({ "alg": "HS256" }), &claims(json!({ "iss": "https://shared.example" })), hs256(secret.as_bytes()))
    };
    let next = "the next secret of thirty-two bytes or more";
    let (old, new) = (by(SECRET), by(next));
    assert_eq!(user(&gateway, &bearer(&old)).await.as_deref(), Some("ann"));
    assert_eq!(user(&gateway, &bearer(&new)).await, None);
    // A key that is wrong changes nothing.
    fs::write(folder.path().join("secret"), "short").unwrap();
    let reload = async || {
        let url = format!("http://{}/config/reload", gateway.admin);
        reqwest::Client::new().post(url).send().await.unwrap()
    };
    let refused = reload().await;
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("32 bytes"));
    assert_eq!(user(&gateway, &bearer(&old)).await.as_deref(), Some("ann"));
    // The file is watched. What was remembered by the old key is forgotten with it.
    fs::write(folder.path().join("secret"), next).unwrap();
    let by = clock::monotonic() + PATIENCE;
    while user(&gateway, &bearer(&new)).await.is_none() {
        assert!(clock::monotonic() < by, "the new key is never used");
        sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(user(&gateway, &bearer(&old)).await, None);
}
