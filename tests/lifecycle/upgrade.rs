//! SIGQUIT: another process takes over.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    clients::Clients,
    world::{Gateway, rounds},
};

const EMBEDDED: &str = "kind = \"embedded\"\npath = \"flags.redb\"";

async fn put_flag(gateway: &Gateway, key: &str) -> u16 {
    let flag = json!({ "key": key, "name": key, "default_value": true });
    let url = format!("http://{}/flags", gateway.admin);
    reqwest::Client::new().post(url).json(&flag).send().await.unwrap().status().as_u16()
}

async fn flags(gateway: &Gateway) -> Vec<String> {
    let url = format!("http://{}/flags", gateway.admin);
    let flags: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let flags = flags.as_array().or_else(|| flags["items"].as_array()).unwrap();
    flags.iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_fail_no_request_and_lose_no_flag() {
    let mut gateway = Gateway::start(EMBEDDED).await;
    let clients = Clients::start(gateway.web);
    let rounds = rounds(4, 20);
    for round in 0..rounds {
        assert_eq!(put_flag(&gateway, &format!("flag-{round}")).await, 200);
        clients.answered(200).await;
        gateway.upgrade().await;
        assert_eq!(flags(&gateway).await.len(), round + 1);
    }
    clients.answered(200).await;
    let (answered, failed) = clients.end().await;
    println!("{rounds} upgrades: {answered} requests, {} failed", failed.len());
    assert!(
        failed.is_empty(),
        "{} of {answered}: {:?}\n{}",
        failed.len(),
        &failed[..failed.len().min(5)],
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_cannot_start_changes_nothing() {
    let gateway = Gateway::start(EMBEDDED).await;
    let clients = Clients::start(gateway.web);
    assert_eq!(put_flag(&gateway, "before").await, 200);
    let config = gateway.file("flaggate.toml");
    let text = fs::read_to_string(&config).unwrap();
    for (wrong, said) in [
        // Wrong at once, and wrong only after it got the store.
        (text.replace("[access_log]", "[acces_log]"), "did you mean"),
        (text.clone() + "[privacy]\nhash_user_ids = true\nsecret_file = \"nowhere/at/all\"\n", "nowhere/at/all"),
    ] {
        fs::write(&config, wrong).unwrap();
        gateway.signal(Signal::QUIT);
        let by = tokio::time::Instant::now() + crate::world::PATIENCE;
        while !gateway.log().contains(said) || !gateway.log().contains("this process serves on") {
            assert!(tokio::time::Instant::now() < by, "{}", gateway.log());
            sleep(Duration::from_millis(20)).await;
        }
        fs::write(gateway.file("log"), "").unwrap();
        fs::write(&config, &text).unwrap();
    }
    assert_eq!(put_flag(&gateway, "after").await, 200);
    assert_eq!(flags(&gateway).await.len(), 2);
    let (answered, failed) = clients.end().await;
    assert!(answered > 0 && failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_memory_is_not_thrown_away() {
    let mut gateway = Gateway::start("kind = \"memory\"").await;
    gateway.signal(Signal::QUIT);
    gateway.until(async |gateway: &mut Gateway| gateway.log().contains("the flags would be lost")).await;
    assert_eq!(put_flag(&gateway, "still-here").await, 200);
}
