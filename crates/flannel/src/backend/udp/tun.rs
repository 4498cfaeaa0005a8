//! A device whose packets a program reads and writes (`tun(4)`).
#![allow(unsafe_code, reason = "the ioctl that makes the device")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

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
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the file is open; this command reads and writes the `ifreq`, which outlives the call.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &raw mut request) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(file)) }
    }

    /// Reads a packet; `WouldBlock` when there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Writes a packet, which the kernel then takes for one that arrived.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<usize> {
        (&self.0).write(packet)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
