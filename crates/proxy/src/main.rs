//! `kube-proxy`

use std::process::ExitCode;

use component::flags::parse_or_exit;
use proxy::flags::{Flags, RETIRED};

fn main() -> ExitCode {
    let flags: Flags = parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-proxy", &logging, |daemon| proxy::app::start(daemon, flags))
}
