//! Sessions with a container's processes, `/exec/…` and `/attach/…`, and with a pod's ports, `/portForward/…`.
//!
//! [`requests`] finds out what is wanted, [`session`] holds the conversation, and a [`transport`] carries it.
//! Only transports know how bytes travel; [`TRANSPORTS`] lists them.

mod port_forward;
mod requests;
mod session;
mod spdy;
mod status;
mod transport;
mod websocket;

pub(super) use self::port_forward::{port_forward, port_forward_with_uid};
pub(super) use self::requests::{attach, attach_with_uid, exec, exec_with_uid};
#[cfg(test)]
pub(super) use self::spdy::testing;
use self::transport::Accept;

/// Every transport, in the order in which a request is shown to them. The first that knows it takes it.
const TRANSPORTS: [Accept; 2] = [websocket::accept, spdy::accept];
