//! Events as lines of JSON in a file, which is set aside when it is large enough.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::{Batch, EventSink, SinkError};
use crate::config;

/// A file of events, `events.jsonl`, and older ones beside it: `events.jsonl.1` is the one before.
///
/// Invariant: a file has whole lines only, and no more bytes than are allowed, unless one batch has more.
#[derive(Clone, Debug)]
pub struct FileSink(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    most_bytes: u64,
    /// How many older ones are kept.
    keep: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl FileSink {
    /// The file is opened when there is something to write.
    #[must_use]
    pub fn new(config: &config::EventFile) -> Self {
        let config::EventFile { path, max_size, keep } = config;
        Self(Arc::new(Mutex::new(Kept { path: path.clone(), most_bytes: *max_size, keep: *keep, open: None })))
    }
}

#[async_trait]
impl EventSink for FileSink {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn deliver(&self, batch: &Batch) -> Result<(), SinkError> {
        let lines: usize = batch.events.iter().map(|event| event.json.len() + 1).sum();
        let mut text = String::with_capacity(lines);
        for event in &batch.events {
            text.push_str(&event.json);
            text.push('\n');
        }
        let kept = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut kept = kept.lock().expect("nothing panics while it holds this");
            kept.write(text.as_bytes()).map_err(|error| format!("{}: {error}", kept.path.display()))
        });
        match written.await {
            Ok(written) => written.map_err(SinkError::Passing),
            Err(error) => Err(SinkError::Passing(error.to_string())),
        }
    }
}

impl Kept {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.append(lines);
        if written.is_err() {
            // It may be another file the next time.
            self.open = None;
        }
        written
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        let (path, most) = (self.path.clone(), self.most_bytes);
        let open = match self.open.take() {
            // Somebody may have taken the file away: what is written then nobody sees.
            Some(open) if path.exists() => open,
            Some(_) | None => open(&path)?,
        };
        let open = match open.bytes > 0 && open.bytes + length > most {
            true => {
                drop(open);
                self.set_aside()?;
                self::open(&path)?
            }
            false => open,
        };
        let open = self.open.insert(open);
        // A part of a batch would come twice, as it is tried again.
        if let Err(error) = open.file.write_all(lines) {
            open.file.set_len(open.bytes)?;
            return Err(error);
        }
        open.bytes += length;
        Ok(())
    }

    /// Moves each file on by one; the oldest goes.
    fn set_aside(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.keep).rev() {
            let from = numbered(&self.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(&self.path, 1))
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens a file that only its owner reads: it tells of users.
fn open(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file, bytes })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::telemetry::{
        Privacy,
        events::{Event, EventKind, Happening, Origin},
    };

    fn batch(count: usize) -> Batch {
        let origin = Origin { service: "test".into(), environment: None, region: None };
        let data = serde_json::Map::new();
        let happening = Happening::new(EventKind::UserAction, Timestamp::UNIX_EPOCH, data).of("ann");
        Batch::new((0..count).map(|_| Event::of(&happening, &origin, &Privacy::default())).collect())
    }

    #[tokio::test]
    async fn files_are_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/events.jsonl");
        let line = batch(1).events[0].json.len() as u64 + 1;
        let config = config::EventFile { path: path.clone(), max_size: line * 10, keep: 2 };
        let sink = FileSink::new(&config);
        let mut ids = Vec::new();
        for _ in 0..9 {
            let batch = batch(4);
            ids.extend(batch.events.iter().map(|event| event.id.to_string()));
            sink.deliver(&batch).await.unwrap();
        }
        let read = |name: PathBuf| fs::read_to_string(name).unwrap();
        let (newest, older, oldest) = (read(path.clone()), read(numbered(&path, 1)), read(numbered(&path, 2)));
        assert!(!numbered(&path, 3).exists());
        let told: Vec<String> = [oldest, older, newest]
            .iter()
            .flat_map(|text| text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()))
            .map(|event| event["event_id"].as_str().unwrap().to_owned())
            .collect();
        // Eight, eight and four: the first sixteen are gone.
        assert_eq!(told, ids[16..]);
        // Another run goes on with the same file, and one that was taken away is made anew.
        FileSink::new(&config).deliver(&batch(4)).await.unwrap();
        assert_eq!(read(path.clone()).lines().count(), 8);
        fs::remove_file(&path).unwrap();
        sink.deliver(&batch(1)).await.unwrap();
        assert_eq!(read(path.clone()).lines().count(), 1);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::create_dir(&path).unwrap();
        let sink = FileSink::new(&config::EventFile { path: path.clone(), max_size: 1000, keep: 1 });
        assert!(matches!(sink.deliver(&batch(1)).await, Err(SinkError::Passing(_))));
        fs::remove_dir(&path).unwrap();
        sink.deliver(&batch(1)).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
