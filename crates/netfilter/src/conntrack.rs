//! Connection tracking entries: what the kernel remembers of each flow.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{SockFlag, setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

use crate::netlink::{ACK, BUFFER, DONE, DUMP, ERROR, Message, NESTED, REQUEST, Socket, append, attributes, messages};
use crate::transaction::Family;

/// `NFNL_SUBSYS_CTNETLINK`, and what is done there.
const NEW: u16 = 1 << 8;
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// Attributes of an entry.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// Attributes of a direction.
const ADDRESSES: u16 = 1;
const PORTS: u16 = 2;
/// Attributes of ports.
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// How long the kernel may take for an answer.
const PATIENCE_SECONDS: i64 = 10;
/// How many entries one message to the kernel deletes.
const BATCH: usize = 200;

/// The number of UDP in IP headers.
pub const UDP: u8 = 17;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where the client sends to.
    pub to: SocketAddr,
    /// Who answers: an endpoint, or `to` itself when nothing was translated.
    pub answered_by: SocketAddr,
    /// What names it when it is to be deleted, as the kernel wrote it.
    name: Vec<(u16, Vec<u8>)>,
}

impl Flow {
    /// An entry that no kernel has told of.
    #[must_use]
    pub fn new(to: SocketAddr, answered_by: SocketAddr) -> Self {
        Self { to, answered_by, name: Vec::new() }
    }
}

/// Access to the entries of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::open(0, SockFlag::empty())?;
        setsockopt(&socket.0, ReceiveTimeout, &TimeVal::new(PATIENCE_SECONDS, 0))?;
        Ok(Self { socket })
    }

    /// Calls `take` with every flow of a protocol. Blocks.
    ///
    /// # Errors
    /// When the kernel does not tell all.
    pub fn each(&self, family: Family, protocol: u8, mut take: impl FnMut(Flow)) -> io::Result<()> {
        let mut request = Vec::new();
        append(&mut request, GET, REQUEST | DUMP, 1, family.number(), &[]);
        self.socket.send(&request)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            for message in messages(self.socket.receive(&mut buffer)?) {
                match message.kind {
                    NEW => flow(message, protocol).into_iter().for_each(&mut take),
                    DONE => return Ok(()),
                    ERROR => return Err(io::Error::from_raw_os_error(message.error())),
                    _ => {}
                }
            }
        }
    }

    /// Deletes flows; those that have ended meanwhile are no mistake. Blocks.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn delete(&self, family: Family, flows: &[Flow]) -> io::Result<()> {
        for batch in flows.chunks(BATCH) {
            let mut request = Vec::new();
            for (i, flow) in batch.iter().enumerate() {
                let name: Vec<(u16, &[u8])> = flow.name.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
                let last = i + 1 == batch.len();
                // Only the last is acknowledged: what fails is always answered.
                let (flags, sequence) = if last { (REQUEST | ACK, 1) } else { (REQUEST, 0) };
                append(&mut request, DELETE, flags, sequence, family.number(), &name);
            }
            self.socket.send(&request)?;
            self.acknowledged()?;
        }
        Ok(())
    }

    /// Waits for the answer to the last message of a batch.
    fn acknowledged(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut failure = None;
        loop {
            for message in messages(self.socket.receive(&mut buffer)?).filter(|message| message.kind == ERROR) {
                let error = message.error();
                if error != 0 && error != nix::errno::Errno::ENOENT as i32 {
                    failure = Some(io::Error::from_raw_os_error(error));
                }
                if message.sequence == 1 {
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }
}

fn flow(message: Message<'_>, protocol: u8) -> Option<Flow> {
    let find = |wanted: u16| message.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let (original, reply) = (find(ORIGINAL)?, find(REPLY)?);
    let ports = attribute(original, PORTS)?;
    if attribute(ports, PROTOCOL)?.first() != Some(&protocol) {
        return None;
    }
    let to = SocketAddr::new(address(original, [2, 4])?, port(original, DESTINATION_PORT)?);
    let answered_by = SocketAddr::new(address(reply, [1, 3])?, port(reply, SOURCE_PORT)?);
    let named = [(ORIGINAL | NESTED, Some(original)), (ID, find(ID)), (ZONE, find(ZONE))];
    let name = named.into_iter().filter_map(|(kind, value)| Some((kind, value?.to_vec()))).collect();
    Some(Flow { to, answered_by, name })
}

fn attribute(buffer: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(buffer).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn address(direction: &[u8], [v4, v6]: [u16; 2]) -> Option<IpAddr> {
    let addresses = attribute(direction, ADDRESSES)?;
    let short = || Some(IpAddr::from(Ipv4Addr::from(*attribute(addresses, v4)?.first_chunk::<4>()?)));
    let long = || Some(IpAddr::from(Ipv6Addr::from(*attribute(addresses, v6)?.first_chunk::<16>()?)));
    short().or_else(long)
}

fn port(direction: &[u8], kind: u16) -> Option<u16> {
    attribute(attribute(direction, PORTS)?, kind)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
