//! `flanneld`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flannel::main()
}
