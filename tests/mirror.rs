//! Shadow traffic of the real binary: whatever becomes of the shadow, clients do not notice.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use flaggate::clock;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

#[path = "support/process.rs"]
mod process;
#[path = "support/upstream.rs"]
mod upstream;

use self::{
    process::{PATIENCE, Process},
    upstream::{free, upstream},
};

/// Requests of one case.
const REQUESTS: usize = 2_000;

/// Answers everything with these bytes, after a while, and then closes the connection if it says so.
async fn shadow(answer: &'static str, after: Duration, closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        sleep(after).await;
                        if stream.write_all(answer.as_bytes()).await.is_err() || closes {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Asks one after the other; gives the median and the worst time.
async fn ask(web: SocketAddr) -> (Duration, Duration) {
    let mut stream = TcpStream::connect(web).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: shop\r\nX-User-Id: user-{number}\r\n\r\n");
        let began = clock::monotonic();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nstable") {
            let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer in time").unwrap();
            assert!(read > 0, "{number}: {}", String::from_utf8_lossy(&answer));
        }
        times.push(clock::monotonic() - began);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    }
    times.sort_unstable();
    (times[REQUESTS / 2], times[REQUESTS - 1])
}

async fn copies(admin: SocketAddr) -> u64 {
    let text = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("flaggate_mirror_requests_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_shadow_does_clients_do_not_notice() {
    let second = Duration::from_secs(1);
    let fine = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstable";
    let cases = [
        ("as good as the real one", shadow(fine, Duration::ZERO, false).await),
        ("it hangs", shadow("", 1_000 * second, false).await),
        ("it dies", shadow("", Duration::ZERO, true).await),
        (
            "it dies in the middle",
            shadow("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsta", Duration::ZERO, true).await,
        ),
        ("it is slow", shadow(fine, second / 2, false).await),
        ("it answers other", shadow("HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nn", Duration::ZERO, false).await),
        ("it talks nonsense", shadow("\u{1}\u{2}\r\n\r\n\r\n", Duration::ZERO, false).await),
        ("nobody is there", free()),
    ];
    let flags = json!([{ "key": "shadow", "default_value": true }]);
    for (what, shadow) in cases {
        let stable = upstream("stable").await;
        let more = format!(
            "[upstreams.stable]\nendpoints = [{{ address = \"{stable}\" }}]\n[upstreams.next]\nendpoints = [{{ address = \"{shadow}\" }}]\n\
             [[routes]]\nname = \"shop\"\nupstream = \"stable\"\n\
             mirror = {{ flag = \"shadow\", upstream = \"next\", body_hash = true, timeout = \"2s\" }}\n"
        );
        let gateway = Process::start(&flags, &more).await;
        let (median, worst) = ask(gateway.web).await;
        println!("{what}: median {median:?}, worst {worst:?}");
        assert!(median < Duration::from_millis(20) && worst < second, "{what}: median {median:?}, worst {worst:?}");
        let by = clock::monotonic() + PATIENCE;
        loop {
            let copies = copies(gateway.admin).await;
            if copies == REQUESTS as u64 {
                break;
            }
            assert!(clock::monotonic() < by, "{what}: {copies} copies are accounted for");
            sleep(Duration::from_millis(50)).await;
        }
    }
}
