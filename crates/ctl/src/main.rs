//! `ctl`.

fn main() {}
