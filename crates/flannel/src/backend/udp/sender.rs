//! From the device to the other nodes. What is one long packet for the kernel leaves as one long datagram, too, which the kernel
//! cuts where it has to (`UDP_SEGMENT`): the way through the kernel is gone once, and not for every packet.

use std::io::{self, IoSlice};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use parking_lot::RwLock;

use super::checksum::Sum;
use super::tun::{HEADER, MAX_PACKET, Offload, Tun};
use super::{Settings, Table, packet, tcp, wait};

/// Packets that are taken at once.
const BATCH: usize = 16;
/// Datagrams that the kernel takes as one (`UDP_MAX_SEGMENTS` of older kernels), and bytes.
const MAX_SEGMENTS: usize = 64;
const MAX_DATAGRAM: usize = 65_507;

/// One queue of the device.
pub(super) struct Sender {
    pub(super) device: Arc<Tun>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) table: Arc<RwLock<Table>>,
    pub(super) settings: Settings,
}

/// A packet that is to be sent.
struct Packet {
    /// In which buffer it is.
    buffer: usize,
    length: usize,
    to: SockaddrIn,
    cut: Option<Cut>,
}

/// How a packet is cut.
struct Cut {
    header_length: usize,
    size: usize,
}

/// Datagrams to one node, of which all but the last are equally long.
#[derive(Default)]
struct Train<'a> {
    slices: Vec<IoSlice<'a>>,
    /// Slices that a datagram has.
    width: usize,
    count: usize,
    size: usize,
    total: usize,
    to: Option<SockaddrIn>,
    is_closed: bool,
}

impl Sender {
    pub(super) fn run(self) -> io::Error {
        let mut buffers = vec![[0_u8; HEADER + MAX_PACKET]; BATCH];
        let mut headers = Vec::new();
        loop {
            if let Err(error) = wait(&*self.device) {
                return error;
            }
            let mut batch = Vec::with_capacity(BATCH);
            for (number, buffer) in buffers.iter_mut().enumerate() {
                match self.device.read(buffer) {
                    Ok(length) => batch.extend(self.take(number, &mut buffer[..length])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return error,
                }
            }
            self.send_all(&buffers, &batch, &mut headers);
        }
    }

    /// What is to be done with what was read: its checksum is made, unless it is cut, which makes one for every part.
    fn take(&self, buffer: usize, read: &mut [u8]) -> Option<Packet> {
        let (header, packet) = read.split_first_chunk_mut::<HEADER>()?;
        let cut = match Offload::read(header)? {
            Offload::None => None,
            Offload::Checksum { start, offset } => {
                let sum = Sum::default().add(packet.get(start..)?).checksum();
                // Of UDP, 0 is none (RFC 768).
                let sum = if sum == [0; 2] { [0xff; 2] } else { sum };
                packet.get_mut(start + offset..start + offset + 2)?.copy_from_slice(&sum);
                None
            }
            Offload::Segments { size } => Some(Cut { header_length: tcp::header_length(packet)?, size }),
        };
        let to = self.route(packet)?;
        Some(Packet { buffer, length: packet.len(), to, cut })
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

    fn send_all(&self, buffers: &[[u8; HEADER + MAX_PACKET]], batch: &[Packet], headers: &mut Vec<u8>) {
        headers.clear();
        let bytes = |one: &Packet| &buffers[one.buffer][HEADER..HEADER + one.length];
        for one in batch {
            if let Some(cut) = &one.cut {
                tcp::segment(bytes(one), cut.header_length, cut.size, headers);
            }
        }
        let mut rest = headers.as_slice();
        let mut train = Train::default();
        for one in batch {
            let Some(cut) = &one.cut else {
                self.couple(&mut train, one.to, &[bytes(one)]);
                continue;
            };
            for payload in bytes(one)[cut.header_length..].chunks(cut.size) {
                let (header, after) = rest.split_at(cut.header_length);
                rest = after;
                self.couple(&mut train, one.to, &[header, payload]);
            }
        }
        self.send(&train);
    }

    /// Couples a datagram to the train; where it does not belong there, the train leaves, and the next begins.
    fn couple<'a>(&self, train: &mut Train<'a>, to: SockaddrIn, parts: &[&'a [u8]]) {
        if !train.takes(to, parts) {
            self.send(train);
            *train = Train::default();
        }
        train.put(to, parts);
    }

    /// A datagram that cannot be sent is lost, as packets are; what is behind it is not.
    fn send(&self, train: &Train<'_>) {
        let Some(to) = train.to else { return };
        let size = u16::try_from(train.size).unwrap_or_default();
        if train.count > 1 && self.send_once(&train.slices, &[ControlMessage::UdpGsoSegments(&size)], to).is_ok() {
            return;
        }
        // Devices that make no checksums, and paths that are narrower than the device: one by one.
        for datagram in train.slices.chunks(train.width) {
            let _ = self.send_once(datagram, &[], to);
        }
    }

    fn send_once(&self, slices: &[IoSlice<'_>], control: &[ControlMessage<'_>], to: SockaddrIn) -> nix::Result<usize> {
        loop {
            match sendmsg(self.socket.as_raw_fd(), slices, control, MsgFlags::empty(), Some(&to)) {
                Err(Errno::EINTR) => {}
                done => return done,
            }
        }
    }
}

impl<'a> Train<'a> {
    fn takes(&self, to: SockaddrIn, parts: &[&[u8]]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let fits = self.count < MAX_SEGMENTS && self.total + length <= MAX_DATAGRAM;
        self.to.is_none()
            || fits && !self.is_closed && self.to == Some(to) && self.width == parts.len() && length <= self.size
    }

    fn put(&mut self, to: SockaddrIn, parts: &[&'a [u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.count == 0 {
            (self.to, self.width, self.size) = (Some(to), parts.len(), length);
        }
        self.slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        self.count += 1;
        self.total += length;
        self.is_closed = length < self.size;
    }
}
