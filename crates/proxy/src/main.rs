//! `kube-proxy`.

fn main() {}
