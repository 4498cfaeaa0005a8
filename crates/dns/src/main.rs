//! `kube-dns`.

fn main() {}
