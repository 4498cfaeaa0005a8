//! `kube-proxy`.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy::main()
}
