//! Real queries over real sockets, to a server with a cluster in memory and an upstream server of the test's own.
//!
//! `queries.txt` asks, one question a line; below each stands the answer. Run with `UPDATE_GOLDEN=1` to rewrite the
//! answers.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::fs;
use std::path::Path;
use std::time::Duration;

use fixture::{Fixture, Upstream, query, say};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

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
    let other = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(other.answers.len(), 1);
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
    let fixture = Fixture::looped().await;
    let settled = async {
        while !fixture.upstreams().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.unwrap();
    let refused = fixture.udp(&query("www.example.test.", RecordType::A)).await;
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
}
