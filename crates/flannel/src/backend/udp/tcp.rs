//! TCP in IPv4, as much of it as is needed to cut long packets into short ones and to join short ones.

use super::checksum::Sum;

const TCP: u8 = 6;
/// The IPv4 header, which has no options here.
const IP: usize = 20;
/// Where the header of TCP has its parts.
const SEQUENCE: usize = IP + 4;
const FLAGS: usize = IP + 13;
const CHECKSUM: usize = IP + 16;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

/// The length of both headers of a TCP packet; `None` when it is another one, a fragment, has options of IPv4, or is not as long as it says.
pub(super) fn header_length(packet: &[u8]) -> Option<usize> {
    let is_whole =
        packet.len() > FLAGS && packet[0] == 0x45 && packet[9] == TCP && packet[6] & 0x3f == 0 && packet[7] == 0;
    let length = IP + usize::from(*packet.get(IP + 12)? >> 4) * 4;
    (is_whole && length >= IP + 20 && length <= packet.len()).then_some(length)
}

fn total_length(packet: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([packet[2], packet[3]]))
}

fn sequence(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[SEQUENCE], packet[SEQUENCE + 1], packet[SEQUENCE + 2], packet[SEQUENCE + 3]])
}

/// The sum over what stands for the IPv4 header in TCP's checksum.
fn pseudo_header(header: &[u8], tcp_length: usize) -> Sum {
    let length = u16::try_from(tcp_length).unwrap_or_default().to_be_bytes();
    Sum::default().add(&header[12..20]).add(&[0, TCP]).add(&length)
}

fn set_total_length(header: &mut [u8], length: usize) {
    header[2..4].copy_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
    header[10..12].fill(0);
    let checksum = Sum::default().add(&header[..IP]).checksum();
    header[10..12].copy_from_slice(&checksum);
}

/// Writes the headers of the segments of a long packet, one after the other, to `headers`: of segments with so many bytes each,
/// complete with checksums.
pub(super) fn segment(packet: &[u8], header_length: usize, segment_size: usize, headers: &mut Vec<u8>) {
    let (header, payload) = packet.split_at(header_length);
    let identification = u16::from_be_bytes([header[4], header[5]]);
    let last = payload.len().saturating_sub(1) / segment_size;
    for (number, part) in payload.chunks(segment_size).enumerate() {
        let start = headers.len();
        headers.extend_from_slice(header);
        let header = &mut headers[start..];
        let count = u32::try_from(number).unwrap_or_default();
        let next = identification.wrapping_add(count as u16);
        header[4..6].copy_from_slice(&next.to_be_bytes());
        let offset = count.wrapping_mul(u32::try_from(segment_size).unwrap_or_default());
        let next = sequence(packet).wrapping_add(offset);
        header[SEQUENCE..SEQUENCE + 4].copy_from_slice(&next.to_be_bytes());
        // The end is at the end, and what begins is at the beginning.
        if number != last {
            header[FLAGS] &= !(FIN | PSH);
        }
        if number != 0 {
            header[FLAGS] &= !CWR;
        }
        set_total_length(header, header_length + part.len());
        header[CHECKSUM..CHECKSUM + 2].fill(0);
        let sum = pseudo_header(header, header_length - IP + part.len()).add(&header[IP..]).add(part);
        header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.checksum());
    }
}

/// Packets of one connection, each of which goes on where the one before ends, so that they can be one long packet.
#[derive(Debug)]
pub(super) struct Train<'a> {
    first: &'a [u8],
    header_length: usize,
    /// What they carry.
    pub(super) payloads: Vec<&'a [u8]>,
    /// Of all of them, with one header.
    length: usize,
    is_open: bool,
    /// Of the last.
    flags: u8,
}

impl<'a> Train<'a> {
    /// A train of one packet.
    pub(super) fn new(first: &'a [u8]) -> Self {
        let mut train =
            Self { first, header_length: 0, payloads: Vec::new(), length: first.len(), is_open: false, flags: 0 };
        let header_length = header_length(first).filter(|length| is_joinable(first, *length));
        if let Some(length) = header_length {
            train.header_length = length;
            train.payloads.push(&first[length..]);
            train.flags = first[FLAGS];
            train.is_open = train.flags & PSH == 0;
        }
        train
    }

    /// Couples a packet to the train; `false` when it does not belong there.
    pub(super) fn couple(&mut self, packet: &'a [u8]) -> bool {
        let (length, first) = (self.header_length, self.first);
        let fits = self.is_open && header_length(packet) == Some(length) && is_joinable(packet, length);
        if !fits || self.length + packet.len() - length > usize::from(u16::MAX) {
            return false;
        }
        let sent = u32::try_from(self.length - length).unwrap_or_default();
        let is_next = sequence(packet) == sequence(first).wrapping_add(sent);
        // What differs otherwise: length, number and checksum of IPv4; sequence, flags and checksum of TCP.
        let same = |from: usize, to: usize| packet[from..to] == first[from..to];
        let belongs =
            same(0, 2) && same(6, 10) && same(12, SEQUENCE) && same(SEQUENCE + 4, FLAGS) && same(FLAGS + 1, CHECKSUM);
        let payload = &packet[length..];
        if !is_next || !belongs || !same(CHECKSUM + 2, length) || payload.len() > self.segment_size() {
            return false;
        }
        self.flags = packet[FLAGS];
        self.is_open = payload.len() == self.segment_size() && self.flags & PSH == 0;
        self.length += payload.len();
        self.payloads.push(payload);
        true
    }

    /// How much each carries, but the last.
    pub(super) fn segment_size(&self) -> usize {
        self.payloads.first().map_or(0, |payload| payload.len())
    }

    /// Whether there is something to join.
    pub(super) fn is_long(&self) -> bool {
        self.payloads.len() > 1
    }

    /// The first packet, as it came.
    pub(super) fn single(&self) -> &'a [u8] {
        self.first
    }

    /// The headers of the long packet. TCP's checksum is for the kernel to complete: the sum over the pseudo header is there.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut header = self.first[..self.header_length].to_vec();
        set_total_length(&mut header, self.length);
        header[FLAGS] = self.flags;
        let sum = pseudo_header(&header, self.length - IP).folded();
        header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
        header
    }
}

/// A packet that does nothing but carry bytes, and is what its checksums say: joined, nobody could see any more that it is not.
fn is_joinable(packet: &[u8], header_length: usize) -> bool {
    let is_plain = packet[FLAGS] & !PSH == ACK && packet.len() > header_length && total_length(packet) == packet.len();
    is_plain
        && Sum::default().add(&packet[..IP]).is_right()
        && pseudo_header(packet, packet.len() - IP).add(&packet[IP..]).is_right()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet that carries `payload`, with options of TCP.
    fn packet(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, TCP, 0, 0, 10, 5, 1, 2, 10, 5, 2, 3];
        packet.extend([0x30, 0x39, 0, 80]);
        packet.extend(sequence.to_be_bytes());
        packet.extend([1, 2, 3, 4, 8 << 4, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        packet.extend(payload);
        let length = packet.len();
        set_total_length(&mut packet, length);
        let sum = pseudo_header(&packet, length - IP).add(&packet[IP..]).checksum();
        packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
        packet
    }

    fn segments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
        let length = header_length(packet).unwrap();
        let mut headers = Vec::new();
        segment(packet, length, size, &mut headers);
        let parts = headers.chunks(length).zip(packet[length..].chunks(size));
        parts.map(|(header, payload)| [header, payload].concat()).collect()
    }

    fn joined(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut trains: Vec<Train<'_>> = Vec::new();
        for packet in packets {
            if !trains.last_mut().is_some_and(|train| train.couple(packet)) {
                trains.push(Train::new(packet));
            }
        }
        let whole = |train: &Train<'_>| match train.is_long() {
            false => train.single().to_vec(),
            true => {
                let mut packet =
                    [vec![train.header()], train.payloads.iter().map(|part| part.to_vec()).collect()].concat().concat();
                packet[CHECKSUM..CHECKSUM + 2].fill(0);
                let sum = pseudo_header(&packet, packet.len() - IP).add(&packet[IP..]).checksum();
                packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
                packet
            }
        };
        trains.iter().map(whole).collect()
    }

    proptest! {
        #[test]
        fn what_is_cut_can_be_joined(
            payload in proptest::collection::vec(any::<u8>(), 1..5000), size in 1_usize..1500, sequence: u32, push: bool,
        ) {
            let whole = packet(sequence, if push { ACK | PSH } else { ACK }, &payload);
            let cut = segments(&whole, size);
            prop_assert_eq!(cut.len(), payload.len().div_ceil(size));
            for part in &cut {
                prop_assert!(is_joinable(part, 52), "checksums are right");
            }
            prop_assert_eq!(joined(&cut), vec![whole]);
        }

        #[test]
        fn nothing_that_arrives_is_too_strange(
            mut packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 1..4), like: bool,
        ) {
            for packet in packets.iter_mut().filter(|packet| like && packet.len() > 40) {
                packet[..10].copy_from_slice(&[0x45, 0, 0, 52, 0, 7, 0x40, 0, 64, TCP]);
            }
            let _ = joined(&packets);
        }
    }

    #[test]
    fn what_does_not_belong_together() {
        let first = packet(1000, ACK, &[1; 100]);
        let next = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut next = packet(1100, ACK, &[2; 100]);
            change(&mut next);
            // Right again, so that the change is all that speaks against it.
            let length = total_length(&next);
            set_total_length(&mut next, length);
            next[CHECKSUM..CHECKSUM + 2].fill(0);
            let sum = pseudo_header(&next, next.len() - IP).add(&next[IP..]).checksum();
            next[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
            joined(&[first.clone(), next]).len()
        };
        assert_eq!(next(&|_| ()), 1);
        let changes: [(&str, usize, u8); 9] = [
            ("the type of service", 1, 1),
            ("a fragment", 6, 0x20),
            ("hops", 8, 63),
            ("the sender", 15, 9),
            ("the receiver's port", 23, 81),
            ("the sequence", 27, 0),
            ("what is acknowledged", 31, 0),
            ("flags", FLAGS, ACK | FIN),
            ("a time stamp", 47, 9),
        ];
        for (what, at, value) in changes {
            assert_eq!(next(&|packet| packet[at] = value), 2, "{what}");
        }
        let mut broken = packet(1100, ACK, &[2; 100]);
        broken[80] ^= 1;
        assert_eq!(joined(&[first.clone(), broken.clone()]), [first.clone(), broken], "a wrong checksum stays wrong");
        let longer = packet(1100, ACK, &[2; 101]);
        assert_eq!(joined(&[first.clone(), longer]).len(), 2);
        let (shorter, after) = (packet(1100, ACK, &[2; 99]), packet(1199, ACK, &[3; 99]));
        assert_eq!(joined(&[first.clone(), shorter, after]).len(), 2, "a shorter one is the last");
        let all: Vec<Vec<u8>> = (0..700).map(|number| packet(1000 + number * 100, ACK, &[1; 100])).collect();
        assert_eq!(joined(&all).len(), 2, "no packet is longer than 65,535 bytes");
    }
}
