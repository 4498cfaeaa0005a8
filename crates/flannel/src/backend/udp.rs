//! A tunnel of our own: the kernel gives packets of the network to a device, from which they are read here, and sent in
//! datagrams to the node that has the subnet. For networks that let nothing else through.
//!
//! ```text
//! pod → tun device → read, look up, wrap → UDP → unwrap, check → tun device → pod
//! ```
//!
//! On the wire it is upstream's `udp` backend: a datagram is an IPv4 packet.

mod checksum;
mod packet;
mod receiver;
mod sender;
mod tcp;
mod tun;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Context;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::RwLock;

use super::Leases;
use receiver::Receiver;
use sender::Sender;
use tun::Tun;

/// The device's name.
pub const DEVICE: &str = "flannel0";
/// Bytes that wait in the socket: at 10 Gbit/s, those of 3 ms.
const SOCKET_BUFFER: usize = 4 << 20;
/// Devices of this many queues at most; each has a thread.
const MAX_QUEUES: usize = 4;

/// Which node has which subnet: sorted, and none overlaps another.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<(Ipv4Net, Ipv4Addr)>,
}

impl Table {
    /// The table of these leases.
    #[must_use]
    pub fn new(peers: &Leases) -> Self {
        Self { entries: peers.iter().map(|(subnet, lease)| (*subnet, lease.attributes.public_ip)).collect() }
    }

    /// The node that has this address.
    #[must_use]
    pub fn node_of(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let after = self.entries.partition_point(|(subnet, _)| subnet.network() <= ip);
        let (subnet, node) = self.entries.get(after.checked_sub(1)?)?;
        subnet.contains(&ip).then_some(*node)
    }
}

/// The tunnel. It runs on threads of its own for as long as the process does.
#[derive(Clone, Debug)]
pub struct Tunnel {
    table: Arc<RwLock<Table>>,
}

/// What a tunnel is made of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where datagrams of the other nodes arrive.
    pub listen: SocketAddrV4,
    /// This node's part of the network.
    pub subnet: Ipv4Net,
}

impl Tunnel {
    /// Opens the device and the socket, and starts forwarding. The device has no address yet and is not up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let queues = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_QUEUES);
        let socket = UdpSocket::bind(settings.listen).with_context(|| format!("binding UDP {}", settings.listen))?;
        setsockopt(&socket, sockopt::UdpGroSegment, &true).context("UDP_GRO")?;
        setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).context("SO_RCVBUFFORCE")?;
        setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER).context("SO_SNDBUFFORCE")?;
        let socket = Arc::new(socket);
        let tunnel = Self { table: Arc::default() };
        for queue in 0..queues {
            let device = Arc::new(Tun::open(DEVICE).with_context(|| format!("opening {DEVICE}"))?);
            let (table, socket_of_queue) = (Arc::clone(&tunnel.table), Arc::clone(&socket));
            let sender = Sender { device: Arc::clone(&device), socket: socket_of_queue, table, settings };
            spawn(format!("tun-{queue}"), move || sender.run())?;
            if queue == 0 {
                let receiver =
                    Receiver { device, socket: Arc::clone(&socket), table: Arc::clone(&tunnel.table), settings };
                spawn("udp".to_owned(), move || receiver.run())?;
            }
        }
        Ok(tunnel)
    }

    /// Which node has which subnet from now on.
    pub fn set(&self, table: Table) {
        *self.table.write() = table;
    }
}

fn spawn(name: String, run: impl FnOnce() -> io::Error + Send + 'static) -> io::Result<()> {
    let body = move || {
        let error = run();
        // Without it the network is cut: started again, the daemon begins anew.
        tracing::error!("the tunnel broke: {error}");
        std::process::exit(1);
    };
    std::thread::Builder::new().name(name).spawn(body).map(drop)
}

fn wait(device: &impl AsFd) -> io::Result<()> {
    let mut readable = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
    match poll(&mut readable, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_finds_the_node() {
        let entry = |net: &str, node: u8| (net.parse().unwrap(), Ipv4Addr::new(192, 168, 0, node));
        let table = Table { entries: vec![entry("10.5.1.0/24", 1), entry("10.5.2.0/25", 2), entry("10.5.4.0/22", 4)] };
        let cases = [
            ("10.5.1.7", Some(1)),
            ("10.5.2.127", Some(2)),
            ("10.5.2.128", None),
            ("10.5.7.255", Some(4)),
            ("10.5.0.1", None),
        ];
        for (ip, node) in cases {
            let expected = node.map(|node| Ipv4Addr::new(192, 168, 0, node));
            assert_eq!(table.node_of(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
