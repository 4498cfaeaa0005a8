//! Finds labels, selectable fields and the place of `metadata.resourceVersion` in the bytes of an object, in one pass
//! and without decoding it.

use std::{fmt::Debug, sync::Arc};

use super::entry::{Entry, Header, Separator, Splice, Text};
use crate::{
    json::{Cursor, Malformed, Scalar},
    storage::{Item, StoreError},
};

/// A field that field selectors may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// Where it stands: `["spec", "nodeName"]`.
    pub path: Vec<String>,
    /// What the field counts as when it is absent or null: mostly the empty text, `false` for a boolean.
    pub absent: String,
    /// The place in the extractor's list of the field that stands in when this one is absent or empty.
    pub otherwise: Option<usize>,
}

impl SelectableField {
    /// The field at a dotted path, which counts as empty when absent.
    pub fn at(dotted: &str) -> Self {
        Self { path: dotted.split('.').map(str::to_owned).collect(), absent: String::new(), otherwise: None }
    }

    /// The same field, with another of the extractor's list that stands in for it.
    #[must_use]
    pub fn otherwise(mut self, index: Option<usize>) -> Self {
        self.otherwise = index;
        self
    }

    /// The same field, counting as this text when absent.
    #[must_use]
    pub fn or(mut self, absent: &str) -> Self {
        absent.clone_into(&mut self.absent);
        self
    }
}

/// Makes of what is stored what is to be read: the schema of a kind may have changed since it was written.
pub trait Settle: Debug + Send + Sync + 'static {
    /// The value as it is to be read, where that is something else.
    fn settle(&self, value: &[u8]) -> Option<Vec<u8>>;
}

/// Makes headers of objects of one resource.
#[derive(Clone, Debug, Default)]
pub struct Extractor {
    fields: Arc<[SelectableField]>,
    settle: Option<Arc<dyn Settle>>,
}

/// The set of fields whose paths agree with the place at which the reader is, one bit each.
type Candidates = u64;

impl Extractor {
    /// The most fields that one resource can have.
    pub const MAX_FIELDS: usize = Candidates::BITS as usize;

    /// An extractor of these fields; [`Entry::field`] counts in their order. Fields beyond [`Self::MAX_FIELDS`] are
    /// taken for absent in every object.
    pub fn new(fields: Vec<SelectableField>) -> Self {
        Self { fields: fields.into(), settle: None }
    }

    /// The same, of objects that become something else when they are read.
    #[must_use]
    pub fn settling(self, settle: Option<Arc<dyn Settle>>) -> Self {
        Self { settle, ..self }
    }

    /// The cached form of a stored value.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the value is not a JSON object with `metadata`.
    pub fn entry(&self, mut item: Item) -> Result<Entry, StoreError> {
        if let Some(settled) = self.settle.as_ref().and_then(|settle| settle.settle(&item.value)) {
            item.value = settled.into();
        }
        match self.header(&item.value) {
            Ok(header) => Ok(Entry::new(item, header)),
            Err(cause) => Err(StoreError::unreadable(item.key.as_str(), cause)),
        }
    }

    /// The header of a stored value.
    ///
    /// # Errors
    /// When the value is not a JSON object with `metadata`.
    pub fn header(&self, value: &[u8]) -> Result<Header, Malformed> {
        let mut found = Found::new(&self.fields);
        let mut cursor = Cursor::new(value);
        let everything = if self.fields.len() >= Self::MAX_FIELDS { !0 } else { (1 << self.fields.len()) - 1 };
        found.object(&mut cursor, Place::Root, everything)?;
        cursor.end()?;
        found.into_header()
    }
}

/// Where in the object the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Metadata,
    /// So many levels down.
    Level(usize),
}

impl Place {
    fn depth(self) -> usize {
        match self {
            Self::Root => 0,
            Self::Metadata => 1,
            Self::Level(depth) => depth,
        }
    }

    fn below(self, name: &[u8]) -> Self {
        if self == Self::Root && name == b"metadata" { Self::Metadata } else { Self::Level(self.depth() + 1) }
    }
}

/// What has been found so far.
struct Found<'a> {
    fields: &'a [SelectableField],
    values: Vec<Option<Text>>,
    labels: Vec<(Text, Text)>,
    splice: Option<Splice>,
}

impl<'a> Found<'a> {
    fn new(fields: &'a [SelectableField]) -> Self {
        Self { fields, values: vec![None; fields.len()], labels: Vec::new(), splice: None }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, place: Place, candidates: Candidates) -> Result<(), Malformed> {
        cursor.open_object()?;
        if place == Place::Metadata {
            self.splice = Some(splice_here(cursor)?);
        }
        let mut first = true;
        while let Some(name) = cursor.member(&mut first)? {
            let name = name.raw;
            if place == Place::Metadata && name == b"labels" && cursor.at_object() {
                self.read_labels(cursor)?;
                continue;
            }
            let below = place.below(name);
            let candidates = self.narrow(candidates, place.depth(), name);
            if cursor.at_object() && (candidates != 0 || below == Place::Metadata) {
                self.object(cursor, below, candidates)?;
            } else if candidates != 0 {
                let scalar = cursor.scalar()?;
                self.take(candidates, below.depth(), scalar);
            } else {
                cursor.skip_value()?;
            }
        }
        Ok(())
    }

    /// Those of the candidates whose next step is this name.
    fn narrow(&self, candidates: Candidates, depth: usize, name: &[u8]) -> Candidates {
        let mut left = candidates;
        let mut kept = 0;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.fields[index].path.get(depth).is_some_and(|step| step.as_bytes() == name) {
                kept |= 1 << index;
            }
        }
        kept
    }

    /// Keeps a value for those candidates whose path ends here.
    fn take(&mut self, candidates: Candidates, depth: usize, scalar: Option<Scalar<'_>>) {
        let Some(scalar) = scalar else { return };
        for (index, field) in self.fields.iter().enumerate().take(Extractor::MAX_FIELDS) {
            if candidates & (1 << index) != 0 && field.path.len() == depth {
                self.values[index] = Some(text(scalar));
            }
        }
    }

    fn read_labels(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        cursor.open_object()?;
        let mut first = true;
        while let Some(name) = cursor.member(&mut first)? {
            let name = text(name);
            if let Some(value) = cursor.scalar()? {
                self.labels.push((name, text(value)));
            }
        }
        Ok(())
    }

    fn into_header(self) -> Result<Header, Malformed> {
        let splice = self.splice.ok_or(Malformed::NoMetadata)?;
        let fields = (0..self.fields.len()).map(|index| self.value(index)).collect();
        Ok(Header { labels: self.labels.into(), fields, splice })
    }

    /// What a field counts as.
    fn value(&self, index: usize) -> Text {
        let field = &self.fields[index];
        let own = self.values[index].as_ref();
        let value = match field.otherwise {
            Some(other) => own.filter(|own| !own.is_empty()).or(self.values.get(other).and_then(Option::as_ref)),
            None => own,
        };
        value.cloned().unwrap_or_else(|| Text::Owned(field.absent.as_str().into()))
    }
}

/// A place in the value when the text is written there as it reads.
fn text(scalar: Scalar<'_>) -> Text {
    match (u32::try_from(scalar.start), u32::try_from(scalar.raw.len())) {
        (Ok(start), Ok(length)) if !scalar.escaped => Text::Span(start, length),
        _ => Text::Owned(scalar.to_str().into()),
    }
}

fn splice_here(cursor: &mut Cursor<'_>) -> Result<Splice, Malformed> {
    let offset = u32::try_from(cursor.position()).map_err(|_| Malformed::TooLong)?;
    let separator = if cursor.at_close() { Separator::Nothing } else { Separator::Comma };
    Ok(Splice { offset, separator })
}

/// Finds where the revision belongs, and reads no further than that.
///
/// # Errors
/// When there is no `metadata` object in the value.
pub fn find_splice(value: &[u8]) -> Result<Splice, Malformed> {
    splice_here(&mut Cursor::inside_metadata(value)?)
}
