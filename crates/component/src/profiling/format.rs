//! pprof's `profile.proto`: samples of stacks, in tables that refer to one another by number.

/// What was measured, and in which unit: indices of texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ValueType {
    /// What.
    #[prost(int64, tag = "1")]
    pub kind: i64,
    /// In which unit.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// How often a stack was seen.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sample {
    /// Ids of locations, from the innermost outwards.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One for each of the profile's sample types.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
}

/// A file that is mapped into the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Mapping {
    /// Its number, from one on.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its first address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// The address after its last.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Where in the file it begins.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// The file's name: index of a text.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// The file's build id: index of a text.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Whether functions are named.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
}

/// A place in the program.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Location {
    /// Its number, from one on.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The number of its mapping; zero when there is none.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// Its address.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Its function, if it is known.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A line of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Line {
    /// The function's number.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Function {
    /// Its number, from one on.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name for people: index of a text.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name for the linker: index of a text.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
}

/// A profile.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Profile {
    /// What was measured.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// Stacks, and how often they were seen.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// What is mapped.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Places.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All texts; the first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it began, in nanoseconds since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it took, in nanoseconds.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What lies between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of that.
    #[prost(int64, tag = "12")]
    pub period: i64,
}
