//! Network namespaces for tests: three nodes on a link, a pod on each, and a hub with etcd.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where pods listen.
const PORT: u16 = 8080;
const ETCD: &str = "http://192.168.77.254:2379";

/// Joined namespaces that go away with the value.
pub struct Net {
    prefix: String,
    directory: TempDir,
    _etcd: Daemon,
}

const MEMBERS: [&str; 7] = ["hub", "n1", "n2", "n3", "p1", "p2", "p3"];

/// Where datagrams are listened for.
const HEARD: u16 = 7777;

/// Who sent datagrams.
pub struct Counter(UdpSocket);

impl Counter {
    /// From whom there were any since the last time, as soon as there are no more.
    pub fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 64];
        std::iter::from_fn(|| self.0.recv_from(&mut buffer).ok()).map(|(_, from)| from.ip().to_string()).collect()
    }
}

/// A process that ends with the value.
pub struct Daemon(Child);

impl Daemon {
    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pod_of(node: &str) -> String {
    node.replace('n', "p")
}

impl Net {
    /// Makes them, and starts etcd; `None` where that is not allowed.
    pub fn new(name: &str) -> Option<Self> {
        let hash = name.bytes().fold(0_u16, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let prefix = format!("fk-fl-{}-{hash}", std::process::id());
        for member in MEMBERS {
            let made = Command::new("ip").args(["netns", "add", &format!("{prefix}-{member}")]).output();
            let made = match made {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => Err(error.to_string()),
            };
            test_needs::need("a network namespace", made)?;
            ip(&prefix, member, "link set lo up");
        }
        ip(&prefix, "hub", "link add br0 type bridge");
        ip(&prefix, "hub", "addr add 192.168.77.254/24 dev br0");
        ip(&prefix, "hub", "link set br0 up");
        for number in 1..=3 {
            let node = format!("n{number}");
            ip(&prefix, "hub", &format!("link add v{number} type veth peer name eth0 netns {prefix}-{node}"));
            ip(&prefix, "hub", &format!("link set v{number} master br0 up"));
            ip(&prefix, &node, &format!("addr add 192.168.77.{number}/24 dev eth0"));
            ip(&prefix, &node, "link set eth0 up");
            ip(&prefix, &node, "route add default via 192.168.77.254");
            within(&prefix, &node, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let etcd = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{prefix}-hub"))
            .args([
                "etcd",
                "--listen-client-urls",
                "http://0.0.0.0:2379",
                "--advertise-client-urls",
                ETCD,
                "--data-dir",
            ])
            .arg(directory.path().join("etcd"))
            .stderr(Stdio::null())
            .spawn();
        let etcd = test_needs::need("etcd", etcd)?;
        let net = Self { prefix, directory, _etcd: Daemon(etcd) };
        net.serve("hub", "hub");
        Some(net)
    }

    /// Runs `ip` in a namespace.
    pub fn ip(&self, member: &str, words: &str) {
        ip(&self.prefix, member, words);
    }

    fn within<T: Send>(&self, member: &str, code: impl FnOnce() -> T + Send) -> T {
        within(&self.prefix, member, code)
    }

    /// Does something with etcd, as soon as it answers.
    fn with_etcd<T: Send>(
        &self,
        code: impl AsyncFn(&mut etcd_client::Client) -> Result<T, etcd_client::Error> + Send + Sync,
    ) -> T {
        self.within("hub", || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut client = etcd_client::Client::connect([ETCD], None).await.unwrap();
                for _ in 0..200 {
                    match code(&mut client).await {
                        Ok(done) => return done,
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
                panic!("etcd does not answer")
            })
        })
    }

    /// Writes the network's configuration.
    pub fn configure(&self, config: &str) {
        self.with_etcd(async |client| client.put("/coreos.com/network/config", config, None).await.map(drop));
    }

    /// Writes what somebody else might.
    pub fn put(&self, key: &str, value: &str) {
        self.with_etcd(async |client| client.put(key, value, None).await.map(drop));
    }

    /// What a node says of itself.
    pub fn attributes(&self, subnet: Ipv4Net) -> String {
        let key = format!("/coreos.com/network/subnets/{}", flannel::lease::key(subnet));
        let found = self.with_etcd(async |client| client.get(key.as_str(), None).await);
        found.kvs().first().map(|pair| pair.value_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// Whether a subnet is somebody's.
    pub fn has_lease(&self, subnet: Ipv4Net) -> bool {
        !self.attributes(subnet).is_empty()
    }

    /// What a node's daemon has said.
    pub fn log(&self, node: &str) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    fn log_file(&self, node: &str) -> PathBuf {
        self.directory.path().join(format!("{node}.log"))
    }

    /// Sends a datagram of the tunnel's from one node to another: a packet between pods, with UDP to [`HEARD`] in it.
    pub fn forge(&self, from: &str, to: &str, source: Ipv4Addr, destination: Ipv4Addr) {
        let udp = [&[0x30, 0x39][..], &HEARD.to_be_bytes(), &[0, 12, 0, 0], b"boo!"].concat();
        let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend(source.octets());
        packet.extend(destination.octets());
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(udp);
        self.send(from, to, &packet);
    }

    /// Sends datagrams that are no packets.
    pub fn send_garbage(&self, from: &str, to: &str) {
        for garbage in [&[][..], &[0x45], &[0x4f; 20], &[0x60; 60], &[0xff; 1400]] {
            self.send(from, to, garbage);
        }
    }

    fn send(&self, from: &str, to: &str, datagram: &[u8]) {
        let address = format!("192.168.77.{}:8285", to.trim_start_matches('n'));
        self.within(from, || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(datagram, address)).unwrap();
    }

    /// Listens on a node's pod for what [`Net::forge`] sends.
    pub fn count_datagrams(&self, node: &str) -> Counter {
        let socket = self.within(&pod_of(node), || UdpSocket::bind(("0.0.0.0", HEARD))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Counter(socket)
    }

    /// Takes a subnet from its node.
    pub fn delete_lease(&self, subnet: Ipv4Net) {
        let key = format!("/coreos.com/network/subnets/{}", flannel::lease::key(subnet));
        self.with_etcd(async |client| client.delete(key.as_str(), None).await.map(drop));
    }

    fn file(&self, node: &str) -> PathBuf {
        self.directory.path().join(format!("{node}.env"))
    }

    /// Starts the daemon on a node.
    pub fn flanneld(&self, node: &str, more: &[&str]) -> Daemon {
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}-{node}", self.prefix))
            .arg(env!("CARGO_BIN_EXE_flanneld"))
            .args(["-etcd-endpoints", ETCD, "-iface", "eth0", "-subnet-file"])
            .arg(self.file(node))
            .args(more)
            .env("NO_COLOR", "1")
            .stderr(File::options().append(true).create(true).open(self.log_file(node)).unwrap())
            .spawn();
        Daemon(child.unwrap())
    }

    /// What is in a node's file.
    pub fn subnet_file(&self, node: &str) -> String {
        std::fs::read_to_string(self.file(node)).unwrap_or_default()
    }

    /// Removes a node's file.
    pub fn forget_subnet_file(&self, node: &str) {
        std::fs::remove_file(self.file(node)).unwrap();
    }

    /// A node's subnet, once it has one.
    pub fn subnet(&self, node: &str) -> Option<Ipv4Net> {
        let text = self.subnet_file(node);
        let line = text.lines().find_map(|line| line.strip_prefix("FLANNEL_SUBNET="))?;
        Some(line.parse::<Ipv4Net>().ok()?.trunc())
    }

    /// The address of the pod on a node.
    pub fn pod_ip(&self, node: &str) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet(node).unwrap().network()) + 2)
    }

    /// Makes the pod of a node, and its server.
    pub fn add_pod(&self, node: &str) {
        let pod = pod_of(node);
        let gateway = Ipv4Addr::from(u32::from(self.subnet(node).unwrap().network()) + 1);
        self.ip(node, &format!("link add pod type veth peer name eth0 netns {}-{pod}", self.prefix));
        self.ip(node, &format!("addr add {gateway}/24 dev pod"));
        self.ip(node, "link set pod up");
        self.ip(&pod, &format!("addr add {}/24 dev eth0", self.pod_ip(node)));
        self.ip(&pod, "link set eth0 up");
        self.ip(&pod, &format!("route add default via {gateway}"));
        self.serve(&pod, node);
    }

    /// Answers with a name, and with who asks.
    fn serve(&self, member: &str, name: &str) {
        let (listener, name) = (self.within(member, || TcpListener::bind(("0.0.0.0", PORT))).unwrap(), name.to_owned());
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = write!(stream, "{name} {}", peer.ip());
            }
        });
    }

    fn get(&self, pod: &str, to: IpAddr) -> std::io::Result<String> {
        self.within(pod, || {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(to, PORT), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// What the pod on `to` answers the pod on `from`.
    pub fn ask(&self, from: &str, to: &str) -> std::io::Result<String> {
        self.get(&pod_of(from), self.pod_ip(to).into())
    }

    /// What somebody outside of the network answers the pod on `from`.
    pub fn ask_hub(&self, from: &str) -> std::io::Result<String> {
        self.get(&pod_of(from), Ipv4Addr::new(192, 168, 77, 254).into())
    }

    /// A node's routes.
    pub fn routes(&self, node: &str) -> String {
        let output = Command::new("ip").args(["-n", &format!("{}-{node}", self.prefix), "route"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn ip(prefix: &str, member: &str, words: &str) {
    let status =
        Command::new("ip").args(["-n", &format!("{prefix}-{member}")]).args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip -n {member} {words}");
}

/// Runs code on a thread that is in the namespace; sockets that it makes stay there.
fn within<T: Send>(prefix: &str, member: &str, code: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/run/netns/{prefix}-{member}")).unwrap();
    let run = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        code()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap()
}

impl Drop for Net {
    fn drop(&mut self) {
        for member in MEMBERS {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}-{member}", self.prefix)]).output();
        }
    }
}
