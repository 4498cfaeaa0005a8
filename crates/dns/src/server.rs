//! Sockets: UDP and TCP, with bounds on what is under way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use component::Daemon;
use hickory_proto::op::{Header, Message, MessageType, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::forward::Transport;
use crate::handler::{Handler, encode};

/// Datagrams that are being answered at once. More are dropped; clients repeat them.
const MAX_DATAGRAMS: usize = 2048;
/// Connections at once. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// For how long a connection may be silent, or be slow to take an answer (RFC 7766 asks for a few seconds).
const IDLE: Duration = Duration::from_secs(8);

/// Whose questions are answered: those of some networks, or everybody's.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<[IpNet]>);

impl Clients {
    /// Clients in these networks; everybody when there are none.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    fn admit(&self, client: SocketAddr) -> bool {
        let ip = client.ip().to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&ip))
    }
}

/// Bound sockets, not yet served.
#[derive(Debug)]
pub struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

impl Server {
    /// Binds UDP and TCP to the address. Port 0 takes a free one, the same for both.
    ///
    /// # Errors
    /// When one of the two cannot be bound.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let udp = UdpSocket::bind(address).await.with_context(|| format!("binding UDP {address}"))?;
        let address = udp.local_addr()?;
        let tcp = TcpListener::bind(address).await.with_context(|| format!("binding TCP {address}"))?;
        Ok(Self { udp: Arc::new(udp), tcp })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Serves until shutdown.
    pub fn spawn<C: Cluster>(self, handler: &Arc<Handler<C>>, clients: &Clients, daemon: &Daemon) {
        daemon.spawn_until_shutdown(serve_udp(self.udp, Arc::clone(handler), clients.clone()));
        daemon.spawn_until_shutdown(serve_tcp(self.tcp, Arc::clone(handler), clients.clone()));
    }
}

async fn serve_udp<C: Cluster>(socket: Arc<UdpSocket>, handler: Arc<Handler<C>>, clients: Clients) {
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("receive a datagram: {error}");
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MAX_DATAGRAMS {
            continue;
        }
        let admitted = clients.admit(client);
        let (bytes, socket, handler) = (buffer[..length].to_vec(), Arc::clone(&socket), Arc::clone(&handler));
        tasks.spawn(async move {
            let answer = match admitted {
                true => exchange(&handler, &bytes, Transport::Udp).await,
                false => refusal(&bytes, ResponseCode::Refused),
            };
            if let Some(answer) = answer
                && let Err(error) = socket.send_to(&answer, client).await
            {
                tracing::debug!(%client, "send an answer: {error}");
            }
        });
    }
}

async fn serve_tcp<C: Cluster>(listener: TcpListener, handler: Arc<Handler<C>>, clients: Clients) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((_, client)) if !clients.admit(client) => tracing::debug!(%client, "not an allowed client"),
            Ok((stream, client)) => {
                let handler = Arc::clone(&handler);
                tasks.spawn(async move {
                    if let Err(error) = serve_connection(stream, &handler).await {
                        tracing::debug!(%client, "connection: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Without free descriptors accepting fails at once; they come back only with time.
                tracing::warn!("accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers one question after the other until the client is done or silent.
async fn serve_connection<C: Cluster>(mut stream: TcpStream, handler: &Handler<C>) -> io::Result<()> {
    loop {
        let length = match timeout(IDLE, stream.read_u16()).await {
            Ok(Ok(length)) => length,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let mut bytes = vec![0; usize::from(length)];
        timeout(IDLE, stream.read_exact(&mut bytes)).await??;
        let Some(answer) = exchange(handler, &bytes, Transport::Tcp).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

/// The answer to a request; none to what is no request, so that nobody can be made to answer answers.
async fn exchange<C: Cluster>(handler: &Handler<C>, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let request = match Message::from_vec(bytes) {
        Ok(request) if request.metadata.message_type == MessageType::Query => request,
        Ok(_) => return None,
        Err(_) => return refusal(bytes, ResponseCode::FormErr),
    };
    let response = handler.respond(&request, transport).await;
    let id = request.metadata.id;
    encode(response, &request, transport)
        .inspect_err(|error| tracing::warn!(id, "write an answer: {error}"))
        .or_else(|_| Message::error_msg(id, request.metadata.op_code, ResponseCode::ServFail).to_vec())
        .ok()
}

fn refusal(bytes: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let header = Header::read(&mut BinDecoder::new(bytes)).ok()?;
    let is_query = header.metadata.message_type == MessageType::Query;
    let refusal = || Message::error_msg(header.metadata.id, header.metadata.op_code, code).to_vec();
    is_query.then(refusal)?.ok()
}
