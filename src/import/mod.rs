//! Reads flag definitions of flaggate itself and of other systems, and turns each into a flag document.
//!
//! What is read never moves a user: hash, salt and the attribute that is hashed are carried over with the definition. What
//! cannot be carried over is reported, with its place in the source and what that does to the flag. Pure.

mod build;
mod detect;
mod flagd;
mod flaggate;
mod growthbook;
mod text;
mod unleash;

use serde::Serialize;
use serde_json::Value;

use crate::model::{Effect, Fault, FlagDocument, ModelDocument, SegmentDocument};

pub use text::{TextError, parse};

/// Whose definitions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Flag documents: an array, or `{"flags": [...], "segments": [...], "models": [...]}`.
    Flaggate,
    /// flagd's flags: `{"flags": {...}}`, with `$evaluators`.
    Flagd,
    /// Unleash's features: `{"features": [...], "segments": [...]}`, or the events of its delta.
    Unleash,
    /// GrowthBook's features: `{"features": {...}}`, as an SDK is sent them.
    Growthbook,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Flaggate, Self::Flagd, Self::Unleash, Self::Growthbook];

    /// The name in queries and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flaggate => "flaggate",
            Self::Flagd => "flagd",
            Self::Unleash => "unleash",
            Self::Growthbook => "growthbook",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

/// What was read.
#[derive(Debug)]
pub struct Imported {
    /// Whose definitions they are.
    pub format: Format,
    /// The flags, in the order of the source.
    pub flags: Vec<ImportedFlag>,
    /// The segments, in the order of the source.
    pub segments: Vec<ImportedDocument<SegmentDocument>>,
    /// The models, in the order of the source.
    pub models: Vec<ImportedDocument<ModelDocument>>,
    /// Of which kinds the source says anything: what is not named is not meant.
    pub names: Names,
    /// What could not be carried over, or only in another way.
    pub report: Vec<Note>,
}

/// One flag that was read.
#[derive(Debug)]
pub struct ImportedFlag {
    /// Where it stands in the source, as a JSON pointer.
    pub pointer: String,
    /// Its name there.
    pub name: String,
    /// The flag.
    pub document: FlagDocument,
}

/// One segment or model that was read.
#[derive(Debug)]
pub struct ImportedDocument<D> {
    /// Where it stands in the source, as a JSON pointer.
    pub pointer: String,
    /// The document.
    pub document: D,
}

/// Of which kinds of documents a source says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of flags.
    pub flags: bool,
    /// Of segments.
    pub segments: bool,
    /// Of models.
    pub models: bool,
}

/// One thing that could not be carried over as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The flag's name in the source; none when it is about the whole.
    pub flag: Option<String>,
    /// Where in the source, as a JSON pointer.
    pub pointer: String,
    /// What it is.
    pub what: String,
    /// Why it is not carried over.
    pub why: String,
    /// What that does to the flag here.
    pub effect: String,
}

/// What cannot be carried over of one flag.
struct Notes<'r> {
    /// Its name in the source.
    name: &'r str,
    report: &'r mut Vec<Note>,
}

impl Notes<'_> {
    fn add(&mut self, pointer: impl Into<String>, what: impl Into<String>, why: impl Into<String>, effect: &str) {
        self.report.push(Note {
            flag: Some(self.name.to_owned()),
            pointer: pointer.into(),
            what: what.into(),
            why: why.into(),
            effect: effect.to_owned(),
        });
    }

    /// The key of the flag; noted if it is not its name.
    fn key(&mut self, pointer: &str) -> String {
        let key = build::key(self.name);
        if key != self.name {
            let why = "a key is letters, digits, dots, underscores and dashes here";
            self.add(pointer, "its name", why, &format!("the flag's key is {key:?}"));
        }
        key
    }
}

/// Turns definitions into flags; the format is found out unless it is named.
///
/// # Errors
/// Everything that is wrong with the source, with its place: nothing is imported then.
pub fn read(source: &Value, format: Option<Format>) -> Result<Imported, Vec<Fault>> {
    let format = match format {
        Some(format) => format,
        None => detect::format(source).map_err(|fault| vec![fault])?,
    };
    let mut reading = Reading { names: Names { flags: true, ..Names::default() }, ..Reading::default() };
    match format {
        Format::Flaggate => flaggate::read(source, &mut reading),
        Format::Flagd => flagd::read(source, &mut reading),
        Format::Unleash => unleash::read(source, &mut reading),
        Format::Growthbook => growthbook::read(source, &mut reading),
    }
    reading.refuse_doubles();
    if !reading.faults.is_empty() {
        return Err(reading.faults);
    }
    let Reading { flags, segments, models, names, report, .. } = reading;
    Ok(Imported { format, flags, segments, models, names, report })
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    flags: Vec<ImportedFlag>,
    segments: Vec<ImportedDocument<SegmentDocument>>,
    models: Vec<ImportedDocument<ModelDocument>>,
    names: Names,
    report: Vec<Note>,
    faults: Vec<Fault>,
}

impl Reading {
    fn fault(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { pointer: pointer.into(), message: message.into(), effect: Effect::Quarantined });
    }

    /// Two definitions of one document would overwrite each other.
    fn refuse_doubles(&mut self) {
        let mut seen = std::collections::BTreeMap::new();
        let mut doubles = Vec::new();
        let flags = self.flags.iter().map(|flag| (("flag", flag.document.key()), &flag.pointer));
        let segments = self.segments.iter().map(|segment| (("segment", segment.document.id()), &segment.pointer));
        let models = self.models.iter().map(|model| (("model", model.document.id()), &model.pointer));
        for (named, pointer) in flags.chain(segments).chain(models) {
            if let Some(first) = seen.insert(named, pointer) {
                doubles.push((pointer.clone(), format!("{:?} is defined at {first} already", named.1)));
            }
        }
        for (pointer, message) in doubles {
            self.fault(pointer, message);
        }
    }
}
