//! Pure: what a kubelet says at `/metrics/resource`. Kubelets are not trusted: what makes no sense is passed over, and what
//! is too much is cut off.

use std::collections::{BTreeMap, HashMap};

/// So many containers are taken of a node; nodes have room for some hundred pods.
const CONTAINERS_MAX: usize = 10_000;
/// Names of namespaces, pods and containers are no longer, in bytes.
const NAME_MAX: usize = 253;

/// What a container or a node had used at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    /// When it was read, in milliseconds since 1970.
    pub time: i64,
    /// Time of processors since it started, in nanoseconds.
    pub cpu: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// When it started, in milliseconds since 1970; 0 when nobody said.
    pub started: i64,
}

/// Namespace and name of a pod.
pub(super) type PodName = (String, String);

/// What a kubelet says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scrape {
    /// Of the node.
    pub node: Option<Point>,
    /// Of containers, by pod and name.
    pub pods: HashMap<PodName, BTreeMap<String, Point>>,
}

/// What is known so far of a container or the node.
#[derive(Clone, Copy, Debug, Default)]
struct Partial {
    cpu: Option<(u64, i64)>,
    memory: Option<(u64, i64)>,
    started: i64,
}

impl Partial {
    fn point(self) -> Option<Point> {
        let ((cpu, time), (memory, _)) = (self.cpu?, self.memory?);
        Some(Point { time, cpu, memory, started: self.started })
    }
}

/// Reads the text format of Prometheus, as far as these metrics use it.
pub(super) fn parse(text: &str) -> Scrape {
    let mut node = Partial::default();
    let mut containers: HashMap<(PodName, String), Partial> = HashMap::new();
    for sample in text.lines().filter_map(Sample::parse) {
        let metric = match sample.name.split_once('_') {
            Some(("node", metric)) => {
                note(&mut node, metric, &sample);
                continue;
            }
            Some(("container", metric)) => metric,
            _ => continue,
        };
        let Some(place) = sample.place() else { continue };
        if containers.len() < CONTAINERS_MAX || containers.contains_key(&place) {
            note(containers.entry(place).or_default(), metric, &sample);
        }
    }
    let mut scrape = Scrape { node: node.point(), pods: HashMap::new() };
    for ((pod, container), partial) in containers {
        if let Some(point) = partial.point() {
            scrape.pods.entry(pod).or_default().insert(container, point);
        }
    }
    scrape
}

fn note(partial: &mut Partial, metric: &str, sample: &Sample<'_>) {
    let whole = |factor: f64| {
        let value = sample.value * factor;
        // What does not fit is cut off by the conversion.
        (value.is_finite() && value >= 0.0).then_some(value as u64)
    };
    match metric {
        "cpu_usage_seconds_total" => partial.cpu = whole(1e9).zip(sample.time),
        "memory_working_set_bytes" => partial.memory = whole(1.0).zip(sample.time),
        "start_time_seconds" => {
            partial.started = whole(1e3).and_then(|started| i64::try_from(started).ok()).unwrap_or(0);
        }
        _ => {}
    }
}

/// One line.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
    /// Milliseconds since 1970.
    time: Option<i64>,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' ']).filter(|_| !line.starts_with('#'))?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            // Neither values nor times have braces.
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        let time = words.next().map(str::parse).transpose().ok()?;
        Some(Self { name, labels, value, time })
    }

    /// Whose it is: the pod and the container.
    fn place(&self) -> Option<(PodName, String)> {
        let (mut namespace, mut pod, mut container) = (None, None, None);
        for (name, value) in Labels(self.labels) {
            match name {
                "namespace" => namespace = Some(value),
                "pod" => pod = Some(value),
                "container" => container = Some(value),
                _ => {}
            }
        }
        let place = ((namespace?, pod?), container?);
        let ((namespace, pod), container) = &place;
        let sound = [namespace, pod, container].iter().all(|name| !name.is_empty() && name.len() <= NAME_MAX);
        sound.then_some(place)
    }
}

/// `name="value",…`; ends where that is not so.
struct Labels<'a>(&'a str);

impl<'a> Iterator for Labels<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.trim_start_matches([',', ' ']).split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = rest.get(at + 1..).unwrap_or_default();
                    return Some((name, value));
                }
                '\\' => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP container_cpu_usage_seconds_total Cumulative
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="a",namespace="ns",pod="web"} 1.5 100000
container_cpu_usage_seconds_total{container="b\"}",namespace="ns",pod="web"} 2e+00 100000
container_cpu_usage_seconds_total{container="half",namespace="ns",pod="web"} 2 100000
container_memory_working_set_bytes{container="a",namespace="ns",pod="web"} 4096 100001
container_memory_working_set_bytes{container="b\"}",namespace="ns",pod="web"} 1.7e+07 100001
container_start_time_seconds{container="a",namespace="ns",pod="web"} 50.25
node_cpu_usage_seconds_total 12 100000
node_memory_working_set_bytes 8192 100000
pod_cpu_usage_seconds_total{namespace="ns",pod="web"} 3.5 100000
resource_scrape_error 0
"#;

    #[test]
    fn what_a_kubelet_says_is_understood() {
        let point = |cpu, memory, started| Point { time: 100_000, cpu, memory, started };
        let containers = BTreeMap::from([
            ("a".to_owned(), point(1_500_000_000, 4096, 50_250)),
            ("b\"}".to_owned(), point(2_000_000_000, 17_000_000, 0)),
        ]);
        let expected = Scrape {
            node: Some(point(12_000_000_000, 8192, 0)),
            pods: HashMap::from([(("ns".to_owned(), "web".to_owned()), containers)]),
        };
        assert_eq!(parse(TEXT), expected);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let long = "x".repeat(NAME_MAX + 1);
        let labels = |pod: &str| format!(r#"{{container="c",namespace="ns",pod="{pod}"}}"#);
        let both = |labels: &str, cpu: &str| {
            format!("container_cpu_usage_seconds_total{labels} {cpu}\ncontainer_memory_working_set_bytes{labels} 1 1\n")
        };
        let cases = [
            String::new(),
            "\u{0}{{{}}} x".to_owned(),
            both(&labels("p"), "NaN 1"),
            both(&labels("p"), "-1 1"),
            both(&labels("p"), "+Inf 1"),
            both(&labels("p"), "1"),
            both(&labels("p"), "1 soon"),
            both(&labels(""), "1 1"),
            both(&labels(&long), "1 1"),
            both(r#"{container="c",namespace="ns"}"#, "1 1"),
            both(r#"{container="c\"#, "1 1"),
            both(r#"{container="c"#, "1 1"),
            "node_cpu_usage_seconds_total 1 1\n".to_owned(),
        ];
        for text in cases {
            assert_eq!(parse(&text), Scrape::default(), "{text}");
        }
        let many: String = (0..CONTAINERS_MAX + 10).map(|pod| both(&labels(&pod.to_string()), "1 1")).collect();
        assert_eq!(parse(&many).pods.len(), CONTAINERS_MAX);
        let great = parse(&both(&labels("p"), "1e200 1"));
        assert_eq!(great.pods.values().next().unwrap()["c"].cpu, u64::MAX);
    }
}
