//! Connections to ports inside a pod, made from inside its network namespace.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use component::serve::tcp_options;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// How long a connection may take.
const DIAL: Duration = Duration::from_secs(10);

/// A network namespace, held open: it stays the same whatever becomes of the process that it was found by.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/ns/net")).map(Self)
    }

    /// Connects to a port of the loopback inside: 127.0.0.1, then ::1.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(self, port: u16) -> io::Result<TcpStream> {
        let mut failed = None;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let address = SocketAddr::new(address, port);
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                // That of the first says more.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        // A socket belongs to the namespace in which it was made, whoever uses it.
        let socket = TcpSocket::from_std_stream(StdStream::from(self.socket(family).await?));
        let stream = tokio::time::timeout(DIAL, socket.connect(address)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        tcp_options(&stream)?;
        Ok(stream)
    }

    async fn socket(&self, family: AddressFamily) -> io::Result<OwnedFd> {
        if self.is_ours()? {
            return open(family);
        }
        let (sender, receiver) = oneshot::channel();
        let namespace = self.0.try_clone()?;
        // A namespace belongs to a thread: this one ends with its work and never comes back to a pool.
        let work = move || {
            let entered = setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            // The caller may have gone away.
            let _ = sender.send(entered.and_then(|()| open(family)));
        };
        std::thread::Builder::new().name("netns".to_owned()).spawn(work)?;
        receiver.await.map_err(|_| io::Error::other("the thread panicked"))?
    }

    /// Whether it is the one that this process lives in, as that of pods in the node's network is.
    fn is_ours(&self) -> io::Result<bool> {
        let (own, other) = (std::fs::metadata("/proc/self/ns/net")?, self.0.metadata()?);
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }
}

fn open(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

#[cfg(test)]
mod tests {
    use nix::sched::unshare;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn both_loopbacks_are_tried() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            Namespace::of(std::process::id()).unwrap().connect(port).await.unwrap();
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let refused = Namespace::of(std::process::id()).unwrap().connect(closed).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_port_inside_another_namespace_is_reached_and_one_outside_is_not() {
        if !test_needs::root() {
            return;
        }
        let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = outside.local_addr().unwrap().port();
        let (told, tell) = oneshot::channel();
        // A thread that lives in a namespace of its own, in which the loopback is down: nobody can be reached there.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let _ = told.send(nix::unistd::gettid().as_raw().unsigned_abs());
            let _ = ended.recv();
        });
        let pid = tell.await.unwrap();
        let error = Namespace::of(pid).unwrap().connect(port).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENETUNREACH));
        drop(end);
        thread.join().unwrap();
        assert!(Namespace::of(pid).is_err());
    }
}
