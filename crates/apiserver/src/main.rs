//! `kube-apiserver`.

use std::process::ExitCode;

use apiserver::{App, Config, Flags, RETIRED};
use component::{daemon, flags};

fn main() -> ExitCode {
    let flags: Flags = flags::parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    daemon::run("kube-apiserver", &logging, async |daemon| {
        let app = App::build(Config::new(flags)?, daemon).await?;
        let addresses = app.addresses();
        tracing::info!(secure = ?addresses.secure, insecure = ?addresses.insecure, "serving");
        app.spawn();
        Ok(())
    })
}
