//! `kube-controller-manager`.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller_manager::main()
}
