//! What is remembered of what kubelets said: of everything the last two times. Usage is the difference.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::parse::{PodName, Point, Scrape};

/// A container that has run for less tells little of itself.
const FRESH_MIN: i64 = 10_000;
/// After so many times the resolution what was told last says nothing of now. It is measured by this machine's clock:
/// kubelets have their own.
const STALE_AFTER: u32 = 5;

/// What something uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// At the end of this, in milliseconds since 1970.
    pub time: i64,
    /// Over this time.
    pub window: Duration,
    /// Billionths of a processor.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
}

/// See the module.
pub(super) struct Memory {
    /// How often kubelets are asked.
    pub resolution: Duration,
    nodes: Mutex<HashMap<String, Node>>,
}

/// The last two times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    before: Option<Point>,
    last: Point,
}

/// What the kubelet of a node said.
#[derive(Debug)]
struct Node {
    /// When it did last.
    at: Instant,
    own: Option<Pair>,
    pods: HashMap<PodName, BTreeMap<String, Pair>>,
}

impl Memory {
    pub(super) fn new(resolution: Duration) -> Self {
        Self { resolution, nodes: Mutex::default() }
    }

    /// Takes over what the kubelet of a node says now. Whether something can be said of the node from now on.
    pub(super) fn take(&self, name: &str, scrape: Scrape) -> bool {
        let resolution = i64::try_from(self.resolution.as_millis()).unwrap_or(i64::MAX);
        let mut nodes = self.nodes.lock();
        let (known_own, known_pods) = nodes.remove(name).map(|node| (node.own, node.pods)).unwrap_or_default();
        let own = scrape.node.map(|point| next(known_own, point)).or(known_own);
        let mut pods = HashMap::with_capacity(scrape.pods.len());
        for (pod, containers) in scrape.pods {
            let before = known_pods.get(&pod);
            let pair = |(container, point): (String, Point)| {
                let known = before.and_then(|before| before.get(&container)).copied();
                (container, with_beginning(next(known, point), resolution))
            };
            let pairs = containers.into_iter().map(pair).collect();
            pods.insert(pod, pairs);
        }
        let complete = own.is_some_and(|pair| pair.before.is_some());
        nodes.insert(name.to_owned(), Node { at: Instant::now(), own, pods });
        complete
    }

    /// Forgets all nodes but these.
    pub(super) fn retain(&self, there: &HashSet<&str>) {
        self.nodes.lock().retain(|name, _| there.contains(name.as_str()));
    }

    /// What a node uses, if that is known.
    pub(super) fn node(&self, name: &str) -> Option<Usage> {
        self.current(&self.nodes.lock(), name)?.own.as_ref().and_then(usage)
    }

    /// What the containers of a pod use; `None` unless it is known of all that run.
    pub(super) fn pod(&self, node: &str, namespace: &str, name: &str) -> Option<BTreeMap<String, Usage>> {
        let nodes = self.nodes.lock();
        let pods = &self.current(&nodes, node)?.pods;
        let containers = pods.get(&(namespace.to_owned(), name.to_owned()))?;
        containers.iter().map(|(name, pair)| Some((name.clone(), usage(pair)?))).collect()
    }

    fn current<'a>(&self, nodes: &'a HashMap<String, Node>, name: &str) -> Option<&'a Node> {
        nodes.get(name).filter(|node| node.at.elapsed() <= self.resolution.saturating_mul(STALE_AFTER))
    }
}

/// A newer point moves the last one back; the same one again says nothing. What began anew has no past.
fn next(known: Option<Pair>, point: Point) -> Pair {
    match known {
        Some(known) if point.time == known.last.time => known,
        Some(known) if continues(&known.last, &point) => Pair { before: Some(known.last), last: point },
        _ => Pair { before: None, last: point },
    }
}

fn continues(before: &Point, point: &Point) -> bool {
    point.time > before.time && point.cpu >= before.cpu && point.started == before.started
}

/// A container that has begun since the last time had used nothing when it began.
fn with_beginning(pair: Pair, resolution: i64) -> Pair {
    let Pair { before: None, last } = pair else { return pair };
    let age = last.time.saturating_sub(last.started);
    let began = last.started > 0 && age >= FRESH_MIN && age < resolution.max(FRESH_MIN + 1);
    Pair { before: began.then_some(Point { time: last.started, cpu: 0, ..last }), last }
}

fn usage(pair: &Pair) -> Option<Usage> {
    let Pair { before: Some(before), last } = pair else { return None };
    let window = u64::try_from(last.time.checked_sub(before.time)?).ok().filter(|window| *window > 0)?;
    let used = u128::from(last.cpu.saturating_sub(before.cpu));
    let cpu = u64::try_from(used * 1000 / u128::from(window)).unwrap_or(u64::MAX);
    Some(Usage { time: last.time, window: Duration::from_millis(window), cpu, memory: last.memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time, processors and start, in seconds.
    fn point(time: i64, cpu: u64, started: i64) -> Point {
        Point { time: time * 1000, cpu: cpu * 1_000_000_000, memory: 7, started: started * 1000 }
    }

    #[test]
    fn usage_is_what_lies_between_two_points() {
        // Points as they come, and thousandths of a processor over seconds.
        let cases: [(&[_], _); 9] = [
            (&[point(100, 10, 1)], None),
            (&[point(100, 10, 1), point(110, 15, 1)], Some((500, 10))),
            (&[point(100, 10, 1), point(110, 15, 1), point(120, 15, 1)], Some((0, 10))),
            (&[point(100, 10, 1), point(110, 15, 1), point(110, 15, 1)], Some((500, 10))),
            // It was started again.
            (&[point(100, 10, 1), point(110, 15, 105)], None),
            (&[point(100, 10, 1), point(115, 20, 101)], Some((1428, 14))),
            (&[point(100, 10, 1), point(110, 5, 1)], None),
            // Clocks that go back.
            (&[point(100, 10, 1), point(90, 15, 1)], None),
            // It began since the last time.
            (&[point(112, 6, 100)], Some((500, 12))),
        ];
        for (points, expected) in cases {
            let mut known = None;
            for point in points {
                known = Some(with_beginning(next(known, *point), 15_000));
            }
            let got = usage(&known.unwrap()).map(|usage| (usage.cpu / 1_000_000, usage.window.as_secs()));
            assert_eq!(got, expected, "{points:?}");
        }
    }

    fn scrape(time: i64, containers: &[&str]) -> Scrape {
        let at = |name: &&str| ((*name).to_owned(), point(time, 1, 1));
        let pod = (("ns".to_owned(), "web".to_owned()), containers.iter().map(at).collect());
        Scrape { node: Some(point(time, 1, 0)), pods: HashMap::from([pod]) }
    }

    #[test]
    fn a_pod_is_told_of_when_all_its_containers_are() {
        let memory = Memory::new(Duration::from_secs(15));
        let known = || memory.pod("n", "ns", "web").map(|containers| containers.len());
        assert!(!memory.take("n", scrape(100, &["a"])));
        assert_eq!((known(), memory.node("n")), (None, None));
        assert!(memory.take("n", scrape(115, &["a"])));
        assert_eq!((known(), memory.node("n").is_some()), (Some(1), true));
        memory.take("n", scrape(130, &["a", "b"]));
        assert_eq!(known(), None);
        memory.take("n", scrape(131, &["a", "b"]));
        assert_eq!(known(), Some(2));
        memory.take("n", Scrape::default());
        assert_eq!((known(), memory.node("n").is_some()), (None, true));
        memory.retain(&HashSet::from(["m"]));
        assert_eq!(memory.node("n"), None);
    }

    #[test]
    fn what_is_long_ago_is_not_told() {
        let memory = Memory::new(Duration::ZERO);
        memory.take("n", scrape(100, &["a"]));
        memory.take("n", scrape(115, &["a"]));
        // Clocks do not stand still.
        assert_eq!((memory.node("n"), memory.pod("n", "ns", "web")), (None, None));
    }
}
