//! A device whose packets a program reads and writes (`tun(4)`). Packets have a header before them (`virtio_net_hdr`), which tells
//! that one is longer than the device's are, and to be cut, or that its checksum is still to be made.
#![allow(unsafe_code, reason = "the ioctls that make the device")]

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

/// The longest packet.
pub(super) const MAX_PACKET: usize = 65_535;
/// `struct virtio_net_hdr` of `linux/virtio_net.h`
pub(super) const HEADER: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`
const TCP4: u8 = 1;
/// `TUN_F_CSUM | TUN_F_TSO4`: what the reader does, so that the kernel need not.
const OFFLOADS: libc::c_ulong = 0x01 | 0x02;

/// What the header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offload {
    /// A packet like any other.
    None,
    /// The sum over the bytes from `start` on belongs `offset` bytes behind that.
    Checksum { start: usize, offset: usize },
    /// TCP segments of so many bytes are to be made.
    Segments { size: usize },
}

impl Offload {
    /// Reads a header; `None` when it asks for what was not agreed on.
    pub(super) fn read(header: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        match (header[1], header[0] & NEEDS_CHECKSUM) {
            (0, 0) => Some(Self::None),
            (0, _) => Some(Self::Checksum { start: number(6), offset: number(8) }),
            (TCP4, _) => Some(Self::Segments { size: number(4) }).filter(|_| number(4) > 0),
            _ => None,
        }
    }

    /// The header of a TCP packet that the kernel may cut, with headers of this length, into segments of this size.
    pub(super) fn segments(header_length: usize, size: usize) -> [u8; HEADER] {
        let number = |value: usize| u16::try_from(value).unwrap_or_default().to_ne_bytes();
        let ([a, b], [c, d], [e, f], [g, h]) = (number(header_length), number(size), number(20), number(16));
        [NEEDS_CHECKSUM, TCP4, a, b, c, d, e, f, g, h]
    }
}

/// One queue of a device.
#[derive(Debug)]
pub(super) struct Tun(File);

impl Tun {
    /// Opens another queue of the device, which is made by the first and goes away with the last.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        // SAFETY: all bytes zero is a valid `ifreq`, whose fields are numbers, arrays and pointers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the file is open; this command reads and writes the `ifreq`, which outlives the call.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &raw mut request) };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the file is a queue of a device; this command takes a number.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD as libc::Ioctl, OFFLOADS) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(file)) }
    }

    /// Reads a packet with its header; `WouldBlock` when there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Writes a packet, which the kernel then takes for one that arrived.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<usize> {
        self.write_parts(&[IoSlice::new(&[0; HEADER]), IoSlice::new(packet)])
    }

    /// Writes a packet that is in parts, of which the header is the first.
    pub(super) fn write_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(parts)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
