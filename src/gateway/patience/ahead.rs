//! What was read of a connection to see what it is, and is read once more.

use tokio::io::ReadBuf;

use super::frames::PREFACE;

/// The most bytes that are read for the head of a request of HTTP/1.1. That is more than twice of what is taken, as pingora
/// may read as much again along with it that is no more of the head.
pub(super) const MAX_HEAD_BYTES: usize = 192 << 10;

/// Ends a head that is longer, so that it can be refused.
pub(super) const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Bytes that are read before those of the connection.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl Ahead {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut ahead = Self { to: bytes.len(), ..Self::default() };
        ahead.bytes[..bytes.len()].copy_from_slice(bytes);
        ahead
    }

    /// Moves what fits into a buffer; whether there was any.
    pub(super) fn read_into(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let fits = buffer.remaining().min(self.to - self.from);
        buffer.put_slice(&self.bytes[self.from..self.from + fits]);
        self.from += fits;
        fits > 0
    }
}
