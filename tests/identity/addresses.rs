//! The address of the client: forged `X-Forwarded-For`.

use serde_json::json;

use crate::{
    process::Process,
    upstream::free,
    world::{echo, explain},
};

/// What the gateway trusts.
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1/32\", \"10.0.0.0/8\", \"2001:db8:ffff::/48\"]";

/// Peer, values of `X-Forwarded-For`, client.
const CHAINS: [(&str, &[&str], &str); 30] = [
    // Nobody says anything.
    ("192.0.2.9", &[], "192.0.2.9"),
    ("10.0.0.1", &[], "10.0.0.1"),
    ("10.0.0.1", &[""], "10.0.0.1"),
    // A stranger is not believed.
    ("192.0.2.9", &["1.2.3.4"], "192.0.2.9"),
    ("192.0.2.9", &["10.0.0.2"], "192.0.2.9"),
    ("2001:db8::9", &["1.2.3.4"], "2001:db8::9"),
    // A proxy is, and nobody to the left of the first stranger.
    ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
    ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
    ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
    ("10.0.0.1", &["10.0.0.9, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
    ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
    ("10.0.0.1", &["6.6.6.6,1.2.3.4", "10.0.0.2,10.0.0.3"], "1.2.3.4"),
    ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    ("127.0.0.1", &["127.0.0.1, 1.2.3.4"], "1.2.3.4"),
    // Version 6.
    ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
    ("10.0.0.1", &["2001:DB8:0:0::1, 2001:db8:ffff::2"], "2001:db8::1"),
    ("2001:db8:ffff::1", &["1.2.3.4"], "1.2.3.4"),
    ("2001:db8:fffe::1", &["1.2.3.4"], "2001:db8:fffe::1"),
    // Version 4 within version 6 is version 4.
    ("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
    ("10.0.0.1", &["1.2.3.4, ::ffff:10.0.0.2"], "1.2.3.4"),
    ("10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
    ("::ffff:192.0.2.9", &["1.2.3.4"], "192.0.2.9"),
    // With ports.
    ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
    ("10.0.0.1", &["[2001:db8::1]:443, [2001:db8:ffff::2]"], "2001:db8::1"),
    // What is no address ends the walk.
    ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
    ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", &["1.2.3.4,, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", &["1.2.3.4", "\u{fffd}", "10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", &["01.2.3.4"], "10.0.0.1"),
    ("10.0.0.1", &["1.2.3.4/8, 1.2.3.4.5, 10.0.0.2"], "10.0.0.2"),
];

#[tokio::test]
async fn a_forged_chain_makes_nobody_else() {
    let (upstream, other) = (echo("shop").await, free());
    let more = format!(
        "[[listeners]]\nname = \"other\"\naddress = \"{other}\"\n{TRUSTED}\n[upstreams.shop]\n\
         endpoints = [{{ address = \"{upstream}\" }}]\n[[routes]]\nname = \"all\"\nupstream = \"shop\"\n"
    );
    let gateway = Process::start(&json!([]), &more).await;
    for (peer, values, client) in CHAINS {
        let request = json!({
            "path": "/a", "host": "shop.example", "listener": "other", "client_ip": peer,
            "headers": { "X-Forwarded-For": values },
        });
        let told = explain(&gateway, &request).await;
        assert_eq!(told["peer"]["client"], client, "{peer} {values:?}: {told}");
        assert_eq!(told["context"]["attributes"]["client.ip"], client, "{peer} {values:?}");
    }
}
