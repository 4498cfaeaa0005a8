//! What systemd is told: that a daemon is ready, that it is alive, that it stops. See `sd_notify(3)`.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use crate::liveness::Liveness;

/// What a daemon says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Ready,
    /// It is alive.
    Alive,
    /// It is about to end.
    Stopping,
}

impl State {
    const fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Alive => b"WATCHDOG=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Who started the daemon, as far as it asked to be told.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Whom `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` name.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name| env::var(name).ok();
        Self {
            socket: env::var_os("NOTIFY_SOCKET"),
            watchdog: watchdog(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref(), std::process::id()),
        }
    }

    /// Tells, if anybody asked. What cannot be told is logged.
    pub fn tell(&self, state: State) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket, state.message())
        {
            tracing::warn!(?state, "telling systemd: {error}");
        }
    }

    /// Tells that the daemon is alive, twice as often as it must, for as long as it is: whoever hears nothing starts it
    /// again. Returns at once when nobody asked, otherwise never.
    pub async fn keep_telling(self, liveness: Liveness) {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else { return };
        let mut turns = tokio::time::interval(limit / 2);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match liveness.check() {
                Ok(()) => self.tell(State::Alive),
                Err(why) => tracing::error!("systemd is not told that this is alive: {why}"),
            }
        }
    }
}

/// The limit, if it is meant for this process.
fn watchdog(microseconds: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|microseconds| *microseconds > 1)?;
    Some(Duration::from_micros(microseconds))
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the daemon.
    datagram.set_nonblocking(true)?;
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => datagram.send_to_addr(message, &SocketAddr::from_abstract_name(name)?)?,
        None => datagram.send_to(message, socket)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    fn said(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 64];
        let read = std::iter::from_fn(|| manager.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        read.map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn the_limit_is_of_this_process() {
        let cases = [
            (Some("30000000"), None, Some(30)),
            (Some("30000000"), Some("7"), Some(30)),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (Some("30 s"), None, None),
            (None, Some("7"), None),
        ];
        for (microseconds, process, seconds) in cases {
            let limit = watchdog(microseconds, process, 7);
            assert_eq!(limit, seconds.map(Duration::from_secs), "{microseconds:?} {process:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_says_that_it_is_alive_for_as_long_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier { socket: Some(path.into()), watchdog: Some(Duration::from_secs(10)) };
        let (liveness, well) = (Liveness::default(), Arc::new(AtomicBool::new(true)));
        let seen = Arc::clone(&well);
        liveness.add("loop", move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("it hangs".to_owned()) });
        notifier.tell(State::Ready);
        let task = tokio::spawn(notifier.clone().keep_telling(liveness));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(said(&manager), ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
        well.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(said(&manager).is_empty(), "while a part hangs");
        well.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(said(&manager), ["WATCHDOG=1"]);
        notifier.tell(State::Stopping);
        assert_eq!(said(&manager), ["STOPPING=1"]);
        task.abort();
    }

    #[tokio::test]
    async fn nobody_need_be_told() {
        let unheard = Notifier { socket: Some("/nonexistent/notify".into()), watchdog: None };
        for notifier in [Notifier::default(), unheard] {
            notifier.tell(State::Ready);
            notifier.keep_telling(Liveness::default()).await;
        }
    }
}
