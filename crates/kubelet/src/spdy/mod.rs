//! SPDY/3.1 on the wire, of which both ends are here: the kubelet's API serves it ([`crate::server`]), and container
//! runtimes' streaming servers are spoken to in it ([`crate::runtime::cri`]).

mod dictionary;
pub(crate) mod frame;
pub(crate) mod headers;
