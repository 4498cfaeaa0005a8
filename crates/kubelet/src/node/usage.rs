//! What the machine uses, read from `/proc`.

use std::fs;

use jiff::Timestamp;

/// Ticks of `/proc/stat` in a second: Linux tells all programs 100.
const TICKS_PER_SECOND: u64 = 100;
/// The columns of `/proc/stat` in which processors did something: user, nice, system, irq, softirq, steal. What guests take
/// is among user and nice.
const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];

/// What the machine uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeUsage {
    /// When it was read.
    pub time: Timestamp,
    /// Time of all processors since the machine began, in nanoseconds.
    pub cpu_usage_ns: u64,
    /// Memory that cannot be reclaimed easily: what is not free, less inactive file pages, in bytes.
    pub memory_working_set: u64,
}

impl NodeUsage {
    /// As it is now; `None` when it cannot be read.
    #[must_use]
    pub fn read() -> Option<Self> {
        let (stat, meminfo) = (fs::read_to_string("/proc/stat").ok()?, fs::read_to_string("/proc/meminfo").ok()?);
        Self::parse(&stat, &meminfo, Timestamp::now())
    }

    fn parse(stat: &str, meminfo: &str, time: Timestamp) -> Option<Self> {
        let columns: Vec<u64> = stat
            .lines()
            .find_map(|line| line.strip_prefix("cpu "))?
            .split_whitespace()
            .map_while(|n| n.parse().ok())
            .collect();
        let ticks = BUSY.iter().filter_map(|column| columns.get(*column)).fold(0, |sum: u64, n| sum.saturating_add(*n));
        let bytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
        };
        let used = bytes("MemTotal")?.saturating_sub(bytes("MemFree")?);
        Some(Self {
            time,
            cpu_usage_ns: ticks.saturating_mul(1_000_000_000 / TICKS_PER_SECOND),
            memory_working_set: used.saturating_sub(bytes("Inactive(file)").unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_busy_and_what_is_taken_is_counted() {
        let time = Timestamp::UNIX_EPOCH;
        let stat = "cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 1 2 3 4\n";
        let meminfo = "MemTotal:  1000 kB\nMemFree:  200 kB\nInactive:  9 kB\nInactive(file):  300 kB\n";
        let expected = NodeUsage { time, cpu_usage_ns: 1_710_000_000, memory_working_set: 500 * 1024 };
        assert_eq!(NodeUsage::parse(stat, meminfo, time), Some(expected));
        for (stat, meminfo) in [("", meminfo), (stat, ""), (stat, "MemTotal: x kB\n")] {
            assert_eq!(NodeUsage::parse(stat, meminfo, time), None, "{stat} {meminfo}");
        }
    }

    #[test]
    fn this_machine_uses_something() {
        let usage = NodeUsage::read().unwrap();
        assert!(usage.cpu_usage_ns > 0 && usage.memory_working_set > 0, "{usage:?}");
    }
}
