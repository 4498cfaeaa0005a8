//! What is rendered is read back as the same value, for any rule.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use iptables::{
    AddrType, AddrTypes, ChainName, ConntrackState, Line, Mark, Match, Nat, PhysDev, PortChoice, PortRange, Ports,
    Probability, Protocol, Recent, RecentAction, RejectWith, Rule, Script, Table, Target, Test,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn test_of<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Test<T>> {
    (any::<bool>(), value).prop_map(|(negated, v)| if negated { Test::Not(v) } else { Test::Is(v) })
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into())
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (ip(), 0u8..=32).prop_map(|(ip, prefix)| IpNet::new(ip, prefix).unwrap().trunc())
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp), Just(Protocol::Other("icmp".into()))]
}

fn chain() -> impl Strategy<Value = ChainName> {
    "[A-Z][A-Z0-9-]{0,27}"
        .prop_filter("names of targets", |name| {
            !["ACCEPT", "DROP", "RETURN", "REJECT", "MASQUERADE"].contains(&&**name)
        })
        .prop_map(|name| ChainName::new(name).unwrap())
}

fn ports() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) })
}

fn mark() -> impl Strategy<Value = Mark> {
    (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| Mark { value, mask })
}

fn addr_type() -> impl Strategy<Value = AddrType> {
    prop_oneof![Just(AddrType::Local), Just(AddrType::Unicast), Just(AddrType::Broadcast), Just(AddrType::Multicast)]
}

fn states() -> impl Strategy<Value = BTreeSet<ConntrackState>> {
    use ConntrackState::{Dnat, Established, Invalid, New, Related, Snat, Untracked};
    proptest::sample::subsequence(vec![Invalid, New, Related, Established, Untracked, Snat, Dnat], 1..=7)
        .prop_map(|states| states.into_iter().collect())
}

fn physdev() -> impl Strategy<Value = PhysDev> {
    prop_oneof![
        "[a-z]{1,8}".prop_map(PhysDev::In),
        Just(PhysDev::IsIn),
        "[a-z]{1,8}".prop_map(PhysDev::Out),
        Just(PhysDev::IsOut),
        Just(PhysDev::IsBridged)
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    prop_oneof![
        "\\PC{0,40}".prop_map(|text| Match::comment(&text)),
        (
            prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)],
            of(test_of(ports())),
            of(test_of(ports()))
        )
            .prop_map(|(protocol, source, destination)| Match::Ports(Ports { protocol, source, destination })),
        (of(test_of(addr_type())), of(test_of(addr_type())))
            .prop_map(|(source, destination)| Match::AddrType(AddrTypes { source, destination })),
        test_of(mark()).prop_map(Match::Mark),
        (1usize..5000).prop_map(|n| Match::Statistic(Probability::one_in(n))),
        ("[A-Z]{1,20}", of(any::<u32>())).prop_map(|(list, seconds)| {
            let action = seconds.map_or(RecentAction::Set, |seconds| RecentAction::Check { seconds });
            Match::Recent(Recent { list, action })
        }),
        test_of(states()).prop_map(Match::Conntrack),
        test_of(physdev()).prop_map(Match::PhysDev),
        vec("[a-z0-9:/,]{1,9}", 1..4).prop_map(|words| Match::Other(
            ["-m".to_owned(), "unheard-of".to_owned()].into_iter().chain(words).collect()
        )),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        chain().prop_map(Target::Jump),
        chain().prop_map(Target::Goto),
        Just(Target::Accept),
        Just(Target::Drop),
        Just(Target::Return),
        Just(Target::Reject(RejectWith::PortUnreachable)),
        Just(Target::Reject(RejectWith::TcpReset)),
        (ip(), of(any::<u16>())).prop_map(|(ip, port)| Target::Dnat(Nat { ip, port })),
        Just(Target::Masquerade(PortChoice::Keep)),
        Just(Target::Masquerade(PortChoice::RandomFully)),
        mark().prop_map(Target::SetMark),
        ("[A-Z]{3,6}", vec("--[a-z]{2,6}", 1..3))
            .prop_map(|(name, words)| Target::Other(std::iter::once(name).chain(words).collect())),
    ]
}

prop_compose! {
    fn rule()(
        source in of(test_of(net())),
        destination in of(test_of(net())),
        in_interface in of(test_of("[a-z]{1,8}[+]?")),
        out_interface in of(test_of("[a-z]{1,8}[+]?")),
        protocol in of(test_of(protocol())),
        matches in vec(any_match(), 0..5),
        target in of(target()),
    ) -> Rule {
        Rule { source, destination, in_interface, out_interface, protocol, matches, target }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rule_is_read_back_as_written(name in chain(), rule in rule()) {
        let script = Script { lines: vec![Line::Table(Table::Nat), Line::Append(name, rule), Line::Commit] };
        let text = script.to_string();
        prop_assert_eq!(text.parse::<Script>().unwrap(), script, "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\*nat\n)?(-A X (! )?(-[a-z]|--[a-z]{3,9}|\"|\\PC| ){0,12}\n){0,3}") {
        let _ = text.parse::<Script>();
    }
}
