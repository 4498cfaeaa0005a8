//! `kube-scheduler`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scheduler::main()
}
