//! What was seen, as a profile.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use super::{
    objects::Objects,
    stacks::{Seen, Stack},
};
use crate::profiling::format::{Function, Line, Location, Mapping, Profile, Sample, ValueType};

/// What was seen of a process.
pub(super) struct Report<'a> {
    pub(super) stacks: HashMap<Stack, Seen>,
    pub(super) objects: &'a Objects,
    /// When it began.
    pub(super) begun: SystemTime,
    /// How long it took.
    pub(super) length: Duration,
}

impl Report<'_> {
    /// The report, compressed, for who looked once in each period.
    pub(super) fn compressed(&self, period: Duration) -> anyhow::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.profile(period).encode_to_vec())?;
        Ok(encoder.finish()?)
    }

    fn profile(&self, period: Duration) -> Profile {
        let mut texts = Texts::default();
        let addresses: BTreeSet<u64> = self.stacks.keys().flatten().copied().collect();
        let numbers: HashMap<u64, u64> = addresses.iter().copied().zip(1..).collect();
        let names = self.objects.name(&addresses);
        let functions: BTreeMap<&str, u64> =
            names.values().map(String::as_str).collect::<BTreeSet<_>>().into_iter().zip(1..).collect();
        let location = |(address, id): (&u64, u64)| {
            let function = names.get(address).and_then(|name| functions.get(name.as_str()));
            let line = function.map(|id| Line { function_id: *id }).into_iter().collect();
            let mapping_id = self.objects.position(*address).map_or(0, |position| position as u64 + 1);
            Location { id, mapping_id, address: *address, line }
        };
        let sample = |(stack, seen): (&Stack, &Seen)| Sample {
            location_id: stack.iter().filter_map(|address| numbers.get(address)).copied().collect(),
            value: vec![count(seen.times.into()), count(seen.time.as_nanos())],
        };
        let [samples, cpu] = [("samples", "count"), ("cpu", "nanoseconds")]
            .map(|(kind, unit)| ValueType { kind: texts.number(kind), unit: texts.number(unit) });
        Profile {
            sample_type: vec![samples, cpu],
            sample: self.stacks.iter().map(sample).collect(),
            mapping: self.mappings(&mut texts),
            location: addresses.iter().zip(1..).map(location).collect(),
            function: functions.iter().map(|(name, id)| function(name, *id, &mut texts)).collect(),
            time_nanos: count(self.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()),
            duration_nanos: count(self.length.as_nanos()),
            period_type: Some(cpu),
            period: count(period.as_nanos()),
            string_table: texts.all,
        }
    }

    fn mappings(&self, texts: &mut Texts) -> Vec<Mapping> {
        let mapping = |(object, id): (&super::objects::Object, u64)| Mapping {
            id,
            memory_start: object.mapped.range.start,
            memory_limit: object.mapped.range.end,
            file_offset: object.mapped.offset,
            filename: texts.number(&object.mapped.name),
            build_id: texts.number(&object.build_id),
            has_functions: true,
        };
        self.objects.iter().zip(1..).map(mapping).collect()
    }
}

fn function(name: &str, id: u64, texts: &mut Texts) -> Function {
    let readable = format!("{:#}", rustc_demangle::demangle(name));
    Function { id, name: texts.number(&readable), system_name: texts.number(name) }
}

fn count(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Texts and their numbers. The first is empty.
struct Texts {
    all: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { all: vec![String::new()], numbers: HashMap::from([(String::new(), 0)]) }
    }
}

impl Texts {
    fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}
