//! IPv4 packets: as much of them as forwarding needs (RFC 791, 792, 1812).

use std::net::Ipv4Addr;

use super::checksum::Sum;

/// The shortest header.
const HEADER: usize = 20;
const ICMP: u8 = 1;

/// Why a packet is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No node has the address.
    NetworkUnreachable,
    /// It has been forwarded too often.
    TimeExceeded,
}

impl Refusal {
    /// ICMP's type and code.
    const fn codes(self) -> (u8, u8) {
        match self {
            Refusal::NetworkUnreachable => (3, 0),
            Refusal::TimeExceeded => (11, 0),
        }
    }
}

/// Length of the header; `None` when this is no IPv4 packet.
fn header_length(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let length = usize::from(first & 0xf) * 4;
    (first >> 4 == 4 && length >= HEADER && packet.len() >= length).then_some(length)
}

fn address(packet: &[u8], at: usize) -> Option<Ipv4Addr> {
    header_length(packet)?;
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?))
}

/// Who sent it.
pub(super) fn source(packet: &[u8]) -> Option<Ipv4Addr> {
    address(packet, 12)
}

/// Where it goes.
pub(super) fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    address(packet, 16)
}

/// Counts down how often it may still be forwarded; `false` when it may not.
pub(super) fn decrement_ttl(packet: &mut [u8]) -> bool {
    let Some(length) = header_length(packet) else { return false };
    if packet[8] <= 1 {
        return false;
    }
    packet[8] -= 1;
    packet[10..12].fill(0);
    let checksum = Sum::default().add(&packet[..length]).checksum();
    packet[10..12].copy_from_slice(&checksum);
    true
}

/// What the sender of a packet is told. Nobody is told of errors that errors caused, nor of packets to or from many.
pub(super) fn refuse(packet: &[u8], refusal: Refusal, from: Ipv4Addr) -> Option<Vec<u8>> {
    let length = header_length(packet)?;
    let (to, asked) = (source(packet)?, destination(packet)?);
    let is_fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff != 0;
    let is_error = packet[9] == ICMP && !matches!(packet.get(length), Some(0 | 8));
    if is_fragment || is_error || asked.is_multicast() || to.is_multicast() || to.is_unspecified() {
        return None;
    }
    let quoted = &packet[..packet.len().min(length + 8)];
    let mut answer = vec![0_u8; HEADER + 8 + quoted.len()];
    let total = u16::try_from(answer.len()).ok()?;
    answer[0] = 0x45;
    answer[2..4].copy_from_slice(&total.to_be_bytes());
    answer[8] = 64;
    answer[9] = ICMP;
    answer[12..16].copy_from_slice(&from.octets());
    answer[16..20].copy_from_slice(&to.octets());
    let checksum = Sum::default().add(&answer[..HEADER]).checksum();
    answer[10..12].copy_from_slice(&checksum);
    (answer[HEADER], answer[HEADER + 1]) = refusal.codes();
    answer[HEADER + 8..].copy_from_slice(quoted);
    let checksum = Sum::default().add(&answer[HEADER..]).checksum();
    answer[HEADER + 2..HEADER + 4].copy_from_slice(&checksum);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A UDP packet from 10.5.1.2 to 10.5.2.3.
    fn packet(ttl: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 5, 1, 2, 10, 5, 2, 3];
        let checksum = Sum::default().add(&packet).checksum();
        packet[10..12].copy_from_slice(&checksum);
        packet.extend([1, 2, 3, 4, 0, 12, 0, 0, 5, 6, 7, 8]);
        packet
    }

    #[test]
    fn forwarding_counts_down() {
        let mut forwarded = packet(64);
        assert!(decrement_ttl(&mut forwarded));
        assert_eq!(forwarded, packet(63));
        assert!(!decrement_ttl(&mut packet(1)) && !decrement_ttl(&mut packet(0)));
    }

    #[test]
    fn senders_are_told() {
        let from = Ipv4Addr::new(10, 5, 1, 0);
        let answer = refuse(&packet(1), Refusal::TimeExceeded, from).unwrap();
        assert_eq!((source(&answer), destination(&answer)), (Some(from), Some(Ipv4Addr::new(10, 5, 1, 2))));
        assert_eq!(answer[20..22], [11, 0]);
        assert_eq!(answer[28..], packet(1)[..28]);
        let is_right = |bytes: &[u8]| Sum::default().add(bytes).is_right();
        assert!(is_right(&answer[..20]) && is_right(&answer[20..]), "checksums add up");
        assert_eq!(refuse(&answer, Refusal::NetworkUnreachable, from), None, "no error about an error");
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_is_too_strange(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (source(&bytes), destination(&bytes));
            let _ = refuse(&bytes, Refusal::NetworkUnreachable, Ipv4Addr::LOCALHOST);
            let _ = decrement_ttl(&mut bytes);
        }
    }
}
