//! A proxy between a store and its server that spoils what passes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flaggate::config::Redis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Each piece waits this long.
    Delay(Duration),
    /// Everything vanishes and connections stay open, as with a cable that is pulled.
    HalfOpen,
    /// Every so many hints from the server one vanishes, with 1 all of them; everything else passes.
    LoseHints(usize),
    /// New connections are closed, old ones too.
    Refuse,
    /// Each direction of a connection ends after this many bytes from now on.
    CutAfter(usize),
}

pub(crate) struct Proxy {
    port: u16,
    /// The fault, and which server connections lead to.
    way: watch::Sender<(Fault, u16)>,
    /// How many connections were taken.
    taken: Arc<Mutex<usize>>,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, seen) = watch::channel((Fault::None, to));
        let taken = Arc::new(Mutex::new(0));
        let count = taken.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                tokio::spawn(pass(client, seen.clone()));
            }
        });
        Self { port, way, taken }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn config(&self) -> Redis {
        Redis::at("127.0.0.1", self.port)
    }

    pub(crate) fn become_of(&self, fault: Fault) {
        self.way.send_modify(|way| way.0 = fault);
    }

    /// Leads to another server from now on; connections to the earlier one end.
    pub(crate) fn lead_to(&self, port: u16) {
        self.way.send_modify(|way| way.1 = port);
    }

    pub(crate) fn taken(&self) -> usize {
        *self.taken.lock().unwrap()
    }
}

async fn pass(client: TcpStream, way: watch::Receiver<(Fault, u16)>) {
    let (now, to) = *way.borrow();
    if now == Fault::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, (way.clone(), to), false) => {}
        () = pump(from_server, to_client, (way, to), true) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (mut way, leads_to): (watch::Receiver<(Fault, u16)>, u16),
    of_server: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    let (mut passed, mut hints) = (0, 0_usize);
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            changed = way.changed() => {
                let (fault, to) = *way.borrow_and_update();
                if changed.is_err() || fault == Fault::Refuse || to != leads_to {
                    return;
                }
                passed = 0;
                continue;
            }
        };
        if read == 0 {
            return;
        }
        let mut piece = &buffer[..read];
        let (now, _) = *way.borrow();
        match now {
            Fault::HalfOpen => continue,
            Fault::LoseHints(every) if of_server && is_hint(piece) => {
                hints += 1;
                if hints.is_multiple_of(every) {
                    continue;
                }
            }
            Fault::Delay(wait) => sleep(wait).await,
            Fault::CutAfter(limit) => {
                piece = &piece[..piece.len().min(limit.saturating_sub(passed))];
                passed += piece.len();
            }
            Fault::None | Fault::LoseHints(_) | Fault::Refuse => {}
        }
        if piece.is_empty() || to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// A pushed message comes in a piece of its own, as nothing else comes on such a connection but rare answers to pings.
fn is_hint(piece: &[u8]) -> bool {
    piece.starts_with(b"*3\r\n$7\r\nmessage\r\n")
}
