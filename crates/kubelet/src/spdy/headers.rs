//! Header blocks, which are packed by one stream of zlib for each direction of a connection.

use bytes::{Buf, BufMut, Bytes};
use zlib_rs::{Deflate, DeflateError, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::dictionary;

/// The most that a block may hold when it is unpacked, in bytes.
const UNPACKED_MAX: usize = 64 << 10;
/// The number of headers that a block may hold.
const HEADERS_MAX: u32 = 256;
/// zlib's own measure of how far back it looks.
const WINDOW_BITS: u8 = 15;
const BEST: i32 = 9;

/// Names, in small letters, and values.
pub(crate) type Headers = Vec<(String, String)>;

/// A block that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// It is not packed as it should be.
    #[error("headers cannot be unpacked")]
    Packed,
    /// There is too much of it.
    #[error("headers are longer than {UNPACKED_MAX} bytes, or more than {HEADERS_MAX}")]
    TooLong,
    /// It ends too early.
    #[error("headers are cut off")]
    CutOff,
}

/// Unpacks blocks in the order in which they come.
pub(crate) struct Unpacker(Inflate);

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self(Inflate::new(true, WINDOW_BITS))
    }

    /// The headers of a block.
    pub(crate) fn unpack(&mut self, block: &[u8]) -> Result<Headers, HeaderError> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, HeaderError> {
        let mut out = vec![0; 4096.max(block.len())];
        let mut filled = 0;
        loop {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let status = self.0.decompress(block, &mut out[filled..], InflateFlush::SyncFlush);
            let consumed = usize::try_from(self.0.total_in() - before_in).unwrap_or(block.len());
            block.advance(consumed.min(block.len()));
            filled += usize::try_from(self.0.total_out() - before_out).unwrap_or_default();
            match status {
                Err(InflateError::NeedDict { .. }) => {
                    self.0.set_dictionary(&dictionary::bytes()).map_err(|_| HeaderError::Packed)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(HeaderError::Packed),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if filled < out.len() {
                // There was room for more: everything has been unpacked.
                out.truncate(filled);
                return if block.is_empty() { Ok(out) } else { Err(HeaderError::Packed) };
            }
            if out.len() >= UNPACKED_MAX {
                return Err(HeaderError::TooLong);
            }
            out.resize(UNPACKED_MAX.min(2 * out.len()), 0);
        }
    }
}

fn parse(mut block: &[u8]) -> Result<Headers, HeaderError> {
    let count = block.try_get_u32().map_err(|_| HeaderError::CutOff)?;
    if count > HEADERS_MAX {
        return Err(HeaderError::TooLong);
    }
    (0..count).map(|_| Ok((text(&mut block)?.to_ascii_lowercase(), text(&mut block)?))).collect()
}

fn text(block: &mut &[u8]) -> Result<String, HeaderError> {
    let length = block.try_get_u32().map_err(|_| HeaderError::CutOff)?;
    let length = usize::try_from(length).map_err(|_| HeaderError::CutOff)?;
    let (text, rest) = block.split_at_checked(length).ok_or(HeaderError::CutOff)?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Packs blocks in the order in which they are sent.
pub(crate) struct Packer(Deflate);

impl Packer {
    pub(crate) fn new() -> Result<Self, DeflateError> {
        let mut deflate = Deflate::new(BEST, true, WINDOW_BITS);
        deflate.set_dictionary(&dictionary::bytes())?;
        Ok(Self(deflate))
    }

    /// A block of these headers.
    pub(crate) fn pack(&mut self, headers: &[(&str, &str)]) -> Result<Bytes, DeflateError> {
        let mut plain = Vec::new();
        let long = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        plain.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(long(text));
            plain.put_slice(text.as_bytes());
        }
        // Packing never makes much more of anything than there was.
        let mut packed = vec![0; plain.len() + plain.len() / 8 + 128];
        let before = self.0.total_out();
        self.0.compress(&plain, &mut packed, DeflateFlush::SyncFlush)?;
        packed.truncate(usize::try_from(self.0.total_out() - before).unwrap_or_default());
        Ok(packed.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_dictionary_is_the_protocols() {
        let bytes = dictionary::bytes();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in &bytes {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((bytes.len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn headers_are_unpacked_as_they_were_packed() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new());
        for headers in [vec![("streamtype", "stdin"), ("port", "80")], vec![], vec![("streamtype", "error")]] {
            let block = packer.pack(&headers).unwrap();
            let unpacked = unpacker.unpack(&block).unwrap();
            let pairs: Vec<(&str, &str)> = unpacked.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(pairs, headers);
        }
    }

    #[test]
    fn a_block_that_grows_without_end_is_refused() {
        let value = "x".repeat(2 * UNPACKED_MAX);
        let block = Packer::new().unwrap().pack(&[("a", &value)]).unwrap();
        assert!(block.len() < 4096, "{}", block.len());
        assert_eq!(Unpacker::new().unpack(&block), Err(HeaderError::TooLong));
        let many = vec![("a", "b"); 257];
        let block = Packer::new().unwrap().pack(&many).unwrap();
        assert_eq!(Unpacker::new().unpack(&block), Err(HeaderError::TooLong));
    }

    proptest! {
        #[test]
        fn any_block_is_survived(block in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Unpacker::new().unpack(&block);
            let _ = parse(&block);
            // One that begins as it should.
            let mut begun = Packer::new().unwrap().pack(&[("a", "b")]).unwrap().to_vec();
            begun.extend_from_slice(&block);
            let _ = Unpacker::new().unpack(&begun);
        }
    }
}
