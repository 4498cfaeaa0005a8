//! `kubelet`.

use std::process::ExitCode;

use component::flags::parse_or_exit;
use kubelet::config::Config;
use kubelet::flags::{Flags, RETIRED};

fn main() -> ExitCode {
    let flags: Flags = parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kubelet", &logging, |daemon| async move {
        kubelet::app::start(daemon, Config::new(flags)?).await
    })
}
