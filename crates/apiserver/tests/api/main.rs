//! The server as clients see it: in process, over real HTTP.
#![allow(clippy::unwrap_used, missing_docs)]

mod admission;
mod audit;
mod client;
mod connect;
mod deletion;
mod errors;
mod events;
mod kinds;
mod lagging_cache;
mod limits;
mod lists;
mod namespaces;
mod paths;
mod pods;
mod protobuf;
mod rbac;
mod registry;
mod representations;
mod reviews;
mod runtime_kinds;
mod services;
mod shown_kinds;
mod tls;
mod watches;
mod writes;
