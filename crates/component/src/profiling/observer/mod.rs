//! The observing process: the same program, started by a daemon to look at it.
//!
//! A hundred times a second it asks the kernel which threads are running, stops each for as long as it takes to copy its
//! registers and the top of its stack, and works out afterwards which functions these are. When it is killed, the kernel
//! lets go whatever it holds.

mod maps;
mod objects;
mod report;
mod stacks;
mod threads;

use std::{
    io::{self, BufRead, Read, Write},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail, ensure};
use nix::unistd::{Pid, getppid};

use self::{objects::Objects, report::Report, stacks::Stacks, threads::Threads};

/// The first argument of a program that is to observe its parent.
pub(super) const ASKED: &str = "observe-parent";
/// What lies between two looks: no whole number of milliseconds, so that it does not keep step with the daemon's timers.
const PERIOD: Duration = Duration::from_micros(9_901);
/// The longest order, in bytes.
const LONGEST_ORDER: u64 = 1 << 20;

/// When this program was started by a daemon to look at it, does that and ends. To be called first of all.
pub fn observe_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == ASKED) {
        std::process::exit(match observe() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("{error:#}");
                1
            }
        });
    }
}

/// Carries out the order that comes on standard input.
fn observe() -> anyhow::Result<()> {
    let daemon = getppid();
    let mut order = String::new();
    io::stdin().lock().take(LONGEST_ORDER).read_line(&mut order)?;
    let found = match order.trim_end().split_once(' ') {
        Some(("profile", seconds)) => profile(daemon, Duration::from_secs(seconds.parse()?))?,
        Some(("symbols", addresses)) => symbols(daemon, addresses)?,
        _ => bail!("no order is given"),
    };
    io::stdout().write_all(&found).context("telling what was found")
}

fn profile(daemon: Pid, length: Duration) -> anyhow::Result<Vec<u8>> {
    let objects = Objects::of(daemon)?;
    let mut stacks = Stacks::new(&objects);
    let begun = (SystemTime::now(), Instant::now());
    let mut threads = Threads::of(daemon)?;
    let mut next = begun.1 + PERIOD;
    while begun.1.elapsed() < length {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next = (next + PERIOD).max(Instant::now());
        ensure!(getppid() == daemon, "the daemon has ended");
        for running in threads.running()? {
            if let Some(caught) = threads::catch(running.thread).context("stopping a thread")? {
                stacks.count(&caught, running.time);
            }
        }
    }
    let report = Report { stacks: stacks.counted(), objects: &objects, begun: begun.0, length: begun.1.elapsed() };
    report.compressed(PERIOD)
}

fn symbols(daemon: Pid, addresses: &str) -> anyhow::Result<Vec<u8>> {
    let addresses = addresses.split(' ').filter_map(|address| address.parse().ok()).collect();
    let named = Objects::of(daemon)?.name(&addresses);
    Ok(named.iter().fold(String::new(), |all, (address, name)| all + &format!("{address} {name}\n")).into_bytes())
}
