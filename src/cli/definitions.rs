//! The documents of a folder or file, for `flaggate apply`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::located::Located;
use crate::import::{self, Format};

/// Which files of a folder are read.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Documents of all kinds, with the places where they were read.
#[derive(Debug)]
pub(super) struct Definitions {
    kinds: [Kind; 3],
    /// These have no import.
    deployments: Vec<(Value, Place)>,
    files: Vec<(PathBuf, String)>,
}

/// The documents of one kind.
#[derive(Debug)]
struct Kind {
    word: &'static str,
    /// What they are called together.
    list: &'static str,
    /// The field that says what one is called.
    called_by: &'static str,
    /// Whether a file says anything of the kind.
    is_named: bool,
    documents: Vec<(Value, Place)>,
}

/// A file, and a JSON pointer into it.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    pointer: String,
}

impl Definitions {
    /// Reads a file, or all JSON and YAML files of a folder and the folders in it.
    ///
    /// # Errors
    /// Every file that cannot be read and everything that is no flag document, each with file and line.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        collect(path, &mut paths)?;
        let kind = |word, list, called_by| Kind { word, list, called_by, is_named: false, documents: Vec::new() };
        let kinds = [kind("flag", "flags", "key"), kind("segment", "segments", "id"), kind("model", "models", "id")];
        let (mut read, mut wrong) = (Self { kinds, deployments: Vec::new(), files: Vec::new() }, Vec::new());
        for path in paths {
            let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            read.files.push((path, text));
            read.take(&mut wrong);
        }
        read.refuse_doubles(&mut wrong);
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        if !read.has_others() && read.deployments.is_empty() {
            bail!("there are no flags, segments, models or deployments in {}", path.display());
        }
        Ok(read)
    }

    /// Whether there is anything but deployments.
    pub(super) fn has_others(&self) -> bool {
        self.kinds.iter().any(|kind| !kind.documents.is_empty())
    }

    /// The deployments.
    pub(super) fn deployments(&self) -> impl Iterator<Item = &Value> {
        self.deployments.iter().map(|(document, _)| document)
    }

    /// `file:line` of a pointer into a deployment.
    pub(super) fn in_deployment(&self, id: &str, pointer: &str) -> Option<String> {
        let (_, place) = self.deployments.iter().find(|(document, _)| document["id"] == id)?;
        Some(self.line(place.file, &format!("{}{pointer}", place.pointer)))
    }

    /// What an import takes.
    pub(super) fn body(&self) -> String {
        let listed = |kind: &Kind| kind.documents.iter().map(|(document, _)| document.clone()).collect();
        let named = self.kinds.iter().filter(|kind| kind.is_named);
        let body: Map<String, Value> = named.map(|kind| (kind.list.to_owned(), Value::Array(listed(kind)))).collect();
        Value::from(body).to_string()
    }

    /// `file:line` of a pointer into the body.
    pub(super) fn at(&self, pointer: &str) -> Option<String> {
        let (list, rest) = pointer.strip_prefix('/')?.split_once('/')?;
        let kind = self.kinds.iter().find(|kind| kind.list == list)?;
        let (position, below) = rest.split_once('/').unwrap_or((rest, ""));
        let (_, place) = kind.documents.get(position.parse::<usize>().ok()?)?;
        let slash = if below.is_empty() { "" } else { "/" };
        Some(self.line(place.file, &format!("{}{slash}{below}", place.pointer)))
    }

    /// Takes the documents of the file that was read last.
    fn take(&mut self, wrong: &mut Vec<String>) {
        let file = self.files.len() - 1;
        let (path, text) = &self.files[file];
        let value = match import::parse(text) {
            Ok(value) => value,
            Err(error) => return wrong.push(format!("{}:{error}", path.display())),
        };
        let (deployments, value) = split(value);
        let placed = deployments.into_iter().map(|(pointer, document)| (document, Place { file, pointer }));
        self.deployments.extend(placed);
        let Some(value) = value else { return };
        match import::read(&value, Some(Format::Flaggate)) {
            Ok(imported) => {
                let placed = |fields: &Map<String, Value>, pointer| (fields.clone().into(), Place { file, pointer });
                let [flags, segments, models] = &mut self.kinds;
                let read = imported.flags.into_iter();
                flags.documents.extend(read.map(|flag| placed(flag.document.fields(), flag.pointer)));
                let read = imported.segments.into_iter();
                segments.documents.extend(read.map(|segment| placed(segment.document.fields(), segment.pointer)));
                let read = imported.models.into_iter();
                models.documents.extend(read.map(|model| placed(model.document.fields(), model.pointer)));
                flags.is_named |= imported.names.flags;
                segments.is_named |= imported.names.segments;
                models.is_named |= imported.names.models;
            }
            Err(faults) => {
                let told = faults.iter().map(|fault| format!("{}: {}", self.line(file, &fault.pointer), fault.message));
                wrong.extend(told);
            }
        }
    }

    fn refuse_doubles(&self, wrong: &mut Vec<String>) {
        let mut seen: BTreeMap<(&str, &str), &Place> = BTreeMap::new();
        let others = self
            .kinds
            .iter()
            .flat_map(|kind| kind.documents.iter().map(move |document| (kind.word, kind.called_by, document)));
        let deployments = self.deployments.iter().map(|document| ("deployment", "id", document));
        for (kind, called_by, (document, place)) in others.chain(deployments) {
            let key = document[called_by].as_str().unwrap_or_default();
            if let Some(first) = seen.insert((kind, key), place) {
                let (here, first) = (self.line(place.file, &place.pointer), self.line(first.file, &first.pointer));
                wrong.push(format!("{here}: the {kind} {key:?} is defined at {first} already"));
            }
        }
    }

    fn line(&self, file: usize, pointer: &str) -> String {
        let (path, text) = &self.files[file];
        match Located::of(text).line(pointer) {
            Some(line) => format!("{}:{line}", path.display()),
            None => format!("{}: {pointer}", path.display()),
        }
    }
}

/// The deployments of a file, each with its place, and what else is in it.
fn split(mut value: Value) -> (Vec<(String, Value)>, Option<Value>) {
    let has = |name: &str| value.get(name).is_some();
    if has("stages") && has("id") && !has("key") {
        return (vec![(String::new(), value)], None);
    }
    let Some(fields) = value.as_object_mut() else { return (Vec::new(), Some(value)) };
    match fields.shift_remove("deployments") {
        Some(Value::Array(documents)) => {
            let placed = |(position, document)| (format!("/deployments/{position}"), document);
            let is_empty = fields.is_empty();
            (documents.into_iter().enumerate().map(placed).collect(), (!is_empty).then_some(value))
        }
        Some(other) => {
            // The import says what is wrong with it.
            fields.insert("deployments".to_owned(), other);
            (Vec::new(), Some(value))
        }
        None => (Vec::new(), Some(value)),
    }
}

/// The files below a path, sorted by name; hidden ones are left out. A file that is named itself is read whatever its name.
fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("failed to read {}", path.display());
    if !fs::metadata(path).with_context(failed)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(failed)?.collect::<Result<Vec<_>, _>>().with_context(failed)?;
    let mut entries: Vec<_> = entries.into_iter().map(|entry| (entry.path(), entry.file_type())).collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (path, kind) in entries {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_read = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        // A link to a folder is not followed: it may lead back.
        if !hidden && (kind.is_ok_and(|kind| kind.is_dir()) || (is_read && path.is_file())) {
            collect(&path, found)?;
        }
    }
    Ok(())
}
