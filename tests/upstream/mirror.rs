//! Shadow traffic: what is copied, what the copy says, and how its answer is compared.

use flaggate::model::Arm;
use serde_json::json;

use crate::harness::{Behaviour, Gateway, Upstream, header, until};

/// A gateway with a route `shop` whose mirror is `mirror` (`flag` and `upstream` excepted), and the counts of its copies.
struct World {
    gateway: Gateway,
    real: Upstream,
    shadow: Upstream,
}

impl World {
    async fn start(real: Behaviour, shadow: Behaviour, mirror: &str) -> Self {
        let (real, shadow) = (Upstream::start(real).await, Upstream::start(shadow).await);
        let toml = format!(
            "context.accept_identity_from = \"anyone\"\n\
             [upstreams.real]\nendpoints = [{{ address = \"{}\" }}]\n[upstreams.next]\nendpoints = [{{ address = \"{}\" }}]\n\
             [[routes]]\nname = \"shop\"\nupstream = \"real\"\nrewrite = {{ strip_prefix = \"/shop\" }}\n\
             mirror = {{ flag = \"shadow\", upstream = \"next\"{mirror} }}\n",
            real.address, shadow.address
        );
        let flag = json!({ "key": "shadow", "default_value": true, "targeting_enabled": true,
            "targeting_rules": [{ "attribute": "user_id", "operator": "equals", "value": "nobody", "return_value": false }] });
        Self { gateway: Gateway::start(&toml, &[flag]).await, real, shadow }
    }

    fn copies(&self, result: &str) -> u64 {
        let families = self.gateway.metrics.registry().gather();
        let family = families.iter().find(|family| family.name() == "flaggate_mirror_requests_total").unwrap();
        let of_result =
            family.get_metric().iter().filter(|metric| metric.get_label().iter().any(|label| label.value() == result));
        of_result.map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    async fn until_copies(&self, result: &str, copies: u64) {
        until(async || self.copies(result) >= copies).await;
        assert_eq!(self.copies(result), copies, "{result}");
    }

    async fn request(&self, request: &str) -> u16 {
        self.gateway.request(request).await.status
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_what_the_upstream_gets_without_what_lets_act() {
    let world = World::start(Behaviour::Answer("one"), Behaviour::Answer("one"), "").await;
    let request = "GET /shop/cart?id=1 HTTP/1.1\r\nHost: shop.example\r\nX-User-Id: ann\r\nCookie: s=1\r\nAuthorization: Basic x\r\n\
                   X-Own: yes\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";
    assert_eq!(world.request(request).await, 200);
    world.until_copies("same", 1).await;
    let (real, copy) = (&world.real.seen()[0], &world.shadow.seen()[0]);
    assert!(copy.starts_with("GET /cart?id=1 HTTP/1.1\r\n"), "{copy}");
    for (name, value) in [("host", "shop.example"), ("x-user-id", "ann"), ("x-own", "yes"), ("x-flaggate-shadow", "1")]
    {
        assert_eq!(header(copy, name).as_deref(), Some(value), "{copy}");
    }
    assert_eq!(header(copy, "x-request-id"), header(real, "x-request-id"));
    let told = "shop;strategy=mirror;upstream=next;revision=1";
    assert_eq!(header(copy, "x-flaggate-route").as_deref(), Some(told));
    for name in ["cookie", "authorization", "x-hop", "connection"] {
        assert_eq!(header(copy, name), None, "{copy}");
    }
    assert_eq!((header(real, "cookie").as_deref(), header(real, "x-flaggate-shadow")), (Some("s=1"), None));
    let arms = world.gateway.arms.take();
    let is_copy = |arm: &Arm| matches!(arm, Arm::Route { strategy, upstream, .. } if &**strategy == "mirror" && &**upstream == "next");
    let (_, counts) = arms.iter().find(|(arm, _)| is_copy(arm)).unwrap();
    assert_eq!((counts.requests, counts.errors, counts.users.count().round()), (1, 0, 1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_asked_for_is_copied() {
    let world = World::start(Behaviour::Answer("one"), Behaviour::Answer("two"), ", credentials = true").await;
    for request in [
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        "DELETE /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /c HTTP/1.1\r\nHost: h\r\nX-User-Id: nobody\r\n\r\n",
        // A copy is not copied again, or two gateways would do so for ever.
        "GET /d HTTP/1.1\r\nHost: h\r\nX-Flaggate-Shadow: 1\r\n\r\n",
        "GET /e HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n",
    ] {
        assert_eq!(world.request(request).await, 200);
    }
    // The bodies differ, but nobody asked.
    world.until_copies("same", 1).await;
    let copies = world.shadow.seen();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert!(copies[0].starts_with("GET /e "), "{copies:?}");
    assert_eq!(header(&copies[0], "cookie").as_deref(), Some("a=b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_copied_up_to_64_kib() {
    let mirror = ", methods = [\"POST\"], body_hash = true";
    let world = World::start(Behaviour::Answer("one"), Behaviour::Answer("one"), mirror).await;
    let body = "x".repeat(64 << 10);
    let length = body.len();
    let whole = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}");
    assert_eq!(world.request(&whole).await, 200);
    let chunked = "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(world.request(chunked).await, 200);
    assert_eq!(world.request("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await, 200);
    world.until_copies("same", 3).await;
    let large = format!("POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}y", length + 1);
    assert_eq!(world.request(&large).await, 200);
    let large = format!(
        "POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n1\r\ny\r\n0\r\n\r\n"
    );
    assert_eq!(world.request(&large).await, 200);
    world.until_copies("dropped", 2).await;
    assert_eq!(world.request("GET /f HTTP/1.1\r\nHost: h\r\n\r\n").await, 200);
    let mut copies = world.shadow.seen();
    copies.sort();
    assert_eq!(copies.len(), 3);
    assert!(copies[0].ends_with(&body) && copies[0].starts_with("POST /a "));
    assert!(copies[1].ends_with("\r\n\r\nabcde"), "{}", copies[1]);
    assert_eq!(
        (header(&copies[1], "content-length").as_deref(), header(&copies[1], "transfer-encoding")),
        (Some("5"), None)
    );
    assert_eq!(world.real.seen().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compared() {
    const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
    let slow = ", timeout = \"100ms\"";
    let hash = ", body_hash = true";
    for (real, shadow, more, result) in [
        (Behaviour::Answer("one"), Behaviour::Answer("one"), hash, "same"),
        (Behaviour::Answer("one"), Behaviour::Raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"), hash, "same"),
        (Behaviour::Answer("one"), Behaviour::Answer("two"), hash, "body_differs"),
        (Behaviour::Answer("one"), Behaviour::Raw(BROKEN), hash, "status_differs"),
        (Behaviour::Raw(BROKEN), Behaviour::Answer("one"), "", "status_differs"),
        (Behaviour::Raw(BROKEN), Behaviour::Raw(BROKEN), "", "same"),
        (Behaviour::Answer("one"), Behaviour::Silent, slow, "failed"),
        (Behaviour::Answer("one"), Behaviour::Raw(""), "", "failed"),
        (Behaviour::Answer("one"), Behaviour::Raw("nonsense"), "", "failed"),
    ] {
        let world = World::start(real, shadow, more).await;
        world.request("GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
        until(async || {
            ["same", "status_differs", "body_differs", "failed", "dropped"].iter().any(|all| world.copies(all) > 0)
        })
        .await;
        assert_eq!(world.copies(result), 1, "{real:?} {shadow:?} {more}");
        assert_eq!(world.real.seen().len(), 1);
        assert_eq!(world.shadow.seen().len(), 1, "a copy is never tried again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_copies_are_on_their_way_than_may_be() {
    let mirror = ", max_in_flight = 3, timeout = \"5s\"";
    let world = World::start(Behaviour::Answer("one"), Behaviour::Silent, mirror).await;
    let mut client = world.gateway.client().await;
    for _ in 0..20 {
        assert_eq!(client.request("GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await.status, 200);
    }
    world.until_copies("dropped", 17).await;
    until(async || world.shadow.seen().len() == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_leaves_nothing_to_compare_with() {
    let world = World::start(Behaviour::Silent, Behaviour::Answer("one"), "").await;
    let mut client = world.gateway.client().await;
    client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    until(async || world.shadow.seen().len() == 1).await;
    drop(client);
    world.until_copies("dropped", 1).await;
    until(async || world.gateway.metrics.requests_in_flight().get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_users_are_copied_each_time() {
    let world =
        World::start(Behaviour::Answer("one"), Behaviour::Answer("one"), ", percent = 20, max_in_flight = 10000").await;
    let mut client = world.gateway.client().await;
    for number in 0..1_000 {
        let request = format!("GET /{} HTTP/1.1\r\nHost: h\r\nX-User-Id: user-{}\r\n\r\n", number % 500, number % 500);
        assert_eq!(client.request(&request).await.status, 200);
    }
    // Each of these users was copied twice, once the last copy is there; nobody else ever is.
    let users = async || {
        let copies = world.shadow.seen();
        let mut paths: Vec<String> = copies.iter().map(|copy| copy.split(' ').nth(1).unwrap().to_owned()).collect();
        paths.sort();
        paths.dedup();
        (copies.len() == 2 * paths.len()).then_some(paths.len())
    };
    until(async || users().await.is_some_and(|users| (70..=130).contains(&users))).await;
}
