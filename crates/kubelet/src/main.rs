//! `kubelet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubelet::main()
}
