//! `kube-dns`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dns::main()
}
