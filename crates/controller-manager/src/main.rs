//! `kube-controller-manager`.

use std::process::ExitCode;

use controller_manager::options::{Flags, RETIRED};

fn main() -> ExitCode {
    let flags: Flags = component::flags::parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-controller-manager", &logging, |daemon| controller_manager::run(flags, daemon))
}
