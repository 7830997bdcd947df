//! Routes that take so many requests only.

use crate::harness::{Behaviour, Gateway, Response, Upstream};

async fn gateway(upstream: &Upstream, more: &str, rate: &str) -> Gateway {
    let toml = format!(
        "{more}\n[upstreams.only]\nendpoints = [{{ address = \"{}\" }}]\n\
         [[routes]]\nname = \"free\"\nmatch.path_prefix = \"/free\"\nupstream = \"only\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"only\"\nlimits.rate = {{ {rate} }}\n",
        upstream.address
    );
    // The harness names one source of users; the tests name their own.
    Gateway::start_changed(&toml, &[], |config| {
        let cookie = flaggate::config::IdentitySource::AnonymousCookie("anon".to_owned());
        config.context.user_id.push(cookie);
    })
    .await
}

async fn get(gateway: &Gateway, headers: &str) -> Response {
    gateway.request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await
}

/// How many of ten requests are taken, each with these headers; `#` is the number of the request.
async fn taken(gateway: &Gateway, headers: &str) -> usize {
    let mut taken = 0;
    for number in 10..20 {
        let response = get(gateway, &headers.replace('#', &number.to_string())).await;
        assert!(matches!(response.status, 200 | 429), "{}", response.status);
        taken += usize::from(response.status == 200);
    }
    taken
}

const ANYONE: &str = "context.accept_identity_from = \"anyone\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_over_the_limit_is_told_when_to_come_again() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, ANYONE, "per = \"user\", requests = 3, window = \"1m\"").await;
    assert_eq!(taken(&gateway, "X-User-Id: ann\r\n").await, 3);
    assert_eq!(taken(&gateway, "X-User-Id: bob\r\n").await, 3);
    let response = get(&gateway, "X-User-Id: ann\r\n").await;
    assert_eq!(response.status, 429);
    let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((10..=20).contains(&wait), "{wait}");
    assert_eq!(response.header("ratelimit-policy").unwrap(), "\"default\";q=3;w=60");
    assert_eq!(response.header("ratelimit").unwrap(), format!("\"default\";r=0;t={wait}"));
    let problem: serde_json::Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&429.into(), &"rate_limited".into()));
    assert_eq!(gateway.metrics.limited("all").get(), 15);
    assert_eq!(gateway.get("/free").await.status, 200);
    assert_eq!(upstream.seen().len(), 7, "what is limited does not reach the upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_is_no_way_around() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let id = "0190aaaa-0000-4000-8000-0000000000#";
    let (user, cookie) = ("X-User-Id: #\r\n", format!("Cookie: anon={id}\r\n"));
    let nobody = "context.accept_identity_from = \"nobody\"";
    let tenant = "per = { header = \"X-Tenant\" }";
    for (more, per, headers, expected) in [
        // Believed users are told apart, and anybody's names are not.
        (ANYONE, "per = \"user\"", user, 10),
        (nobody, "per = \"user\"", user, 4),
        ("", "per = \"user\"", user, 4),
        // An anonymous id can be made by anybody.
        (ANYONE, "per = \"user\"", &cookie, 4),
        (ANYONE, "per = \"user\"", "", 4),
        (ANYONE, "per = \"client_ip\"", user, 4),
        (ANYONE, "", user, 4),
        (ANYONE, tenant, "X-Tenant: #\r\n", 10),
        (nobody, tenant, "X-Tenant: #\r\n", 4),
        (ANYONE, tenant, user, 4),
        (ANYONE, "per = \"route\"", user, 4),
    ] {
        let rate = format!("{per}{} requests = 4, window = \"1h\"", if per.is_empty() { "" } else { "," });
        let gateway = gateway(&upstream, more, &rate).await;
        assert_eq!(taken(&gateway, headers).await, expected, "{more} {per} {headers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_comes_back_with_time() {
    let upstream = Upstream::start(Behaviour::Answer("taken")).await;
    let gateway = gateway(&upstream, "", "per = \"route\", requests = 20, burst = 2").await;
    assert_eq!(get(&gateway, "").await.status, 200);
    assert_eq!(get(&gateway, "").await.status, 200);
    let response = get(&gateway, "").await;
    assert_eq!((response.status, response.header("retry-after").as_deref()), (429, Some("1")));
    crate::harness::until(async || get(&gateway, "").await.status == 200).await;
}
