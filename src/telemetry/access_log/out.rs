//! Where access lines go.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Standard output, or a file that is opened anew when it is told to be.
#[derive(Debug)]
pub(super) struct Out {
    file: Option<(File, PathBuf)>,
    reopen: Arc<AtomicBool>,
}

impl Out {
    /// Opens the file for appending; none: standard output.
    pub(super) fn open(path: Option<&Path>, reopen: Arc<AtomicBool>) -> io::Result<Self> {
        let file = path.map(|path| Ok::<_, io::Error>((append(path)?, path.to_owned()))).transpose()?;
        Ok(Self { file, reopen })
    }

    /// Writes lines. A file that cannot be opened anew is written on where it is.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some((file, path)) = &mut self.file else {
            let mut out = io::stdout().lock();
            return out.write_all(lines).and_then(|()| out.flush());
        };
        if self.reopen.swap(false, Ordering::Relaxed) {
            match append(path) {
                Ok(new) => *file = new,
                Err(error) => log::error!("failed to open {} anew: {error}", path.display()),
            }
        }
        file.write_all(lines)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
