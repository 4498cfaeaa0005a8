//! One suite for the fake and for the kernel: both flavours, both families, each in a network namespace of its own.
//! The kernel's part needs root; without it only the fake is tested, see [`test_needs`].
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

use ipnet::IpNet;
use iptables::{
    AddrType, ChainName, ConntrackState, Delta, Desired, FakeIptables, Family, Flavour, Hook, HostIptables, Iptables,
    Mark, Nat, Observed, Place, PortChoice, Probability, Protocol, Recent, RecentAction, Rule, Ruleset, Script, Table,
    Target,
};

/// A network namespace that goes away with the value.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Option<Self> {
        let name = format!("fk-ipt-{}-{name}", std::process::id());
        let made = match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(output) if output.status.success() => Ok(Self(name)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        test_needs::need("a network namespace", made)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

const SERVICES: ChainName = ChainName::from_static("KUBE-SERVICES");
const SVC: ChainName = ChainName::from_static("KUBE-SVC-ABCDEFGHIJKLMNOP");
const SEP: ChainName = ChainName::from_static("KUBE-SEP-ABCDEFGHIJKLMNOP");
const MASQ: ChainName = ChainName::from_static("KUBE-MARK-MASQ");

fn owns(name: &ChainName) -> bool {
    name.as_str().starts_with("KUBE-")
}

fn address(family: Family, v4: &str, v6: &str) -> IpNet {
    let ip: std::net::IpAddr = if family == Family::V4 { v4 } else { v6 }.parse().unwrap();
    ip.into()
}

/// One rule of every shape that the proxy writes.
fn desired(family: Family, backend_port: u16) -> Desired {
    let vip = address(family, "10.96.0.10", "fd00:96::10");
    let pod = address(family, "10.244.1.5", "fd00:244::5");
    let mut desired = Desired::default();
    let masq = Mark::bits(0x4000);
    *desired.chain(Table::Nat, &MASQ) = vec![Rule::new().target(Target::SetMark(masq))];
    *desired.chain(Table::Nat, &SERVICES) = vec![
        Rule::new().comment("ns1/svc1:p80 cluster IP").destination(vip).destination_port(Protocol::Tcp, 80).jump(SVC),
        Rule::new()
            .comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
            .destination_type(AddrType::Local)
            .jump(MASQ),
    ];
    let check = Recent { list: SEP.to_string(), action: RecentAction::Check { seconds: 10800 } };
    *desired.chain(Table::Nat, &SVC) = vec![
        Rule::new().comment("ns1/svc1:p80 -> x").recent(check).jump(SEP),
        Rule::new().comment("plain").probability(Probability::one_in(3)).jump(SEP),
        Rule::new().comment("ns1/svc1:p80").source_type(AddrType::Local).jump(MASQ),
        Rule::new().comment("counts").not_source(pod).jump(SEP),
    ];
    let set = Recent { list: SEP.to_string(), action: RecentAction::Set };
    *desired.chain(Table::Nat, &SEP) = vec![
        Rule::new().comment("ns1/svc1:p80").source(pod).jump(MASQ),
        Rule::new()
            .comment("ns1/svc1:p80")
            .recent(set)
            .any_port(Protocol::Tcp)
            .dnat(Nat { ip: pod.addr(), port: Some(backend_port) }),
    ];
    let postrouting = ChainName::from_static("KUBE-POSTROUTING");
    *desired.chain(Table::Nat, &postrouting) = vec![
        Rule::new().not_mark(masq).target(Target::Return),
        Rule::new().target(Target::SetMark(Mark { value: 0x4000, mask: 0 })),
        Rule::new().comment("kubernetes service traffic requiring SNAT").masquerade(PortChoice::RandomFully),
    ];
    let forward = ChainName::from_static("KUBE-FORWARD");
    *desired.chain(Table::Filter, &forward) = vec![
        Rule::new().state([ConntrackState::Invalid]).target(Target::Drop),
        Rule::new().comment("kubernetes forwarding rules").mark(masq).target(Target::Accept),
        Rule::new().comment("ns1/udp has no endpoints").destination(vip).destination_port(Protocol::Udp, 53).reject(),
        Rule::new()
            .not_state([ConntrackState::Related, ConntrackState::Established, ConntrackState::Dnat])
            .target(Target::Drop),
        Rule::new().in_interface("cbr0").out_interface("eth+").target(Target::Accept),
    ];
    let hook = |table, chain, place, to: &ChainName| Hook {
        table,
        chain,
        place,
        rule: Rule::new().comment("kubernetes rules").jump(to.clone()),
    };
    desired.hook(hook(Table::Nat, ChainName::PREROUTING, Place::First, &SERVICES));
    desired.hook(hook(Table::Nat, ChainName::PREROUTING, Place::First, &MASQ));
    desired.hook(hook(Table::Nat, ChainName::OUTPUT, Place::Last, &SERVICES));
    desired.hook(hook(Table::Nat, ChainName::POSTROUTING, Place::First, &postrouting));
    desired.hook(hook(Table::Filter, ChainName::FORWARD, Place::First, &forward));
    desired
}

async fn apply(iptables: &impl Iptables, family: Family, desired: &Desired) -> Delta {
    let observed = Observed::of(&iptables.save(family).await.unwrap());
    let delta = Delta::between(desired, &observed, owns);
    iptables.restore(family, &delta.to_script()).await.unwrap();
    delta
}

fn script(text: &str) -> Script {
    text.parse().unwrap()
}

fn has(rules: &Ruleset, line: &str) -> bool {
    rules.to_string().lines().any(|l| l == line)
}

async fn suite(iptables: &impl Iptables, family: Family) {
    let foreign = "*nat\n:FOREIGN - [0:0]\n-A FOREIGN -m comment --comment theirs -j RETURN\n\
                   -A PREROUTING -m comment --comment theirs -j FOREIGN\nCOMMIT\n";
    iptables.restore(family, &script(foreign)).await.unwrap();

    let first = desired(family, 8080);
    let mut observed = Observed::of(&iptables.save(family).await.unwrap());
    observed.advance(&apply(iptables, family, &first).await);
    let read = iptables.save(family).await.unwrap();
    assert_eq!(Delta::between(&first, &Observed::of(&read), owns), Delta::default(), "applied is what is read back");
    assert_eq!(Delta::between(&first, &observed, owns), Delta::default(), "and what was noted");
    let hooks: Vec<String> =
        read.chain(Table::Nat, &ChainName::PREROUTING).unwrap().rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        hooks,
        [
            "-m comment --comment \"kubernetes rules\" -j KUBE-SERVICES",
            "-m comment --comment \"kubernetes rules\" -j KUBE-MARK-MASQ",
            "-m comment --comment theirs -j FOREIGN"
        ]
    );

    let change = apply(iptables, family, &desired(family, 9090)).await.to_script().to_string();
    assert!(change.starts_with("*nat\n:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]\n-A KUBE-SEP"), "{change}");
    assert_eq!(change.matches("\n:").count(), 1, "only the changed chain is touched: {change}");

    let bad = "*nat\n:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]\n-A KUBE-SVC-ABCDEFGHIJKLMNOP -j NO-SUCH-CHAIN\nCOMMIT\n";
    let before = iptables.save(family).await.unwrap();
    iptables.restore(family, &script(bad)).await.unwrap_err();
    assert_eq!(iptables.save(family).await.unwrap(), before, "a failed restore changes nothing");

    apply(iptables, family, &Desired::default()).await;
    let after = iptables.save(family).await.unwrap();
    assert!(!after.to_string().contains("KUBE-"), "{after}");
    assert!(has(&after, "-A PREROUTING -m comment --comment theirs -j FOREIGN"), "{after}");
}

async fn in_kernel(name: &str, flavour: Flavour, family: Family) {
    let Some(namespace) = Namespace::new(name) else { return };
    suite(&HostIptables::with_flavour(flavour).in_namespace(&namespace.path()), family).await;
}

#[tokio::test]
async fn fake() {
    suite(&FakeIptables::new(), Family::V4).await;
    suite(&FakeIptables::new(), Family::V6).await;
}

#[tokio::test]
async fn nft_v4() {
    in_kernel("nft4", Flavour::Nft, Family::V4).await;
}

#[tokio::test]
async fn nft_v6() {
    in_kernel("nft6", Flavour::Nft, Family::V6).await;
}

#[tokio::test]
async fn legacy_v4() {
    in_kernel("leg4", Flavour::Legacy, Family::V4).await;
}

#[tokio::test]
async fn legacy_v6() {
    in_kernel("leg6", Flavour::Legacy, Family::V6).await;
}
