//! What representation the client wants, from its `Accept` header.

use std::fmt;

use crate::protobuf;

/// A representation of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The object itself.
    #[default]
    Object,
    /// `as=Table`: columns and rows, as `kubectl get` prints them.
    Table,
    /// `as=PartialObjectMetadata`: the metadata only.
    Metadata,
    /// `as=PartialObjectMetadataList`.
    MetadataList,
}

/// The version of `meta.k8s.io` in which tables and bare metadata are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`.
    #[default]
    V1,
    /// `v1beta1`, of old clients.
    V1beta1,
}

impl MetaVersion {
    /// Group and version, as `apiVersion` has them.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Whether JSON is laid out for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Without needless white space.
    #[default]
    Dense,
    /// Indented.
    Pretty,
}

/// How an answer is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Encoding {
    /// In the order in which wildcards choose.
    const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::Protobuf];

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => protobuf::MEDIA_TYPE,
        }
    }

    /// Whether a watch can be written in it.
    #[must_use]
    pub const fn streams(self) -> bool {
        !matches!(self, Self::Yaml)
    }
}

/// In what answers can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producible {
    /// JSON and YAML.
    Text,
    /// These and protobuf.
    TextAndProtobuf,
    /// The same, but nothing as a table: there are no objects to list.
    NoTables,
}

impl Producible {
    fn encodings(self) -> &'static [Encoding] {
        match self {
            Self::Text => &Encoding::ALL[..2],
            Self::TextAndProtobuf | Self::NoTables => &Encoding::ALL,
        }
    }

    /// The media types, as a refusal lists them.
    #[must_use]
    pub fn media_types(self) -> Vec<&'static str> {
        self.encodings().iter().map(|encoding| encoding.media_type()).collect()
    }
}

/// What was settled with the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// The representation.
    pub form: Form,
    /// The version of the representation, where that is not the object itself.
    pub version: MetaVersion,
    /// Whether JSON is indented because the media type says so.
    pub layout: Layout,
    /// How it is written down.
    pub encoding: Encoding,
}

/// Nothing that the client accepts can be produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

impl fmt::Display for NotAcceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of the accepted media types can be produced")
    }
}

impl Accept {
    /// The media type in the header that the client likes best of those that can be produced; JSON when there is no
    /// header.
    ///
    /// # Errors
    /// When none can be produced.
    pub fn negotiate(header: Option<&str>, producible: Producible) -> Result<Self, NotAcceptable> {
        let Some(header) = header.filter(|header| !header.is_empty()) else { return Ok(Self::default()) };
        let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(Clause::parse).collect();
        sort(&mut clauses);
        clauses.iter().find_map(|clause| Self::of_clause(clause, producible)).ok_or(NotAcceptable)
    }

    fn of_clause(clause: &Clause<'_>, producible: Producible) -> Option<Self> {
        let (form, version) = clause.form()?;
        if form == Form::Table && producible == Producible::NoTables {
            return None;
        }
        let mut encodings = producible.encodings().iter().copied().filter(|encoding| clause.names(*encoding));
        // A Table has no protobuf.
        let encoding = encodings.find(|encoding| form != Form::Table || *encoding != Encoding::Protobuf)?;
        let layout = if clause.parameter("pretty") == Some("1") { Layout::Pretty } else { Layout::Dense };
        Some(Self { form, version, layout, encoding })
    }
}

/// Whether a header names one of these media types at all, as upstream's router wants it before anything is settled: it
/// knows no `application/*`.
#[must_use]
pub fn is_routable(header: Option<&str>, media_types: &[&str]) -> bool {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return true };
    let mut named = header.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim_matches(' '));
    named.any(|name| name == "*/*" || media_types.contains(&name))
}

/// One media type of the header.
#[derive(Clone, Debug)]
struct Clause<'a> {
    kind: &'a str,
    subkind: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.trim_matches(' ').split(';');
        let range = parts.next()?;
        let (kind, subkind) = match range.split('/').map(|word| word.trim_matches(' ')).collect::<Vec<_>>()[..] {
            ["*"] => ("*", "*"),
            [kind, subkind] => (kind, subkind),
            _ => return None,
        };
        let mut clause = Self { kind, subkind, quality: 1.0, parameters: Vec::new() };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim_matches(' ') {
                "q" => clause.quality = value.parse().unwrap_or(0.0),
                name => clause.parameters.push((name, value.trim_matches(' '))),
            }
        }
        Some(clause)
    }

    fn names(&self, encoding: Encoding) -> bool {
        let (kind, subkind) = encoding.media_type().split_once('/').unwrap_or_default();
        match (self.kind, self.subkind) {
            ("*", "*") => true,
            (own, "*") => own == kind,
            own => own == (kind, subkind),
        }
    }

    fn parameter(&self, wanted: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
    }

    /// What representation it names, in which version; `None` when that cannot be produced.
    fn form(&self) -> Option<(Form, MetaVersion)> {
        if self.parameter("stream").is_some_and(|stream| stream != "watch") {
            return None;
        }
        let form = match self.parameter("as") {
            None => return Some((Form::Object, MetaVersion::V1)),
            Some("Table") => Form::Table,
            Some("PartialObjectMetadata") => Form::Metadata,
            Some("PartialObjectMetadataList") => Form::MetadataList,
            Some(_) => return None,
        };
        match (self.parameter("g"), self.parameter("v")) {
            (Some("meta.k8s.io"), Some("v1")) => Some((form, MetaVersion::V1)),
            (Some("meta.k8s.io"), Some("v1beta1")) => Some((form, MetaVersion::V1beta1)),
            _ => None,
        }
    }

    /// Upstream's order, which is none: a more specific type also goes before one that is wanted more.
    fn goes_before(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.kind != "*" && other.kind == "*")
            || (self.subkind != "*" && other.subkind == "*")
    }
}

/// As upstream sorts a dozen clauses or fewer: each is moved to the front as long as it goes before its neighbour.
fn sort(clauses: &mut [Clause<'_>]) {
    for end in 1..clauses.len() {
        let mut place = end;
        while place > 0 && clauses[place].goes_before(&clauses[place - 1]) {
            clauses.swap(place, place - 1);
            place -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &str = protobuf::MEDIA_TYPE;

    #[test]
    fn the_best_producible_type_wins() {
        let object = |encoding| Ok(Accept { encoding, ..Accept::default() });
        let json = |form| Ok(Accept { form, ..Accept::default() });
        let protobuf = |form| Ok(Accept { form, encoding: Encoding::Protobuf, ..Accept::default() });
        let cases = [
            ("", object(Encoding::Json)),
            ("*/*", object(Encoding::Json)),
            ("*", object(Encoding::Json)),
            ("application/*", object(Encoding::Json)),
            ("application/vnd.kubernetes.protobuf,application/json", protobuf(Form::Object)),
            ("application/json,application/vnd.kubernetes.protobuf", json(Form::Object)),
            ("application/json;q=0.5,application/vnd.kubernetes.protobuf", protobuf(Form::Object)),
            ("application/vnd.kubernetes.protobuf;q=0.5,application/json", json(Form::Object)),
            ("*/*,application/vnd.kubernetes.protobuf;q=0.1", protobuf(Form::Object)),
            ("application/vnd.kubernetes.protobuf;stream=watch,application/json", protobuf(Form::Object)),
            ("application/json;stream=other", Err(NotAcceptable)),
            ("application/yaml", object(Encoding::Yaml)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", json(Form::Table)),
            (
                "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Ok(Accept { form: Form::Table, version: MetaVersion::V1beta1, ..Accept::default() }),
            ),
            ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", json(Form::Object)),
            ("application/json;pretty=1", Ok(Accept { layout: Layout::Pretty, ..Accept::default() })),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", json(Form::Object)),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Err(NotAcceptable)),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                protobuf(Form::Metadata),
            ),
            ("application/json; q=0.5", json(Form::Object)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", json(Form::MetadataList)),
            ("text/html", Err(NotAcceptable)),
        ];
        for (header, expected) in cases {
            assert_eq!(Accept::negotiate(Some(header), Producible::TextAndProtobuf), expected, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_listed_is_no_table() {
        let negotiate = |header| Accept::negotiate(Some(header), Producible::NoTables);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(negotiate(table), Err(NotAcceptable));
        assert_eq!(negotiate(&format!("{table},application/json")), Ok(Accept::default()));
    }

    #[test]
    fn kinds_that_are_no_messages_fall_through_to_json() {
        let negotiate = |header| Accept::negotiate(Some(header), Producible::Text).map(|accept| accept.encoding);
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf,application/json"), Ok(Encoding::Json));
        assert_eq!(negotiate(PROTOBUF), Err(NotAcceptable));
    }
}
