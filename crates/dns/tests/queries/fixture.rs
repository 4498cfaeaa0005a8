//! A server with a cluster in memory, an upstream server, and a client.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use component::Daemon;
use dns::cluster::Cluster;
use dns::forward::Forwarder;
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
use tokio::net::{TcpListener, TcpStream, UdpSocket};
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
        Self::new(true).await
    }

    /// Never answers.
    pub async fn silent() -> Self {
        Self::new(false).await
    }

    async fn new(speaks: bool) -> Self {
        let (udp, tcp) = free_port().await;
        let address = udp.local_addr().unwrap();
        let (asked, daemon) = (Arc::new(AtomicUsize::new(0)), Daemon::new());
        let counter = Arc::clone(&asked);
        daemon.spawn_until_shutdown(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                if speaks {
                    udp.send_to(&reply(&buffer[..length]), client).await.unwrap();
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

async fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

/// A running server.
pub struct Fixture {
    address: SocketAddr,
    handler: Arc<Handler<Memory>>,
    _daemon: Stop,
}

impl Fixture {
    /// The cluster of `cluster.yaml`.
    pub async fn new(upstream: SocketAddr) -> Self {
        Self::with_upstreams(vec![upstream]).await
    }

    pub async fn with_upstreams(upstreams: Vec<SocketAddr>) -> Self {
        Self::start(Memory::read(include_str!("cluster.yaml")), |_| upstreams).await
    }

    /// The same before the informers have listed.
    pub async fn unsynced(upstream: SocketAddr) -> Self {
        Self::start(Memory::default(), |_| vec![upstream]).await
    }

    /// A server that is its own upstream.
    pub async fn looped() -> Self {
        Self::start(Memory::read(include_str!("cluster.yaml")), |own| vec![own]).await
    }

    /// A headless service `many`.
    pub async fn with_endpoints(count: usize) -> Self {
        let mut text = "kind: Service\nmetadata: {namespace: default, name: many}\nspec: {clusterIP: None}\n---\n\
             kind: EndpointSlice\naddressType: IPv4\n\
             metadata: {namespace: default, name: many-1, labels: {kubernetes.io/service-name: many}}\nendpoints:\n"
            .to_owned();
        text.extend((0..count).map(|i| format!("- {{addresses: [10.1.{}.{}]}}\n", i / 250, i % 250 + 1)));
        Self::start(Memory::read(&text), |_| Vec::new()).await
    }

    /// A server for clients of another network.
    pub async fn for_others() -> Self {
        let clients = Clients::new(vec!["192.0.2.0/24".parse().unwrap()]);
        Self::start_for(Memory::read(include_str!("cluster.yaml")), |_| Vec::new(), clients).await
    }

    async fn start(cluster: Memory, upstreams: impl FnOnce(SocketAddr) -> Vec<SocketAddr>) -> Self {
        let clients = Clients::new(vec!["127.0.0.0/8".parse().unwrap()]);
        Self::start_for(cluster, upstreams, clients).await
    }

    async fn start_for(
        cluster: Memory,
        upstreams: impl FnOnce(SocketAddr) -> Vec<SocketAddr>,
        clients: Clients,
    ) -> Self {
        let server = bind().await;
        let address = server.address().unwrap();
        let upstreams = upstreams(address);
        let metrics = Arc::new(Metrics::default());
        let domain = Name::from_ascii("cluster.local.").unwrap();
        let handler = Arc::new(Handler {
            zone: Zone::new(domain, vec!["10.96.0.10".parse().unwrap()], Arc::new(cluster)),
            probe: LoopProbe::new(if upstreams == [address] { 1 } else { 0 }),
            forwarder: Forwarder::new(upstreams, Arc::clone(&metrics)),
            metrics,
        });
        let daemon = Daemon::new();
        server.spawn(&handler, &clients, &daemon);
        let probing = Arc::clone(&handler);
        daemon.spawn_until_shutdown(async move { probing.probe.run(&probing.forwarder).await });
        Self { address, handler, _daemon: Stop(daemon) }
    }

    pub fn upstreams(&self) -> Vec<SocketAddr> {
        self.handler.forwarder.upstreams().to_vec()
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
        let mut stream = TcpStream::connect(self.address).await.unwrap();
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
