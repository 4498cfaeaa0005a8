//! Finds the tags of a page while it passes, and rewrites the links in them. Everything else passes as it is.

use std::{
    io::{Result, Write},
    ops::Range,
};

use super::links::Links;

/// Elements with those of their attributes that are links.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements in which a `<` is a character like any other, up to their own end tag.
const RAW: &[&str] = &["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"];

/// How much of a page is held until a tag is complete, in bytes. A page of which more would have to be held goes on as
/// it is.
const HELD_MAX: usize = 64 << 10;

/// Where in a page one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Between tags, or in one that is not complete yet.
    Text,
    Comment,
    /// An element of [`RAW`].
    Raw(&'static str),
    /// Something that is not understood, up to the end.
    Anything,
}

/// A page as it passes.
pub(super) struct Tags {
    links: Links,
    inside: Inside,
    /// What has come and has not been passed on.
    held: Vec<u8>,
    /// How much must be held before it is worth while to look again.
    enough: usize,
}

/// What is to be done with what is held.
enum Step {
    /// So many bytes pass, and then one is there.
    Pass(usize, Inside),
    /// The tag of so many bytes passes, with its links rewritten.
    Tag(Tag),
    /// More has to come.
    Wait,
}

impl Tags {
    pub(super) fn new(links: Links) -> Self {
        Self { links, inside: Inside::Text, held: Vec::new(), enough: 0 }
    }

    /// Takes a piece, and passes on what can be.
    pub(super) fn write(&mut self, piece: &[u8], out: &mut dyn Write) -> Result<()> {
        self.held.extend_from_slice(piece);
        if self.held.len() < self.enough {
            return Ok(());
        }
        let mut done = 0;
        loop {
            let left = &self.held[done..];
            match step(self.inside, left) {
                Step::Pass(length, inside) => {
                    out.write_all(&left[..length])?;
                    done += length;
                    self.inside = inside;
                }
                Step::Tag(tag) => {
                    tag.write(&left[..tag.end], &self.links, out)?;
                    done += tag.end;
                    self.inside = tag.opens();
                }
                Step::Wait => break,
            }
        }
        self.held.drain(..done);
        // So that what comes byte by byte is not looked at over and over.
        self.enough = self.held.len() + self.held.len() / 8;
        if self.held.len() > HELD_MAX {
            self.inside = Inside::Anything;
            out.write_all(&std::mem::take(&mut self.held))?;
            self.enough = 0;
        }
        Ok(())
    }

    /// Passes on what is left when nothing more comes.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        self.enough = 0;
        self.write(&[], out)?;
        out.write_all(&std::mem::take(&mut self.held))
    }
}

fn step(inside: Inside, text: &[u8]) -> Step {
    if text.is_empty() {
        return Step::Wait;
    }
    match inside {
        Inside::Anything => Step::Pass(text.len(), inside),
        Inside::Comment => until(text, 3, inside, |at| at.starts_with(b"-->")),
        Inside::Raw(name) => until(text, name.len() + 2, inside, |at| ends_element(at, name)),
        Inside::Text => match text.iter().position(|byte| *byte == b'<') {
            Some(0) => markup(text),
            Some(before) => Step::Pass(before, inside),
            None => Step::Pass(text.len(), inside),
        },
    }
}

/// Passes what comes before something of this length, after which one is in the text again.
fn until(text: &[u8], length: usize, inside: Inside, is_end: impl Fn(&[u8]) -> bool) -> Step {
    let last = text.len().checked_sub(length);
    let found = last.and_then(|last| (0..=last).find(|at| is_end(&text[*at..])));
    match (found, last) {
        (Some(at), _) => Step::Pass(at + length, Inside::Text),
        // The end of what is there may be the beginning of the end.
        (None, Some(last)) => Step::Pass(last + 1, inside),
        (None, None) => Step::Wait,
    }
}

fn ends_element(text: &[u8], name: &str) -> bool {
    text.starts_with(b"</") && text[2..].get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
}

/// Something that begins with `<`.
fn markup(text: &[u8]) -> Step {
    const COMMENT: &[u8] = b"<!--";
    match text.get(1) {
        None => Step::Wait,
        Some(b'!') if text.starts_with(COMMENT) => Step::Pass(COMMENT.len(), Inside::Comment),
        Some(b'!') if COMMENT.starts_with(text) => Step::Wait,
        Some(first) if first.is_ascii_alphabetic() => Tag::parse(text).map_or(Step::Wait, Step::Tag),
        Some(_) => Step::Pass(1, Inside::Text),
    }
}

/// A start tag, by positions in the text.
struct Tag {
    name: String,
    attributes: Vec<Attribute>,
    /// Behind its `>`.
    end: usize,
}

struct Attribute {
    name: Range<usize>,
    /// With its quotes.
    value: Range<usize>,
    quoted: bool,
}

impl Tag {
    /// `None` while its end has not come.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut at = skip(text, 1, |byte| !is_space(byte) && byte != b'/' && byte != b'>')?;
        let name = String::from_utf8_lossy(&text[1..at]).to_ascii_lowercase();
        let mut attributes = Vec::new();
        loop {
            at = skip(text, at, |byte| is_space(byte) || byte == b'/')?;
            if text[at] == b'>' {
                return Some(Self { name, attributes, end: at + 1 });
            }
            let begin = at;
            // A name may begin with what would end it.
            at = skip(text, begin + 1, |byte| !is_space(byte) && !b"/>=".contains(&byte))?;
            let name = begin..at;
            at = skip(text, at, is_space)?;
            if text[at] != b'=' {
                continue;
            }
            at = skip(text, at + 1, is_space)?;
            let begin = at;
            let quoted = matches!(text[at], b'"' | b'\'');
            if quoted {
                let quote = text[at];
                at = skip(text, at + 1, |byte| byte != quote)? + 1;
            } else {
                at = skip(text, at, |byte| !is_space(byte) && byte != b'>')?;
            }
            attributes.push(Attribute { name, value: begin..at, quoted });
        }
    }

    /// Where one is behind it.
    fn opens(&self) -> Inside {
        RAW.iter().find(|raw| **raw == self.name).map_or(Inside::Text, |raw| Inside::Raw(raw))
    }

    fn write(&self, text: &[u8], links: &Links, out: &mut dyn Write) -> Result<()> {
        let found = LINKS.iter().find(|(name, _)| *name == self.name);
        let wanted = found.map(|(_, attributes)| *attributes).unwrap_or_default();
        let mut done = 0;
        for attribute in &self.attributes {
            let is_link = wanted.iter().any(|name| text[attribute.name.clone()].eq_ignore_ascii_case(name.as_bytes()));
            let link = is_link.then(|| attribute.text(text)).flatten().and_then(|link| links.rewritten(link));
            if let Some(link) = link {
                out.write_all(&text[done..attribute.value.start])?;
                write!(out, "\"{}\"", link.replace('"', "&quot;"))?;
                done = attribute.value.end;
            }
        }
        out.write_all(&text[done..])
    }
}

impl Attribute {
    /// Its value without quotes.
    fn text<'a>(&self, text: &'a [u8]) -> Option<&'a str> {
        let Range { start, end } = self.value;
        let bare = if self.quoted { start + 1..end - 1 } else { start..end };
        std::str::from_utf8(&text[bare]).ok()
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// The first position from `at` on that is none of these; `None` when it has not come.
fn skip(text: &[u8], at: usize, these: impl Fn(u8) -> bool) -> Option<usize> {
    text.get(at..)?.iter().position(|byte| !these(*byte)).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let links = Links { prefix: "/P".into(), backend: "b".into(), host: "h".into() };
        let (mut tags, mut out) = (Tags::new(links), Vec::new());
        pieces.into_iter().for_each(|piece| tags.write(piece, &mut out).unwrap());
        tags.end(&mut out).unwrap();
        out
    }

    #[test]
    fn links_are_found() {
        let cases = [
            ("<a href=/x>", "<a href=\"/P/x\">"),
            ("<a\nHref = '/x' >y", "<a\nHref = \"/P/x\" >y"),
            ("<a data-x=\">\" href='/\"'>", "<a data-x=\">\" href=\"/P/&quot;\">"),
            ("<a title='<a href=/no>' href=/x/>", "<a title='<a href=/no>' href=\"/P/x/\">"),
            ("<p href=/x>", "<p href=/x>"),
            ("<a href>", "<a href>"),
            ("<a =x href=/x>", "<a =x href=\"/P/x\">"),
            ("a < b <a href=/x", "a < b <a href=/x"),
            ("<!-- <a href=/no> --><a href=/x>", "<!-- <a href=/no> --><a href=\"/P/x\">"),
            ("<title><a href=/no></TITLE><a href=/x>", "<title><a href=/no></TITLE><a href=\"/P/x\">"),
            ("<script src=/x>'<a href=/no>'</script >", "<script src=\"/P/x\">'<a href=/no>'</script >"),
            ("</a><?x?><!doctype html><img src=/x>", "</a><?x?><!doctype html><img src=\"/P/x\">"),
        ];
        for (page, expected) in cases {
            assert_eq!(String::from_utf8(through([page.as_bytes()])).unwrap(), expected, "{page}");
        }
    }

    #[test]
    fn what_never_ends_is_passed_on() {
        for begin in ["<a href='", "<!--", "<script>", "<a "] {
            let page = [begin.as_bytes(), &vec![b'x'; 3 * HELD_MAX]].concat();
            assert_eq!(through(page.chunks(1000)), page, "{begin}");
        }
    }

    proptest! {
        /// However a page is cut, the same comes out; without links it is the page.
        #[test]
        fn cuts_change_nothing(page in "[<>a!/ '\"=hrefscript-]{0,60}", size in 1usize..9) {
            let whole = through([page.as_bytes()]);
            prop_assert_eq!(&through(page.as_bytes().chunks(size)), &whole);
            prop_assert!(whole == page.as_bytes() || page.contains('/'));
        }
    }
}
