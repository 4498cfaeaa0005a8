//! A server with a cluster in memory, an upstream server, and a client.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use component::Daemon;
use component::files::FromFiles;
use dns::cluster::Cluster;
use dns::forward::{Forwarder, Routes};
use dns::handler::Handler;
use dns::metrics::Metrics;
use dns::model::{EndpointSlice, Namespace, Service};
use dns::probe::LoopProbe;
use dns::server::{Clients, Server};
use dns::zone::Zone;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

/// For how long a client waits: longer than every time limit of the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster in memory.
#[derive(Debug, Default)]
struct Memory {
    synced: bool,
    namespaces: Vec<Namespace>,
    services: BTreeMap<(String, String), Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Document {
    Namespace(Namespace),
    Service(Service),
    EndpointSlice(EndpointSlice),
}

impl Memory {
    fn read(text: &str) -> Self {
        let mut memory = Self { synced: true, ..Self::default() };
        for document in text.split("\n---\n") {
            match serde_json::from_value(api_types::yaml::from_str(document).unwrap()).unwrap() {
                Document::Namespace(namespace) => memory.namespaces.push(namespace),
                Document::EndpointSlice(slice) => memory.slices.push(Arc::new(slice)),
                Document::Service(service) => {
                    let meta = &service.metadata;
                    let key = (meta.namespace.clone().unwrap(), meta.name.clone().unwrap());
                    memory.services.insert(key, Arc::new(service));
                }
            }
        }
        memory
    }

    fn pick(&self, keep: impl Fn(&EndpointSlice) -> bool) -> Vec<Arc<EndpointSlice>> {
        self.slices.iter().filter(|slice| keep(slice)).cloned().collect()
    }
}

impl Cluster for Memory {
    fn is_synced(&self) -> bool {
        self.synced
    }

    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|namespace| namespace.metadata.name.as_deref() == Some(name))
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.pick(|slice| slice.metadata.namespace.as_deref() == Some(namespace) && slice.service() == Some(service))
    }

    fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>> {
        self.services.values().filter(|service| service.cluster_ips().any(|own| own == ip)).cloned().collect()
    }

    fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.pick(|slice| slice.addresses().any(|(own, _)| own == ip))
    }
}

/// An upstream server that knows `www.example.test` and nothing else.
pub struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// Ends the server with the value.
    _daemon: Stop,
}

struct Stop(Daemon);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown.cancel();
    }
}

impl Upstream {
    /// Answers over UDP and TCP.
    pub async fn start() -> Self {
        Self::new(Manners::Answers).await
    }

    /// Answers over TCP only.
    pub async fn silent() -> Self {
        Self::new(Manners::Silent).await
    }

    pub async fn new(manners: Manners) -> Self {
        let (udp, tcp) = free_port().await;
        let address = udp.local_addr().unwrap();
        let (asked, daemon) = (Arc::new(AtomicUsize::new(0)), Daemon::new());
        let counter = Arc::clone(&asked);
        daemon.spawn_until_shutdown(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                for datagram in manners.datagrams(&buffer[..length]) {
                    udp.send_to(&datagram, client).await.unwrap();
                }
            }
        });
        daemon.spawn_until_shutdown(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let question = read_framed(&mut stream).await;
                write_framed(&mut stream, &reply(&question)).await;
            }
        });
        Self { address, asked, _daemon: Stop(daemon) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many datagrams came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A resolver of this host: it knows what RFC 6761 tells of `invalid.`, and asks another server of all other names.
pub struct Resolver {
    address: SocketAddr,
    leads_to: watch::Sender<Option<SocketAddr>>,
    _daemon: Stop,
}

impl Resolver {
    /// One that loses so many datagrams at first.
    pub async fn start(lost: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, daemon) = (socket.local_addr().unwrap(), Daemon::new());
        let (leads_to, mut other) = watch::channel(None);
        daemon.spawn_until_shutdown(async move {
            let mut buffer = [0; 4096];
            for i in 0.. {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                if i < lost {
                    continue;
                }
                let question = &buffer[..length];
                let name = Message::from_vec(question).unwrap().queries[0].name().clone();
                let answer = if Name::from_ascii("invalid.").unwrap().zone_of(&name) {
                    reply(question)
                } else {
                    let other = other.wait_for(Option::is_some).await.unwrap().unwrap();
                    let onward = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    onward.send_to(question, other).await.unwrap();
                    let mut answer = vec![0; 4096];
                    let Ok(length) = timeout(PATIENCE, onward.recv(&mut answer)).await else { continue };
                    answer.truncate(length.unwrap());
                    answer
                };
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        Self { address, leads_to, _daemon: Stop(daemon) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom it asks.
    pub fn lead_to(&self, other: SocketAddr) {
        self.leads_to.send_replace(Some(other));
    }
}

/// What comes back in datagrams.
#[derive(Clone, Copy)]
pub enum Manners {
    /// The answer.
    Answers,
    /// Nothing.
    Silent,
    /// That it failed.
    Fails,
    /// So many answers that are forged, and then the true one.
    Forged(usize),
    /// More than was asked for.
    Long,
}

impl Manners {
    fn datagrams(self, question: &[u8]) -> Vec<Vec<u8>> {
        match self {
            Self::Answers => vec![reply(question)],
            Self::Silent => Vec::new(),
            Self::Fails => {
                let mut answer = Message::from_vec(question).unwrap();
                answer.metadata.message_type = MessageType::Response;
                answer.metadata.response_code = ResponseCode::ServFail;
                vec![answer.to_vec().unwrap()]
            }
            Self::Long => vec![[reply(question), vec![0; 1300]].concat()],
            Self::Forged(count) => (0..count).map(|i| forged(question, i)).chain([reply(question)]).collect(),
        }
    }
}

/// With another number, another question, without one, or no message at all.
fn forged(question: &[u8], i: usize) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let id = question.metadata.id;
    let mut answer = Message::new(if i.is_multiple_of(4) { id ^ 1 } else { id }, MessageType::Response, OpCode::Query);
    let name = question.queries[0].name().clone();
    answer.add_answer(Record::from_rdata(name.clone(), 300, RData::A(A::new(203, 0, 113, 66))));
    match i % 4 {
        0 => drop(answer.add_query(question.queries[0].clone())),
        1 => drop(answer.add_query(Query::query(Name::from_ascii("else.test.").unwrap(), RecordType::A))),
        2 => {}
        _ => return vec![0xc0; 7],
    }
    answer.to_vec().unwrap()
}

fn reply(question: &[u8]) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    let asked = question.queries[0].clone();
    let www = asked.name().to_lowercase().to_ascii() == "www.example.test.";
    if www && asked.query_type() == RecordType::A {
        let data = RData::A(A::new(192, 0, 2, 80));
        answer.add_answer(Record::from_rdata(asked.name().clone(), 300, data));
    } else {
        let zone = Name::from_ascii("test.").unwrap();
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 60);
        answer.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
    }
    if !www {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.add_query(asked);
    answer.to_vec().unwrap()
}

pub async fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

pub async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

/// A running server.
pub struct Fixture {
    address: SocketAddr,
    handler: Arc<Handler<Memory>>,
    /// Ends the server with the value.
    daemon: Stop,
}

impl Fixture {
    /// The cluster of `cluster.yaml`.
    pub async fn new(upstream: SocketAddr) -> Self {
        Self::with_upstreams(vec![upstream]).await
    }

    pub async fn with_upstreams(upstreams: Vec<SocketAddr>) -> Self {
        Self::start(Memory::read(include_str!("cluster.yaml")), |_| Routes::new(Vec::new(), upstreams)).await
    }

    /// With servers of their own for names below a domain.
    pub async fn with_stub(domain: &str, stub: SocketAddr, upstream: SocketAddr) -> Self {
        let stubs = vec![(Name::from_ascii(domain).unwrap(), vec![stub])];
        Self::start(Memory::read(include_str!("cluster.yaml")), |_| Routes::new(stubs, vec![upstream])).await
    }

    /// The same before the informers have listed.
    pub async fn unsynced(upstream: SocketAddr) -> Self {
        Self::start(Memory::default(), |_| Routes::new(Vec::new(), vec![upstream])).await
    }

    /// A server that is its own upstream.
    pub async fn looped() -> Self {
        Self::start(Memory::read(include_str!("cluster.yaml")), |own| Routes::new(Vec::new(), vec![own])).await
    }

    /// A headless service `many`.
    pub async fn with_endpoints(count: usize) -> Self {
        let mut text = "kind: Service\nmetadata: {namespace: default, name: many}\nspec: {clusterIP: None}\n---\n\
             kind: EndpointSlice\naddressType: IPv4\n\
             metadata: {namespace: default, name: many-1, labels: {kubernetes.io/service-name: many}}\nendpoints:\n"
            .to_owned();
        text.extend((0..count).map(|i| format!("- {{addresses: [10.1.{}.{}]}}\n", i / 250, i % 250 + 1)));
        Self::start(Memory::read(&text), |_| Routes::default()).await
    }

    /// A server for clients of another network.
    pub async fn for_others() -> Self {
        let clients = Clients::new(vec!["192.0.2.0/24".parse().unwrap()]);
        Self::start_for(Memory::read(include_str!("cluster.yaml")), |_| Routes::default(), clients).await
    }

    /// A server that is its own upstream for a domain.
    pub async fn looped_for(domain: &str) -> Self {
        let stub = |own| Routes::new(vec![(Name::from_ascii(domain).unwrap(), vec![own])], Vec::new());
        Self::start(Memory::read(include_str!("cluster.yaml")), stub).await
    }

    async fn start(cluster: Memory, routes: impl FnOnce(SocketAddr) -> Routes) -> Self {
        let clients = Clients::new(vec!["127.0.0.0/8".parse().unwrap()]);
        Self::start_for(cluster, routes, clients).await
    }

    async fn start_for(cluster: Memory, routes: impl FnOnce(SocketAddr) -> Routes, clients: Clients) -> Self {
        let server = bind().await;
        let address = server.address().unwrap();
        let routes = routes(address);
        let metrics = Arc::new(Metrics::default());
        let domain = Name::from_ascii("cluster.local.").unwrap();
        let handler = Arc::new(Handler {
            zone: Zone::new(domain, vec!["10.96.0.10".parse().unwrap()], Arc::new(cluster)),
            probe: LoopProbe::default(),
            forwarder: Forwarder::new(FromFiles::constant(routes), Arc::clone(&metrics)),
            metrics,
        });
        let daemon = Daemon::new();
        server.spawn(&handler, &clients, &daemon);
        Self { address, handler, daemon: Stop(daemon) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the upstream servers asked whether they ask us.
    pub fn probe(&self) {
        let probing = Arc::clone(&self.handler);
        self.daemon.0.spawn_until_shutdown(async move { probing.probe.run(&probing.forwarder).await });
    }

    /// Whether the server has found out that this one is not to be asked of names below the domain.
    pub fn has_removed(&self, domain: &str, server: SocketAddr) -> bool {
        self.handler.forwarder.is_removed(&Name::from_ascii(domain).unwrap(), server)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// From an address of one's own, such as 127.0.0.2.
    pub async fn connect_from(&self, client: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client.parse().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub async fn udp(&self, question: &Message) -> Message {
        self.udp_bytes(&question.to_vec().unwrap()).await.unwrap()
    }

    /// Sends the bytes; `None` when nothing comes back. What claims to be an answer is given 300 ms only.
    pub async fn udp_bytes(&self, bytes: &[u8]) -> Option<Message> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(bytes).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let expects_answer = bytes.get(2).is_some_and(|flags| flags & 0x80 == 0);
        let patience = if expects_answer { PATIENCE } else { Duration::from_millis(300) };
        let length = timeout(patience, socket.recv(&mut buffer)).await.ok()?.unwrap();
        Some(Message::from_vec(&buffer[..length]).unwrap())
    }

    pub async fn tcp(&self, question: &Message) -> Message {
        let mut stream = self.connect().await;
        write_framed(&mut stream, &question.to_vec().unwrap()).await;
        Message::from_vec(&timeout(PATIENCE, read_framed(&mut stream)).await.unwrap()).unwrap()
    }
}

/// A question.
pub fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// An answer in indented lines: response code and flags, then the records of each section, sorted.
pub fn say(answer: &Message) -> String {
    let flags = if answer.metadata.authoritative { " authoritative" } else { "" };
    let mut text = format!("    {:?}{flags}\n", answer.metadata.response_code);
    let sections = [("", &answer.answers), ("authority ", &answer.authorities), ("additional ", &answer.additionals)];
    for (title, records) in sections {
        let mut lines: Vec<String> = records.iter().map(|record| format!("    {title}{record}\n")).collect();
        lines.sort();
        text.extend(lines);
    }
    text
}

/// So often a port is looked for that is free for both UDP and TCP: one that is free for the one may be another test's for
/// the other.
const TRIES: usize = 16;

async fn bind() -> Server {
    for _ in 0..TRIES {
        if let Ok(server) = Server::bind("127.0.0.1:0".parse().unwrap()).await {
            return server;
        }
    }
    panic!("no port is free for both UDP and TCP");
}

async fn free_port() -> (UdpSocket, TcpListener) {
    for _ in 0..TRIES {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}
