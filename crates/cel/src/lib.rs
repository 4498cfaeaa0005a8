//! The Common Expression Language, as Kubernetes 1.36 has it.
//!
//! ```text
//! text ── parse ─► Expr ── check (Env) ─► Checked ── plan ─► Program ── evaluate (Variables, limit) ─► Value
//! ```
//!
//! Expressions come from whoever may write a policy, and values from whoever sends a request, so that each step is
//! bounded: the length and the nesting of the text, the size of types, and the work and memory of an evaluation, which
//! [`Meter`] counts in upstream's units of cost. Nothing here panics, waits, or knows of Kubernetes' objects: what does
//! is a [`Library`] that somebody adds to an [`Env`].
//!
//! Errors of compilation are in cel-go's words, because clients show and compare them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ast;
mod check;
mod cost;
mod env;
mod estimate;
mod evaluate;
mod functions;
mod issues;
mod parse;
mod plan;
mod types;
mod value;

pub use cost::Meter;
pub use env::{Env, ObjectType};
pub use estimate::{Range, Sizes};
pub use evaluate::{Program, Variables};
pub use functions::{Authorize, Call, Decision, Function, Library, Question, Regexp, Row, libraries};
pub use issues::{Issue, Issues};
pub use parse::{MAX_DEPTH, RESERVED};
pub use types::Type;
pub use value::{Duration, Error, Key, List, Map, Numbers, Object, Opaque, Text, Timestamp, Value};
