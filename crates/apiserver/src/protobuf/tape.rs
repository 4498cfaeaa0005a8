//! JSON text, indexed: where each value begins and ends, so that its members can be visited in any order. Made in one
//! pass without recursion.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::json::{Cursor, Malformed, Scalar};

/// Values within values; more than any decoder of ours lets in.
const MAX_DEPTH: usize = 256;

/// One value. Those inside of it follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Where its name stands, without quotes; empty for an element.
    name: Span,
    /// Where it stands.
    text: Span,
    /// The node behind it and all that is inside of it.
    after: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
    /// Whether escapes are in it.
    escaped: bool,
}

/// The values of a text.
#[derive(Debug)]
pub(super) struct Tape<'t> {
    text: &'t [u8],
    nodes: Vec<Node>,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'t> {
    tape: &'t Tape<'t>,
    place: usize,
}

/// What the reader is inside of.
struct Open {
    node: usize,
    array: bool,
    first: bool,
}

impl<'t> Tape<'t> {
    /// Indexes a text; `nodes` is memory to be used again.
    pub fn read(text: &'t [u8], mut nodes: Vec<Node>) -> Result<Self, Malformed> {
        u32::try_from(text.len()).map_err(|_| Malformed::TooLong)?;
        nodes.clear();
        let mut tape = Self { text, nodes };
        let mut cursor = Cursor::new(text);
        let mut open: Vec<Open> = Vec::new();
        tape.value(&mut cursor, &mut open, Span::default())?;
        while let Some(innermost) = open.last_mut() {
            let name = if innermost.array {
                cursor.item(&mut innermost.first)?.then(Span::default)
            } else {
                cursor.member(&mut innermost.first)?.map(span)
            };
            match name {
                Some(name) => tape.value(&mut cursor, &mut open, name)?,
                None => {
                    let closed = innermost.node;
                    tape.close(closed, cursor.position());
                    open.pop();
                }
            }
        }
        cursor.end()?;
        Ok(tape)
    }

    fn value(&mut self, cursor: &mut Cursor<'t>, open: &mut Vec<Open>, name: Span) -> Result<(), Malformed> {
        let node = self.nodes.len();
        let (array, object) = (cursor.at_array(), cursor.at_object());
        let start = cursor.position();
        self.nodes.push(Node { name, text: Span { start: small(start), ..Span::default() }, after: small(node + 1) });
        if array || object {
            if open.len() == MAX_DEPTH {
                return Err(Malformed::Syntax(start));
            }
            if array {
                cursor.open_array()?;
            } else {
                cursor.open_object()?;
            }
            open.push(Open { node, array, first: true });
        } else {
            let escaped = cursor.scalar()?.is_some_and(|scalar| scalar.escaped);
            self.nodes[node].text.escaped = escaped;
            self.close(node, cursor.position());
        }
        Ok(())
    }

    fn close(&mut self, node: usize, end: usize) {
        self.nodes[node].text.end = small(end);
        self.nodes[node].after = small(self.nodes.len());
    }

    /// Its memory, to be used again.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// The whole.
    pub fn root(&'t self) -> Value<'t> {
        Value { tape: self, place: 0 }
    }

    fn slice(&self, span: Span) -> &'t [u8] {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}

fn span(name: Scalar<'_>) -> Span {
    Span { start: small(name.start), end: small(name.start + name.raw.len()), escaped: name.escaped }
}

/// Texts are shorter than 4 GiB, which has been checked.
fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl<'t> Value<'t> {
    fn node(self) -> &'t Node {
        &self.tape.nodes[self.place]
    }

    /// Its text.
    pub fn text(self) -> &'t [u8] {
        self.tape.slice(self.node().text)
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.text() == b"null"
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.text().first() == Some(&b'{')
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.text().first() == Some(&b'[')
    }

    /// The text that a string means; `None` when it is no string.
    pub fn string(self) -> Option<Cow<'t, str>> {
        let raw = self.text().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(plain(raw, self.node().text.escaped))
    }

    /// What is inside, in order.
    pub fn children(self) -> impl Iterator<Item = Self> + 't {
        let end = self.node().after as usize;
        let first = Some(self.place + 1).filter(|place| *place < end);
        let next = move |place: &usize| Some(self.tape.nodes[*place].after as usize).filter(|place| *place < end);
        std::iter::successors(first, next).map(move |place| Self { tape: self.tape, place })
    }

    /// What is inside, the last one first.
    pub fn reversed(self) -> impl Iterator<Item = Self> + 't {
        let children: SmallVec<[Self; 8]> = self.children().collect();
        children.into_iter().rev()
    }

    /// Its name as a member.
    pub fn name(self) -> Cow<'t, str> {
        let name = self.node().name;
        plain(self.tape.slice(name), name.escaped)
    }

    /// A member of an object.
    pub fn member(self, name: &str) -> Option<Self> {
        self.is_object().then(|| self.children().find(|child| child.name() == name))?
    }
}

fn plain(raw: &[u8], escaped: bool) -> Cow<'_, str> {
    Scalar { raw, start: 0, escaped }.to_str()
}
