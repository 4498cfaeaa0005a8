//! Real queries over real sockets, to a server with a cluster in memory and an upstream server of the test's own.
//!
//! `queries.txt` asks, one question a line; below each stands the answer. Run with `UPDATE_GOLDEN=1` to rewrite the
//! answers.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fixture::{Fixture, Manners, Resolver, Upstream, query, read_framed, say, write_framed};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use tokio::io::AsyncReadExt;
use tokio::net::UdpSocket;

fn kind(text: &str) -> RecordType {
    text.parse().unwrap()
}

#[tokio::test]
async fn questions_and_answers() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(upstream.address()).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries/queries.txt");
    let expected = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for line in expected.lines().filter(|line| !line.starts_with("    ")) {
        actual.push_str(line);
        actual.push('\n');
        if let Some((kind_text, name)) = line.split_once(' ').filter(|(first, _)| *first != "#") {
            let question = query(name, kind(kind_text));
            let over_udp = fixture.udp(&question).await;
            assert_eq!(over_udp.queries, question.queries, "the question comes back as it was asked");
            assert_eq!(say(&over_udp), say(&fixture.tcp(&question).await), "UDP and TCP agree on {line}");
            actual.push_str(&say(&over_udp));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    assert!(actual == fs::read_to_string(&path).unwrap(), "queries.txt differs; it is now:\n{actual}");
}

#[tokio::test]
async fn clients_of_other_networks_are_refused() {
    let answer = Fixture::for_others().await.udp(&query("kubernetes.default.svc.cluster.local.", kind("A"))).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert!(answer.answers.is_empty());
}

#[tokio::test]
async fn strange_requests_are_refused() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(upstream.address()).await;
    let name = || Name::from_ascii("kubernetes.default.svc.cluster.local.").unwrap();
    let ask = |change: fn(&mut Message)| {
        let mut message = query("kubernetes.default.svc.cluster.local.", RecordType::A);
        change(&mut message);
        message
    };
    let cases = [
        (ask(|m| m.metadata.op_code = OpCode::Status), ResponseCode::NotImp),
        (ask(|m| m.queries.clear()), ResponseCode::FormErr),
        (ask(|m| m.queries = vec![m.queries[0].clone(), m.queries[0].clone()]), ResponseCode::FormErr),
        (
            ask(|m| {
                m.queries[0].set_query_class(DNSClass::CH);
            }),
            ResponseCode::Refused,
        ),
        (
            ask(|m| {
                m.queries[0].set_query_type(RecordType::AXFR);
            }),
            ResponseCode::Refused,
        ),
        (
            ask(|m| {
                let mut edns = Edns::new();
                edns.set_version(1);
                m.set_edns(edns);
            }),
            ResponseCode::BADVERS,
        ),
    ];
    for (message, expected) in cases {
        let code = fixture.udp(&message).await.metadata.response_code;
        assert_eq!(u16::from(code), u16::from(expected), "{message}");
    }
    let mut garbage = query("x.", RecordType::A).to_vec().unwrap();
    garbage.truncate(14);
    assert_eq!(fixture.udp_bytes(&garbage).await.unwrap().metadata.response_code, ResponseCode::FormErr);
    let mut answer = Message::new(7, MessageType::Response, OpCode::Query);
    answer.add_query(Query::query(name(), RecordType::A));
    assert!(fixture.udp_bytes(&answer.to_vec().unwrap()).await.is_none(), "answers are not answered");
}

#[tokio::test]
async fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let fixture = Fixture::with_endpoints(200).await;
    let plain = query("many.default.svc.cluster.local.", RecordType::A);
    let cut = fixture.udp(&plain).await;
    assert!(cut.metadata.truncation && !cut.answers.is_empty(), "{} answers", cut.answers.len());
    assert!(cut.to_vec().unwrap().len() <= 512);
    let mut large = plain.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    large.set_edns(edns);
    let more = fixture.udp(&large).await;
    assert!(more.edns.is_some() && more.answers.len() > cut.answers.len());
    let whole = fixture.tcp(&plain).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
}

#[tokio::test]
async fn before_the_cluster_is_known_its_names_fail_and_others_work() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::unsynced(upstream.address()).await;
    let own = fixture.udp(&query("kubernetes.default.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(own.metadata.response_code, ResponseCode::ServFail);
    let address = fixture.udp(&query("1.0.96.10.in-addr.arpa.", RecordType::PTR)).await;
    assert_eq!(address.metadata.response_code, ResponseCode::ServFail);
    let other = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(other.answers.len(), 1);
}

#[tokio::test]
async fn names_below_a_stub_domain_are_asked_of_its_server() {
    let (stub, upstream) = (Upstream::start().await, Upstream::start().await);
    let fixture = Fixture::with_stub("example.test.", stub.address(), upstream.address()).await;
    assert_eq!(fixture.udp(&query("WWW.Example.test.", RecordType::A)).await.answers.len(), 1);
    fixture.udp(&query("other.test.", RecordType::A)).await;
    // An alias leads there, too.
    let alias = fixture.udp(&query("outside.default.svc.cluster.local.", RecordType::AAAA)).await;
    assert_eq!(alias.answers.len(), 1, "the alias: {alias}");
    assert_eq!((stub.asked(), upstream.asked()), (2, 1));
}

#[tokio::test]
async fn a_server_that_fails_is_believed_when_no_other_knows() {
    let failing = Upstream::new(Manners::Fails).await;
    let speaking = Upstream::start().await;
    let question = query("www.example.test.", RecordType::A);
    let fixture = Fixture::with_upstreams(vec![failing.address(), speaking.address()]).await;
    assert_eq!(fixture.udp(&question).await.answers.len(), 1);
    let fixture = Fixture::new(failing.address()).await;
    let asked = failing.asked();
    for _ in 0..3 {
        assert_eq!(fixture.udp(&question).await.metadata.response_code, ResponseCode::ServFail);
    }
    assert_eq!(failing.asked(), asked + 1, "a failure is remembered for a moment");
}

#[tokio::test]
async fn forged_answers_are_not_believed() {
    let question = query("www.example.test.", RecordType::A);
    for forgeries in [3, 40] {
        let upstream = Upstream::new(Manners::Forged(forgeries)).await;
        let answer = Fixture::new(upstream.address()).await.udp(&question).await;
        let said: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(said, ["192.0.2.80"], "after {forgeries}");
    }
}

/// Bytes that are meant to hurt whoever reads them: the server says no, or nothing, and goes on.
#[tokio::test]
async fn hostile_requests_hurt_nobody() {
    let fixture = Fixture::new(Upstream::silent().await.address()).await;
    let header = |questions: u16| {
        let [high, low] = questions.to_be_bytes();
        vec![0x12, 0x34, 1, 0, high, low, 0, 0, 0, 0, 0, 0]
    };
    let tail = [0, 1, 0, 1];
    let with = |questions: u16, name: &[u8]| [&header(questions)[..], name, &tail].concat();
    let long_label = [&[63][..], &[b'a'; 63]].concat();
    let requests = [
        with(1, &[0xc0, 12]),
        with(1, &[0xc0, 14, 0xc0, 12]),
        with(1, &[1, b'a', 0xc0, 12]),
        with(1, &[0xc0, 0xff]),
        with(1, &[0x80, 0]),
        with(1, &[long_label.repeat(5), vec![0]].concat()),
        with(1, &[63, b'a']),
        with(u16::MAX, &[0]),
        [header(2), [&[1, b'a', 0][..], &tail].concat().repeat(2)].concat(),
        with(1, &[[1, b'a'].repeat(127), vec![0]].concat()),
    ];
    for request in requests {
        let answer = fixture.udp_bytes(&request).await.unwrap();
        let code = answer.metadata.response_code;
        assert!(matches!(code, ResponseCode::FormErr | ResponseCode::ServFail), "{request:x?}: {code}");
        let mut stream = fixture.connect().await;
        write_framed(&mut stream, &request).await;
        assert!(read_framed(&mut stream).await.len() >= 12);
    }
    let mut stream = fixture.connect().await;
    write_framed(&mut stream, &[]).await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "what is no question ends the connection");
    let answer = fixture.udp(&query("kubernetes.default.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn over_one_connection_each_answer_comes_when_it_is_there() {
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fixture = Fixture::new(held.local_addr().unwrap()).await;
    let mut stream = fixture.connect().await;
    let mut slow = query("outside.default.svc.cluster.local.", RecordType::A);
    slow.metadata.id = 1;
    let mut known = query("kubernetes.default.svc.cluster.local.", RecordType::A);
    for id in 2..40 {
        known.metadata.id = id;
        write_framed(&mut stream, &known.to_vec().unwrap()).await;
        if id == 2 {
            write_framed(&mut stream, &slow.to_vec().unwrap()).await;
        }
    }
    let mut ids = Vec::new();
    for _ in 1..40 {
        ids.push(Message::from_vec(&read_framed(&mut stream).await).unwrap().metadata.id);
    }
    assert_eq!(ids.last(), Some(&1), "who waits for others holds up nobody");
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..40));
}

#[tokio::test]
async fn answers_from_upstream_are_remembered() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(upstream.address()).await;
    for _ in 0..3 {
        assert_eq!(fixture.udp(&query("www.example.test.", RecordType::A)).await.answers.len(), 1);
        assert_eq!(
            fixture.udp(&query("missing.example.test.", RecordType::A)).await.metadata.response_code,
            ResponseCode::NXDomain
        );
    }
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn a_silent_upstream_is_passed_over_and_then_fails() {
    let silent = Upstream::silent().await;
    let speaking = Upstream::start().await;
    let fixture = Fixture::with_upstreams(vec![silent.address(), speaking.address()]).await;
    assert_eq!(fixture.udp(&query("www.example.test.", RecordType::A)).await.answers.len(), 1);
    let fixture = Fixture::new(silent.address()).await;
    let failed = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    let fixture = Fixture::with_upstreams(Vec::new()).await;
    let refused = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn an_upstream_that_asks_us_back_is_dropped() {
    let everything = (Fixture::looped().await, ".", "www.example.test.");
    let domain = (Fixture::looped_for("acme.local.").await, "acme.local.", "www.acme.local.");
    for (fixture, domain, name) in [everything, domain] {
        fixture.probe();
        until_removed(&fixture, domain, fixture.address()).await;
        let refused = fixture.udp(&query(name, RecordType::A)).await;
        assert_eq!(refused.metadata.response_code, ResponseCode::Refused, "{name}");
    }
}

/// The question is one that a resolver passes on, and is asked again of one that was away.
#[tokio::test]
async fn a_resolver_that_asks_us_back_is_dropped() {
    for lost in [0, 3] {
        let resolver = Resolver::start(lost).await;
        let fixture = Fixture::new(resolver.address()).await;
        resolver.lead_to(fixture.address());
        fixture.probe();
        until_removed(&fixture, ".", resolver.address()).await;
    }
}

async fn until_removed(fixture: &Fixture, domain: &str, server: SocketAddr) {
    let removed = async {
        while !fixture.has_removed(domain, server) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), removed).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_longer_than_was_asked_for_comes_over_tcp() {
    let upstream = Upstream::new(Manners::Long).await;
    let answer = Fixture::new(upstream.address()).await.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!((answer.answers.len(), upstream.asked()), (1, 1));
}

/// Of so many questions to one server some are refused.
const MANY: u16 = 1500;

#[tokio::test]
async fn a_server_that_is_silent_holds_up_its_domain_only() {
    let (stub, upstream) = (Upstream::silent().await, Upstream::start().await);
    let fixture = Fixture::with_stub("acme.local.", stub.address(), upstream.address()).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(fixture.address()).await.unwrap();
    for i in 0..MANY {
        let mut question = query(&format!("x{i}.acme.local."), RecordType::A);
        question.metadata.id = i;
        client.send(&question.to_vec().unwrap()).await.unwrap();
        if i % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut buffer = [0; 512];
    let length = client.recv(&mut buffer).await.unwrap();
    let refused = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(refused.metadata.response_code, ResponseCode::ServFail);
    let other = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(other.answers.len(), 1, "{other}");
}

#[tokio::test]
async fn who_holds_all_connections_keeps_nobody_out() {
    let fixture = Fixture::new(Upstream::start().await.address()).await;
    let known = query("kubernetes.default.svc.cluster.local.", RecordType::A).to_vec().unwrap();
    let mut crowd = Vec::new();
    for client in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        for _ in 0..64 {
            let mut stream = fixture.connect_from(client).await;
            write_framed(&mut stream, &known).await;
            read_framed(&mut stream).await;
            crowd.push(stream);
        }
    }
    // Sooner than the crowd's connections end by themselves.
    let soon = Duration::from_secs(5);
    let served = async {
        let mut late = fixture.connect_from("127.0.0.6").await;
        write_framed(&mut late, &known).await;
        read_framed(&mut late).await;
        let ended = crowd[0].read(&mut [0]).await;
        assert!(!matches!(ended, Ok(1)), "what was silent for longest ends");
    };
    tokio::time::timeout(soon, served).await.unwrap();
}
