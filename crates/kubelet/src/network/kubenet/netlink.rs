//! Bridge, veth pairs, addresses and routes, through netlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkFlags, LinkHeader};
use rtnetlink::{Error, Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection};
use tokio_util::task::AbortOnDropHandle;

use super::super::{NetworkError, Result};
use super::netns;

/// The pod's end of the pair.
const POD_LINK: &str = "eth0";
const LOOPBACK: &str = "lo";

/// A netlink socket in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    handle: Handle,
    /// Moves messages for as long as the socket is used.
    _driver: AbortOnDropHandle<()>,
}

impl Netlink {
    pub(super) fn open() -> Result<Self> {
        let (driver, handle, _) = new_connection().map_err(|source| kernel("open a netlink socket", source))?;
        Ok(Self { handle, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    /// A bridge that is up and has this address; one that exists keeps its ports.
    pub(super) async fn ensure_bridge(&self, name: &str, address: Ipv4Net, mtu: Option<u32>) -> Result<()> {
        let operation = || format!("make bridge {name}");
        if self.index(name).await?.is_none() {
            // A fixed hardware address: a bridge otherwise takes on the lowest of its ports', and pods' ARP caches
            // would go stale.
            let mut link = LinkBridge::new(name).address(hardware_address(address.addr()).to_vec());
            if let Some(mtu) = mtu {
                link = link.mtu(mtu);
            }
            let added = self.handle.link().add(link.build()).execute().await;
            ignore(exists_already, added).map_err(|error| failed(operation(), error))?;
        }
        let index = self.require(name).await?;
        self.set_addresses(index, address).await.map_err(|error| failed(operation(), error))?;
        let up = self.handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await;
        up.map_err(|error| failed(operation(), error))
    }

    /// Deletes a link; one that is not there counts as deleted.
    pub(super) async fn delete_link(&self, name: &str) -> Result<()> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        let deleted = self.handle.link().del(index).execute().await;
        ignore(is_absent, deleted).map_err(|error| failed(format!("delete link {name}"), error))
    }

    /// Whether a link is there and up.
    pub(super) async fn is_up(&self, name: &str) -> Result<bool> {
        Ok(self.link(name).await?.is_some_and(|header| header.flags.contains(LinkFlags::Up)))
    }

    async fn index(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.link(name).await?.map(|header| header.index))
    }

    async fn link(&self, name: &str) -> Result<Option<LinkHeader>> {
        let mut links = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match links.next().await {
            Some(Ok(link)) => Ok(Some(link.header)),
            Some(Err(error)) if is_absent(&error) => Ok(None),
            Some(Err(error)) => Err(failed(format!("look for link {name}"), error)),
            None => Ok(None),
        }
    }

    async fn require(&self, name: &str) -> Result<u32> {
        let gone = || kernel(&format!("look for link {name}"), io::Error::from(io::ErrorKind::NotFound));
        self.index(name).await?.ok_or_else(gone)
    }

    /// Makes `wanted` the only IPv4 address of a link.
    async fn set_addresses(&self, index: u32, wanted: Ipv4Net) -> Result<(), Error> {
        use rtnetlink::packet_route::address::AddressAttribute;
        let present: Vec<_> = self.handle.address().get().set_link_index_filter(index).execute().try_collect().await?;
        for message in present {
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
                _ => None,
            });
            let right = local == Some(wanted.addr()) && message.header.prefix_len == wanted.prefix_len();
            if local.is_some() && !right {
                self.handle.address().del(message).execute().await?;
            }
        }
        let added = self.handle.address().add(index, IpAddr::V4(wanted.addr()), wanted.prefix_len()).execute().await;
        ignore(exists_already, added)
    }
}

/// How one sandbox is to be connected.
pub(super) struct Wire {
    pub(super) bridge: String,
    /// The node's end of the pair.
    pub(super) host_link: String,
    /// A process in the sandbox's namespace.
    pub(super) pid: u32,
    /// The pod's address with the network's prefix length.
    pub(super) address: Ipv4Net,
    /// The bridge's address.
    pub(super) gateway: Ipv4Addr,
    pub(super) mtu: Option<u32>,
}

impl Wire {
    /// Makes the pair and brings both ends up, the node's at the very end: where that is up, everything is done. What
    /// is there is left as it is.
    pub(super) async fn connect(self) -> Result<()> {
        let netlink = Netlink::open()?;
        let bridge = netlink.require(&self.bridge).await?;
        let operation = format!("connect {} with {}", self.host_link, self.bridge);
        let added = netlink.handle.link().add(self.pair(bridge)).execute().await;
        ignore(exists_already, added).map_err(|error| failed(operation.clone(), error))?;
        let port = netlink.require(&self.host_link).await?;
        let hairpin = LinkBridgePort::new(port).hairpin(true).build();
        let set = netlink.handle.link().set_port(hairpin).execute().await;
        set.map_err(|error| failed(operation.clone(), error))?;
        let (address, gateway) = (self.address, self.gateway);
        netns::inside(self.pid, move || async move { configure_pod(address, gateway).await }).await?;
        let up = netlink.handle.link().set(LinkUnspec::new_with_index(port).up().build()).execute().await;
        up.map_err(|error| failed(operation, error))
    }

    /// The pair: a port of the bridge here, `eth0` in the sandbox.
    fn pair(&self, bridge: u32) -> rtnetlink::packet_route::link::LinkMessage {
        let mut peer = LinkUnspec::new_with_name(POD_LINK)
            .address(hardware_address(self.address.addr()).to_vec())
            .setns_by_pid(self.pid);
        let mut link = LinkVeth::new(&self.host_link, POD_LINK).controller(bridge);
        if let Some(mtu) = self.mtu {
            peer = peer.mtu(mtu);
            link = link.mtu(mtu);
        }
        link.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build()
    }
}

/// The sandbox's side, run inside its namespace.
async fn configure_pod(address: Ipv4Net, gateway: Ipv4Addr) -> Result<()> {
    let netlink = Netlink::open()?;
    // A hairpin port sends a host's own probes back to it, which duplicate address detection takes for a conflict.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{POD_LINK}/accept_dad"), "0");
    let operation = || format!("configure {POD_LINK} with {address}");
    let link = netlink.require(POD_LINK).await?;
    netlink.set_addresses(link, address).await.map_err(|error| failed(operation(), error))?;
    for index in [netlink.require(LOOPBACK).await?, link] {
        let up = netlink.handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await;
        up.map_err(|error| failed(operation(), error))?;
    }
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(link).build();
    let added = netlink.handle.route().add(route).execute().await;
    ignore(exists_already, added).map_err(|error| failed(operation(), error))
}

/// A locally administered hardware address made of an IPv4 address, as upstream's: a reused IP keeps its MAC.
fn hardware_address(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}

fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}

fn exists_already(error: &Error) -> bool {
    errno(error) == Some(nix::errno::Errno::EEXIST as i32)
}

fn is_absent(error: &Error) -> bool {
    errno(error) == Some(nix::errno::Errno::ENODEV as i32)
}

fn ignore(expected: impl Fn(&Error) -> bool, outcome: Result<(), Error>) -> Result<(), Error> {
    outcome.or_else(|error| if expected(&error) { Ok(()) } else { Err(error) })
}

fn failed(operation: String, error: Error) -> NetworkError {
    let source = match errno(&error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error.to_string()),
    };
    NetworkError::Kernel { operation, source }
}

fn kernel(operation: &str, source: io::Error) -> NetworkError {
    NetworkError::Kernel { operation: operation.to_owned(), source }
}
