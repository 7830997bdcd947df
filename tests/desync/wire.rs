//! An upstream that records and reads strictly, and a client that sends anything.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::process::PATIENCE;

/// A client that waits for nothing but the end of its connection waits so long.
const QUIET: Duration = Duration::from_secs(4);

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The first response's status.
    pub(crate) status: Option<u16>,
    /// Whether the gateway closed the connection.
    pub(crate) is_closed: bool,
}

/// A request as it came to the upstream.
pub(crate) struct Request {
    /// The number in `X-Case`; none: it is one of those in the bodies.
    pub(crate) case: Option<usize>,
}

/// The upstream.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What came to the upstream.
#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    /// What is no request as the gateway writes them.
    strange: Vec<String>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&recorder.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        recorder
    }

    /// The requests that came. Fails if anything came that is none of the gateway's.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let Seen { requests, strange } = std::mem::take(&mut *self.seen.lock().unwrap());
        assert!(strange.is_empty(), "{}", strange.join("\n"));
        requests
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    loop {
        let read = read(&bytes).map_err(|what| format!("{what}: {}", bytes.escape_ascii()));
        match read {
            Ok(Some((request, length))) => {
                seen.lock().unwrap().requests.push(request);
                bytes.drain(..length);
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
            }
            Ok(None) => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Err(what) => return seen.lock().unwrap().strange.push(what),
        }
    }
}

/// What is not as the gateway writes it.
type Strange = &'static str;

/// Reads a request that is there wholly, in the one form that cannot be read in two ways, and says how long it is.
fn read(bytes: &[u8]) -> Result<Option<(Request, usize)>, Strange> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else { return Err("the first line") };
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !is_token(method) || !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the method or the target");
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or("a header without a colon")?;
        if !is_token(name)
            || name.contains('_')
            || value.chars().any(|letter| letter.is_ascii_control() && letter != '\t')
        {
            return Err("a header's name or value");
        }
        headers.push((name, value));
    }
    let all = |wanted: &str| -> Vec<&str> {
        headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).collect()
    };
    if all("host").len() != 1 || all("x-request-id").len() != 1 {
        return Err("not written by the gateway");
    }
    let rest = &bytes[end + 4..];
    let length = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().ok(),
        ([], [coding]) if coding.to_ascii_lowercase().ends_with("chunked") => chunks(rest)?,
        _ => return Err("the length"),
    };
    let case = all("x-case").first().and_then(|number| number.parse().ok());
    let is_whole = |length: &usize| rest.len() >= *length;
    Ok(length.filter(is_whole).map(|length| (Request { case }, end + 4 + length)))
}

/// How long a chunked body is, if it is there wholly.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, Strange> {
    let mut at = 0;
    loop {
        let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = &bytes[at..at + line];
        if size.is_empty() || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err("the size of a chunk");
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16).map_err(|_| "the size of a chunk")?;
        let next = at + line + 2 + size;
        match bytes.get(next..next + 2) {
            None => return Ok(None),
            Some(b"\r\n") if size == 0 => return Ok(Some(next + 2)),
            Some(b"\r\n") => at = next + 2,
            Some(_) => return Err("the end of a chunk, or of a body without trailers"),
        }
    }
}

/// Sends bytes over a connection of their own, and reads until it is closed or quiet.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be closed before all is sent.
    let is_sent = stream.write_all(request).await.is_ok();
    let mut bytes = Vec::new();
    let is_closed = loop {
        let patience = if bytes.is_empty() && is_sent { PATIENCE } else { QUIET };
        match timeout(patience, stream.read_buf(&mut bytes)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) if bytes.starts_with(b"HTTP/1.1 2") => break false,
            Ok(Ok(_)) => {}
            Err(_) => break false,
        }
    };
    let status = std::str::from_utf8(bytes.get(9..12).unwrap_or_default()).ok().and_then(|status| status.parse().ok());
    Answer { status, is_closed }
}
