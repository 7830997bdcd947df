//! Clients of HTTP/2, and of TLS, that keep the gateway waiting.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use flaggate::clock;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    certificates::Authority,
    clients::{Http2, Tls, exchange, get},
    process::{PATIENCE, Process},
    upstream::free,
};

/// An upstream that waits for all of a body; to `/large` it answers more than anybody reads at once.
async fn patient_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
            continue;
        }
        return;
    }
    if read.starts_with(b"GET /large") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n").await.ok();
        while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
    } else if read.starts_with(b"POST") {
        // A body without an end.
        while stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
    } else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await.ok();
    }
}

async fn gateway(more: &str) -> Process {
    let upstream = patient_upstream().await;
    let text = format!(
        "[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\ntimeouts = {{ read = \"12s\" }}\n\
         outlier = {{ consecutive_5xx = 1 }}\n[[routes]]\nname = \"all\"\nupstream = \"only\"\n{more}\n"
    );
    Process::start(&json!([]), &text).await
}

/// What becomes of a body of which a byte comes every so often, or nothing: the status, and after how long.
async fn send_slowly(client: &Http2, pause: Option<Duration>) -> (u16, Duration) {
    let mut send = client.send.clone().ready().await.unwrap();
    let since = clock::monotonic();
    let (answer, mut body) = send.send_request(get("/").method("POST").body(()).unwrap(), false).unwrap();
    let sending = async {
        while let Some(pause) = pause {
            sleep(pause).await;
            if body.send_data(Bytes::from_static(b"x"), false).is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = timeout(PATIENCE, answer) => (answer.unwrap().unwrap().status().as_u16(), since.elapsed()),
        () = sending => unreachable!("it waits for ever"),
    }
}

#[tokio::test]
async fn a_body_on_a_stream_is_given_up_and_others_on_its_connection_go_on() {
    let gateway = gateway("").await;
    let client = Http2::connect(gateway.web).await;
    let (drips, silent) = tokio::join!(send_slowly(&client, Some(Duration::from_secs(1))), send_slowly(&client, None));
    for (status, took) in [drips, silent] {
        assert_eq!(status, 408);
        assert!((9..15).contains(&took.as_secs()), "{took:?}");
    }
    // The endpoint is not to blame: it would be put aside after one failure.
    assert_eq!(client.ask(get("/").body(()).unwrap()).await.unwrap().body, "good");
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_on_a_stream_is_given_up_and_others_are_served() {
    let gateway = gateway("").await;
    let client = Http2::connect(gateway.web).await;
    let mut send = client.send.clone().ready().await.unwrap();
    let (answer, _) = send.send_request(get("/large").body(()).unwrap(), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let since = clock::monotonic();
    // A window's worth comes; it is never given back.
    let reading = async { while let Some(Ok(_)) = body.data().await {} };
    let asking = async {
        loop {
            let answer = Http2::connect(gateway.web).await.ask(get("/").body(()).unwrap()).await.unwrap();
            assert_eq!(answer.body, "good");
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        over = timeout(Duration::from_secs(40), reading) => over.expect("it is given up"),
        () = asking => {}
    }
    assert!(since.elapsed() < Duration::from_secs(33), "{:?}", since.elapsed());
}

#[tokio::test]
async fn encrypted_connections_have_the_same_deadlines() {
    let (authority, folder, tls) = (Authority::new(), tempfile::tempdir().unwrap(), free());
    let pair = authority.issue(&["shop.example"]).write(folder.path(), "shop");
    let _gateway = gateway(&format!("[[listeners]]\nname = \"secure\"\naddress = \"{tls}\"\ntls = [{pair}]")).await;
    let connect = async || {
        let protocols = &["http/1.1"];
        let client = Tls { roots: authority.roots(), name: "shop.example", protocols, pair: None, is_old: false };
        client.connect(tls).await.unwrap()
    };
    let silent = async {
        // Never says how to encrypt.
        let mut stream = TcpStream::connect(tls).await.unwrap();
        timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("it is closed in time").ok();
    };
    let header = async {
        let mut stream = connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nX-Slow: ").await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(stream);
        let sending = async {
            while writing.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut all = Vec::new();
        tokio::select! {
            read = timeout(PATIENCE, reading.read_to_end(&mut all)) => drop(read.expect("it is closed in time")),
            () = sending => {}
        }
    };
    let body = async {
        let request = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100\r\n\r\nhalf";
        let answer = exchange(connect().await, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    };
    tokio::join!(timed(silent), timed(header), timed(body));
}

/// An attack, which must not last longer or shorter than the gateway has patience.
async fn timed(attack: impl Future<Output = ()>) {
    let since = clock::monotonic();
    attack.await;
    assert!((9..15).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}
