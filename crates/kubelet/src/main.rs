//! `kubelet`.

fn main() {}
