//! One setting of a network device, which netlink does not have on all kernels.
#![allow(unsafe_code, reason = "an ioctl that takes a pointer within its argument")]

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `ETHTOOL_STXCSUM` of `linux/ethtool.h`: whether the device computes checksums of what it sends.
const SET_TX_CHECKSUM: u32 = 0x17;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Makes the kernel compute the checksums of what a device sends. Many network cards compute those of packets in tunnels wrongly, which
/// shows as connections that hang.
///
/// # Errors
/// When the device is not there, or the kernel refuses.
pub(super) fn without_checksum_offload(name: &str) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command: SET_TX_CHECKSUM, data: 0 };
    // SAFETY: all bytes zero is a valid `ifreq`, whose fields are numbers, arrays and pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the socket is open; `request` holds a name that ends with NUL and a pointer to an `ethtool_value`, which
    // is what this command reads; both outlive the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
