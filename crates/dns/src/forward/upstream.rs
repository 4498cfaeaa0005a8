//! One question to one server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::serialize::binary::DecodeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// For how long a server may think. Two servers are tried before a client's usual five seconds are over.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// A lost datagram is sent again after this time.
const RESEND_AFTER: Duration = Duration::from_millis(800);
/// Largest answer over UDP that is asked for: passes every network unfragmented (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// So many answers to other questions may come before the true one; then somebody guesses, and we ask over TCP.
const MAX_FORGERIES: usize = 16;

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// A server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The network failed.
    #[error("talk to the server")]
    Io(#[from] io::Error),
    /// Nothing came in time.
    #[error("the server did not answer within {TIME_LIMIT:?}")]
    TimedOut,
    /// The question cannot be written.
    #[error("write the question")]
    Encode(#[from] ProtoError),
    /// The answer cannot be read.
    #[error("read the answer")]
    Decode(#[from] DecodeError),
    /// The answer is to another question.
    #[error("the answer is to another question")]
    Mismatch,
    /// The datagram is longer than was asked for.
    #[error("the answer has more than {UDP_PAYLOAD} bytes")]
    TooLong,
    /// Somebody sends answers to questions that were not asked.
    #[error("{MAX_FORGERIES} datagrams were no answers to the question")]
    Forged,
}

/// Asks and waits for the answer.
pub(super) async fn ask(server: SocketAddr, query: &Query, transport: Transport) -> Result<Message, UpstreamError> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    question.set_edns(edns);
    let exchange = async {
        match transport {
            Transport::Udp => match over_udp(server, &question).await {
                Err(UpstreamError::Forged | UpstreamError::TooLong) => over_tcp(server, &question).await,
                result => result,
            },
            Transport::Tcp => over_tcp(server, &question).await,
        }
    };
    timeout(TIME_LIMIT, exchange).await.map_err(|_| UpstreamError::TimedOut)?
}

/// A socket of its own: the random port and the connected peer make forged answers improbable. What is longer than was asked
/// for is not kept whole.
async fn over_udp(server: SocketAddr, question: &Message) -> Result<Message, UpstreamError> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let bytes = question.to_vec()?;
    let mut buffer = vec![0; usize::from(UDP_PAYLOAD) + 1];
    let mut forgeries = 0;
    loop {
        socket.send(&bytes).await?;
        let answered = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                if length == buffer.len() {
                    return Err(UpstreamError::TooLong);
                }
                // Garbage may be forged; the true answer may still come.
                if let Ok(answer) = accept(question, &buffer[..length]) {
                    return Ok(answer);
                }
                forgeries += 1;
                if forgeries == MAX_FORGERIES {
                    return Err(UpstreamError::Forged);
                }
            }
        };
        match timeout(RESEND_AFTER, answered).await {
            Ok(result) => return result,
            Err(_) => continue,
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message) -> Result<Message, UpstreamError> {
    let mut stream = TcpStream::connect(server).await?;
    let bytes = question.to_vec()?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], &bytes].concat();
    stream.write_all(&framed).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    accept(question, &buffer)
}

/// An answer without the question is believed only when it tells nothing: some servers refuse so.
fn accept(question: &Message, bytes: &[u8]) -> Result<Message, UpstreamError> {
    let answer = Message::from_vec(bytes)?;
    let matches = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries == question.queries || (answer.queries.is_empty() && is_refusal(&answer)));
    if matches { Ok(answer) } else { Err(UpstreamError::Mismatch) }
}

fn is_refusal(answer: &Message) -> bool {
    use ResponseCode::{FormErr, NotImp, Refused, ServFail};
    matches!(answer.metadata.response_code, FormErr | NotImp | Refused | ServFail) && answer.answers.is_empty()
}
