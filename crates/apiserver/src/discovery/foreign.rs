//! What another server tells of the resources of a group version.

use api_types::meta::APIResource;
use serde::Deserialize;

/// So many resources and subresources of a group version are told of; nobody has as many.
const MOST: usize = 4096;

/// What is known of a group version for which another server answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreign {
    /// Resources and subresources, as the server told of them last.
    pub resources: Vec<APIResource>,
    /// Whether the server told of them when it was last asked.
    pub freshness: Freshness,
}

/// Whether something is known to be still so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// Nobody said so lately.
    #[default]
    Stale,
    /// It was said just now.
    Current,
}

impl Freshness {
    /// As discovery writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "Stale",
            Self::Current => "Current",
        }
    }
}

impl Foreign {
    /// Reads an `APIResourceList`.
    ///
    /// # Errors
    /// When it is none of this group version, in words for people.
    pub fn read(json: &[u8], group_version: &str) -> Result<Self, String> {
        let list: List = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if list.group_version != group_version {
            return Err(format!("resources of {:?} instead of {group_version:?}", list.group_version));
        }
        if list.resources.len() > MOST {
            return Err(format!("{} resources, which are more than {MOST}", list.resources.len()));
        }
        Ok(Self { resources: list.resources, freshness: Freshness::Current })
    }

    /// The same, of which nobody knows whether it is still so.
    #[must_use]
    pub fn stale(&self) -> Self {
        Self { freshness: Freshness::Stale, ..self.clone() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    group_version: String,
    #[serde(default)]
    resources: Vec<APIResource>,
}
