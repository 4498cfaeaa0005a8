//! What the ports of a cluster answer to somebody who presents nothing.

use std::{collections::BTreeSet, fmt, process::Command};

use crate::{Cluster, machine::DAEMONS};

/// A port on which a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Whose it is, cut to the 15 bytes that the kernel keeps.
    pub daemon: String,
    /// An address at which it is reached, and its number.
    pub address: String,
    /// Whether it is reached from this machine only.
    pub local: bool,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.daemon, self.address)
    }
}

/// What is worth a try: each answers something somewhere.
pub const PATHS: &[&str] = &[
    "/",
    "/api",
    "/api/v1/secrets",
    "/apis",
    "/configz",
    "/containerLogs/default/web/demo",
    "/debug/pprof/",
    "/flagz",
    "/healthz",
    "/livez",
    "/logs/",
    "/metrics",
    "/metrics/cadvisor",
    "/openapi/v2",
    "/pods",
    "/proxyMode",
    "/ready",
    "/readyz",
    "/stats/summary",
    "/version",
];

/// Every TCP port on which a daemon of the cluster listens.
///
/// # Panics
/// When `ss` does not run.
#[must_use]
pub fn ports(cluster: &Cluster) -> BTreeSet<Port> {
    let output = Command::new("ss").args(["-Htlnp"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| port(line, &cluster.node_ip())).collect()
}

/// `LISTEN 0 4096 127.0.0.1:10259 0.0.0.0:* users:(("kube-scheduler",pid=1,fd=9))`
fn port(line: &str, node_ip: &str) -> Option<Port> {
    let daemon = line.split_once("((\"")?.1.split('"').next()?;
    let known = |name: &&&str| name[..name.len().min(15)] == *daemon;
    DAEMONS.iter().find(known)?;
    let (host, number) = line.split_whitespace().nth(3)?.rsplit_once(':')?;
    let host = host.split('%').next()?;
    let anywhere = matches!(host, "0.0.0.0" | "*" | "[::]");
    let local = host.starts_with("127.") || host == "[::1]";
    let address = format!("{}:{number}", if anywhere { node_ip } else { host });
    Some(Port { daemon: daemon.to_owned(), address, local })
}

/// The status of a GET without credentials; `None` when there is no answer in HTTP.
///
/// # Panics
/// When `curl` does not run.
#[must_use]
pub fn ask(scheme: &str, port: &Port, path: &str) -> Option<u16> {
    let url = format!("{scheme}://{}{path}", port.address);
    let arguments =
        ["--noproxy", "*", "-sk", "--path-as-is", "--max-time", "3", "-o", "/dev/null", "-w", "%{http_code}"];
    let output = Command::new("curl").args(arguments).arg(url).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|code| *code != 0)
}
