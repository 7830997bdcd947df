//! Lines of a body that comes in pieces.

use std::mem;

use axum::body::Bytes;

/// The most bytes of a line that are kept.
pub(super) const LONGEST: usize = 64 << 10;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Without its end; `None`: it is too long.
    pub(super) text: Option<Vec<u8>>,
}

/// Takes a body apart. Holds one line at most.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How many were ended.
    number: u64,
    rest: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes the next line out of a piece; `None`: the piece is used up.
    pub(super) fn take(&mut self, piece: &mut Bytes) -> Option<Line> {
        let Some(end) = piece.iter().position(|byte| *byte == b'\n') else {
            let rest = mem::take(piece);
            self.keep(&rest);
            return None;
        };
        let line = piece.split_to(end + 1);
        self.keep(&line[..end]);
        Some(self.line())
    }

    /// The last line, if the body does not end with an end of line.
    pub(super) fn end(&mut self) -> Option<Line> {
        (self.is_too_long || !self.rest.is_empty()).then(|| self.line())
    }

    /// The number of the line that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.rest.len() + bytes.len() > LONGEST {
            self.is_too_long = true;
            self.rest = Vec::new();
            return;
        }
        self.rest.extend_from_slice(bytes);
    }

    fn line(&mut self) -> Line {
        self.number += 1;
        let text = mem::take(&mut self.rest);
        Line { number: self.number, text: (!mem::take(&mut self.is_too_long)).then_some(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a body that comes in pieces of this length; the lengths of those that are too long are not known.
    fn lines(body: &[u8], length: usize) -> Vec<(u64, Option<String>)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in body.chunks(length) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(line) = lines.take(&mut piece) {
                found.push(line);
            }
            assert!(piece.is_empty() && lines.rest.len() <= LONGEST);
        }
        found.extend(lines.end());
        found.into_iter().map(|line| (line.number, line.text.map(|text| String::from_utf8(text).unwrap()))).collect()
    }

    #[test]
    fn pieces_do_not_matter() {
        let text = |text: &str| Some(text.to_owned());
        for length in 1..9 {
            assert_eq!(lines(b"", length), []);
            assert_eq!(
                lines(b"a\nbc\r\n\nd", length),
                [(1, text("a")), (2, text("bc\r")), (3, text("")), (4, text("d"))]
            );
            assert_eq!(lines(b"a\n", length), [(1, text("a"))]);
        }
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let longest = "x".repeat(LONGEST);
        let body = format!("{longest}\n{longest}y\nz\n{longest}y");
        for length in [1000, LONGEST, body.len()] {
            let expected = [(1, Some(longest.clone())), (2, None), (3, Some("z".to_owned())), (4, None)];
            assert_eq!(lines(body.as_bytes(), length), expected);
        }
    }
}
