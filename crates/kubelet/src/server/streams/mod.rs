//! Sessions with a container's processes: `/exec/…` and `/attach/…`.
//!
//! [`requests`] finds out what is wanted, [`session`] holds the conversation, and a [`transport`] carries it.
//! Only transports know how bytes travel; [`TRANSPORTS`] lists them.

mod requests;
mod session;
mod status;
mod transport;
mod websocket;

pub(super) use self::requests::{attach, attach_with_uid, exec, exec_with_uid};
use self::transport::Accept;

/// Every transport, in the order in which a request is shown to them. The first that knows it takes it.
const TRANSPORTS: [Accept; 1] = [websocket::accept];
