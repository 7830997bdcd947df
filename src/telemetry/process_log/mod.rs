//! The log of the process, on standard error: one line an event, however often and with whatever in it.
//!
//! What comes from a request can stand in what pingora and the gateway log. It is escaped, so that a request cannot forge a
//! line, and lines that come again and again are counted instead of written, so that many bad requests do not fill a disk.

mod collapse;

use std::{
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use self::collapse::{Collapse, Line, Place};
use crate::clock;

/// Characters of a message that are written.
const LONGEST_MESSAGE: usize = 4096;

/// Writes the log. What is asked for by `FLAGGATE_LOG=debug` and below is written as it comes.
#[derive(Debug)]
pub struct ProcessLog {
    shared: Arc<Shared>,
    colors: bool,
}

/// Tells of the lines that are held back, at the latest when it is dropped.
#[derive(Debug)]
pub struct LastLines {
    shared: Arc<Shared>,
    colors: bool,
}

#[derive(Debug, Default)]
struct Shared {
    collapse: Mutex<Collapse>,
    /// Something is held back.
    holding: Condvar,
}

impl ProcessLog {
    /// Starts the log.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(colors: bool) -> io::Result<(Self, LastLines)> {
        let shared = Arc::<Shared>::default();
        let telling = Arc::clone(&shared);
        thread::Builder::new().name("process-log".to_owned()).spawn(move || tell(&telling, colors))?;
        Ok((Self { shared: Arc::clone(&shared), colors }, LastLines { shared, colors }))
    }

    fn log(&self, place: Place, line: Line) {
        if line.level > Level::INFO {
            return write(&[line], self.colors);
        }
        let now = clock::monotonic();
        let (told, taken) = {
            let mut collapse = self.shared.collapse();
            let is_over = collapse.ends().is_some_and(|end| end <= now);
            let told = if is_over { collapse.end() } else { Vec::new() };
            let taken = collapse.take(place, line, now);
            if taken.is_none() {
                self.shared.holding.notify_one();
            }
            (told, taken)
        };
        write(&told, self.colors);
        write(taken.as_slice(), self.colors);
    }
}

impl Drop for LastLines {
    fn drop(&mut self) {
        let told = self.shared.collapse().end();
        write(&told, self.colors);
    }
}

impl Shared {
    fn collapse(&self) -> MutexGuard<'_, Collapse> {
        self.collapse.lock().expect("nothing panics while it holds the lines")
    }
}

/// Tells of what is held back as each window ends, for ever.
fn tell(shared: &Shared, colors: bool) {
    loop {
        let holding = shared.holding.wait_while(shared.collapse(), |collapse| !collapse.is_holding());
        let mut collapse = holding.expect("nothing panics while it holds the lines");
        let left = collapse.ends().map(|end| end.saturating_duration_since(clock::monotonic()));
        let told = match left {
            Some(Duration::ZERO) | None => collapse.end(),
            Some(left) => {
                drop(collapse);
                thread::sleep(left);
                continue;
            }
        };
        drop(collapse);
        write(&told, colors);
    }
}

impl<S: Subscriber> Layer<S> for ProcessLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut said = Said::default();
        event.record(&mut said);
        let target = said.target.take().unwrap_or_else(|| metadata.target().to_owned());
        let mut hasher = DefaultHasher::new();
        (metadata.level().as_str(), &target, said.line.or(metadata.line().map(u64::from))).hash(&mut hasher);
        let line = Line { level: *metadata.level(), target, message: said.message };
        self.log(hasher.finish(), line);
    }
}

/// What an event says. Those of the crate `log` have where they come from in fields.
#[derive(Debug, Default)]
struct Said {
    message: String,
    target: Option<String>,
    line: Option<u64>,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "log.line" => self.line = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target = Some(value.to_owned()),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let before = std::mem::take(&mut self.message);
        self.message = match (field.name(), before.is_empty()) {
            (name, _) if name.starts_with("log.") => before,
            ("message", true) => format!("{value:?}"),
            ("message", false) => format!("{value:?} {before}"),
            (name, true) => format!("{name}={value:?}"),
            (name, false) => format!("{before} {name}={value:?}"),
        };
    }
}

/// Writes lines. When standard error is gone there is nobody to tell.
fn write(lines: &[Line], colors: bool) {
    if lines.is_empty() {
        return;
    }
    let mut text = String::new();
    lines.iter().for_each(|line| render(line, colors, &mut text));
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

fn render(line: &Line, colors: bool, out: &mut String) {
    let Line { level, target, message } = line;
    let color = match *level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    let level = match colors {
        true => format!("\u{1b}[{color}m{level:>5}\u{1b}[0m"),
        false => format!("{level:>5}"),
    };
    write!(out, "{:.6} {level} ", clock::now()).expect("a string can be written to");
    escape(target, out);
    out.push_str(": ");
    escape(message, out);
    out.push('\n');
}

/// Appends a text so that it stays in its line, and does nothing to a terminal.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars().take(LONGEST_MESSAGE) {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if letter.is_control() || is_invisible(letter) => {
                write!(out, "\\u{{{:x}}}", u32::from(letter)).expect("a string can be written to");
            }
            _ => out.push(letter),
        }
    }
    if text.chars().nth(LONGEST_MESSAGE).is_some() {
        out.push('…');
    }
}

/// Whether a character is not seen, but breaks lines or turns the direction of others round.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_in_its_line() {
        for (message, shown) in [
            ("plain – ü", "plain – ü"),
            ("a\r\nERROR b", "a\\r\\nERROR b"),
            ("\u{1b}[2J\u{9b}2J\u{7f}\0\t", "\\u{1b}[2J\\u{9b}2J\\u{7f}\\u{0}\\t"),
            ("\u{2028}\u{2029}\u{85}\u{202e}abc", "\\u{2028}\\u{2029}\\u{85}\\u{202e}abc"),
        ] {
            let mut out = String::new();
            let line = Line { level: Level::WARN, target: "t".to_owned(), message: message.to_owned() };
            render(&line, false, &mut out);
            assert_eq!(out.split_once("  WARN t: ").unwrap().1, format!("{shown}\n"));
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let mut out = String::new();
        escape(&"é".repeat(LONGEST_MESSAGE + 1), &mut out);
        assert_eq!(out.chars().count(), LONGEST_MESSAGE + 1);
        assert!(out.ends_with('…'));
    }
}
