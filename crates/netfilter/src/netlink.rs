//! Netlink messages of the netfilter subsystems, as far as they are needed here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// `NLMSG_ERROR`, which also acknowledges.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(crate) const DONE: u16 = 3;
/// `NLM_F_REQUEST`
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`
pub(crate) const ACK: u16 = 4;
/// `NLM_F_ROOT | NLM_F_MATCH`
pub(crate) const DUMP: u16 = 0x300;
/// `NLA_F_NESTED`
pub(crate) const NESTED: u16 = 0x8000;
/// Flags within an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// `struct nlmsghdr`
const HEADER: usize = 16;
/// `struct nfgenmsg`
const SUBHEADER: usize = 4;
/// Larger than any message that the kernel puts together for a dump.
pub(crate) const BUFFER: usize = 64 << 10;

/// A message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Subsystem and kind.
    pub kind: u16,
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The address family, for messages of netfilter.
    pub fn family(self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// The attributes, for messages of netfilter.
    pub fn attributes(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        attributes(self.body.get(SUBHEADER..).unwrap_or_default())
    }

    /// The error of an [`ERROR`] message; 0 acknowledges.
    pub fn error(self) -> i32 {
        self.body.first_chunk().map_or(0, |bytes| -i32::from_ne_bytes(*bytes))
    }
}

/// The messages in a buffer; what is cut off or malformed ends them.
pub(crate) fn messages(mut buffer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*buffer.first_chunk()?) as usize;
        let (kind, sequence) = (u16::from_ne_bytes(two(buffer, 4)?), u32::from_ne_bytes(four(buffer, 8)?));
        let body = buffer.get(HEADER..length)?;
        buffer = buffer.get(aligned(length)..).unwrap_or_default();
        Some(Message { kind, sequence, body })
    })
}

/// The attributes in a buffer; what is cut off or malformed ends them.
pub(crate) fn attributes(mut buffer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(two(buffer, 0)?));
        let kind = u16::from_ne_bytes(two(buffer, 2)?) & TYPE_MASK;
        let value = buffer.get(4..length)?;
        buffer = buffer.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn two(buffer: &[u8], at: usize) -> Option<[u8; 2]> {
    buffer.get(at..)?.first_chunk().copied()
}

fn four(buffer: &[u8], at: usize) -> Option<[u8; 4]> {
    buffer.get(at..)?.first_chunk().copied()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Appends a message with these attributes.
pub(crate) fn append(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    attributes: &[(u16, &[u8])],
) {
    let length: usize = attributes.iter().map(|(_, value)| aligned(4 + value.len())).sum();
    let length = u32::try_from(HEADER + SUBHEADER + length).unwrap_or(u32::MAX);
    buffer.extend(length.to_ne_bytes());
    buffer.extend(kind.to_ne_bytes());
    buffer.extend(flags.to_ne_bytes());
    buffer.extend(sequence.to_ne_bytes());
    // The kernel fills in who sends it.
    buffer.extend([0; 4]);
    buffer.extend([family, 0, 0, 0]);
    for (kind, value) in attributes {
        buffer.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
        buffer.extend(kind.to_ne_bytes());
        buffer.extend(*value);
        buffer.resize(aligned(buffer.len()), 0);
    }
}

/// A socket to netfilter, in the network namespace of the calling thread, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Socket(pub OwnedFd);

impl Socket {
    /// Opens one that hears the multicast groups of this mask.
    pub fn open(groups: u32, flags: SockFlag) -> io::Result<Self> {
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Sends messages.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), messages, MsgFlags::empty())?;
        Ok(())
    }

    /// Receives some messages.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let length = recv(self.0.as_raw_fd(), buffer, MsgFlags::empty())?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written() {
        let mut buffer = Vec::new();
        append(&mut buffer, 0x0102, REQUEST, 7, 2, &[(1, b"abc"), (2 | NESTED, &[])]);
        append(&mut buffer, 0x0103, REQUEST, 8, 10, &[]);
        let read: Vec<Message<'_>> = messages(&buffer).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence, read[0].family()), (0x0102, 7, 2));
        assert_eq!(read[0].attributes().collect::<Vec<_>>(), [(1, &b"abc"[..]), (2, &[][..])]);
        assert_eq!((read[1].family(), read[1].attributes().count()), (10, 0));
    }

    #[test]
    fn what_is_malformed_ends_the_reading() {
        for bytes in [&[][..], &[1], &[0; 16], &[255; 40], &[16, 0, 0, 0, 1, 0]] {
            assert_eq!(messages(bytes).filter(|message| message.attributes().count() > 0).count(), 0);
        }
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
    }
}
