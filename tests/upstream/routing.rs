//! Where requests go.

use crate::harness::{Behaviour, Gateway, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_where_its_route_says() {
    let upstream = Upstream::start(Behaviour::Answer("stable")).await;
    let toml = format!(
        "routes = [{{ name = \"shop\", upstream = \"stable\", match = {{ path_prefix = \"/shop\" }} }}]\n\
         upstreams.stable.endpoints = [{{ address = \"{}\" }}]\n",
        upstream.address
    );
    let gateway = Gateway::start(&toml, &[]).await;
    let response = gateway.get("/shop/cart?id=1").await;
    assert_eq!((response.status, response.body.as_str()), (200, "stable"));
    assert!(upstream.seen()[0].starts_with("GET /shop/cart?id=1 HTTP/1.1\r\n"), "{}", upstream.seen()[0]);
    let absolute = "GET http://a.example/shop/cart?id=2 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    assert_eq!(gateway.request(absolute).await.status, 200);
    assert!(upstream.seen()[1].starts_with("GET /shop/cart?id=2 HTTP/1.1\r\n"), "{}", upstream.seen()[1]);
    let response = gateway.get("/elsewhere").await;
    assert_eq!(response.status, 404);
}
