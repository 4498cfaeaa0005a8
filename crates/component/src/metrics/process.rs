//! What the kernel tells of this process: read when somebody asks. See `proc(5)`.

use std::{
    fmt::{self, Debug},
    fs,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

/// The kernel's unit of time in `/proc`, in seconds: `USER_HZ`, which is 100 on all architectures of Linux.
const TICK: f64 = 0.01;

pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

/// What is read; nothing is told of what cannot be.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    virtual_bytes: Option<f64>,
    resident_bytes: Option<f64>,
}

impl Usage {
    /// From `/proc/self/stat`, whose second field is in parentheses and may hold anything, `/proc/stat` and
    /// `/proc/self/status`.
    fn parse(stat: &str, machine: &str, status: &str) -> Self {
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // The numbers of `proc(5)`, where the state is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let booted = machine.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
        };
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) * TICK),
            start_seconds: booted.zip(field(22)).map(|(booted, after)| booted + after * TICK),
            virtual_bytes: kilobytes("VmSize"),
            resident_bytes: kilobytes("VmRSS"),
        }
    }
}

/// The soft limit of this name in `/proc/self/limits`; what has none is as large as Go tells it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let usage = Usage::parse(&read("/proc/self/stat"), &read("/proc/stat"), &read("/proc/self/status"));
        let limits = read("/proc/self/limits");
        // The directory is open while it is read.
        let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1) as f64).ok();
        if let Some(seconds) = usage.cpu_seconds {
            // The value of a counter, which is written with its suffix here.
            let help = "Time of processors that this process has taken";
            let counter = prometheus_client::metrics::counter::ConstCounter::new(seconds);
            let encoder = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            counter.encode(encoder)?;
        }
        let mut gauge =
            |name, help, value: Option<f64>| value.map_or(Ok(()), |value| tell(&mut encoder, name, help, value));
        gauge("process_max_fds", "Most descriptors that may be open", limit(&limits, "Max open files"))?;
        gauge("process_open_fds", "Descriptors that are open", open)?;
        gauge("process_resident_memory_bytes", "Memory that is resident", usage.resident_bytes)?;
        gauge("process_start_time_seconds", "When the process began, since 1970", usage.start_seconds)?;
        gauge("process_virtual_memory_bytes", "Size of the address space", usage.virtual_bytes)?;
        let most = limit(&limits, "Max address space");
        gauge("process_virtual_memory_max_bytes", "Largest size of the address space", most)
    }
}

/// One gauge without labels.
fn tell<V: EncodeGaugeValue + Debug + Send + Sync>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: V,
) -> Result<(), fmt::Error>
where
    ConstGauge<V>: EncodeMetric,
{
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::encode;

    #[test]
    fn names_may_hold_anything() {
        let stat = "7 (a) b) (c) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 3000 1 2";
        let usage = Usage::parse(stat, "cpu 1 2\nbtime 1000\n", "Name:\ta\nVmSize:\t  2 kB\nVmRSS:\t1 kB\n");
        let (cpu_seconds, start_seconds) = (Some(2.0), Some(1030.0));
        let expected = Usage { cpu_seconds, start_seconds, virtual_bytes: Some(2048.0), resident_bytes: Some(1024.0) };
        assert_eq!(usage, expected);
        assert_eq!(Usage::parse("", "", ""), Usage::default());
    }

    #[test]
    fn this_process_is_told_of() {
        let mut registry = Registry::default();
        register(&mut registry);
        let text = encode(&registry).unwrap();
        for name in ["cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
    }
}
