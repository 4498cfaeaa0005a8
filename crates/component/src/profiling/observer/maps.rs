//! Pure: what `/proc/PID/maps` says is mapped.

use std::ops::Range;

/// Something executable that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Where.
    pub(super) range: Range<u64>,
    /// From where in the file.
    pub(super) offset: u64,
    /// The file's path, or the kernel's name in brackets.
    pub(super) name: String,
}

/// The executable mappings that have a name.
pub(super) fn executable(maps: &str) -> Vec<Mapped> {
    maps.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mapped> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let offset = words.next()?;
    let name = words.nth(2)?.trim_start();
    if !permissions.contains('x') || name.is_empty() {
        return None;
    }
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let range = number(start)?..number(end)?;
    Some(Mapped { range, offset: number(offset)?, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_mappings_are_found() {
        let maps = "\
55d0c8a00000-55d0c8b00000 r--p 00000000 fe:01 1234                       /usr/bin/a b
55d0c8b00000-55d0c8c00000 r-xp 00100000 fe:01 1234                       /usr/bin/a b (deleted)
7f0000000000-7f0000001000 r-xp 00000000 00:00 0 
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
nonsense
";
        let found = executable(maps);
        let seen: Vec<_> =
            found.iter().map(|mapped| (mapped.range.start, mapped.offset, mapped.name.as_str())).collect();
        let wanted = [(0x55d0_c8b0_0000, 0x10_0000, "/usr/bin/a b (deleted)"), (0x7ffc_0000_0000, 0, "[vdso]")];
        assert_eq!(seen, wanted);
    }
}
