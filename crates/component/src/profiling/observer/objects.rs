//! The program and the libraries of another process: how to unwind their stacks, and what their functions are called.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Cursor, Read, Seek},
};

use anyhow::Context;
use framehop::{ExplicitModuleSectionInfo, Module};
use nix::unistd::Pid;
use object::{Object as _, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SegmentFlags, SymbolKind, elf::PF_X};

use super::{
    maps::{self, Mapped},
    threads,
};

/// What the kernel maps into every process.
const VDSO: &str = "[vdso]";
/// The shortest piece that can be mapped, in bytes.
const PAGE: u64 = 4096;

/// Everything executable that is mapped into a process.
pub(super) struct Objects {
    process: Pid,
    objects: Vec<Object>,
}

/// A mapped file.
pub(super) struct Object {
    pub(super) mapped: Mapped,
    pub(super) build_id: String,
    /// What has to be added to addresses in the file.
    bias: u64,
    /// How to unwind what runs in it.
    pub(super) module: Module<Vec<u8>>,
}

/// The bytes of a file, of which only those that are asked for are read.
type Bytes = ReadCache<Box<dyn ReadAnywhere>>;

trait ReadAnywhere: Read + Seek {}
impl<T: Read + Seek> ReadAnywhere for T {}

impl Objects {
    /// Those of a process. What cannot be read is left out.
    pub(super) fn of(process: Pid) -> anyhow::Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).context("reading what is mapped")?;
        let mapped = maps::executable(&maps);
        let object = |mapped: Mapped| Object::read(&bytes_of(process, &mapped)?, mapped);
        Ok(Self { process, objects: mapped.into_iter().filter_map(object).collect() })
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// The one that is mapped at an address.
    pub(super) fn position(&self, address: u64) -> Option<usize> {
        self.objects.iter().position(|object| object.mapped.range.contains(&address))
    }

    /// The functions at addresses.
    pub(super) fn name(&self, addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
        let mut names = BTreeMap::new();
        for object in &self.objects {
            let wanted: BTreeSet<u64> = addresses.range(object.mapped.range.clone()).copied().collect();
            if !wanted.is_empty()
                && let Some(bytes) = bytes_of(self.process, &object.mapped)
            {
                object.name(&wanted, &bytes, &mut names);
            }
        }
        names
    }
}

impl Object {
    fn read(bytes: &Bytes, mapped: Mapped) -> Option<Self> {
        let file = object::File::parse(bytes).ok()?;
        let segment = file.segments().find(|segment| {
            let (begin, length) = segment.file_range();
            let executable = matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0);
            // What is mapped begins with the page in which the segment begins, where another may end.
            executable && (begin / PAGE * PAGE..begin.saturating_add(length)).contains(&mapped.offset)
        })?;
        let in_file = segment.address().wrapping_add(mapped.offset.wrapping_sub(segment.file_range().0));
        let bias = mapped.range.start.wrapping_sub(in_file);
        let id = file.build_id().ok().flatten().unwrap_or_default();
        let build_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let module = Module::new(mapped.name.clone(), mapped.range.clone(), bias, sections(&file));
        Some(Self { mapped, build_id, bias, module })
    }

    fn name(&self, wanted: &BTreeSet<u64>, bytes: &Bytes, names: &mut BTreeMap<u64, String>) {
        let Ok(file) = object::File::parse(bytes) else { return };
        // A stripped program has only the names that it shows to others.
        for symbol in file.dynamic_symbols().chain(file.symbols()) {
            let begin = symbol.address().wrapping_add(self.bias);
            let Some(end) = begin.checked_add(symbol.size()) else { continue };
            let mut inside = wanted.range(begin..end).peekable();
            if symbol.kind() != SymbolKind::Text || inside.peek().is_none() {
                continue;
            }
            let Ok(name) = symbol.name() else { continue };
            names.extend(inside.map(|address| (*address, name.to_owned())));
        }
    }
}

/// What of a file it takes to unwind stacks.
fn sections<'a>(file: &object::File<'a, &'a Bytes>) -> ExplicitModuleSectionInfo<Vec<u8>> {
    let range = |name| {
        let section = file.section_by_name(name)?;
        Some(section.address()..section.address().saturating_add(section.size()))
    };
    let data = |name| Some(file.section_by_name(name)?.data().ok()?.to_vec());
    ExplicitModuleSectionInfo {
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        ..ExplicitModuleSectionInfo::default()
    }
}

/// The bytes of a mapped file: those that the process has, whatever lies at its program's path now.
fn bytes_of(process: Pid, mapped: &Mapped) -> Option<Bytes> {
    if mapped.name == VDSO {
        let length = usize::try_from(mapped.range.end - mapped.range.start).ok()?;
        let bytes = threads::read(process, mapped.range.start, length).ok()?;
        return Some(ReadCache::new(Box::new(Cursor::new(bytes))));
    }
    let program = format!("/proc/{process}/exe");
    let is_program = fs::read_link(&program).is_ok_and(|path| path.as_os_str() == mapped.name.as_str());
    let file = File::open(if is_program { &program } else { &mapped.name }).ok()?;
    Some(ReadCache::new(Box::new(file)))
}
