//! Which endpoint a request goes to.

use std::collections::BTreeMap;

use crate::harness::{Behaviour, Gateway, Upstream};

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// Endpoints that answer with their names.
async fn endpoints() -> Vec<Upstream> {
    let mut all = Vec::new();
    for name in NAMES {
        all.push(Upstream::start(Behaviour::Answer(name)).await);
    }
    all
}

async fn gateway(endpoints: &[Upstream], more: &str) -> Gateway {
    let addresses: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{{ address = \"{}\" }}", endpoint.address)).collect();
    let toml = format!(
        "context.accept_identity_from = \"anyone\"\nroutes = [{{ name = \"all\", upstream = \"pool\" }}]\n\
         [upstreams.pool]\nload_balance = \"hash\"\nendpoints = [{}]\n{more}\n",
        addresses.join(", ")
    );
    Gateway::start(&toml, &[]).await
}

/// Who answers each of these headers.
async fn owners(gateway: &Gateway, headers: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    let mut client = gateway.client().await;
    let mut owners = BTreeMap::new();
    for header in headers {
        let response = client.request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n")).await;
        assert_eq!(response.status, 200, "{header}");
        owners.insert(header, response.body);
    }
    owners
}

fn users() -> impl Iterator<Item = String> {
    (0..200).map(|number| format!("X-User-Id: user-{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_stays_and_only_those_of_a_dead_endpoint_move() {
    let mut endpoints = endpoints().await;
    let gateway = gateway(&endpoints, "").await;
    let before = owners(&gateway, users()).await;
    assert_eq!(before, owners(&gateway, users()).await);
    let shares = NAMES.map(|name| before.values().filter(|owner| *owner == name).count());
    assert!(shares.iter().all(|share| (20..90).contains(share)), "{shares:?}");
    endpoints.remove(2).stop().await;
    let after = owners(&gateway, users()).await;
    for (user, owner) in &before {
        assert!(after[user] == *owner || owner == "three", "{user} moved from {owner} to {}", after[user]);
        assert_ne!(after[user], "three");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hashed_is_what_is_configured() {
    let endpoints = endpoints().await;
    let several =
        |owners: BTreeMap<String, String>| owners.into_values().collect::<std::collections::BTreeSet<_>>().len() > 1;
    for (hash_on, header, differs) in [
        ("\"user\"", "X-User-Id: ", true),
        ("\"client_ip\"", "X-User-Id: ", false),
        ("\"user\"", "X-Tenant: ", false),
        ("{ header = \"X-Tenant\" }", "X-Tenant: ", true),
        ("{ cookie = \"cart\" }", "Cookie: a=b; cart=", true),
        ("{ cookie = \"cart\" }", "Cookie: a=b; other=", false),
    ] {
        let gateway = gateway(&endpoints, &format!("hash_on = {hash_on}")).await;
        let owners = owners(&gateway, (0..40).map(|number| format!("{header}{number}"))).await;
        assert_eq!(several(owners), differs, "{hash_on} {header}");
    }
}
