//! Network namespaces for tests: a node with a bridge, pods on it, and a stranger outside.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Joined namespaces that go away with the value: `node` (bridge 10.244.0.1, and 172.16.0.1 outwards), the pods `a`
/// (10.244.0.5), `b` (10.244.0.6), `c` (10.244.0.9), and `out` (172.16.0.9).
pub struct Net {
    prefix: String,
}

const SYSCTLS: [&str; 5] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/ipv4/conf/all/route_localnet",
];

const MEMBERS: [&str; 5] = ["node", "a", "b", "c", "out"];

impl Net {
    /// Makes them; `None` where that is not allowed.
    pub fn new(test: &str) -> Option<Self> {
        let net = Self { prefix: format!("fk-px-{test}-{}", std::process::id()) };
        for member in MEMBERS {
            let made = Command::new("ip").args(["netns", "add", &net.name(member)]).output();
            let made = match made {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(error) => Err(error.to_string()),
            };
            test_needs::need("a network namespace", made)?;
            net.ip(member, "link set lo up");
        }
        net.ip("node", "link add cbr0 type bridge");
        net.ip("node", "addr add 10.244.0.1/24 dev cbr0");
        net.ip("node", "addr add fd00:244::1/64 dev cbr0 nodad");
        net.ip("node", "link set cbr0 up");
        for (pod, host) in [("a", 5), ("b", 6), ("c", 9)] {
            net.join(pod, &format!("v{pod}"), [&format!("10.244.0.{host}/24"), &format!("fd00:244::{host}/64")]);
            net.ip("node", &format!("link set v{pod} master cbr0"));
            net.ip("node", &format!("link set v{pod} type bridge_slave hairpin on"));
            net.ip(pod, "route add default via 10.244.0.1");
            net.ip(pod, "-6 route add default via fd00:244::1");
        }
        net.join("out", "vout", ["172.16.0.9/24", "fd00:172::9/64"]);
        net.ip("node", "addr add 172.16.0.1/24 dev vout");
        net.ip("node", "addr add fd00:172::1/64 dev vout nodad");
        net.ip("node", "route add default via 172.16.0.9");
        net.ip("node", "-6 route add default via fd00:172::9");
        for routed in ["10.96.0.0/16", "198.51.100.0/24"] {
            net.ip("out", &format!("route add {routed} via 172.16.0.1"));
        }
        for routed in ["fd00:96::/112", "2001:db8::/64", "fd00:244::/64"] {
            net.ip("out", &format!("-6 route add {routed} via fd00:172::1"));
        }
        net.ip("out", "route add 10.244.0.0/16 via 172.16.0.1");
        for sysctl in SYSCTLS {
            net.within("node", || std::fs::write(format!("/proc/sys/{sysctl}"), "1")).unwrap();
        }
        // Many refusals in one second are answered.
        for sysctl in ["net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit"] {
            net.within("node", || std::fs::write(format!("/proc/sys/{sysctl}"), "0")).unwrap();
        }
        Some(net)
    }

    fn name(&self, member: &str) -> String {
        format!("{}-{member}", self.prefix)
    }

    fn join(&self, member: &str, port: &str, [v4, v6]: [&str; 2]) {
        let peer = self.name(member);
        self.ip("node", &format!("link add {port} type veth peer name eth0 netns {peer}"));
        self.ip("node", &format!("link set {port} up"));
        self.ip(member, &format!("addr add {v4} dev eth0"));
        self.ip(member, &format!("addr add {v6} dev eth0 nodad"));
        self.ip(member, "link set eth0 up");
    }

    /// Runs `ip` in a namespace.
    pub fn ip(&self, member: &str, words: &str) {
        let status = Command::new("ip").args(["-n", &self.name(member)]).args(words.split(' ')).status().unwrap();
        assert!(status.success(), "ip -n {member} {words}");
    }

    /// Runs code on a thread that is in the namespace; sockets and processes that it makes stay there.
    pub fn within<T: Send>(&self, member: &str, code: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(member))).unwrap();
        let run = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            code()
        };
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap()
    }

    /// Starts servers on TCP 8080 and UDP 5353 of a pod that answer with the pod's name and who asks.
    pub fn serve(&self, pod: &'static str) {
        let tcp = self.within(pod, || TcpListener::bind("[::]:8080")).unwrap();
        let udp = self.within(pod, || UdpSocket::bind("[::]:5353")).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = tcp.accept() {
                let _ = write!(stream, "{pod} {}", peer.ip().to_canonical());
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(pod.as_bytes(), peer);
            }
        });
    }

    /// Connects and reads the answer: pod name and the client's address as the pod saw it.
    pub fn get(&self, from: &str, to: &str) -> std::io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.within(from, || {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// A UDP socket in a namespace, connected.
    pub fn udp(&self, from: &str, to: &str) -> UdpSocket {
        self.within(from, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
    }
}

/// Asks over a connected UDP socket.
pub fn ask(socket: &UdpSocket) -> std::io::Result<String> {
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

impl Drop for Net {
    fn drop(&mut self) {
        for member in MEMBERS {
            let _ = Command::new("ip").args(["netns", "del", &self.name(member)]).output();
        }
    }
}
