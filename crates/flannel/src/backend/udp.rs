//! A tunnel of our own: the kernel gives packets of the network to a device, from which they are read here, and sent in
//! datagrams to the node that has the subnet. For networks that let nothing else through.
//!
//! ```text
//! pod → tun device → read, look up, wrap → UDP → unwrap, check → tun device → pod
//! ```
//!
//! On the wire it is upstream's `udp` backend: a datagram is an IPv4 packet.

mod packet;
mod tun;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use anyhow::Context;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use parking_lot::RwLock;

use super::Leases;
use tun::Tun;

/// The device's name.
pub const DEVICE: &str = "flannel0";
/// Packets that are taken at once.
const BATCH: usize = 64;
/// The longest packet, whatever a device's MTU is.
const MAX_PACKET: usize = 65_536 / 8;
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

    fn has_node(&self, node: Ipv4Addr) -> bool {
        self.entries.iter().any(|(_, one)| *one == node)
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
    /// The network.
    pub network: Ipv4Net,
    /// This node's part of it.
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

/// From the device to the other nodes.
struct Sender {
    device: Arc<Tun>,
    socket: Arc<UdpSocket>,
    table: Arc<RwLock<Table>>,
    settings: Settings,
}

impl Sender {
    fn run(self) -> io::Error {
        let mut buffers = vec![[0_u8; MAX_PACKET]; BATCH];
        loop {
            if let Err(error) = wait(self.device.as_fd()) {
                return error;
            }
            let mut batch: Vec<(usize, usize, SockaddrIn)> = Vec::with_capacity(BATCH);
            for (number, buffer) in buffers.iter_mut().enumerate() {
                match self.device.read(buffer) {
                    Ok(length) => batch.extend(self.route(&mut buffer[..length]).map(|to| (number, length, to))),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return error,
                }
            }
            self.send(&buffers, &batch);
        }
    }

    /// Where a packet goes. Whoever sent one that goes nowhere is told.
    fn route(&self, packet: &mut [u8]) -> Option<SockaddrIn> {
        let destination = packet::destination(packet)?;
        let node = self.table.read().node_of(destination);
        let refusal = match node {
            None => packet::Refusal::NetworkUnreachable,
            Some(_) if !packet::decrement_ttl(packet) => packet::Refusal::TimeExceeded,
            Some(node) => return Some(SocketAddrV4::new(node, self.settings.listen.port()).into()),
        };
        if let Some(answer) = packet::refuse(packet, refusal, self.settings.subnet.network()) {
            let _ = self.device.write(&answer);
        }
        None
    }

    fn send(&self, buffers: &[[u8; MAX_PACKET]], batch: &[(usize, usize, SockaddrIn)]) {
        let mut rest = batch;
        while !rest.is_empty() {
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(rest.len(), None);
            let slices: Vec<[io::IoSlice<'_>; 1]> =
                rest.iter().map(|(number, length, _)| [io::IoSlice::new(&buffers[*number][..*length])]).collect();
            let addresses: Vec<Option<SockaddrIn>> = rest.iter().map(|(_, _, to)| Some(*to)).collect();
            let fd = self.socket.as_raw_fd();
            let sent = sendmmsg(fd, &mut headers, &slices, &addresses, [], MsgFlags::empty()).map(Iterator::count);
            // A datagram that cannot be sent is lost, as packets are; what is behind it is not.
            let done = match sent {
                Ok(count) => count.max(1),
                Err(Errno::EINTR) => 0,
                Err(_) => 1,
            };
            rest = &rest[done.min(rest.len())..];
        }
    }
}

/// From the other nodes to the device.
struct Receiver {
    device: Arc<Tun>,
    socket: Arc<UdpSocket>,
    table: Arc<RwLock<Table>>,
    settings: Settings,
}

impl Receiver {
    fn run(self) -> io::Error {
        let mut buffers = vec![[0_u8; MAX_PACKET]; BATCH];
        loop {
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
            let received: Vec<(usize, Option<SockaddrIn>)> = {
                let mut slices: Vec<[io::IoSliceMut<'_>; 1]> =
                    buffers.iter_mut().map(|buffer| [io::IoSliceMut::new(buffer)]).collect();
                let fd = self.socket.as_raw_fd();
                match recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
                    Ok(messages) => messages.map(|message| (message.bytes, message.address)).collect(),
                    // Reports of what other nodes did not take.
                    Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => continue,
                    Err(error) => return error.into(),
                }
            };
            for (buffer, (length, from)) in buffers.iter_mut().zip(received) {
                let packet = &mut buffer[..length];
                if from.is_some_and(|from| self.admits(from.ip(), packet)) && packet::decrement_ttl(packet) {
                    let _ = self.device.write(packet);
                }
            }
        }
    }

    /// Only nodes of the network, and only to pods of this one: the tunnel is no way for others into this machine.
    fn admits(&self, from: Ipv4Addr, packet: &[u8]) -> bool {
        let to_us = packet::destination(packet).is_some_and(|ip| self.settings.subnet.contains(&ip));
        let inside = packet::source(packet).is_some_and(|ip| self.settings.network.contains(&ip));
        to_us && inside && self.table.read().has_node(from)
    }
}

fn wait(device: BorrowedFd<'_>) -> io::Result<()> {
    let mut readable = [PollFd::new(device, PollFlags::POLLIN)];
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
        assert!(table.has_node(Ipv4Addr::new(192, 168, 0, 2)) && !table.has_node(Ipv4Addr::new(192, 168, 0, 3)));
    }
}
