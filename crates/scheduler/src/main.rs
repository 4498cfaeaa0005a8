//! `kube-scheduler`.

fn main() {}
