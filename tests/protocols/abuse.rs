//! Row 14 of the promises: clients of HTTP/2 that mean no good. Their frames are written by hand.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    clients::{Http2, get},
    http2::gateway,
    process::{PATIENCE, Process},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:method GET`, `:scheme http`, `:path /`, `:authority a`.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not to be remembered, with a name of one byte.
fn field(name: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![0x10, 1, name];
    // Seven bits of length, then as much more as is said (RFC 7541, 5.1).
    if value.len() < 127 {
        field.push(u8::try_from(value.len()).unwrap());
    } else {
        field.push(127);
        let mut rest = value.len() - 127;
        while rest >= 128 {
            field.push(0x80 | u8::try_from(rest % 128).unwrap());
            rest /= 128;
        }
        field.push(u8::try_from(rest).unwrap());
    }
    field.extend(value);
    field
}

/// What became of a connection.
#[derive(Debug, Default)]
struct End {
    /// The code of a GOAWAY.
    goodbye: Option<u32>,
    /// Header blocks of answers.
    answers: usize,
    /// The first bytes of the first answer: its status, by the table of HPACK.
    first: Option<Vec<u8>>,
    /// Streams that the gateway reset.
    reset: usize,
    closed: bool,
}

/// Sends frames as far as they are taken, and reads until the connection ends or has been silent for a while.
async fn attack(gateway: &Process, frames: Vec<u8>) -> End {
    let (mut reading, mut writing) = TcpStream::connect(gateway.web).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(PREFACE).await?;
        writing.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
        for piece in frames.chunks(1 << 14) {
            writing.write_all(piece).await?;
        }
        std::io::Result::Ok(writing)
    });
    let (mut end, mut read) = (End::default(), Vec::new());
    loop {
        match timeout(Duration::from_secs(2), reading.read_buf(&mut read)).await {
            Ok(Ok(0) | Err(_)) => {
                end.closed = true;
                break;
            }
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    // It failed where the gateway did not listen any more.
    sending.abort();
    let mut rest = &read[..];
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let Some(payload) = rest.get(9..9 + length) else { break };
        match rest[3] {
            HEADERS => {
                end.answers += 1;
                end.first.get_or_insert_with(|| payload.to_vec());
            }
            RST_STREAM => end.reset += 1,
            GOAWAY => end.goodbye = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            _ => {}
        }
        rest = &rest[9 + length..];
    }
    end
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident(gateway: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) async fn is_well(gateway: &Process) -> bool {
    let client = Http2::connect(gateway.web).await;
    client.ask(get("/").body(()).unwrap()).await.is_ok_and(|answer| answer.status == 200)
}

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// An attack, and the code with which the gateway says goodbye; none: it answers or resets, and the connection may stay.
async fn check(gateway: &Process, name: &str, frames: Vec<u8>, goodbye: Option<u32>) {
    let end = attack(gateway, frames).await;
    match goodbye {
        Some(code) => assert!(end.goodbye == Some(code) && end.closed, "{name}: {end:?}"),
        None => {
            let refused = end.answers > 0 || end.reset > 0 || end.goodbye.is_some_and(|code| code != NO_ERROR);
            assert!(refused, "{name}: {end:?}");
        }
    }
    assert!(is_well(gateway).await, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attackers_are_refused_and_cost_little() {
    let gateway = gateway("").await;
    assert!(is_well(&gateway).await);
    let before = resident(&gateway);

    let taken_back = |stream: u32| {
        [frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
            .concat()
    };
    let rapid: Vec<u8> = (0..100_000).flat_map(|number| taken_back(2 * number + 1)).collect();
    let end = attack(&gateway, rapid).await;
    assert!(end.closed && end.goodbye.is_some_and(|code| code != NO_ERROR), "rapid reset: {end:?}");
    assert!(is_well(&gateway).await);

    let mut continued = frame(HEADERS, 0, 1, REQUEST);
    continued.extend((0..20_000).flat_map(|_| frame(CONTINUATION, 0, 1, &field(b'a', b"x"))));
    check(&gateway, "many continuations", continued, Some(ENHANCE_YOUR_CALM)).await;
    let mut empty = frame(HEADERS, 0, 1, REQUEST);
    empty.extend((0..100_000).flat_map(|_| frame(CONTINUATION, 0, 1, b"")));
    check(&gateway, "empty continuations", empty, Some(ENHANCE_YOUR_CALM)).await;
    let mut long = frame(HEADERS, 0, 1, REQUEST);
    long.extend((0..1_000).flat_map(|_| frame(CONTINUATION, 0, 1, &field(b'a', &[b'x'; 16_000]))));
    check(&gateway, "16 MB of fields", long, None).await;

    // One field of 4 000 bytes is remembered, and then said again in one byte each: 4 MB of fields from a few KB.
    let mut remembered = REQUEST.to_vec();
    let mut named = field(b'a', &[b'x'; 4_000]);
    named[0] = 0x40;
    remembered.extend(named);
    remembered.extend([0xbe; 1_000]);
    check(&gateway, "HPACK bomb", frame(HEADERS, END_HEADERS | END_STREAM, 1, &remembered), None).await;
    let bombs = (0..100).flat_map(|number| {
        let block = if number == 0 { remembered.clone() } else { [REQUEST, &[0xbe; 4_000]].concat() };
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block)
    });
    check(&gateway, "100 HPACK bombs", bombs.collect(), None).await;
    let mut tiny = REQUEST.to_vec();
    tiny.extend((0..1_500).flat_map(|_| field(b'a', b"")));
    check(&gateway, "1 500 tiny fields", frame(HEADERS, END_HEADERS | END_STREAM, 1, &tiny), None).await;

    check(&gateway, "a frame that is too large", frame(HEADERS, END_HEADERS, 1, &[0; 20_000]), Some(6)).await;
    check(&gateway, "data of no stream", frame(DATA, 0, 0, b"x"), Some(PROTOCOL_ERROR)).await;
    check(
        &gateway,
        "a field of no table",
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f]),
        Some(PROTOCOL_ERROR),
    )
    .await;
    let even = frame(HEADERS, END_HEADERS | END_STREAM, 2, REQUEST);
    check(&gateway, "a stream of the server's", even, Some(PROTOCOL_ERROR)).await;
    let many: Vec<u8> = (0..5_000).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, REQUEST)).collect();
    let end = attack(&gateway, many).await;
    assert!(end.reset > 0 || end.goodbye.is_some(), "5 000 streams at once: {end:?}");
    let pings: Vec<u8> = (0..200_000).flat_map(|_| frame(PING, 0, 0, b"pingping")).collect();
    attack(&gateway, pings).await;
    assert!(is_well(&gateway).await, "pings");

    let grown = resident(&gateway) - before;
    assert!(grown <= 32 << 10, "it took {grown} KiB");
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_does_not_need_is_served() {
    let gateway = gateway("").await;
    let client = Http2::connect(gateway.web).await;
    for _ in 0..300 {
        let mut send = client.send.clone().ready().await.unwrap();
        let (answer, mut stream) = send.send_request(get("/").body(()).unwrap(), true).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        let kept = timeout(PATIENCE, client.ask(get("/").body(()).unwrap())).await.unwrap().unwrap();
        assert_eq!(kept.status, 200);
    }
}

/// Row 16 of the promises, where clients of HTTP/2 write what a library would not: a `Host` without an `:authority`.
#[tokio::test]
async fn a_host_without_an_authority_is_one_host() {
    let gateway = gateway("").await;
    let host = |value: &[u8]| {
        let mut field = b"\x00\x04host".to_vec();
        field.push(u8::try_from(value.len()).unwrap());
        [&field, value].concat()
    };
    // 0x88 is `:status 200`, 0x8c `:status 400`.
    for (hosts, status) in [
        (vec![host(b"a.example")], 0x88),
        (vec![host(b"a.example"), host(b"a.example")], 0x8c),
        (vec![host(b"a.example"), host(b"b.example")], 0x8c),
        (vec![host(b"a b")], 0x8c),
        (vec![host(b"a@b")], 0x8c),
        (vec![host(b"")], 0x8c),
        (vec![], 0x8c),
    ] {
        let block = [&b"\x82\x86\x84"[..], &hosts.concat()].concat();
        let end = attack(&gateway, frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
        assert_eq!(end.first.map(|first| first[0]), Some(status), "{}", block.escape_ascii());
    }
}
