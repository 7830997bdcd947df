//! `[access_log]`: one line for each request.

use std::path::PathBuf;

use super::{
    check::Checker,
    keys::{Kind, Section, key},
    read::Table,
    units::Share,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key("enabled", Kind::Boolean, "true", "whether there is one"),
        key("path", Kind::Text, "none", "the file, opened anew on SIGHUP; none: standard output"),
        key("format", Kind::Choice(&["json", "logfmt"]), "\"json\"", "how a line looks"),
        key("sample", Kind::Text, "\"100%\"", "of how many requests a line is written, like `\"0.1%\"`"),
        key("errors", Kind::Boolean, "true", "whether requests that failed have their line whatever `sample` says"),
        key("user_id", Kind::Boolean, "false", "whether a line names the user"),
    ],
    later: &[],
};

/// The access log: one line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Whether there is one. Default true.
    pub enabled: bool,
    /// Where it goes; none: standard output.
    pub path: Option<PathBuf>,
    /// How it looks. Default JSON.
    pub format: AccessLogFormat,
    /// Of how many requests a line is written. Default all.
    pub sample: Share,
    /// Whether requests that failed always have their line: a status of 500 or more, none, or an error. Default true.
    pub errors: bool,
    /// Whether a line names the user. Default false.
    pub user_id: bool,
}

/// How access lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

impl AccessLog {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table) -> Self {
        let empty = Table::default();
        let table = root.table("access_log").map_or(&empty, |(table, _)| table);
        let sample = table.text("sample");
        Self {
            enabled: table.boolean("enabled", true),
            path: table.text("path").map(|(text, _)| PathBuf::from(text)),
            format: match table.text("format").map_or("", |(text, _)| text) {
                "logfmt" => AccessLogFormat::Logfmt,
                _ => AccessLogFormat::Json,
            },
            sample: sample.and_then(|text| checker.share(text)).unwrap_or(Share::ALL),
            errors: table.boolean("errors", true),
            user_id: table.boolean("user_id", false),
        }
    }
}
