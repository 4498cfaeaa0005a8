//! Other servers that are asked over HTTPS: at the address that a kubeconfig names ([`Connection`]), or that an object
//! names, by a service or a URL ([`Server`]).

mod answer;
mod connection;
mod connector;
mod place;
mod server;
mod service;
mod trust;

pub use connection::Connection;
pub use place::Place;
pub use server::{CallError, Server, Settings};
