//! Whether an upstream server asks us what we ask it.
//!
//! A resolver on this host may itself use the cluster's DNS; the two would send every unknown name round for ever. So
//! each upstream is asked once for a name that only we know, and one through which that name comes back is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};

use crate::forward::Forwarder;

/// The names that are asked for, one an upstream.
#[derive(Debug, Default)]
pub struct LoopProbe {
    probes: Vec<(Name, AtomicBool)>,
}

impl LoopProbe {
    /// Probes for this many upstreams.
    #[must_use]
    pub fn new(upstreams: usize) -> Self {
        let secret: u64 = rand::random();
        // `.invalid` exists nowhere (RFC 2606): an upstream without a loop answers at once.
        let name = |i| Name::from_ascii(format!("{secret:x}-{i}.loop.kube-dns.invalid.")).ok();
        Self { probes: (0..upstreams).filter_map(name).map(|name| (name, AtomicBool::new(false))).collect() }
    }

    /// Whether the name is one of ours; then that is remembered.
    pub fn recognises(&self, name: &Name) -> bool {
        match self.probes.iter().find(|(probe, _)| probe == name) {
            Some((_, returned)) => {
                returned.store(true, Ordering::SeqCst);
                true
            }
            None => false,
        }
    }

    /// Asks every upstream, and drops those through which the question came back.
    pub async fn run(&self, forwarder: &Forwarder) {
        let upstreams = forwarder.upstreams();
        for (upstream, (name, returned)) in upstreams.iter().zip(&self.probes) {
            // Only whether the question came back matters, not its answer.
            let _ = forwarder.ask_one(*upstream, &Query::query(name.clone(), RecordType::HINFO)).await;
            if returned.load(Ordering::SeqCst) {
                tracing::error!(%upstream, "this upstream server asks us what we ask it; it is not used");
                forwarder.remove(*upstream);
            }
        }
    }
}
