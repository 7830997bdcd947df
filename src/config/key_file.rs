//! Files with keys, read together with the configuration.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{check::Checker, error::At};

/// The largest file of keys that is read.
const MOST_BYTES: u64 = 1 << 20;

/// A file with a key, and what stood in it when the configuration was read. Two are the same only if both are, so that a
/// new key is a change of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

impl KeyFile {
    pub(super) fn read(checker: &mut Checker<'_>, (path, at): (&str, &At)) -> Option<Self> {
        let path = PathBuf::from(path);
        match contents(checker, &path) {
            Ok(bytes) => Some(Self { path, bytes }),
            Err(error) => {
                checker.problem(at, format!("failed to read {}: {error}", path.display()));
                None
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stood in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What stood in it, without the end of the line that an editor leaves.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.bytes.trim_ascii_end()
    }
}

fn contents(checker: &mut Checker<'_>, path: &Path) -> std::io::Result<Arc<[u8]>> {
    if fs::metadata(path).is_ok_and(|file| file.len() > MOST_BYTES) {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    checker.files.read(&path.display().to_string()).map(Arc::from)
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyFile({})", self.path.display())
    }
}
