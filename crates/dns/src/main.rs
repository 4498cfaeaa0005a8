//! `kube-dns`

use std::process::ExitCode;

use component::flags::parse_or_exit;
use dns::flags::{Flags, RETIRED};

fn main() -> ExitCode {
    let flags: Flags = parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-dns", &logging, |daemon| dns::app::start(daemon, flags))
}
