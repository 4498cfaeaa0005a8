//! `kube-apiserver`.

use std::process::ExitCode;

fn main() -> ExitCode {
    apiserver::main()
}
