//! What Go leaves out because it is empty (`omitempty`), and what it always writes, put right in a text: what is decoded
//! is then as Go has it, and two objects that are the same to Go are the same here.

use std::ops::Range;

use api_types::schema::Always;

/// What is to be changed in a text, in the order of the text.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as it is to be.
    #[must_use]
    pub fn made_in(&self, json: &[u8]) -> Vec<u8> {
        let mut left = Vec::with_capacity(json.len() + self.0.iter().map(|(_, text)| text.len()).sum::<usize>());
        let mut position = 0;
        for (range, text) in &self.0 {
            left.extend_from_slice(json.get(position..range.start).unwrap_or_default());
            left.extend_from_slice(text.as_bytes());
            position = range.end;
        }
        left.extend_from_slice(json.get(position..).unwrap_or_default());
        left
    }

    fn cut(&mut self, range: Range<usize>) {
        self.0.push((range, String::new()));
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
    /// Which of the fields that are always written are there: a bit each, in their order.
    written: u64,
}

impl Members {
    /// The member that begins here stays.
    pub fn keep(&mut self, begins: usize, edits: &mut Edits) {
        if let Some(start) = self.leading.take() {
            edits.cut(start..begins);
        }
        self.kept = true;
    }

    /// The member that was kept ends here.
    pub fn ended(&mut self, end: usize) {
        self.end = end;
    }

    /// The member between these places goes.
    pub fn leave_out(&mut self, place: Range<usize>, edits: &mut Edits) {
        if self.kept {
            edits.cut(self.end..place.end);
        } else {
            self.leading.get_or_insert(place.start);
        }
        self.end = place.end;
    }

    /// A member of this name is there.
    pub fn note(&mut self, name: &str, always: &[Always]) {
        if let Some(place) = always.iter().position(|field| field.name == name) {
            self.written |= 1 << place;
        }
    }

    /// No member follows before the brace at `end`. What is always written and is not there is added.
    pub fn close(self, end: usize, always: &[Always], edits: &mut Edits) {
        if let Some(start) = self.leading {
            edits.cut(start..self.end);
        }
        let mut kept = self.kept;
        let mut added = String::new();
        for (place, field) in always.iter().enumerate() {
            // What is null is read as absent.
            if self.written & (1 << place) == 0 && field.readable && &*field.zero != "null" {
                added.push_str(if kept { ",\"" } else { "\"" });
                added.push_str(&field.name);
                added.push_str("\":");
                added.push_str(&field.zero);
                kept = true;
            }
        }
        if !added.is_empty() {
            edits.0.push((end..end, added));
        }
    }
}
