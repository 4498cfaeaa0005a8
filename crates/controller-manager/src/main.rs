//! `kube-controller-manager`.

fn main() {}
