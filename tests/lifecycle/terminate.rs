//! SIGTERM.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    clients::Clients,
    world::{Gateway, Told, rounds},
};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_fails_no_request() {
    let rounds = rounds(3, 50);
    let (mut all, mut slowest) = (0, Duration::ZERO);
    for _ in 0..rounds {
        let mut gateway = Gateway::start("kind = \"memory\"").await;
        let clients = Clients::start(gateway.web);
        clients.answered(200).await;
        let started = tokio::time::Instant::now();
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.told().await, Told::Stops);
        clients.unready();
        gateway.until(async |gateway: &mut Gateway| gateway.has_ended()).await;
        slowest = slowest.max(started.elapsed());
        let (answered, failed) = clients.end().await;
        assert!(
            failed.is_empty(),
            "{} of {answered}: {:?}\n{}",
            failed.len(),
            &failed[..failed.len().min(5)],
            gateway.log()
        );
        let lines = std::fs::read_to_string(gateway.file("access.log")).unwrap().lines().count();
        assert!(lines >= answered, "{lines} lines of {answered} requests");
        all += answered;
    }
    println!("{rounds} stops: {all} requests, 0 failed, the slowest stop took {slowest:?}");
}
