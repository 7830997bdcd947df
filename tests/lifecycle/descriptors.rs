//! More connections than the process may have descriptors.

use std::{fs, time::Duration};

use rustix::process::Pid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::world::Gateway;

/// Ticks of the CPU that a process has used, in hundredths of a second.
fn ticks(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap().count()
}

async fn is_answered(gateway: &Gateway) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(gateway.web).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    matches!(timeout(Duration::from_secs(5), asking).await, Ok(Ok(true)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_descriptors_does_not_spin_and_serves_again_when_it_has_some() {
    let mut gateway = Gateway::start_under("kind = \"memory\"", "ulimit -n 256").await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(gateway.web).await.unwrap());
    }
    gateway.until(async |gateway: &mut Gateway| descriptors(gateway.pid) >= 255).await;
    // A second for its threads to have come to rest, and one that counts.
    sleep(Duration::from_secs(1)).await;
    let before = ticks(gateway.pid);
    sleep(Duration::from_secs(1)).await;
    let used = ticks(gateway.pid) - before;
    assert!(used < 30, "{used} % of a core");
    assert!(!gateway.has_ended());
    drop(idle);
    let since = Instant::now();
    while !is_answered(&gateway).await {
        assert!(since.elapsed() < Duration::from_secs(5), "{}", gateway.log());
    }
    let took = since.elapsed();
    println!("400 connections, 256 descriptors: {used} % of a core; serves again after {took:?}");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let lines = gateway.log().lines().count();
    assert!(lines < 100, "{lines} lines in the log");
}
