//! `kube-apiserver`.

fn main() {}
