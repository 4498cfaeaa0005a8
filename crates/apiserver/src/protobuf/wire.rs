//! The wire format of protocol buffers: numbered fields of a few sorts, read forwards and written backwards.
//!
//! A message stands behind its length. Written from its end, the length is known when it is due, and nothing has to be
//! measured first.

use prost::encoding::{self, WireType};

use super::read::Malformed;

/// What a field carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other. Groups and fields of four bytes, which Kubernetes never uses, are
/// skipped.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, Malformed> {
        while !self.0.is_empty() {
            let (number, wire_type) = encoding::decode_key(&mut self.0)?;
            let payload = match wire_type {
                WireType::Varint => Payload::Number(encoding::decode_varint(&mut self.0)?),
                WireType::SixtyFourBit => {
                    let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
                    self.0 = rest;
                    Payload::Fixed64(u64::from_le_bytes(*bytes))
                }
                WireType::LengthDelimited => {
                    let length = encoding::decode_varint(&mut self.0)?;
                    let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                    let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
                    self.0 = rest;
                    Payload::Bytes(bytes)
                }
                other => {
                    encoding::skip_field(other, number, &mut self.0, encoding::DecodeContext::default())?;
                    continue;
                }
            };
            return Ok(Some((number, payload)));
        }
        Ok(None)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field().transpose();
        if matches!(field, Some(Err(_))) {
            self.0 = &[];
        }
        field
    }
}

/// Numbers that stand in one field, one after the other.
pub(super) fn packed(mut bytes: &[u8]) -> impl Iterator<Item = Result<u64, Malformed>> + '_ {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let number = encoding::decode_varint(&mut bytes).map_err(Malformed::from);
        if number.is_err() {
            bytes = &[];
        }
        Some(number)
    })
}

/// A message as it is written, from its end to its beginning. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    /// What has been written is at its end.
    buffer: Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl Backwards {
    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.start = self.buffer.len();
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// How much has been written.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Puts bytes in front.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.grow(bytes.len());
        }
        self.start -= bytes.len();
        self.buffer[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts a number in front.
    pub fn number(&mut self, value: u64) {
        if value < 0x80 {
            return self.bytes(&value.to_le_bytes()[..1]);
        }
        let mut digits = [0_u8; 10];
        let length = encoding::encoded_len_varint(value);
        encoding::encode_varint(value, &mut &mut digits[..]);
        self.bytes(&digits[..length]);
    }

    /// Puts the key of a field in front of its value.
    pub fn key(&mut self, number: u32, wire_type: WireType) {
        self.number(u64::from(number) << 3 | wire_type as u64);
    }

    /// Puts length and key in front of everything that was written since it was `end` long.
    pub fn close(&mut self, number: u32, end: usize) {
        self.number((self.len() - end) as u64);
        self.key(number, WireType::LengthDelimited);
    }

    /// Puts a field of bytes in front.
    pub fn field(&mut self, number: u32, value: &[u8]) {
        let end = self.len();
        self.bytes(value);
        self.close(number, end);
    }

    /// Puts a field of a number in front.
    pub fn number_field(&mut self, number: u32, value: u64) {
        self.number(value);
        self.key(number, WireType::Varint);
    }

    fn grow(&mut self, more: usize) {
        const LEAST: usize = 4 << 10;
        let length = self.len();
        let capacity = (length + more).next_power_of_two().max(LEAST);
        let mut buffer = vec![0; capacity];
        buffer[capacity - length..].copy_from_slice(self.written());
        (self.buffer, self.start) = (buffer, capacity - length);
    }
}
