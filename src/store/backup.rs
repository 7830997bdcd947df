//! The last good world in a file, so that a gateway whose store is down at its start has something to serve.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    thread,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::model::{DocumentKey, WorldRevision};

/// So many bytes are hashed and written at once.
const PIECE: usize = 16 << 10;

/// The format that this version reads and writes.
const FORMAT: u32 = 1;

/// The last good text of every document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastGood {
    pub(super) revision: WorldRevision,
    pub(super) documents: Vec<(DocumentKey, Arc<str>)>,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not a backup: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("its format is {0}, this version reads {FORMAT}")]
    Format(u32),
    #[error("its checksum is wrong: it was cut short or changed")]
    Checksum,
}

/// The file: the checksum is over the text of `world`, byte for byte.
#[derive(Deserialize)]
struct Envelope {
    format: u32,
    sha256: String,
    world: Box<RawValue>,
}

#[derive(Deserialize)]
struct WorldText {
    revision: WorldRevision,
    documents: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    document: DocumentKey,
    text: Arc<str>,
}

/// Reads a backup; `None`: there is none. Blocks.
pub(super) fn read(path: &Path) -> Result<Option<LastGood>, BackupError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let envelope: Envelope = serde_json::from_slice(&text)?;
    if envelope.format != FORMAT {
        return Err(BackupError::Format(envelope.format));
    }
    if checksum(&envelope.world) != envelope.sha256 {
        return Err(BackupError::Checksum);
    }
    let world: WorldText = serde_json::from_str(envelope.world.get())?;
    let documents = world.documents.into_iter().map(|entry| (entry.document, entry.text)).collect();
    Ok(Some(LastGood { revision: world.revision, documents }))
}

/// Writes a backup so that at any moment the file is either the earlier one or this one, whole. Blocks, and lets others run
/// every few kilobytes: this is done again and again while many changes come.
pub(super) fn write(path: &Path, last: LastGood) -> io::Result<()> {
    let world = text(last)?;
    let mut hash = Sha256::new();
    in_pieces(&world, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    // Flags can name users: nobody else may read them.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let sha256 = hex(&hash.finalize());
    write!(file, r#"{{"format":{FORMAT},"sha256":"{sha256}","world":"#)?;
    in_pieces(&world, |piece| file.write_all(piece))?;
    file.write_all(b"}")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The rename itself survives a loss of power only once the folder is on disk.
    File::open(folder)?.sync_all()
}

/// The text of a [`WorldText`].
fn text(last: LastGood) -> io::Result<Vec<u8>> {
    let mut world = Vec::new();
    write!(world, r#"{{"revision":{},"documents":["#, serde_json::to_string(&last.revision)?)?;
    for (position, (document, text)) in last.documents.into_iter().enumerate() {
        thread::yield_now();
        if position > 0 {
            world.push(b',');
        }
        serde_json::to_writer(&mut world, &Entry { document, text })?;
    }
    world.extend_from_slice(b"]}");
    Ok(world)
}

fn in_pieces(bytes: &[u8], mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    bytes.chunks(PIECE).try_for_each(|piece| {
        thread::yield_now();
        each(piece)
    })
}

fn checksum(world: &RawValue) -> String {
    hex(&Sha256::digest(world.get().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_good() -> LastGood {
        let documents = vec![(DocumentKey::flag("a"), r#"{"key": "a", "x": "é\n\u0000"}"#.into())];
        LastGood { revision: WorldRevision { epoch: "e".into(), number: 7 }, documents }
    }

    #[test]
    fn comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/backup.json");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, last_good()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(last_good()));
        let second = LastGood { documents: Vec::new(), ..last_good() };
        write(&path, second.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(second));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn no_damage_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.json");
        write(&path, last_good()).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(&path).is_err(), "cut to {cut} bytes");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            fs::write(&path, &bent).unwrap();
            assert!(read(&path).is_err(), "byte {at} changed");
        }
    }

    #[test]
    fn a_later_format_is_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.json");
        fs::write(&path, r#"{"format": 2, "sha256": "", "world": {}}"#).unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "its format is 2, this version reads 1");
    }
}
