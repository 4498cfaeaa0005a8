//! Addresses and networks.

use std::{any::Any, net::IpAddr};

use ipnet::IpNet;

use super::{Call, Library, Row, no_overload};
use crate::{
    types::Type,
    value::{Error, Opaque, Value},
};

const ASKED: &[&str] = &["net.IP.() -> bool"];

/// Kubernetes' functions on addresses.
pub const IP: Library = Library(&[
    Row { name: "ip", function: ip, declarations: &["(string) -> net.IP"] },
    Row { name: "isIP", function: is_ip, declarations: &["(string) -> bool"] },
    Row { name: "ip.isCanonical", function: is_canonical, declarations: &["(string) -> bool"] },
    Row { name: "string", function: text, declarations: &["(net.IP) -> string"] },
    Row { name: "family", function: family, declarations: &["net.IP.() -> int"] },
    Row { name: "isUnspecified", function: asked, declarations: ASKED },
    Row { name: "isLoopback", function: asked, declarations: ASKED },
    Row { name: "isLinkLocalMulticast", function: asked, declarations: ASKED },
    Row { name: "isLinkLocalUnicast", function: asked, declarations: ASKED },
    Row { name: "isGlobalUnicast", function: asked, declarations: ASKED },
]);

/// Kubernetes' functions on networks.
pub const CIDR: Library = Library(&[
    Row { name: "cidr", function: cidr, declarations: &["(string) -> net.CIDR"] },
    Row { name: "isCIDR", function: is_cidr, declarations: &["(string) -> bool"] },
    Row { name: "string", function: text, declarations: &["(net.CIDR) -> string"] },
    Row {
        name: "containsIP",
        function: contains_ip,
        declarations: &["net.CIDR.(string) -> bool", "net.CIDR.(net.IP) -> bool"],
    },
    Row {
        name: "containsCIDR",
        function: contains_cidr,
        declarations: &["net.CIDR.(string) -> bool", "net.CIDR.(net.CIDR) -> bool"],
    },
    Row { name: "ip", function: ip, declarations: &["net.CIDR.() -> net.IP"] },
    Row { name: "masked", function: masked, declarations: &["net.CIDR.() -> net.CIDR"] },
    Row { name: "prefixLength", function: prefix_length, declarations: &["net.CIDR.() -> int"] },
]);

#[derive(Debug, PartialEq)]
struct Address(IpAddr);

#[derive(Debug, PartialEq)]
struct Network(IpNet);

impl Opaque for Address {
    fn value_type(&self) -> Type {
        Type::Opaque("net.IP".into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }
}

impl Opaque for Network {
    fn value_type(&self) -> Type {
        Type::Opaque("net.CIDR".into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        u64::from(self.0.prefix_len().div_ceil(8))
    }
}

/// No address of version 4 in disguise.
fn address(text: &str) -> Result<IpAddr, Error> {
    let address = text
        .parse::<IpAddr>()
        .map_err(|_| Error::new(format!("IP Address {text:?} parse error during conversion from string")))?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        address => Ok(address),
    }
}

fn network(text: &str) -> Result<IpNet, Error> {
    let malformed = || Error::new(format!("network address parse error during conversion from string: {text:?}"));
    let (network, prefix) = text.split_once('/').ok_or_else(malformed)?;
    if prefix.starts_with('+') || prefix.len() > 1 && prefix.starts_with('0') {
        return Err(malformed());
    }
    let prefix = prefix.parse().map_err(|_| malformed())?;
    IpNet::new(address(network)?, prefix).map_err(|_| malformed())
}

/// Of a text, or where a network begins as it was written.
fn ip<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => address(text).map(|address| Value::opaque(Address(address))),
        [value] => match value.downcast::<Network>() {
            Some(Network(network)) => Ok(Value::opaque(Address(network.addr()))),
            None => no_overload(),
        },
        _ => no_overload(),
    }
}

fn is_ip<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(address(text).is_ok())),
        _ => no_overload(),
    }
}

fn is_canonical<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(address(text)?.to_string() == **text)),
        _ => no_overload(),
    }
}

fn text<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [value] = args else { return no_overload() };
    match (value.downcast::<Address>(), value.downcast::<Network>()) {
        (Some(Address(address)), _) => Ok(Value::string(address.to_string())),
        (_, Some(Network(network))) => Ok(Value::string(network.to_string())),
        _ => no_overload(),
    }
}

fn family<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args.first().and_then(Value::downcast::<Address>) {
        Some(Address(address)) => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        None => no_overload(),
    }
}

fn asked<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Some(Address(address)) = args.first().and_then(Value::downcast::<Address>) else { return no_overload() };
    let link_local = match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    Ok(Value::Bool(match call.name {
        "isUnspecified" => address.is_unspecified(),
        "isLoopback" => address.is_loopback(),
        "isLinkLocalUnicast" => link_local,
        "isLinkLocalMulticast" => match address {
            IpAddr::V4(four) => four.octets().starts_with(&[224, 0, 0]),
            IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
        },
        // As Go has it: everything that is nothing else, private addresses too.
        _ => {
            let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
            !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local || broadcast)
        }
    }))
}

fn cidr<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => network(text).map(|network| Value::opaque(Network(network))),
        _ => no_overload(),
    }
}

fn is_cidr<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(network(text).is_ok())),
        _ => no_overload(),
    }
}

fn contains_ip<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [outer, inner] = args else { return no_overload() };
    let Some(Network(outer)) = outer.downcast::<Network>() else { return no_overload() };
    let inner = match inner {
        Value::String(text) => address(text)?,
        value => value.downcast::<Address>().ok_or_else(Error::no_overload)?.0,
    };
    Ok(Value::Bool(outer.contains(&inner)))
}

fn contains_cidr<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [outer, inner] = args else { return no_overload() };
    let Some(Network(outer)) = outer.downcast::<Network>() else { return no_overload() };
    let inner = match inner {
        Value::String(text) => network(text)?,
        value => value.downcast::<Network>().ok_or_else(Error::no_overload)?.0,
    };
    Ok(Value::Bool(outer.contains(&inner)))
}

fn masked<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args.first().and_then(Value::downcast::<Network>) {
        Some(Network(network)) => Ok(Value::opaque(Network(network.trunc()))),
        None => no_overload(),
    }
}

fn prefix_length<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args.first().and_then(Value::downcast::<Network>) {
        Some(Network(network)) => Ok(Value::Int(i64::from(network.prefix_len()))),
        None => no_overload(),
    }
}
