//! From the other nodes to the device. Datagrams that came as one long one (`UDP_GRO`), and carry packets of one connection, go to the
//! kernel as one long packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use parking_lot::RwLock;

use super::tcp::Train;
use super::tun::{MAX_PACKET, Offload, Tun};
use super::{Settings, Table, packet};

/// Datagrams that are taken at once.
const BATCH: usize = 16;

/// All that arrives.
pub(super) struct Receiver {
    pub(super) device: Arc<Tun>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) table: Arc<RwLock<Table>>,
    pub(super) settings: Settings,
}

/// A datagram, or several of one length from one node, but the last, which may be shorter.
struct Received {
    from: Ipv4Addr,
    length: usize,
    /// Of each.
    size: usize,
}

impl Receiver {
    pub(super) fn run(self) -> io::Error {
        let mut buffers = vec![[0_u8; MAX_PACKET]; BATCH];
        loop {
            match self.receive(&mut buffers) {
                Ok(received) => {
                    for (buffer, one) in buffers.iter_mut().zip(received) {
                        if let Some(Received { from, length, size }) = one {
                            self.deliver(from, &mut buffer[..length], size);
                        }
                    }
                }
                // Reports of what other nodes did not take.
                Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => {}
                Err(error) => return error.into(),
            }
        }
    }

    fn receive(&self, buffers: &mut [[u8; MAX_PACKET]]) -> nix::Result<Vec<Option<Received>>> {
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(buffers.len(), Some(nix::cmsg_space!(i32)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let messages =
            recvmmsg(self.socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
        let read = |message: nix::sys::socket::RecvMsg<'_, '_, SockaddrIn>| {
            let size = message.cmsgs().ok()?.find_map(|control| match control {
                ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
                _ => None,
            });
            let size = size.filter(|size| *size > 0).unwrap_or(MAX_PACKET);
            Some(Received { from: message.address?.ip(), length: message.bytes, size })
        };
        Ok(messages.map(read).collect())
    }

    fn deliver(&self, from: Ipv4Addr, received: &mut [u8], size: usize) {
        let mut train: Option<Train<'_>> = None;
        for packet in received.chunks_mut(size) {
            if !self.admits(from, packet) || !packet::decrement_ttl(packet) {
                continue;
            }
            let packet = &*packet;
            if !train.as_mut().is_some_and(|train| train.couple(packet)) {
                self.write(train.replace(Train::new(packet)));
            }
        }
        self.write(train);
    }

    fn write(&self, train: Option<Train<'_>>) {
        let Some(train) = train else { return };
        // What the kernel does not take is lost, as packets are.
        let _ = if train.is_long() {
            let header = train.header();
            let offload = Offload::segments(header.len(), train.segment_size());
            let payloads = train.payloads.iter().map(|payload| IoSlice::new(payload));
            let parts: Vec<IoSlice<'_>> =
                [&offload[..], &header].into_iter().map(IoSlice::new).chain(payloads).collect();
            self.device.write_parts(&parts)
        } else {
            self.device.write(train.single())
        };
    }

    /// Only from the node that has the sender, and only to pods of this one: the tunnel is no way for others into this machine, and
    /// no node speaks for another's pods.
    fn admits(&self, from: Ipv4Addr, packet: &[u8]) -> bool {
        let to_us = packet::destination(packet).is_some_and(|ip| self.settings.subnet.contains(&ip));
        to_us && packet::source(packet).is_some_and(|ip| self.table.read().node_of(ip) == Some(from))
    }
}
