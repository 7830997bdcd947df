//! Putting a new process in the place of this one, without a failed request.
//!
//! SIGQUIT makes the process start its own program anew, with the arguments that it was started with itself: perhaps another
//! version, perhaps another configuration. The new process gets the listening sockets, and the store where only one can hold it. The
//! old one serves on until the new one says that it serves as well; if that ends before, or takes too long, it is as if nothing
//! had been asked.

mod sockets;
mod taken;
mod wire;

use std::{
    env, io,
    os::{fd::OwnedFd, unix::net::UnixStream as Blocking},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

use self::wire::{FREE, Said};
pub(super) use self::{
    sockets::{Sockets, listen},
    taken::Taken,
};
use crate::store::EmbeddedStore;

/// Set in a new process: its standard input is the socket to the old one.
const TAKES_OVER: &str = "FLAGGATE_TAKES_OVER";

/// The new process must serve within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the next process is given.
pub(super) struct Upgrade {
    program: io::Result<PathBuf>,
    sockets: Sockets,
    /// The store, where only one process can hold it.
    exclusive: Option<Arc<EmbeddedStore>>,
    /// Why there can be no next process.
    refused: Option<&'static str>,
}

impl Upgrade {
    pub(super) fn new(sockets: Sockets, exclusive: Option<Arc<EmbeddedStore>>, refused: Option<&'static str>) -> Self {
        // Asked early: what is put at the place of the program later is what has to be started.
        Self { program: env::current_exe(), sockets, exclusive, refused }
    }

    /// No more listening sockets are kept for the next process, which closes those that nobody serves.
    pub(super) fn close(&mut self) {
        self.sockets.clear();
    }

    /// Starts the next process. When this returns, that one serves, or everything is as before.
    pub(super) async fn run(&self) -> Result<()> {
        if let Some(why) = self.refused {
            bail!("{why}");
        }
        let program =
            self.program.as_ref().map_err(|error| anyhow::anyhow!("where the program is, is not known: {error}"))?;
        let (ours, theirs) = Blocking::pair().context("failed to make a pair of sockets")?;
        let child = Command::new(program)
            .args(env::args_os().skip(1))
            .env(TAKES_OVER, "stdin")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let mut next = Next { child: Some(child), store: self.exclusive.as_deref(), is_released: false };
        log::info!("upgrade: process {} is to take over", next.id());
        wire::send(&ours, self.sockets.all()).context("failed to hand the listening sockets over")?;
        match timeout(PATIENCE, next.await_ready(ours)).await {
            Ok(Ok(())) => {
                log::info!("upgrade: process {} serves", next.id());
                next.child = None;
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("process {} did not serve within {PATIENCE:?}", next.id()),
        }
    }
}

/// The process that is to take over. Dropped while it is not ready, it is ended, and its store is taken back.
struct Next<'u> {
    child: Option<Child>,
    store: Option<&'u EmbeddedStore>,
    is_released: bool,
}

impl Next<'_> {
    fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Does what it asks for, until it serves.
    async fn await_ready(&mut self, stream: Blocking) -> Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = BufReader::new(UnixStream::from_std(stream)?);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.context("failed to hear of the new process")?;
            match Said::of(&line) {
                Some(Said::Ready) => return Ok(()),
                Some(Said::Store) => {
                    if let Some(store) = self.store {
                        self.is_released = true;
                        store.release().await;
                    }
                    stream.write_all(FREE.as_bytes()).await.context("failed to tell the new process")?;
                }
                None if line.is_empty() => bail!("process {} ended before it served; look above for why", self.id()),
                None => bail!("process {} said {line:?}", self.id()),
            }
        }
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may have ended by itself.
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            log::warn!("upgrade: process {} cannot be ended: {error}", child.id());
        }
        if let (true, Some(store)) = (self.is_released, self.store)
            && let Err(error) = store.take_back()
        {
            log::error!(
                "upgrade: the store cannot be opened again; flags are served, but nothing can be written: {error}"
            );
        }
    }
}
