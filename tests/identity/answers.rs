//! What answers say: the decision, for who may see it; what they depend on; who may keep them.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    process::Process,
    world::{echo, get},
};

const TOKEN: &str = "flaggate_a-token-for-tests";

async fn gateway(context: &str, route: &str) -> Process {
    let (stable, next) = (echo("stable").await, echo("next").await);
    let sha256: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let more = format!(
        "[explain]\ntokens = [{{ name = \"qa\", sha256 = \"{sha256}\" }}]\n[context]\n{context}\n\
         [upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n\
         [upstreams.next]\nendpoints = [{{ address = \"{next}\" }}]\n\
         [[routes]]\nname = \"plain\"\nupstream = \"stable\"\nmatch = {{ path_prefix = \"/plain\" }}\n\
         [[routes]]\nname = \"all\"\nupstream = \"stable\"\ncanary = {{ flag = \"canary\", upstream = \"next\" }}\n{route}\n"
    );
    let rule = |attribute: &str, value: &str, result: bool| json!({ "attribute": attribute, "operator": "contains", "value": value, "return_value": result });
    let flags = json!([
        { "key": "canary", "name": "c", "rollout_enabled": true, "rollout_percentage": 100 },
        { "key": "by-language", "name": "l", "targeting_enabled": true, "targeting_rules": [rule("accept_language", "de", true)] },
        { "key": "by-address", "name": "a", "targeting_enabled": true, "targeting_rules": [rule("client.ip", "10.", true)] },
    ]);
    Process::start(&flags, &more).await
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test]
async fn a_decision_is_shown_to_who_may_see_it() {
    let gateway = gateway("", "flags = [\"by-language\"]").await;
    let shown = format!("X-Flaggate-Explain: {TOKEN}");
    let answer = get(gateway.web, &lines(&["X-User-Id: ann \"x\"", &shown])).await;
    assert_eq!(answer.upstream(), "next");
    let expected = "revision=3, route=\"all\", strategy=\"canary\", upstream=\"next\", user=\"ann \\\"x\\\"\", \
                    flags=(\"canary\";variation=\"true\";reason=\"rollout\" \
                    \"by-language\";variation=\"false\";reason=\"default\")";
    let told = answer.header("x-flaggate-decision").unwrap();
    let revision = told.split(',').next().unwrap().to_owned();
    assert_eq!(told.replacen(&revision, "revision=3", 1), expected);
    assert_eq!(answer.headers("cache-control"), ["private, no-store"]);
    assert!(!answer.body.to_ascii_lowercase().contains("explain"), "{}", answer.body);
    let wrong = format!("X-Flaggate-Explain: {TOKEN}x");
    for (lines, what) in [
        (lines(&["X-User-Id: ann"]), "no token"),
        (lines(&["X-User-Id: ann", &wrong]), "another one"),
        (lines(&["X-User-Id: ann", "X-Flaggate-Explain:"]), "an empty one"),
        (lines(&["X-User-Id: ann", &shown, &shown]), "twice"),
    ] {
        let answer = get(gateway.web, &lines).await;
        assert_eq!((answer.status, answer.header("x-flaggate-decision")), (200, None), "{what}");
        assert_eq!(answer.header("cache-control"), None, "{what}");
        assert!(!answer.body.to_ascii_lowercase().contains("explain"), "{}", answer.body);
    }
}

#[tokio::test]
async fn answers_name_what_their_decision_depends_on() {
    let context = "user_id = [{ header = \"X-User-Id\" }, { cookie = \"uid\" }]\n\
                   attributes = { country = { header = \"X-Country\" }, q = { query = \"q\" } }";
    let names = "cookie, x-country, x-user-id";
    for (route, path, upstream, expected) in [
        ("", "/a", "", &[names][..]),
        ("", "/a", "Vary: Accept-Encoding, X-User-Id", &["Accept-Encoding, X-User-Id", "cookie", "x-country"]),
        ("", "/a", "Vary: *", &["*"]),
        ("vary = false", "/a", "", &[]),
        ("vary = false", "/a", "Vary: Accept-Encoding", &["Accept-Encoding"]),
        ("", "/plain", "", &[]),
        ("flags = [\"by-language\"]", "/a", "", &["cookie", "x-country", "x-user-id", "accept-language"]),
        ("flags = [\"by-address\"]", "/a", "", &["*"]),
    ] {
        let gateway = gateway(context, route).await;
        let asked = lines(&["X-User-Id: ann", &format!("X-Answer: {upstream}")]);
        let answer = crate::world::get_path(gateway.web, path, &asked).await;
        assert_eq!(answer.headers("vary"), expected, "{route} {path} {upstream}");
    }
}

#[tokio::test]
async fn an_answer_with_a_cookie_is_for_one_user() {
    let gateway = gateway("user_id = [{ anonymous_cookie = \"anon\" }]", "").await;
    for (upstream, expected) in [
        ("X-Nothing: 1", "private"),
        ("Cache-Control: public, max-age=60", "private, max-age=60"),
        ("Cache-Control: no-store", "no-store"),
        ("Cache-Control: private, max-age=1", "private, max-age=1"),
    ] {
        let line = format!("X-Answer: {upstream}");
        let answer = get(gateway.web, &lines(&[&line])).await;
        assert!(answer.header("set-cookie").unwrap().starts_with("anon="));
        assert_eq!(answer.headers("cache-control"), [expected], "{upstream}");
        let known = get(gateway.web, &lines(&[&line, "Cookie: anon=0190aaaa-0000-4000-8000-000000000001"])).await;
        assert_eq!(known.header("set-cookie"), None);
        let untouched = upstream.strip_prefix("Cache-Control: ");
        assert_eq!(known.header("cache-control").as_deref(), untouched);
    }
}
