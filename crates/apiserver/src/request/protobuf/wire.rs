//! The wire format of protocol buffers: numbered fields of four sorts.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end in the middle of a field.
    #[error("unexpected end of message")]
    Truncated,
    /// A number has too many bytes.
    #[error("number is too long")]
    Overlong,
    /// A field of a sort that Kubernetes never uses.
    #[error("unknown wire type")]
    WireType,
    /// A string that is no UTF-8, or raw JSON that is none.
    #[error("malformed text")]
    Text,
    /// Messages within messages beyond all measure.
    #[error("message is nested too deeply")]
    Depth,
}

/// What a field carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message, one after the other.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Overlong)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn payload(&mut self, wire_type: u64) -> Result<Payload<'a>, Malformed> {
        match wire_type {
            0 => self.number().map(Payload::Number),
            1 => {
                let bytes = self.bytes(8)?.try_into().map_err(|_| Malformed::Truncated)?;
                Ok(Payload::Fixed64(u64::from_le_bytes(bytes)))
            }
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Malformed::Truncated)?;
                self.bytes(length).map(Payload::Bytes)
            }
            5 => self.bytes(4).map(|_| Payload::Fixed32),
            _ => Err(Malformed::WireType),
        }
    }

    /// The next number, for lists of numbers that are packed into one field.
    pub fn next_number(&mut self) -> Option<Result<u64, Malformed>> {
        (!self.0.is_empty()).then(|| self.number())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.number().and_then(|tag| {
            let number = u32::try_from(tag >> 3).map_err(|_| Malformed::Overlong)?;
            Ok((number, self.payload(tag & 7)?))
        });
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
