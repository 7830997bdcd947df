//! The side of the process that takes over.

use std::{
    env,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{
    PATIENCE, TAKES_OVER,
    sockets::Sockets,
    wire::{self, FREE, Said},
};

/// The process before this one, which serves until it is told that this one does.
#[derive(Clone, Debug)]
pub(crate) struct Taken(Arc<UnixStream>);

impl Taken {
    /// The process before, if this one was started to take over, and its sockets.
    ///
    /// # Errors
    /// It does not say what it has to.
    pub(crate) fn find() -> Result<(Option<Self>, Sockets)> {
        if env::var_os(TAKES_OVER).is_none() {
            return Ok((None, Sockets::default()));
        }
        let stream = || -> io::Result<UnixStream> {
            let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let failed = || format!("{TAKES_OVER} is set, but no process hands over on standard input");
        let stream = stream().with_context(failed)?;
        let sockets = Sockets::inherit(wire::receive(&stream).with_context(failed)?);
        Ok((Some(Self(Arc::new(stream))), sockets))
    }

    /// Waits until the process before has let go of a store that only one can hold.
    pub(crate) fn ask_for_store(&self) -> Result<()> {
        self.say(Said::Store)?;
        let heard = wire::read_line(&self.0).context("failed to hear of the process before")?;
        if heard != FREE {
            bail!("the process before does not let go of the store");
        }
        Ok(())
    }

    /// Says that this process serves: the one before may go.
    pub(crate) fn ready(&self) -> Result<()> {
        self.say(Said::Ready)
    }

    /// How long the first snapshot may take: the process before serves all the while.
    pub(crate) const fn patience() -> Duration {
        PATIENCE
    }

    fn say(&self, said: Said) -> Result<()> {
        (&*self.0).write_all(said.line().as_bytes()).context("failed to tell the process before")
    }
}
