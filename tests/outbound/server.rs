//! A server that answers as it is told, and keeps what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use flaggate::{
    config::{Config, Outbound},
    outbound::{Client, Names},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What a server was asked.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    /// The requests so far, whole.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A server that gives these answers in turn, and the last one for ever. An empty answer never comes.
pub(crate) async fn server(answers: Vec<String>) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Asked::default());
    let kept = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, answers.clone(), kept.clone()));
        }
    });
    (address, asked)
}

async fn answer(mut stream: TcpStream, answers: Vec<String>, asked: Asked) {
    let mut read = Vec::new();
    while !is_whole(&read) {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let place = {
        let mut asked = asked.0.lock().unwrap();
        asked.push(String::from_utf8(read).unwrap());
        asked.len() - 1
    };
    let answer = answers.get(place).or(answers.last()).unwrap();
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    // Who has read enough goes away.
    stream.write_all(answer.as_bytes()).await.ok();
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

pub(crate) fn status(status: &str, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{more}\r\n")
}

/// `[outbound]` with these lines.
pub(crate) fn outbound(lines: &str) -> Outbound {
    let text = format!(
        "listeners = [{{ name = \"web\", address = \"127.0.0.1:0\" }}]\nroutes = [{{ name = \"all\", upstream = \"u\" }}]\n\
         upstreams.u.endpoints = [{{ address = \"127.0.0.1:9\" }}]\n[outbound]\n{lines}"
    );
    Config::parse("testing", &text, std::iter::empty()).unwrap().outbound
}

/// A client that may call these addresses.
pub(crate) fn client(addresses: &[SocketAddr], lines: &str) -> Client {
    let allow: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Client::with_names(outbound(&format!("allow = {allow:?}\n{lines}")), Names::System).unwrap()
}
