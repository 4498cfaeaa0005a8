//! Prometheus' text format, version 0.0.4, as upstream's daemons write it. The library writes OpenMetrics, which differs:
//! in the names of counters' families, in numbers, in what follows at the end, and in that families without samples are
//! there.

use std::fmt::{self, Write};

use prometheus_client::{encoding::text, registry::Registry};

/// The media type of what [`encode`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is registered.
///
/// # Errors
/// When a collector fails.
pub fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut open = String::new();
    text::encode_registry(&mut open, registry)?;
    classic(&open)
}

/// What is said of a family before its samples.
#[derive(Default)]
struct Heading<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    written: bool,
}

impl<'a> Heading<'a> {
    /// Takes a line of the heading; what begins another family makes another heading.
    fn read(&mut self, line: &'a str) {
        let mut words = line.splitn(3, ' ');
        let (keyword, name, rest) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match keyword {
            Some("HELP") => *self = Self { name, help: rest, ..Self::default() },
            Some("TYPE") => self.kind = rest,
            _ => {}
        }
    }

    fn write(&mut self, sample: &str, out: &mut String) -> fmt::Result {
        if self.written {
            return Ok(());
        }
        self.written = true;
        let sample = sample.split(['{', ' ']).next().unwrap_or_default();
        let name = if sample.strip_suffix("_total") == Some(self.name) { sample } else { self.name };
        writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", self.help, self.kind)
    }
}

fn classic(open: &str) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(open.len());
    let mut heading = Heading::default();
    for line in open.lines() {
        if let Some(line) = line.strip_prefix("# ") {
            heading.read(line);
            continue;
        }
        heading.write(line, &mut out)?;
        if heading.kind == "histogram" {
            bucket(line, &mut out)?;
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    Ok(out)
}

/// A line of a histogram, whose bound is written as Go does.
fn bucket(line: &str, out: &mut String) -> fmt::Result {
    const LABEL: &str = "le=\"";
    let bound = line.split_once(LABEL).and_then(|(before, rest)| {
        let (bound, after) = rest.split_once('"')?;
        Some((before, bound.parse::<f64>().ok().filter(|bound| bound.is_finite())?, after))
    });
    match bound {
        Some((before, bound, after)) => write!(out, "{before}{LABEL}{}\"{after}", Shortest(bound)),
        None => out.write_str(line),
    }
}

/// A number as Go's `%g`: with an exponent from 1e+21 on in Go's general form, but from 1e+06 on in this one.
struct Shortest(f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 || (1e-4..1e6).contains(&self.0.abs()) {
            return write!(f, "{}", self.0);
        }
        let text = format!("{:e}", self.0);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(f, "{digits}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

    use super::*;
    use crate::metrics::UnsuffixedCounter;

    const EXPECTED: &str = r#"# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{path="a \"b\" {le=\"1.0\"}\n"} 2
# HELP attempts Attempts.
# TYPE attempts counter
attempts 1
# HELP seconds Time.
# TYPE seconds histogram
seconds_sum 0.5
seconds_count 1
seconds_bucket{le="5e-06"} 0
seconds_bucket{le="0.005"} 0
seconds_bucket{le="1"} 1
seconds_bucket{le="1e+06"} 1
seconds_bucket{le="+Inf"} 1
"#;

    #[test]
    fn the_format_is_upstreams() {
        let mut registry = Registry::default();
        let requests = Family::<[(&str, String); 1], Counter>::default();
        registry.register("requests", "Requests", requests.clone());
        requests.get_or_create(&[("path", "a \"b\" {le=\"1.0\"}\n".to_owned())]).inc_by(2);
        let attempts = UnsuffixedCounter::default();
        registry.register("attempts", "Attempts", attempts.clone());
        attempts.0.inc();
        let nothing = Family::<[(&str, String); 1], Gauge>::default();
        registry.register("nothing", "Nobody is told of a family without samples", nothing);
        let seconds = Histogram::new([5e-6, 0.005, 1.0, 1e6]);
        registry.register("seconds", "Time", seconds.clone());
        seconds.observe(0.5);
        assert_eq!(encode(&registry).unwrap(), EXPECTED);
    }
}
