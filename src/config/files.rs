//! The files that a configuration names and that are read with it.

use std::{fs, path::PathBuf};

use sha2::{Digest as _, Sha256};

/// Which files were read with a configuration, and what was in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Option<[u8; 32]>)>);

impl Files {
    /// Reads a file and remembers what was in it.
    pub(super) fn read(&mut self, name: &str) -> std::io::Result<Vec<u8>> {
        let read = fs::read(name);
        let digest = read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.0.push((PathBuf::from(name), digest));
        read
    }

    /// The same files, with what is in them now.
    #[must_use]
    pub fn now(&self) -> Self {
        let digest = |path: &PathBuf| fs::read(path).ok().map(|bytes| Sha256::digest(bytes).into());
        Self(self.0.iter().map(|(path, _)| (path.clone(), digest(path))).collect())
    }
}
