//! The frames of HTTP/2 as a client sends them, seen from outside of what takes them apart: which of them have begun and
//! are not whole, and whether the client opens streams only to take them back.

/// What HTTP/2 begins with (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that no client may send, RST_STREAM of stream 0: what reads it says goodbye (GOAWAY) and ends the connection.
pub(super) const FORBIDDEN: &[u8; 13] = b"\0\0\x04\x03\0\0\0\0\0\0\0\0\0";

/// Bytes before a frame's payload.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;

/// The flag of a HEADERS or CONTINUATION frame with which a header block ends.
const END_HEADERS: u8 = 4;

/// How long streams that were taken back are counted, in milliseconds.
const WINDOW: u64 = 10_000;

/// Streams that a client may take back in one window, or half of those that it opens if that is more. Who leaves a page
/// takes back what it still waits for, a hundred streams at once; who attacks does so ten thousand times a second
/// (CVE-2023-44487).
const TAKEN_BACK: u32 = 500;

/// Where in the stream of frames a client is.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    filled: usize,
    /// Bytes of the payload that are still to come; none: no payload has begun.
    payload: Option<usize>,
    /// Whether a header block has begun.
    in_block: bool,
    /// How many frames, or whole header blocks, have begun.
    begun: u32,
    newest: u32,
    window: u64,
    opened: u32,
    taken_back: u32,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            preface: PREFACE.len(),
            head: [0; HEAD],
            filled: 0,
            payload: None,
            in_block: false,
            begun: 0,
            newest: 0,
            window: 0,
            opened: 0,
            taken_back: 0,
        }
    }

    /// Whether something has begun that must be whole soon: anything but the payload of a body.
    pub(super) fn is_pending(&self) -> bool {
        self.preface > 0 || self.in_block || self.filled > 0 || (self.payload.is_some() && self.kind() != DATA)
    }

    /// Another number for each thing that must be whole soon.
    pub(super) fn begun(&self) -> u32 {
        self.begun
    }

    /// Takes what was read next. Gives how much of it counts, if the client is not to be heard any more. `now`: a time in
    /// milliseconds.
    pub(super) fn see(&mut self, mut bytes: &[u8], now: impl Fn() -> u64) -> Option<usize> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let wanted = match (self.preface, self.payload) {
                (0, Some(left)) => left,
                (0, None) => HEAD - self.filled,
                (preface, _) => preface,
            };
            let (now_read, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.preface > 0 {
                self.preface -= now_read.len();
                continue;
            }
            let left = match self.payload {
                Some(left) => left - now_read.len(),
                None => {
                    if !self.fill(now_read) {
                        continue;
                    }
                    self.payload_bytes()
                }
            };
            self.payload = (left > 0).then_some(left);
            if left == 0 && self.is_whole(&now) {
                return Some(all - bytes.len());
            }
        }
        None
    }

    /// Takes bytes of a frame's head; whether it is whole.
    fn fill(&mut self, bytes: &[u8]) -> bool {
        if self.filled == 0 && !self.in_block {
            self.begun = self.begun.wrapping_add(1);
        }
        self.head[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled = (self.filled + bytes.len()) % HEAD;
        self.filled == 0
    }

    /// A frame is whole; whether the client takes too much back.
    fn is_whole(&mut self, now: impl Fn() -> u64) -> bool {
        match self.kind() {
            HEADERS | CONTINUATION => {
                self.in_block = self.head[4] & END_HEADERS == 0;
                let stream = u32::from_be_bytes([self.head[5] & 0x7f, self.head[6], self.head[7], self.head[8]]);
                if stream > self.newest {
                    (self.newest, self.opened) = (stream, self.opened.saturating_add(1));
                }
                false
            }
            RST_STREAM => {
                let now = now();
                if now > self.window + WINDOW {
                    (self.window, self.taken_back, self.opened) = (now, 0, 0);
                }
                self.taken_back += 1;
                self.taken_back > TAKEN_BACK && self.taken_back > self.opened / 2
            }
            _ => false,
        }
    }

    fn payload_bytes(&self) -> usize {
        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2])
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// After each byte: whether something has begun that must be whole soon.
    fn pending(bytes: &[u8]) -> String {
        let mut frames = Frames::new();
        assert_eq!(frames.see(PREFACE, || 0), None);
        let seen = bytes.iter().map(|byte| {
            assert_eq!(frames.see(&[*byte], || 0), None);
            if frames.is_pending() { '+' } else { '-' }
        });
        seen.collect()
    }

    #[test]
    fn everything_but_a_body_must_be_whole_soon() {
        assert_eq!(pending(&frame(4, 0, 0, b"")), "++++++++-");
        assert_eq!(pending(&frame(6, 0, 0, b"pingping")), "++++++++++++++++-");
        assert_eq!(pending(&frame(DATA, 0, 1, b"body")), "++++++++-----");
        assert_eq!(pending(&frame(HEADERS, END_HEADERS, 1, b"a")), "+++++++++-");
        let split = [frame(HEADERS, 0, 1, b"a"), frame(CONTINUATION, 0, 1, b"b"), frame(CONTINUATION, 4, 1, b"c")];
        let seen = pending(&split.concat());
        assert_eq!(seen.find('-'), Some(29), "{seen}");
    }

    #[test]
    fn a_header_block_is_one_thing() {
        let mut frames = Frames::new();
        frames.see(PREFACE, || 0);
        for (bytes, begun) in [
            (frame(HEADERS, 0, 1, b"a"), 1),
            (frame(CONTINUATION, 0, 1, b"b"), 1),
            (frame(CONTINUATION, END_HEADERS, 1, b"c"), 1),
            (frame(HEADERS, END_HEADERS, 3, b""), 2),
        ] {
            frames.see(&bytes, || 0);
            assert_eq!(frames.begun(), begun);
        }
    }

    /// After how many streams, each opened and taken back, the client is not heard any more. `pause`: milliseconds between
    /// two; `kept`: streams that are opened with each and not taken back.
    fn heard(streams: u32, pause: u64, kept: u32) -> Option<u32> {
        let mut frames = Frames::new();
        frames.see(PREFACE, || 0);
        (1..=streams).find(|number| {
            let first = number * 2 * (kept + 1) - 1;
            let mut bytes: Vec<u8> =
                (0..=kept).flat_map(|more| frame(HEADERS, END_HEADERS, first + 2 * more, b"x")).collect();
            bytes.extend(frame(RST_STREAM, 0, first, &[0; 4]));
            let whole = bytes.len();
            bytes.extend(b"more");
            let heard = frames.see(&bytes[..whole], || u64::from(*number) * pause);
            assert!(heard.is_none_or(|heard| heard == whole));
            heard.is_some()
        })
    }

    #[test]
    fn who_only_takes_back_is_not_heard_for_long() {
        assert_eq!(heard(10_000, 0, 0), Some(TAKEN_BACK + 1));
        assert_eq!(heard(10_000, 1, 0), Some(TAKEN_BACK + 1));
        assert_eq!(heard(10_000, 50, 0), None, "twenty a second");
        assert_eq!(heard(10_000, 0, 2), None, "one of three");
    }

    #[test]
    fn what_comes_after_the_end_does_not_count() {
        let mut frames = Frames::new();
        frames.see(PREFACE, || 0);
        frames.taken_back = TAKEN_BACK;
        let last = frame(RST_STREAM, 0, 1, &[0; 4]);
        let bytes = [&last[..], b"rest"].concat();
        assert_eq!(frames.see(&bytes, || 0), Some(last.len()));
    }
}
