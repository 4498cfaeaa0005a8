//! What is below a path.

use super::set::FieldSet;

/// Sets by path element, in alphabetical order. Most are short, and a tree of maps would be mostly empty nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Children(Vec<(String, FieldSet)>);

impl Children {
    /// Whether nothing is below.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many elements are directly below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is below an element.
    #[must_use]
    pub fn get(&self, element: &str) -> Option<&FieldSet> {
        self.find(element).ok().map(|index| &self.0[index].1)
    }

    /// What is below an element, for change.
    pub fn get_mut(&mut self, element: &str) -> Option<&mut FieldSet> {
        let index = self.find(element).ok()?;
        Some(&mut self.0[index].1)
    }

    /// Puts a set below an element, in place of the one that was there.
    pub fn insert(&mut self, element: String, below: FieldSet) {
        match self.0.last() {
            // What is read or compared comes in order mostly.
            Some((last, _)) if *last >= element => match self.find(&element) {
                Ok(index) => self.0[index].1 = below,
                Err(index) => self.0.insert(index, (element, below)),
            },
            _ => self.0.push((element, below)),
        }
    }

    /// Takes an element out.
    pub fn remove(&mut self, element: &str) {
        if let Ok(index) = self.find(element) {
            self.0.remove(index);
        }
    }

    /// Keeps only those elements of which `keep` says so; it may change what is below.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut FieldSet) -> bool) {
        self.0.retain_mut(|(element, below)| keep(element, below));
    }

    /// The elements with what is below, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldSet)> {
        self.0.iter().map(|(element, below)| (element.as_str(), below))
    }

    fn find(&self, element: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(element))
    }
}

/// The elements come in order.
impl FromIterator<(String, FieldSet)> for Children {
    fn from_iter<I: IntoIterator<Item = (String, FieldSet)>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}
