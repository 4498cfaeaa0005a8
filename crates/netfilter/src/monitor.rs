//! Notice of changes to tables.

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;

use nix::sys::socket::SockFlag;
use tokio::net::UnixDatagram;

use crate::netlink::{BUFFER, Message, Socket, messages};
use crate::transaction::Table;

/// `NFNLGRP_NFTABLES`, as a bit of the mask of groups.
const GROUP: u32 = 1 << 6;
/// `NFNL_SUBSYS_NFTABLES`, the upper half of the kind of a message.
const SUBSYSTEM: u16 = 10;
/// `NFT_MSG_NEWGEN`, which is not about any table.
const GENERATION: u16 = 15;
/// In every other message: the table's name, terminated with zero.
const TABLE: u16 = 1;

/// Hears of every change to nftables in the network namespace in which it was opened, from then on.
#[derive(Debug)]
pub struct Monitor {
    /// Netlink, in truth: for waiting and receiving, datagrams are datagrams.
    socket: UnixDatagram,
    tables: Vec<Table>,
    buffer: Vec<u8>,
}

/// Something else than nothing was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing about the tables.
    Nothing,
    /// They changed, or may have: more was said than could be listened to.
    Change,
}

impl Monitor {
    /// Begins to listen for changes to these tables. Needs a runtime.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn open(tables: impl IntoIterator<Item = Table>) -> io::Result<Self> {
        let Socket(socket) = Socket::open(GROUP, SockFlag::SOCK_NONBLOCK)?;
        let socket = UnixDatagram::from_std(StdDatagram::from(socket))?;
        Ok(Self { socket, tables: tables.into_iter().collect(), buffer: vec![0; BUFFER] })
    }

    /// Waits until one of the tables changes. May be dropped while it waits.
    ///
    /// # Errors
    /// When listening fails for good.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            if self.hear()? == Heard::Change {
                return Ok(());
            }
        }
    }

    /// Forgets what was said up to now; whether it was about the tables.
    ///
    /// # Errors
    /// When listening fails for good.
    pub fn forget(&mut self) -> io::Result<bool> {
        Ok(self.hear()? == Heard::Change)
    }

    /// Listens until nothing more is said.
    fn hear(&mut self) -> io::Result<Heard> {
        let mut heard = Heard::Nothing;
        loop {
            match self.socket.try_recv(&mut self.buffer) {
                Ok(length) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    if messages(bytes).any(|message| self.tables.iter().any(|table| is_about(message, *table))) {
                        heard = Heard::Change;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => heard = Heard::Change,
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_about(message: Message<'_>, table: Table) -> bool {
    let named = |(kind, name): (u16, &[u8])| kind == TABLE && name.strip_suffix(&[0]) == Some(table.name.as_bytes());
    message.kind >> 8 == SUBSYSTEM
        && message.kind & 0xff != GENERATION
        && message.family() == table.family.number()
        && message.attributes().any(named)
}
