//! What is stored of users decides where their requests go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use flaggate::{
    model::Profile,
    profiles::{LookUp, Source},
};
use serde_json::json;

use crate::harness::{Behaviour, Gateway, Upstream, header};

/// A gateway that sends users with the plan `pro` to the canary, its upstreams, and how often profiles were asked for.
async fn gateway(
    answer: impl Fn(&str) -> LookUp + Send + Sync + 'static,
) -> (Gateway, [Upstream; 2], Arc<AtomicUsize>) {
    let upstreams =
        [Upstream::start(Behaviour::Answer("stable")).await, Upstream::start(Behaviour::Answer("canary")).await];
    let toml = format!(
        "upstreams.stable.endpoints = [{{ address = \"{}\" }}]\nupstreams.canary.endpoints = [{{ address = \"{}\" }}]\n\
         routes = [\n\
         {{ name = \"plain\", match.path_prefix = \"/plain\", upstream = \"stable\", flags = [\"simple\"] }},\n\
         {{ name = \"live\", match.path_prefix = \"/live\", upstream = \"stable\", canary = {{ flag = \"stuck\", upstream = \"canary\" }} }},\n\
         {{ name = \"shop\", upstream = \"stable\", canary = {{ flag = \"canary\", upstream = \"canary\" }} }},\n\
         ]\n\
         context.accept_identity_from = \"anyone\"\ncontext.attributes.plan = {{ header = \"X-Plan\" }}\n",
        upstreams[0].address, upstreams[1].address
    );
    let rule = json!({ "attribute": "plan", "operator": "equals", "value": "pro" });
    let flags = [
        json!({ "key": "canary", "name": "Canary", "targeting_enabled": true, "targeting_rules": [rule] }),
        json!({ "key": "stuck", "name": "Stuck", "targeting_enabled": true,
            "targeting_rules": [{ "segments": ["abandoners"], "return_value": true }] }),
        json!({ "id": "abandoners", "type": "dynamic", "parent_segments": ["payers"],
            "rules": [{ "field": "activity.current_page", "operator": "starts_with", "value": "/checkout" }] }),
        json!({ "id": "payers", "rules": [{ "field": "plan", "operator": "equals", "value": "pro" }] }),
        json!({ "key": "simple", "name": "Simple", "rollout_enabled": true, "rollout_percentage": 50 }),
    ];
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let source: Source = Box::new(move |user| {
        count.fetch_add(1, SeqCst);
        answer(user)
    });
    // A machine that is busy must not make a quick answer late.
    let patient = |config: &mut flaggate::config::Config| config.profiles.budget = Duration::from_secs(2);
    (Gateway::start_with(&toml, &flags, patient, Some(source)).await, upstreams, asked)
}

fn stored(user: &str) -> LookUp {
    let activity = (user == "eve").then_some(r#"{"current_page": "/checkout/pay"}"#);
    let profile = (user != "bob").then(|| Profile::parse(Some(r#"{"plan": "pro"}"#), None, activity));
    Box::pin(async move { Ok(profile) })
}

async fn ask(gateway: &Gateway, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n{headers}Connection: close\r\n\r\n");
    gateway.request(&request).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_looked_up_once_and_only_where_a_flag_asks_for_it() {
    let (gateway, _upstreams, asked) = gateway(stored).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/plain", "X-User-Id: ann\r\n").await, "stable");
    }
    assert_eq!(asked.load(SeqCst), 0, "a percentage asks for nothing");
    assert_eq!(ask(&gateway, "/", "").await, "stable");
    assert_eq!(asked.load(SeqCst), 0, "nobody has no profile");
    assert_eq!(ask(&gateway, "/", "X-User-Id: ann\r\nX-Plan: free\r\n").await, "stable");
    assert_eq!(asked.load(SeqCst), 0, "the request says it itself");
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/", "X-User-Id: ann\r\n").await, "canary");
        assert_eq!(ask(&gateway, "/", "X-User-Id: bob\r\n").await, "stable");
    }
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_decided_by_profile_and_activity_and_asks_once() {
    let (gateway, upstreams, asked) = gateway(stored).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/plain", "X-User-Id: eve\r\n").await, "stable");
    }
    assert_eq!(asked.load(SeqCst), 0, "a route whose flags need no segment asks for nothing");
    for (user, upstream) in [("eve", "canary"), ("ann", "stable"), ("bob", "stable")] {
        for _ in 0..3 {
            assert_eq!(ask(&gateway, "/live", &format!("X-User-Id: {user}\r\n")).await, upstream, "{user}");
        }
    }
    assert_eq!(asked.load(SeqCst), 3, "each user once");
    let told =
        |upstream: &Upstream| upstream.seen().iter().map(|head| header(head, "x-user-segments")).collect::<Vec<_>>();
    assert_eq!(told(&upstreams[1]), vec![Some("abandoners".to_owned()); 3]);
    assert!(told(&upstreams[0]).iter().all(Option::is_none), "no other user is told to be in any");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_flags_are_evaluated_without_a_profile() {
    let (down, _upstreams, _) = gateway(|_| Box::pin(async { Err("down".to_owned()) })).await;
    assert_eq!(ask(&down, "/", "X-User-Id: ann\r\n").await, "stable");

    let (hangs, _upstreams, _) = gateway(|_| Box::pin(std::future::pending())).await;
    let started = flaggate::clock::monotonic();
    assert_eq!(ask(&hangs, "/", "X-User-Id: ann\r\n").await, "stable");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!((down.metrics.profiles().unavailable.get(), hangs.metrics.profiles().unavailable.get()), (1, 1));
}
