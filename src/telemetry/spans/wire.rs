//! Protocol Buffers, as far as spans need them: <https://protobuf.dev/programming-guides/encoding/>.

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Wire(pub(super) Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Wire {
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(super) fn number(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    pub(super) fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes a message into a field. Its length stands before it, so a long one is moved.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, LENGTH);
        let start = self.0.len();
        self.0.push(0);
        write(self);
        let length = self.0.len() - start - 1;
        if let Some(short) = u8::try_from(length).ok().filter(|length| *length < 0x80) {
            self.0[start] = short;
            return;
        }
        let end = self.0.len();
        self.varint(length as u64);
        let width = self.0.len() - end;
        let mut prefix = [0; 10];
        prefix[..width].copy_from_slice(&self.0[end..]);
        self.0.copy_within(start + 1..end, start + width);
        self.0[start..start + width].copy_from_slice(&prefix[..width]);
        self.0.truncate(end + width - 1);
    }

    pub(super) fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "the lowest seven bits are meant")]
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is less than 128")]
        self.0.push(number as u8);
    }
}

/// The fields of a message that came from elsewhere, until one cannot be read.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Of a width of its own, which nobody here asks for.
    Other,
}

impl<'b> Iterator for Fields<'b> {
    type Item = (u64, Field<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.number()?;
        let field = match u32::try_from(tag & 7).ok()? {
            VARINT => Field::Number(self.number()?),
            LENGTH => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            FIXED64 => self.take(8).map(|_| Field::Other)?,
            FIXED32 => self.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_length_come_back() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 100_000] {
            let mut wire = Wire::default();
            let body = vec![7; length];
            wire.message(3, |inner| inner.0.extend_from_slice(&body));
            wire.number(1, 300);
            wire.fixed64(2, 1);
            wire.fixed32(4, 1);
            let read: Vec<_> = Fields(&wire.0).collect();
            let expected = [(3, Field::Bytes(&body)), (1, Field::Number(300)), (2, Field::Other), (4, Field::Other)];
            assert_eq!(read, expected, "{length}");
        }
    }

    #[test]
    fn what_is_cut_off_ends_the_reading() {
        for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x08, 0xff], &[0x0b], &[0xff; 12]] {
            assert_eq!(Fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
