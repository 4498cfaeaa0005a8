//! Other servers that are asked over HTTPS: at the address that a kubeconfig names ([`Connection`]), or that an object
//! names, by a service or a URL ([`Server`], and [`Connector`] for those that are asked anything).

mod answer;
mod connection;
mod connector;
mod place;
mod server;
mod service;
mod trust;

pub use connection::Connection;
pub use connector::Connector;
pub use place::Place;
pub use server::{CallError, Server, Settings, innermost};
pub use service::{Otherwise, addresses, slices};
pub use trust::{Belief, tls};
