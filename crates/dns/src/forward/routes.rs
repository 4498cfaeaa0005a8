//! Which servers are asked about which names: by flags, a `resolv.conf`, and the two keys of kube-dns' configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use hickory_proto::rr::Name;
use tokio::sync::Semaphore;

/// As many servers of a `resolv.conf` are asked as resolvers do (`MAXNS`), and kube-dns' configuration may name.
const MAX_SERVERS: usize = 3;
/// How many domains may have servers of their own.
const MAX_STUB_DOMAINS: usize = 1000;
/// No file is read further: a `ConfigMap` is no larger.
const MAX_FILE: u64 = 1 << 20;
/// Domains with servers of their own: JSON, `{"acme.local": ["10.0.0.1:53"]}`.
const STUB_DOMAINS: &str = "stubDomains";
/// Servers for all other names: JSON, `["8.8.8.8"]`.
const UPSTREAM_NAMESERVERS: &str = "upstreamNameservers";

/// How many clients may wait for the answers of a route's servers at once, as CoreDNS' `max_concurrent` in kubeadm's
/// configuration, which also counts for each domain by itself.
pub(super) const MAX_CONCURRENT: usize = 1000;

/// Servers that are asked for the names below a domain.
#[derive(Clone, Debug)]
pub struct Route {
    /// The root for all names that have no other route.
    pub domain: Name,
    /// Who is asked.
    pub servers: Vec<SocketAddr>,
    /// One a client that waits: servers that do not answer hold up no other route's clients.
    pub(super) permits: Arc<Semaphore>,
}

impl Route {
    fn new((domain, servers): (Name, Vec<SocketAddr>)) -> Self {
        Self { domain, servers, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The longest domain first.
    stubs: Vec<Route>,
    rest: Route,
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl Routes {
    /// These servers for the names below each domain, and those for all other names.
    #[must_use]
    pub fn new(mut stubs: Vec<(Name, Vec<SocketAddr>)>, rest: Vec<SocketAddr>) -> Self {
        stubs.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.num_labels()));
        Self { stubs: stubs.into_iter().map(Route::new).collect(), rest: Route::new((Name::root(), rest)) }
    }

    /// Who knows the name.
    #[must_use]
    pub fn of(&self, name: &Name) -> &Route {
        self.stubs.iter().find(|route| route.domain.zone_of(name)).unwrap_or(&self.rest)
    }

    /// All servers, with the domain of which they are asked.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<(Name, SocketAddr)> {
        let routes = self.stubs.iter().chain([&self.rest]);
        routes.flat_map(|route| route.servers.iter().map(|server| (route.domain.clone(), *server))).collect()
    }

    fn without(mut self, is_own: impl Fn(&SocketAddr) -> bool) -> Self {
        for route in self.stubs.iter_mut().chain([&mut self.rest]) {
            route.servers.retain(|server| !is_own(server));
        }
        self
    }
}

/// What routes are made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--forward`
    pub forward: Option<Vec<SocketAddr>>,
    /// `--resolv-conf`, read when nothing else names servers for all other names.
    pub resolv_conf: PathBuf,
    /// `--config-dir`
    pub config_dir: Option<PathBuf>,
    /// Where we listen: nobody is sent back here.
    pub own: Vec<SocketAddr>,
}

impl Sources {
    /// The files that are read.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let keys = self.config_dir.iter().flat_map(|dir| [dir.join(STUB_DOMAINS), dir.join(UPSTREAM_NAMESERVERS)]);
        keys.chain([self.resolv_conf.clone()]).collect()
    }

    /// The routes.
    ///
    /// # Errors
    /// A mistake in the configuration directory.
    pub fn read(&self) -> anyhow::Result<Routes> {
        let (stubs, rest) = match &self.config_dir {
            Some(dir) => (stub_domains(&dir.join(STUB_DOMAINS))?, upstreams(&dir.join(UPSTREAM_NAMESERVERS))?),
            None => (Vec::new(), None),
        };
        let rest = rest.or_else(|| self.forward.clone()).unwrap_or_else(|| self.listed());
        Ok(Routes::new(stubs, rest).without(|server| self.is_own(server)))
    }

    /// The routes without the configuration directory.
    #[must_use]
    pub fn by_flags(&self) -> Routes {
        let rest = self.forward.clone().unwrap_or_else(|| self.listed());
        Routes::new(Vec::new(), rest).without(|server| self.is_own(server))
    }

    fn listed(&self) -> Vec<SocketAddr> {
        let text = read_bounded(&self.resolv_conf).unwrap_or_else(|error| {
            tracing::warn!("{error:#}");
            None
        });
        let mut servers = nameservers(&text.unwrap_or_default());
        servers.truncate(MAX_SERVERS);
        servers
    }

    fn is_own(&self, server: &SocketAddr) -> bool {
        self.own.iter().any(|own| {
            let everywhere = own.ip().is_unspecified() && server.ip().is_loopback();
            own.port() == server.port() && (own.ip() == server.ip() || everywhere)
        })
    }
}

/// `None` when there is no such file.
fn read_bounded(path: &Path) -> anyhow::Result<Option<String>> {
    let context = || format!("reading {}", path.display());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(context),
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).with_context(context)?;
    Ok(Some(text))
}

fn stub_domains(path: &Path) -> anyhow::Result<Vec<(Name, Vec<SocketAddr>)>> {
    let Some(text) = read_bounded(path)? else { return Ok(Vec::new()) };
    let listed: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&text).with_context(|| format!("{} is no object of lists", path.display()))?;
    ensure!(listed.len() <= MAX_STUB_DOMAINS, "{} has more than {MAX_STUB_DOMAINS} domains", path.display());
    listed.into_iter().map(|(name, list)| Ok((domain(&name).map_err(anyhow::Error::msg)?, servers(&list)?))).collect()
}

fn upstreams(path: &Path) -> anyhow::Result<Option<Vec<SocketAddr>>> {
    let Some(text) = read_bounded(path)? else { return Ok(None) };
    let listed: Vec<String> = serde_json::from_str(&text).with_context(|| format!("{} is no list", path.display()))?;
    Ok(Some(servers(&listed)?).filter(|servers| !servers.is_empty()))
}

fn servers(listed: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    if listed.len() > MAX_SERVERS {
        bail!("upstream nameserver cannot have more than {MAX_SERVERS} entries");
    }
    listed.iter().map(|text| server(text).map_err(anyhow::Error::msg)).collect()
}

/// A domain's name, in lower case; not the root.
///
/// # Errors
/// When it is none.
pub fn domain(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| format!("{text:?} is not a domain: {error}"))?;
    name.set_fqdn(true);
    if name.is_root() { Err("the root is not a domain of one's own".to_owned()) } else { Ok(name.to_lowercase()) }
}

/// `IP`, `IP:PORT`, `[IPv6]:PORT`
///
/// # Errors
/// When it is none of these.
pub fn server(text: &str) -> Result<SocketAddr, String> {
    let mistake = || format!("{text:?} is neither IP nor IP:PORT");
    let address = match text.trim().parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, 53),
        Err(_) => text.trim().parse().map_err(|_| mistake())?,
    };
    let usable = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
    if usable { Ok(address) } else { Err(mistake()) }
}

/// The `nameserver` lines of a `resolv.conf`.
fn nameservers(resolv_conf: &str) -> Vec<SocketAddr> {
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(str::to_owned)).flatten()
    };
    resolv_conf.lines().filter_map(value).filter_map(|text| server(&text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(servers: &[SocketAddr]) -> String {
        servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn nameservers_are_read() {
        let text = "# x\nsearch a b\nnameserver 10.0.0.1\nnameserver fd00::1\n nameserver 10.0.0.2 # y\nnameserver x\n";
        assert_eq!(say(&nameservers(text)), "10.0.0.1:53 [fd00::1]:53 10.0.0.2:53");
    }

    #[test]
    fn names_have_servers_of_their_domain() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(directory.path().join(file), text).unwrap();
        write("resolv.conf", "nameserver 192.0.2.1\nnameserver 127.0.0.1\n");
        let sources = Sources {
            forward: None,
            resolv_conf: directory.path().join("resolv.conf"),
            config_dir: Some(directory.path().to_owned()),
            own: vec!["0.0.0.0:53".parse().unwrap()],
        };
        let asked = |text: &str| say(&sources.read().unwrap().of(&name(text)).servers);
        assert_eq!(asked("x.acme.local."), "192.0.2.1:53", "without configuration, and never oneself");
        write(STUB_DOMAINS, r#"{"Acme.local": ["10.0.0.1"], "b.acme.local.": ["10.0.0.2:5353", "127.0.0.1"]}"#);
        assert_eq!(asked("x.ACME.local."), "10.0.0.1:53");
        assert_eq!(asked("acme.local."), "10.0.0.1:53");
        assert_eq!(asked("x.b.acme.local."), "10.0.0.2:5353");
        assert_eq!(asked("xacme.local."), "192.0.2.1:53");
        write(UPSTREAM_NAMESERVERS, r#"["8.8.8.8", "[2001:db8::1]:53"]"#);
        assert_eq!(asked("example.org."), "8.8.8.8:53 [2001:db8::1]:53");
        for (file, text, part) in [
            (UPSTREAM_NAMESERVERS, r#"["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]"#, "more than 3"),
            (UPSTREAM_NAMESERVERS, r#"["example.org"]"#, "neither IP nor IP:PORT"),
            (UPSTREAM_NAMESERVERS, r#"["0.0.0.0"]"#, "neither IP nor IP:PORT"),
            (STUB_DOMAINS, r#"{"a..b": ["1.1.1.1"]}"#, "not a domain"),
            (STUB_DOMAINS, r#"{".": ["1.1.1.1"]}"#, "the root"),
            (STUB_DOMAINS, "[]", "no object"),
        ] {
            write(file, text);
            let error = format!("{:#}", sources.read().unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
            std::fs::remove_file(directory.path().join(file)).unwrap();
        }
        assert_eq!(say(&sources.by_flags().of(&name("x.acme.local.")).servers), "192.0.2.1:53");
    }
}
