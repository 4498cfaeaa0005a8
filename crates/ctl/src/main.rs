//! `ctl`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = ctl::cli::Cli::parse();
    component::daemon::install_crypto_provider();
    if cli.global.v > 5 {
        component::daemon::init_logging(&component::flags::LoggingFlags { v: cli.global.v });
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(ctl::commands::run(cli));
    // Reading standard input cannot be interrupted: do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
