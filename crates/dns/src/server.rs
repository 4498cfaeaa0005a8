//! Sockets: UDP and TCP, with bounds on what is under way.

mod connections;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use component::Daemon;
use futures::{FutureExt, TryStreamExt, stream};
use hickory_proto::op::{Header, Message, MessageType, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::forward::Transport;
use crate::handler::{Handler, encode};
use connections::{Connections, Place};

/// Datagrams of a socket that wait for others' answers at once. More are dropped; clients repeat them. There is room for
/// twice as many as may wait for one route's servers.
const MAX_DATAGRAMS: usize = 2048;
/// Sockets for datagrams at most.
const MAX_SOCKETS: usize = 16;
/// The kernel keeps so many bytes of datagrams for a socket while all cores are busy, if it may.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Questions of a connection that are answered at once; each is answered when its answer is there (RFC 7766, 6.2.1.1).
const MAX_PIPELINED: usize = 32;
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
    /// One a core: the kernel deals datagrams out to them.
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
}

impl Server {
    /// Binds UDP and TCP to the address. Port 0 takes a free one, the same for both.
    ///
    /// # Errors
    /// When one of the two cannot be bound.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        // First that of which there is one: who has the port already is found out here.
        let tcp = TcpListener::bind(address).await.with_context(|| format!("binding TCP {address}"))?;
        let address = tcp.local_addr()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_SOCKETS);
        let udp: io::Result<Vec<UdpSocket>> = (0..cores).map(|_| shared_socket(address)).collect();
        Ok(Self { udp: udp.with_context(|| format!("binding UDP {address}"))?, tcp })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until shutdown.
    pub fn spawn<C: Cluster>(self, handler: &Arc<Handler<C>>, clients: &Clients, daemon: &Daemon) {
        for socket in self.udp {
            daemon.spawn_until_shutdown(serve_udp(Arc::new(socket), Arc::clone(handler), clients.clone()));
        }
        daemon.spawn_until_shutdown(serve_tcp(self.tcp, Arc::clone(handler), clients.clone()));
    }
}

/// A socket that has its address together with others.
fn shared_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
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
        let bytes = &buffer[..length];
        if !clients.admit(client) {
            reply(&socket, client, refusal(bytes, ResponseCode::Refused)).await;
            continue;
        }
        let (bytes, handler) = (bytes.to_vec(), Arc::clone(&handler));
        let mut answer = async move { exchange(&handler, &bytes, Transport::Udp).await }.boxed();
        // What is known is answered here; only who waits for others has a task.
        match (&mut answer).now_or_never() {
            Some(answer) => reply(&socket, client, answer).await,
            None => {
                while tasks.try_join_next().is_some() {}
                if tasks.len() < MAX_DATAGRAMS {
                    let socket = Arc::clone(&socket);
                    tasks.spawn(async move { reply(&socket, client, answer.await).await });
                }
            }
        }
    }
}

async fn reply(socket: &UdpSocket, client: SocketAddr, answer: Option<Vec<u8>>) {
    if let Some(answer) = answer
        && let Err(error) = socket.send_to(&answer, client).await
    {
        tracing::debug!(%client, "send an answer: {error}");
    }
}

async fn serve_tcp<C: Cluster>(listener: TcpListener, handler: Arc<Handler<C>>, clients: Clients) {
    let connections = Arc::new(Connections::default());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((_, client)) if !clients.admit(client) => tracing::debug!(%client, "not an allowed client"),
            Ok((stream, client)) => {
                let Some(place) = connections.enter(client.ip().to_canonical()) else {
                    tracing::debug!(%client, "too many connections of one client");
                    continue;
                };
                let (number, handler) = (place.number, Arc::clone(&handler));
                let task = tasks.spawn(async move {
                    if let Err(error) = serve_connection(stream, &handler, &place).await {
                        tracing::debug!(%client, "connection: {error}");
                    }
                });
                connections.serve(number, task);
            }
            Err(error) => {
                // Without free descriptors accepting fails at once; they come back only with time.
                tracing::warn!("accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers questions until the client is done or silent, each when its answer is there.
async fn serve_connection<C: Cluster>(stream: TcpStream, handler: &Handler<C>, place: &Place) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let questions = stream::try_unfold(BufReader::new(reader), |mut reader| async move {
        let question = read_question(&mut reader).await?;
        Ok::<_, io::Error>(question.map(|question| (question, reader)))
    });
    let answers = questions
        .map_ok(|question| {
            place.heard();
            async move { Ok(exchange(handler, &question, Transport::Tcp).await) }
        })
        .try_buffer_unordered(MAX_PIPELINED);
    let mut answers = pin!(answers);
    while let Some(answer) = answers.try_next().await? {
        // What is no question has no answer, and neither has what comes after it.
        let Some(answer) = answer else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, writer.write_all(&framed)).await??;
    }
    Ok(())
}

/// The next question; `None` when the client says, or has said, no more.
async fn read_question(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match timeout(IDLE, reader.read_u16()).await {
        Ok(Ok(length)) => length,
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let mut bytes = vec![0; usize::from(length)];
    timeout(IDLE, reader.read_exact(&mut bytes)).await??;
    Ok(Some(bytes))
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
        .inspect(|bytes| handler.metrics.sent(transport, bytes.len()))
        .ok()
}

fn refusal(bytes: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let header = Header::read(&mut BinDecoder::new(bytes)).ok()?;
    let is_query = header.metadata.message_type == MessageType::Query;
    let refusal = || Message::error_msg(header.metadata.id, header.metadata.op_code, code).to_vec();
    is_query.then(refusal)?.ok()
}
