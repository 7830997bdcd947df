//! An upstream that tells what it was told, and a gateway before it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::process::Process;

/// An upstream that answers with its name and the head of the request. What the request says in `X-Answer` goes into the
/// head of the answer.
pub(crate) async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, name));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, name: &str) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut buffer).await?;
        let answer =
            header(&head, "x-answer").filter(|line| !line.is_empty()).map_or(String::new(), |line| line + "\r\n");
        let body = format!("{name}\n{head}");
        let text = format!("HTTP/1.1 200 OK\r\n{answer}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).await.ok()?;
    }
}

/// Reads up to the end of a head; what comes after stays in the buffer.
pub(crate) async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&buffer.drain(..at + 4).collect::<Vec<u8>>()).into_owned());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The first value of a header in a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// An answer: its status, its head and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// What the upstream was told.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        header(&self.body, name)
    }

    /// Who answered.
    pub(crate) fn upstream(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }
}

/// One request on a connection of its own, with these lines in its head.
pub(crate) async fn get(web: SocketAddr, lines: &[String]) -> Answer {
    get_path(web, "/a", lines).await
}

/// The same, of this path.
pub(crate) async fn get_path(web: SocketAddr, path: &str, lines: &[String]) -> Answer {
    let mut stream = TcpStream::connect(web).await.unwrap();
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let head = read_head(&mut stream, &mut buffer).await.unwrap();
    stream.read_to_end(&mut buffer).await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: String::from_utf8(buffer).unwrap() }
}

/// What `/metrics` says of a series.
pub(crate) async fn metric(gateway: &Process, series: &str) -> u64 {
    let url = format!("http://{}/metrics", gateway.admin);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(series));
    line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

/// What the gateway says would become of a request.
pub(crate) async fn explain(gateway: &Process, request: &Value) -> Value {
    let url = format!("http://{}/explain", gateway.admin);
    reqwest::Client::new().post(url).json(request).send().await.unwrap().json().await.unwrap()
}
