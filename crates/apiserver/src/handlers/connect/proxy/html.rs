//! Links in pages, rewritten while the pages pass.

use std::io::Write;

use bytes::Bytes;
use flate2::{
    Compression,
    write::{DeflateDecoder, DeflateEncoder, GzEncoder, MultiGzDecoder},
};
use futures::{Stream, StreamExt};
use http::{HeaderMap, header};

use super::{links::Links, tags::Tags};
use crate::serving::BodyError;

/// So much of a packed page is unpacked at once, in bytes: what comes of it is at most a thousand times as much, so that
/// neither memory nor the other requests of a thread suffer from what a pod has packed.
const STEP: usize = 1 << 10;
/// How long a page may be unpacked, in bytes.
const UNPACKED_MAX: u64 = 64 << 20;

/// How a page is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Plain,
    Gzip,
    Deflate,
}

impl Coding {
    /// That of an answer; `None` for what is no page, or packed in a way that is not known here.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        match (media_type, text(header::CONTENT_ENCODING)) {
            ("text/html", "") => Some(Self::Plain),
            ("text/html", "gzip") => Some(Self::Gzip),
            ("text/html", "deflate") => Some(Self::Deflate),
            _ => None,
        }
    }
}

/// The page with its links rewritten, in the same packing. It breaks off where a packed page becomes too long.
pub(super) fn rewritten(
    page: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    coding: Coding,
    links: Links,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    rewritten_up_to(page, coding, links, UNPACKED_MAX)
}

fn rewritten_up_to(
    page: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    coding: Coding,
    links: Links,
    most: u64,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    let mut rewriting = Some(Rewriting::new(coding, links, most));
    let steps = page.flat_map(move |piece| futures::stream::iter(steps(piece, coding)));
    let all = steps.chain(futures::stream::iter([Ok(Step::End)]));
    all.filter_map(move |step| {
        let written = match step {
            Err(error) => Some(Err(error)),
            Ok(Step::Write(piece)) => rewriting.as_mut().map(|rewriting| rewriting.write(&piece)),
            Ok(Step::Flush) => rewriting.as_mut().map(Rewriting::flush),
            Ok(Step::End) => rewriting.take().map(Rewriting::end),
        };
        if matches!(written, Some(Err(_))) {
            rewriting = None;
        }
        // What came of nothing is nothing to send.
        let written = written.filter(|written| !matches!(written, Ok(piece) if piece.is_empty()));
        async move {
            tokio::task::consume_budget().await;
            written
        }
    })
}

/// What is done to a page at once.
#[derive(Debug)]
enum Step {
    /// This part of it is rewritten.
    Write(Bytes),
    /// What has been rewritten is to be sent.
    Flush,
    /// It is complete.
    End,
}

/// What comes of a piece: small steps where it is packed.
fn steps(piece: Result<Bytes, BodyError>, coding: Coding) -> Vec<Result<Step, BodyError>> {
    let mut piece = match piece {
        Ok(piece) => piece,
        Err(error) => return vec![Err(error)],
    };
    let size = if coding == Coding::Plain { piece.len() } else { STEP };
    let mut all = Vec::new();
    while !piece.is_empty() {
        all.push(Ok(Step::Write(piece.split_to(size.min(piece.len())))));
    }
    all.push(Ok(Step::Flush));
    all
}

/// Packs what has been rewritten.
enum Packer {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(DeflateEncoder<Vec<u8>>),
}

impl Packer {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain(Vec::new()),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            Coding::Deflate => Self::Deflate(DeflateEncoder::new(Vec::new(), Compression::default())),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(packed) => packed,
            Self::Gzip(packer) => packer,
            Self::Deflate(packer) => packer,
        }
    }

    /// What has been packed since.
    fn take(&mut self) -> Bytes {
        let packed = match self {
            Self::Plain(packed) => packed,
            Self::Gzip(packer) => packer.get_mut(),
            Self::Deflate(packer) => packer.get_mut(),
        };
        std::mem::take(packed).into()
    }

    fn end(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(packer) => packer.try_finish(),
            Self::Deflate(packer) => packer.try_finish(),
        }
    }
}

/// A page without any packing, as it passes.
struct Page {
    tags: Tags,
    packer: Packer,
    /// So many bytes may still come.
    left: u64,
}

impl Page {
    fn end(&mut self) -> std::io::Result<Bytes> {
        self.tags.end(self.packer.writer())?;
        self.packer.end()?;
        Ok(self.packer.take())
    }
}

impl Write for Page {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| std::io::Error::other("the page is too long when it is unpacked"))?;
        self.tags.write(piece, self.packer.writer())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.packer.writer().flush()
    }
}

/// Unpacks a page that passes.
enum Rewriting {
    Plain(Page),
    Gzip(MultiGzDecoder<Page>),
    Deflate(DeflateDecoder<Page>),
}

impl Rewriting {
    /// A page that is packed may come to so many bytes.
    fn new(coding: Coding, links: Links, most: u64) -> Self {
        let left = if coding == Coding::Plain { u64::MAX } else { most };
        let page = Page { tags: Tags::new(links), packer: Packer::new(coding), left };
        match coding {
            Coding::Plain => Self::Plain(page),
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(page)),
            Coding::Deflate => Self::Deflate(DeflateDecoder::new(page)),
        }
    }

    fn page(&mut self) -> &mut Page {
        match self {
            Self::Plain(page) => page,
            Self::Gzip(unpacker) => unpacker.get_mut(),
            Self::Deflate(unpacker) => unpacker.get_mut(),
        }
    }

    fn unpacker(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(page) => page,
            Self::Gzip(unpacker) => unpacker,
            Self::Deflate(unpacker) => unpacker,
        }
    }

    /// What can be sent once this piece has come.
    fn write(&mut self, piece: &[u8]) -> Result<Bytes, BodyError> {
        self.unpacker().write_all(piece)?;
        Ok(self.page().packer.take())
    }

    /// What has come and was held back by the packing.
    fn flush(&mut self) -> Result<Bytes, BodyError> {
        self.unpacker().flush()?;
        Ok(self.page().packer.take())
    }

    /// What is left.
    fn end(mut self) -> Result<Bytes, BodyError> {
        match &mut self {
            Self::Plain(_) => {}
            Self::Gzip(unpacker) => unpacker.try_finish()?,
            Self::Deflate(unpacker) => unpacker.try_finish()?,
        }
        Ok(self.page().end()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures::executor::block_on;

    use super::*;

    fn through(coding: Coding, pieces: Vec<Bytes>) -> Vec<u8> {
        let links = Links { prefix: "/p/proxy".into(), backend: "10.0.0.1:80".into(), host: "kube".into() };
        let pieces = futures::stream::iter(pieces.into_iter().map(Ok));
        let written: Vec<Bytes> = block_on(rewritten(pieces, coding, links).map(|piece| piece.unwrap()).collect());
        written.concat()
    }

    const PAGE: &str = "<!DOCTYPE html><html><head><link href='/style.css'><script>if (a<b) x='<a href=\"/no\">'</script>\
        <!-- <a href=\"/no\"> --></head><BODY background=/b.png><a HREF=\"http://10.0.0.1:80/x?y=1&amp;z=2\">\u{e9}&lt;</a>\
        <a href=there>x</a><a href=\"http://other/\">y</a><video poster=\"/p.png\"></video>";
    const REWRITTEN: &str = "<!DOCTYPE html><html><head><link href=\"/p/proxy/style.css\">\
        <script>if (a<b) x='<a href=\"/no\">'</script><!-- <a href=\"/no\"> --></head>\
        <BODY background=\"/p/proxy/b.png\"><a HREF=\"/p/proxy/x?y=1&amp;z=2\">\u{e9}&lt;</a>\
        <a href=there>x</a><a href=\"http://other/\">y</a><video poster=\"/p/proxy/p.png\"></video>";

    #[test]
    fn links_in_a_page_lead_through_the_proxy_however_it_is_cut() {
        for size in [1, 3, 7, 1000] {
            let pieces = PAGE.as_bytes().chunks(size).map(Bytes::from_static).collect();
            assert_eq!(String::from_utf8(through(Coding::Plain, pieces)).unwrap(), REWRITTEN, "{size}");
        }
    }

    #[test]
    fn packed_pages_are_packed_again() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(PAGE.as_bytes()).unwrap();
        let packed = gzip.finish().unwrap();
        let pieces = packed.chunks(5).map(Bytes::copy_from_slice).collect();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*through(Coding::Gzip, pieces)).read_to_string(&mut text).unwrap();
        assert_eq!(text, REWRITTEN);

        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(PAGE.as_bytes()).unwrap();
        let mut text = String::new();
        let through = through(Coding::Deflate, vec![deflate.finish().unwrap().into()]);
        flate2::read::DeflateDecoder::new(&*through).read_to_string(&mut text).unwrap();
        assert_eq!(text, REWRITTEN);
    }

    #[test]
    fn a_page_that_unpacks_to_very_much_is_unpacked_in_small_steps_and_broken_off() {
        const MOST: u64 = 4 << 20;
        let bomb = |length: u64| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            std::io::copy(&mut std::io::repeat(b'x').take(length), &mut gzip).unwrap();
            gzip.finish().unwrap()
        };
        let links = || Links { prefix: "/p/proxy".into(), backend: "10.0.0.1:80".into(), host: "kube".into() };
        let through = |packed: Vec<u8>| {
            let piece = futures::stream::iter([Ok(Bytes::from(packed))]);
            block_on(rewritten_up_to(piece, Coding::Gzip, links(), MOST).collect::<Vec<_>>())
        };
        assert!(through(bomb(MOST)).iter().all(Result::is_ok));
        let broken = through(bomb(MOST + 1));
        let error = broken.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.to_string(), "the page is too long when it is unpacked");
        assert_eq!(broken.iter().filter(|piece| piece.is_err()).count(), 1, "nothing comes after the error");

        let packed = Bytes::from(bomb(MOST));
        let longest = steps(Ok(packed.clone()), Coding::Gzip).into_iter().map(|step| match step.unwrap() {
            Step::Write(piece) => piece.len(),
            Step::Flush | Step::End => 0,
        });
        assert_eq!(longest.max(), Some(STEP));
        assert_eq!(steps(Ok(packed), Coding::Plain).len(), 2);
    }

    #[test]
    fn a_tag_without_end_is_passed_on() {
        let page = [b"<a href='".as_slice(), &vec![b'x'; 200_000]].concat();
        let pieces = page.chunks(10_000).map(Bytes::copy_from_slice).collect();
        assert_eq!(through(Coding::Plain, pieces), page);
    }
}
