//! One request, one response.

use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use rand::seq::SliceRandom;

use crate::cluster::Cluster;
use crate::forward::{ForwardError, Forwarder, Transport};
use crate::metrics::Metrics;
use crate::probe::LoopProbe;
use crate::zone::{Answer, Zone, alias_record, is_reverse};

/// Largest response over UDP: passes every network unfragmented (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// What a client without EDNS takes over UDP (RFC 1035).
const PLAIN_UDP_PAYLOAD: u16 = 512;
/// How many aliases are followed.
const MAX_ALIASES: usize = 8;

/// Answers requests: about the cluster itself, about anything else from others.
#[derive(Debug)]
pub struct Handler<C> {
    /// The cluster's names.
    pub zone: Zone<C>,
    /// All other names.
    pub forwarder: Forwarder,
    /// Finds out whether an upstream server asks us back.
    pub probe: LoopProbe,
    /// Told of everything.
    pub metrics: Arc<Metrics>,
}

impl<C: Cluster> Handler<C> {
    /// Answers a request. Never fails: what goes wrong is in the response code.
    pub async fn respond(&self, request: &Message, transport: Transport) -> Message {
        let started = std::time::Instant::now();
        let mut response = skeleton(request);
        match question(request) {
            Ok(query) if self.probe.recognises(query.name()) => fail(&mut response, ResponseCode::Refused),
            Ok(query) => self.answer(query, transport, &mut response).await,
            Err(code) => fail(&mut response, code),
        }
        self.metrics.duration.observe(started.elapsed().as_secs_f64());
        self.metrics.exchanged(transport, &response);
        response
    }

    async fn answer(&self, query: &Query, transport: Transport, response: &mut Message) {
        let mut name = query.name().clone();
        for _ in 0..MAX_ALIASES {
            match self.step(&name, query.query_type()) {
                Step::Forward => return self.forward(&name, query, transport, response).await,
                Step::Unknown => return fail(response, ResponseCode::ServFail),
                Step::Known(answer) => {
                    response.metadata.authoritative = true;
                    match self.add(&name, query.query_type(), answer, response) {
                        Some(target) => name = target,
                        None => return,
                    }
                }
            }
        }
        fail(response, ResponseCode::ServFail);
    }

    fn step(&self, name: &Name, kind: RecordType) -> Step {
        // Nobody else may be asked, either, as long as the cluster may have the address.
        let may_be_ours = self.zone.domain().zone_of(name) || is_reverse(name);
        if may_be_ours && !self.zone.cluster().is_synced() {
            return Step::Unknown;
        }
        self.zone.answer(name, kind).map_or(Step::Forward, Step::Known)
    }

    /// Adds an answer to the response; the name to go on with, when it is an alias.
    fn add(&self, name: &Name, kind: RecordType, answer: Answer, response: &mut Message) -> Option<Name> {
        match answer {
            Answer::Records { mut answers, additionals } => {
                answers.shuffle(&mut rand::rng());
                response.add_answers(answers);
                response.add_additionals(additionals);
            }
            Answer::Alias(target) => {
                response.add_answer(alias_record(name, target.clone()));
                return (kind != RecordType::CNAME).then_some(target);
            }
            Answer::NoData => {
                response.add_authority(self.zone.soa());
            }
            Answer::NoSuchName => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.add_authority(self.zone.soa());
            }
        }
        None
    }

    async fn forward(&self, name: &Name, query: &Query, transport: Transport, response: &mut Message) {
        self.probe.notice(&self.forwarder.routes());
        let mut onward = Query::query(name.clone(), query.query_type());
        onward.set_query_class(query.query_class());
        match self.forwarder.resolve(&onward, transport).await {
            Ok(found) => {
                response.metadata.response_code = found.metadata.response_code;
                response.metadata.truncation = found.metadata.truncation;
                response.metadata.authoritative &= !response.answers.is_empty();
                response.add_answers(found.answers);
                response.add_authorities(found.authorities);
                response.add_additionals(found.additionals);
            }
            Err(ForwardError::NoUpstream) if response.answers.is_empty() => fail(response, ResponseCode::Refused),
            Err(error) => {
                tracing::debug!(%name, kind = %query.query_type(), "forward: {error}");
                fail(response, ResponseCode::ServFail);
            }
        }
    }
}

/// What to do about a name.
enum Step {
    /// Ask others.
    Forward,
    /// It is the cluster's, and the cluster is not known yet.
    Unknown,
    /// This is the answer.
    Known(Answer),
}

fn skeleton(request: &Message) -> Message {
    let mut response = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.metadata.recursion_available = true;
    response.add_queries(request.queries.iter().cloned());
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        response.set_edns(edns);
    }
    response
}

/// The one question of a request that can be answered.
fn question(request: &Message) -> Result<&Query, ResponseCode> {
    if request.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    if request.version() > 0 {
        return Err(ResponseCode::BADVERS);
    }
    match request.queries.as_slice() {
        [query] if query.query_class() != DNSClass::IN => Err(ResponseCode::Refused),
        [query] if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) => Err(ResponseCode::Refused),
        [query] => Ok(query),
        _ => Err(ResponseCode::FormErr),
    }
}

fn fail(response: &mut Message, code: ResponseCode) {
    response.metadata.response_code = code;
    response.metadata.authoritative = false;
    response.answers.clear();
}

/// Writes a response so that it fits: `request` says how much the client takes.
///
/// # Errors
/// When the response cannot be written at all.
pub fn encode(
    mut response: Message,
    request: &Message,
    transport: Transport,
) -> Result<Vec<u8>, hickory_proto::ProtoError> {
    let limit = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_PAYLOAD, UDP_PAYLOAD),
        (Transport::Udp, None) => PLAIN_UDP_PAYLOAD,
    };
    loop {
        let bytes = response.to_vec()?;
        if bytes.len() <= usize::from(limit) {
            return Ok(bytes);
        }
        if !response.additionals.is_empty() {
            response.additionals.clear();
        } else if response.answers.is_empty() && response.authorities.is_empty() {
            return Ok(bytes);
        } else {
            // Some answers are better than none: not every client asks again over TCP.
            response.metadata.truncation = true;
            response.authorities.clear();
            let keep = response.answers.len() * 3 / 4;
            response.answers.truncate(keep);
        }
    }
}
