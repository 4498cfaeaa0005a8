//! `kube-scheduler`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let flags: scheduler::app::Flags = component::flags::parse_or_exit(scheduler::app::RETIRED);
    component::daemon::run("kube-scheduler", &flags.logging.clone(), |daemon| scheduler::app::start(flags, daemon))
}
