//! What is wrong with a configuration, and where.

use std::{fmt, ops::Range, sync::Arc};

use miette::{LabeledSpan, NamedSource, SourceCode};

use super::{files::Files, secret::redact};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// These bytes of the file.
    File(Range<usize>),
    /// An environment variable.
    Variable(Arc<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) at: At,
    pub(super) message: String,
}

/// Everything that is wrong with a configuration.
///
/// `Display` gives a line `file:line:column: message` for each; as a [`miette::Diagnostic`] it shows the source.
#[derive(Debug)]
pub struct ConfigError {
    name: String,
    source: NamedSource<String>,
    text: String,
    problems: Vec<Problem>,
    files: Files,
}

impl ConfigError {
    pub(super) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match &problem.at {
            At::File(range) => range.start,
            At::Variable(_) => usize::MAX,
        });
        for problem in &mut problems {
            problem.message = redact(&problem.message);
        }
        let source = NamedSource::new(name, redact(text)).with_language("toml");
        Self { name: name.to_owned(), source, text: redact(text), problems, files: Files::default() }
    }

    pub(super) fn with_files(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// What was read with it: what is wrong may be in one of these.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// How many things are wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether nothing is wrong; never so for an error that was returned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The line and column, from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Problem { at, message }) in self.problems.iter().enumerate() {
            if number > 0 {
                out.write_str("\n")?;
            }
            match at {
                At::File(range) => {
                    let (line, column) = self.position(range.start);
                    write!(out, "{}:{line}:{column}: {message}", self.name)?;
                }
                At::Variable(variable) => write!(out, "environment variable {variable}: {message}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl miette::Diagnostic for ConfigError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.problems.iter().filter_map(|problem| match &problem.at {
            At::File(range) => Some(LabeledSpan::new(Some(problem.message.clone()), range.start, range.len())),
            At::Variable(_) => None,
        });
        Some(Box::new(labels))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("docs/configuration.md describes every key; `flaggate check --schema` prints the JSON Schema"))
    }
}
