//! SCTP without a kernel that speaks it: what begins an association is written byte by byte, and read from the wire.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket,
};
use nix::sys::time::TimeVal;

use crate::net::Net;

/// The number of SCTP in IP headers.
const SCTP: u8 = 132;
/// As long an Ethernet header is.
const ETHERNET: usize = 14;
/// As long an IP header without options is.
const IP: usize = 20;

/// Begins an association with `to`, and answers from where to where the packet goes that `pod` receives.
pub fn association(net: &Net, from: &str, to: SocketAddrV4, pod: &str) -> Option<(Ipv4Addr, SocketAddrV4)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let open = || socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
    let wire = net.within(pod, open);
    setsockopt(&wire, ReceiveTimeout, &TimeVal::new(2, 0)).unwrap();
    net.within(from, || {
        let sender = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw).unwrap();
        sendto(sender.as_raw_fd(), &init(to), &SockaddrIn::from(to), MsgFlags::empty()).unwrap();
    });
    let mut frame = [0; 2048];
    loop {
        let length = recv(wire.as_raw_fd(), &mut frame, MsgFlags::empty()).ok()?;
        let packet = frame.get(ETHERNET..length)?;
        if frame[12..14] == [8, 0] && packet.get(9) == Some(&SCTP) {
            let address = |at: usize| Ipv4Addr::from(*packet[at..].first_chunk::<4>().unwrap());
            let port = u16::from_be_bytes(*packet[IP + 2..].first_chunk().unwrap());
            return Some((address(12), SocketAddrV4::new(address(16), port)));
        }
    }
}

/// A packet with an INIT chunk (RFC 9260, 3.3.2). The kernel fills in source, length, and the checksum of IP.
fn init(to: SocketAddrV4) -> Vec<u8> {
    let mut association = [4000_u16.to_be_bytes(), to.port().to_be_bytes()].concat();
    // Verification tag, and room for the checksum.
    association.extend([0; 8]);
    // INIT, no flags, 20 bytes: tag, window, streams out and in, first number.
    association.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let checksum = crc32c(&association).to_le_bytes();
    association[8..12].copy_from_slice(&checksum);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, SCTP, 0, 0, 0, 0, 0, 0];
    packet.extend(to.ip().octets());
    packet.extend(association);
    packet
}

/// CRC-32C (Castagnoli), as RFC 9260, appendix A, has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
