//! Fields that Go leaves out because they are empty (`omitempty`), found in a text and cut out of it.

use std::ops::Range;

use api_types::schema::{Field, Kind, Label};

/// The places of such fields in a text.
#[derive(Debug, Default)]
pub struct Empty(Vec<Range<usize>>);

impl Empty {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without them.
    #[must_use]
    pub fn cut(&self, json: &[u8]) -> Vec<u8> {
        let mut left = Vec::with_capacity(json.len());
        let mut position = 0;
        for range in &self.0 {
            left.extend_from_slice(json.get(position..range.start).unwrap_or_default());
            position = range.end;
        }
        left.extend_from_slice(json.get(position..).unwrap_or_default());
        left
    }
}

/// The members of one object, one after the other. With a member that goes, one comma goes: the one before it, or the one
/// behind it while no member before is left.
#[derive(Default)]
pub struct Members {
    /// Whether a member before is left.
    kept: bool,
    /// Where those begin that go although no member before is left.
    leading: Option<usize>,
    /// Where the member before ends.
    end: usize,
}

impl Members {
    /// The member that begins here stays.
    pub fn keep(&mut self, begins: usize, empty: &mut Empty) {
        empty.0.extend(self.leading.take().map(|start| start..begins));
        self.kept = true;
    }

    /// The member that was kept ends here.
    pub fn ended(&mut self, end: usize) {
        self.end = end;
    }

    /// The member between these places goes.
    pub fn leave_out(&mut self, place: Range<usize>, empty: &mut Empty) {
        if self.kept {
            empty.0.push(self.end..place.end);
        } else {
            self.leading.get_or_insert(place.start);
        }
        self.end = place.end;
    }

    /// No member follows.
    pub fn close(self, empty: &mut Empty) {
        empty.0.extend(self.leading.map(|start| start..self.end));
    }
}

/// Whether Go leaves this field out when it has the value with which `rest` begins.
#[must_use]
pub fn is_left_out(field: &Field, rest: &[u8]) -> bool {
    field.omitted_when_empty
        && match field.label {
            Label::List => brackets(rest, *b"[]"),
            Label::Map => brackets(rest, *b"{}"),
            Label::One if field.pointer => false,
            Label::One => is_zero(field.kind, rest),
        }
}

fn is_zero(kind: Kind, rest: &[u8]) -> bool {
    match kind {
        Kind::String | Kind::Bytes => rest.starts_with(b"\"\""),
        Kind::Bool => rest.starts_with(b"false"),
        Kind::Int32 | Kind::Int64 | Kind::Double => {
            matches!(rest, [b'0', b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t', ..])
        }
        Kind::Strings => brackets(rest, *b"[]"),
        _ => false,
    }
}

/// Whether these brackets are first, with nothing between them.
fn brackets(rest: &[u8], [open, close]: [u8; 2]) -> bool {
    let inside = rest.strip_prefix(&[open]);
    inside.is_some_and(|inside| inside.trim_ascii_start().first() == Some(&close))
}
