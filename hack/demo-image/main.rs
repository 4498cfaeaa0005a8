//! The demo image's web server, on port 8080, with nothing but the standard library. A datagram to that port is answered, too.
//!
//! `/` answers one line, the version and the pod's name; `/ready` is for a readiness probe. On SIGTERM it stops being
//! ready at once and goes on answering for the drain time, because proxies learn later than the server that the pod
//! is going; then it finishes what is in flight and exits with 0.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

const PORT: u16 = 8080;
/// How long requests are still answered after SIGTERM.
const DRAIN: Duration = Duration::from_secs(3);
/// How long requests in flight may take after that.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(30);
/// Longest request line or header.
const LONGEST_LINE: u64 = 8 << 10;

static DRAINING: AtomicBool = AtomicBool::new(false);
/// Requests that are being answered, and who waits for the last.
static IN_FLIGHT: Mutex<usize> = Mutex::new(0);
static ANSWERED: Condvar = Condvar::new();

fn main() {
    signals::block();
    let listener = TcpListener::bind(("0.0.0.0", PORT)).expect("port 8080 is free");
    println!("{} listens on port {PORT}", greeting().trim_end());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let datagrams = UdpSocket::bind(("0.0.0.0", PORT)).expect("port 8080 is free");
    thread::spawn(move || {
        while let Ok((_, from)) = datagrams.recv_from(&mut [0; 512]) {
            let _ = datagrams.send_to(greeting().as_bytes(), from);
        }
    });
    signals::wait();
    println!("draining");
    DRAINING.store(true, Ordering::SeqCst);
    thread::sleep(DRAIN);
    let busy = IN_FLIGHT.lock().expect("no thread panics with the lock");
    let (_busy, _) = ANSWERED.wait_timeout_while(busy, LAST_REQUESTS, |busy| *busy > 0).expect("nor here");
    println!("stopped");
}

/// Answers the requests of one connection, one after the other.
fn serve(stream: TcpStream) {
    let prepared = stream.set_read_timeout(Some(IDLE)).and_then(|()| stream.set_nodelay(true));
    let Ok(reader) = prepared.and_then(|()| stream.try_clone()) else { return };
    let mut reader = BufReader::new(reader);
    while let Some(request) = Request::read(&mut reader) {
        *IN_FLIGHT.lock().expect("no thread panics with the lock") += 1;
        let goes_on = answer(&stream, &request);
        *IN_FLIGHT.lock().expect("no thread panics with the lock") -= 1;
        ANSWERED.notify_all();
        if !goes_on {
            return;
        }
    }
}

struct Request {
    method: String,
    path: String,
    keep_alive: bool,
}

impl Request {
    /// `None` at the end of the connection, and for what is not HTTP.
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let first = line(reader)?;
        let mut words = first.split_whitespace();
        let (method, path, version) = (words.next()?, words.next()?, words.next()?);
        let mut headers = HashMap::new();
        loop {
            let line = line(reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        }
        let connection = headers.get("connection").map(String::as_str);
        // A body is never read, so the connection cannot be used again after one.
        let has_body = headers.get("content-length").is_some_and(|length| length != "0")
            || headers.contains_key("transfer-encoding");
        let wants = if version == "HTTP/1.0" { connection == Some("keep-alive") } else { connection != Some("close") };
        Some(Self { method: method.to_owned(), path: path.to_owned(), keep_alive: wants && !has_body })
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = std::io::Read::take(reader, LONGEST_LINE).read_line(&mut line).ok()?;
    (length > 0 && line.ends_with('\n')).then(|| line.trim_end().to_owned())
}

/// Whether the connection can be used again.
fn answer(mut stream: &TcpStream, request: &Request) -> bool {
    let draining = DRAINING.load(Ordering::SeqCst);
    let path = request.path.split('?').next().unwrap_or_default();
    let (status, body) = match path {
        "/" => ("200 OK", greeting()),
        "/ready" if draining => ("503 Service Unavailable", "draining\n".to_owned()),
        "/ready" | "/healthz" => ("200 OK", "ok\n".to_owned()),
        _ => ("404 Not Found", "not found\n".to_owned()),
    };
    // A client that is told to close finds another pod for its next request.
    let keep_alive = request.keep_alive && !draining;
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    let body = if request.method == "HEAD" { "" } else { &body };
    println!("{} {path} {status}", request.method);
    stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).is_ok() && keep_alive
}

/// The version and the pod's name.
fn greeting() -> String {
    let version = env::var("DEMO_VERSION").unwrap_or_else(|_| "v0".to_owned());
    let pod = env::var("POD_NAME").or_else(|_| env::var("HOSTNAME")).unwrap_or_else(|_| "nowhere".to_owned());
    format!("demo {version} {pod}\n")
}

/// SIGTERM and SIGINT, through the C library, because the standard library has no signals.
mod signals {
    use std::ffi::c_int;

    /// `sigset_t` of glibc: 1024 bits.
    type SignalSet = [u64; 16];

    const SIG_BLOCK: c_int = 0;
    const SIGINT: usize = 2;
    const SIGTERM: usize = 15;
    const WANTED: SignalSet = {
        let mut set = [0; 16];
        set[0] = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1);
        set
    };

    unsafe extern "C" {
        fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
        fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    }

    /// Keeps them until [`wait`], in this thread and those it starts. Process 1 of a container would otherwise not
    /// get them at all.
    pub fn block() {
        // SAFETY: the set is a valid sigset_t, and a null pointer means that the old one is not wanted.
        unsafe { pthread_sigmask(SIG_BLOCK, &WANTED, std::ptr::null_mut()) };
    }

    /// Waits for one.
    pub fn wait() {
        let mut signal = 0;
        // SAFETY: both pointers are valid for the call.
        unsafe { sigwait(&WANTED, &mut signal) };
    }
}
