//! HTTP requests, one or in a loop.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(3);

/// GET /: the body.
///
/// # Errors
/// What went wrong, for a person to read.
pub fn get(address: &str) -> Result<String, String> {
    let socket: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let io = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut stream = TcpStream::connect_timeout(&socket, TIMEOUT).map_err(io("connect"))?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(io("time-out"))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").map_err(io("write"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(io("read"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.trim().to_owned()),
        _ => Err(format!("unexpected answer {answer:?}")),
    }
}

/// Requests, one after the other, until stopped.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What [`Traffic`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests that were answered.
    pub answered: usize,
    /// Requests that were not, and when, since the start.
    pub failures: Vec<(Duration, String)>,
    /// Different answers.
    pub answers: std::collections::BTreeSet<String>,
}

impl Traffic {
    /// Starts asking.
    #[must_use]
    pub fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), address.to_owned());
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                match get(&address) {
                    Ok(answer) => {
                        seen.answered += 1;
                        seen.answers.insert(answer);
                    }
                    Err(error) => seen.failures.push((start.elapsed(), error)),
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        Self { stop, thread }
    }

    /// Stops and tells.
    #[must_use]
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
