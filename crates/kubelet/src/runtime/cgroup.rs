//! What the kernel counts for a container, read where it counts it: runtimes need some milliseconds of a processor to
//! say the same.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;

use super::ContainerStats;

const ROOT: &str = "/sys/fs/cgroup";

/// CPU and memory of the container of this id, whose main process this is; `None` when the kernel does not say, or when the
/// process is another's by now.
pub(super) fn read(pid: u32, id: &str) -> Option<ContainerStats> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let groups = Groups::parse(&cgroups, id, Path::new(ROOT))?;
    let text = |path: PathBuf| fs::read_to_string(path).ok();
    let time = Timestamp::now();
    let (cpu_usage_ns, usage, stat) = match &groups {
        Groups::Unified(group) => {
            let cpu = field(&text(group.join("cpu.stat"))?, "usage_usec")?.saturating_mul(1000);
            (cpu, number(&text(group.join("memory.current"))?)?, text(group.join("memory.stat")))
        }
        Groups::Apart { cpu, memory } => {
            let used = number(&text(cpu.join("cpuacct.usage"))?)?;
            (used, number(&text(memory.join("memory.usage_in_bytes"))?)?, text(memory.join("memory.stat")))
        }
    };
    let inactive = field(&stat?, groups.inactive_file()).unwrap_or(0);
    let memory_working_set = usage.saturating_sub(inactive);
    Some(ContainerStats { time, cpu_usage_ns, memory_working_set, memory_usage: usage })
}

/// A process id may be another's by now; its cgroup tells.
pub(super) fn belongs_to(pid: u32, id: &str) -> bool {
    !id.is_empty() && fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroups| cgroups.contains(id))
}

/// Where the kernel counts.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    /// cgroup v2.
    Unified(PathBuf),
    /// cgroup v1, a tree for each.
    Apart { cpu: PathBuf, memory: PathBuf },
}

impl Groups {
    /// Those of a container, from `/proc/<pid>/cgroup`: lines of a number, controllers and a path, with colons between.
    fn parse(cgroups: &str, id: &str, root: &Path) -> Option<Self> {
        let of = |controller: &str| {
            cgroups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                let wanted = controllers.split(',').any(|own| own == controller);
                container_of(path, id).filter(|_| wanted)
            })
        };
        let below = |tree: &str, group: PathBuf| root.join(tree).join(group);
        match (of("cpuacct"), of("memory")) {
            (Some(cpu), Some(memory)) => {
                Some(Self::Apart { cpu: below("cpuacct", cpu), memory: below("memory", memory) })
            }
            _ => of("").map(|group| below("", group)).map(Self::Unified),
        }
    }

    fn inactive_file(&self) -> &'static str {
        match self {
            Self::Unified(_) => "inactive_file",
            Self::Apart { .. } => "total_inactive_file",
        }
    }
}

/// The part of a path that leads to the container's own group: a process may have moved to one below.
fn container_of(path: &str, id: &str) -> Option<PathBuf> {
    let mut group = PathBuf::new();
    for step in Path::new(path.strip_prefix('/')?).components() {
        let Component::Normal(name) = step else { return None };
        group.push(name);
        if !id.is_empty() && name.to_str()?.contains(id) {
            return Some(group);
        }
    }
    None
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A number in lines of names and numbers.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_the_container() {
        let unified = |path: &str| Some(Groups::Unified(path.into()));
        let apart = |cpu: &str, memory: &str| Some(Groups::Apart { cpu: cpu.into(), memory: memory.into() });
        let cases = [
            ("0::/docker/c1\n", unified("/r/docker/c1")),
            ("0::/system.slice/docker-c1.scope/init.scope\n", unified("/r/system.slice/docker-c1.scope")),
            ("0::/docker/other\n", None),
            ("0::/../../c1\n", None),
            ("0::docker/c1\n", None),
            (
                "12:memory:/docker/c1\n3:cpu,cpuacct:/docker/c1/x\n0::/docker/c1\n",
                apart("/r/cpuacct/docker/c1", "/r/memory/docker/c1"),
            ),
            ("12:memory:/docker/c1\n3:cpu,cpuacct:/\n", None),
            ("nonsense", None),
        ];
        for (cgroups, expected) in cases {
            assert_eq!(Groups::parse(cgroups, "c1", Path::new("/r")), expected, "{cgroups}");
        }
        assert_eq!(Groups::parse("0::/docker/c1\n", "", Path::new("/r")), None);
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        let stat = "inactive_file_x 1\ninactive_file 4096\n";
        assert_eq!(field(stat, "inactive_file"), Some(4096));
        assert_eq!(field(stat, "file"), None);
        assert_eq!(number("12\n"), Some(12));
    }
}
