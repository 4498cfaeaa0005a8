//! Reads a rule as `iptables-save` prints it.
//!
//! Reading never fails: whatever is not understood is kept word by word, so that a foreign rule compares equal to
//! itself and can be written back.

use ipnet::IpNet;

use crate::matches::{
    AddrType, AddrTypes, ConntrackState, Mark, Match, PhysDev, PortRange, Ports, Probability, Recent, RecentAction,
};
use crate::names::ChainName;
use crate::rule::{Protocol, Rule, Test};
use crate::target::Target;

impl Rule {
    /// Reads the words that follow `-A CHAIN`.
    pub(crate) fn from_words(words: &[String]) -> Self {
        understand(words).unwrap_or_else(|| Rule { matches: vec![Match::Other(words.to_vec())], ..Rule::default() })
    }
}

/// Words yet to be read.
struct Reader<'a> {
    words: &'a [String],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn next_if(&mut self, word: &str) -> bool {
        let found = self.words.first().is_some_and(|w| w == word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn negation(&mut self) -> bool {
        self.next_if("!")
    }

    /// The words of one extension: up to the next top-level option.
    fn extension(&mut self) -> &'a [String] {
        let is_comment = self.words.first().is_some_and(|w| w == "comment");
        let end = if is_comment { 3.min(self.words.len()) } else { end_of_extension(self.words) };
        let (taken, rest) = self.words.split_at(end);
        self.words = rest;
        taken
    }
}

fn end_of_extension(words: &[String]) -> usize {
    let top_level = |w: &str| w.len() == 2 && w.starts_with('-') && w != "--";
    (1..words.len())
        .find(|&i| top_level(&words[i]) || (words[i] == "!" && words.get(i + 1).is_some_and(|w| top_level(w))))
        .unwrap_or(words.len())
}

fn test<T>(negated: bool, value: T) -> Test<T> {
    if negated { Test::Not(value) } else { Test::Is(value) }
}

fn understand(words: &[String]) -> Option<Rule> {
    let mut reader = Reader { words };
    let mut rule = Rule::default();
    while !reader.words.is_empty() {
        let negated = reader.negation();
        match reader.next()? {
            "-s" => rule.source = Some(test(negated, network(reader.next()?)?)),
            "-d" => rule.destination = Some(test(negated, network(reader.next()?)?)),
            "-i" => rule.in_interface = Some(test(negated, reader.next()?.to_owned())),
            "-o" => rule.out_interface = Some(test(negated, reader.next()?.to_owned())),
            "-p" => rule.protocol = Some(test(negated, Protocol::named(reader.next()?))),
            "-m" if !negated => rule.matches.push(extension(reader.extension())),
            "-j" if !negated => rule.target = Some(Target::parse(std::mem::take(&mut reader.words))),
            "-g" if !negated => rule.target = Some(Target::Goto(ChainName::new(reader.next()?).ok()?)),
            _ => return None,
        }
    }
    Some(rule)
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) => Some(net.trunc()),
        Err(_) => text.parse::<std::net::IpAddr>().ok().map(IpNet::from),
    }
}

fn extension(words: &[String]) -> Match {
    let mut reader = Reader { words };
    let known = match reader.next() {
        Some("comment") if reader.next_if("--comment") => reader.next().map(|text| Match::Comment(text.to_owned())),
        Some(name @ ("tcp" | "udp" | "sctp")) => ports(Protocol::named(name), &mut reader),
        Some("addrtype") => addr_types(&mut reader),
        Some("mark") => mark(&mut reader),
        Some("statistic") => statistic(&mut reader),
        Some("recent") => recent(&mut reader),
        Some("conntrack") => conntrack(&mut reader),
        Some("physdev") => physdev(&mut reader),
        _ => None,
    };
    known
        .filter(|_| reader.words.is_empty())
        .unwrap_or_else(|| Match::Other(std::iter::once("-m".to_owned()).chain(words.iter().cloned()).collect()))
}

fn ports(protocol: Protocol, reader: &mut Reader<'_>) -> Option<Match> {
    let mut ports = Ports { protocol, source: None, destination: None };
    while !reader.words.is_empty() {
        let negated = reader.negation();
        match reader.next()? {
            "--sport" => ports.source = Some(test(negated, PortRange::parse(reader.next()?)?)),
            "--dport" => ports.destination = Some(test(negated, PortRange::parse(reader.next()?)?)),
            _ => return None,
        }
    }
    Some(Match::Ports(ports))
}

fn addr_types(reader: &mut Reader<'_>) -> Option<Match> {
    let mut types = AddrTypes { source: None, destination: None };
    while !reader.words.is_empty() {
        let negated = reader.negation();
        match reader.next()? {
            "--src-type" => types.source = Some(test(negated, AddrType::named(reader.next()?)?)),
            "--dst-type" => types.destination = Some(test(negated, AddrType::named(reader.next()?)?)),
            _ => return None,
        }
    }
    Some(Match::AddrType(types))
}

fn mark(reader: &mut Reader<'_>) -> Option<Match> {
    let negated = reader.negation();
    if !reader.next_if("--mark") {
        return None;
    }
    Some(Match::Mark(test(negated, Mark::parse(reader.next()?)?)))
}

fn statistic(reader: &mut Reader<'_>) -> Option<Match> {
    if !(reader.next_if("--mode") && reader.next_if("random") && reader.next_if("--probability")) {
        return None;
    }
    Some(Match::Statistic(Probability::parse(reader.next()?)?))
}

/// Only the forms that [`Recent`] can express: source addresses under the full mask.
fn recent(reader: &mut Reader<'_>) -> Option<Match> {
    let (mut list, mut set, mut check, mut reap, mut seconds) = (None, false, false, false, None);
    while let Some(word) = reader.next() {
        match word {
            "--set" => set = true,
            "--rcheck" => check = true,
            "--reap" => reap = true,
            "--seconds" => seconds = Some(reader.next()?.parse().ok()?),
            "--name" => list = Some(reader.next()?.to_owned()),
            "--mask" if matches!(reader.next()?, "255.255.255.255" | "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") => {}
            "--rsource" => {}
            _ => return None,
        }
    }
    let action = match (set, check, reap, seconds) {
        (true, false, false, None) => RecentAction::Set,
        (false, true, true, Some(seconds)) => RecentAction::Check { seconds },
        _ => return None,
    };
    Some(Match::Recent(Recent { list: list?, action }))
}

fn conntrack(reader: &mut Reader<'_>) -> Option<Match> {
    let negated = reader.negation();
    if !reader.next_if("--ctstate") {
        return None;
    }
    let states = reader.next()?.split(',').map(ConntrackState::named).collect::<Option<_>>()?;
    Some(Match::Conntrack(test(negated, states)))
}

fn physdev(reader: &mut Reader<'_>) -> Option<Match> {
    let negated = reader.negation();
    let dev = match reader.next()? {
        "--physdev-in" => PhysDev::In(reader.next()?.to_owned()),
        "--physdev-is-in" => PhysDev::IsIn,
        "--physdev-out" => PhysDev::Out(reader.next()?.to_owned()),
        "--physdev-is-out" => PhysDev::IsOut,
        "--physdev-is-bridged" => PhysDev::IsBridged,
        _ => return None,
    };
    Some(Match::PhysDev(test(negated, dev)))
}
