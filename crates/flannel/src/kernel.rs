//! Making the kernel have what is planned, by netlink: what is there is read, and the difference written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle, LinkUnspec, LinkVxlan, MulticastGroup, RouteMessageBuilder, new_multicast_connection};
use tokio::sync::Notify;

use crate::backend::{Device, Plan, Via};
use crate::config::VxlanConfig;
use crate::interface::Interface;
use crate::lease::Mac;

/// A netlink socket.
#[derive(Clone, Debug)]
pub struct Kernel {
    handle: Handle,
}

/// The kernel's tunnel as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The device's name.
    pub name: String,
    /// This node's hardware address in it.
    pub mac: Mac,
    /// The longest packet.
    pub mtu: u32,
    /// The rest.
    pub config: VxlanConfig,
}

impl Tunnel {
    /// The tunnel of a network.
    #[must_use]
    pub fn name(config: &VxlanConfig) -> String {
        format!("flannel.{}", config.vni)
    }
}

impl Kernel {
    /// Opens the socket, and rings `changed` whenever links, addresses, routes or neighbours change.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(changed: std::sync::Arc<Notify>, daemon: &component::Daemon) -> anyhow::Result<Self> {
        let groups =
            [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route, MulticastGroup::Neigh];
        let (driver, handle, mut messages) = new_multicast_connection(&groups).context("opening a netlink socket")?;
        daemon.spawn_until_shutdown(driver);
        daemon.spawn_until_shutdown(async move {
            while let Some((message, _)) = futures::StreamExt::next(&mut messages).await {
                if concerns_us(&message.payload) {
                    changed.notify_one();
                }
            }
        });
        Ok(Self { handle })
    }

    /// The hardware address of a link, if there is one of this name.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn mac(&self, name: &str) -> anyhow::Result<Option<Mac>> {
        let link = self.link(name).await?;
        let address = link.into_iter().flat_map(|link| link.attributes).find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes).ok().map(Mac),
            _ => None,
        });
        Ok(address)
    }

    /// The longest packet of a link, if there is one of this name.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn mtu(&self, name: &str) -> anyhow::Result<Option<u32>> {
        let attributes = self.link(name).await?.into_iter().flat_map(|link| link.attributes);
        Ok(attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        }))
    }

    /// The number of a link, if there is one of this name.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn index(&self, name: &str) -> anyhow::Result<Option<u32>> {
        Ok(self.link(name).await?.map(|link| link.header.index))
    }

    async fn link(&self, name: &str) -> anyhow::Result<Option<LinkMessage>> {
        let found = self.handle.link().get().match_name(name.to_owned()).execute().try_next().await;
        match found {
            Err(error) if errno(&error) == Some(nix::errno::Errno::ENODEV as i32) => Ok(None),
            found => found.with_context(|| format!("looking for link {name}")),
        }
    }

    /// Makes sure that the tunnel's device is there, is up, and has this address; gives its number. One with other
    /// settings is replaced.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn ensure_tunnel(
        &self,
        tunnel: &Tunnel,
        interface: &Interface,
        address: Ipv4Addr,
    ) -> anyhow::Result<u32> {
        let what = || format!("making {}", tunnel.name);
        if let Some(link) = self.link(&tunnel.name).await?
            && !is_tunnel(&link, tunnel, interface)
        {
            tracing::info!(name = tunnel.name, "the tunnel has other settings: it is made anew");
            self.handle.link().del(link.header.index).execute().await.with_context(what)?;
        }
        if self.index(&tunnel.name).await?.is_none() {
            let link = LinkVxlan::new(&tunnel.name, tunnel.config.vni)
                .dev(interface.index)
                .local(interface.address.addr())
                .port(tunnel.config.port)
                .learning(tunnel.config.learning)
                .address(tunnel.mac.0.to_vec())
                .mtu(tunnel.mtu)
                .build();
            self.handle.link().add(link).execute().await.with_context(what)?;
            ethtool::without_checksum_offload(&tunnel.name).with_context(what)?;
        }
        let index = self.index(&tunnel.name).await?.with_context(what)?;
        self.set_addresses(index, Ipv4Net::from(address)).await.with_context(what)?;
        self.bring_up(index).await.with_context(what)?;
        Ok(index)
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn bring_up(&self, index: u32) -> Result<(), Error> {
        self.handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
    }

    /// Sets the longest packet of a link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Error> {
        self.handle.link().set(LinkUnspec::new_with_index(index).mtu(mtu).build()).execute().await
    }

    /// Makes `wanted` the only IPv4 address of a link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_addresses(&self, index: u32, wanted: Ipv4Net) -> Result<(), Error> {
        let mut found = false;
        let present: Vec<_> = self.handle.address().get().set_link_index_filter(index).execute().try_collect().await?;
        for message in present {
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
                _ => None,
            });
            let Some(local) = local else { continue };
            if local == wanted.addr() && message.header.prefix_len == wanted.prefix_len() {
                found = true;
            } else {
                self.handle.address().del(message).execute().await?;
            }
        }
        if found {
            return Ok(());
        }
        self.handle.address().add(index, IpAddr::V4(wanted.addr()), wanted.prefix_len()).execute().await
    }

    /// Brings the plan into force: how many entries were written or removed. What cannot be written is named in the
    /// log and tried again the next time; the rest goes on.
    ///
    /// # Errors
    /// When the kernel does not tell what it has.
    pub async fn apply(&self, plan: &Plan, network: Ipv4Net, devices: &Devices) -> anyhow::Result<usize> {
        let mut changes = self.apply_routes(plan, network, devices).await.context("routes")?;
        if let Some(tunnel) = devices.tunnel {
            changes += self.apply_neighbours(plan, tunnel).await.context("neighbours")?;
            changes += self.apply_forwarding(plan, tunnel).await.context("the forwarding table")?;
        }
        Ok(changes)
    }

    async fn apply_routes(&self, plan: &Plan, network: Ipv4Net, devices: &Devices) -> anyhow::Result<usize> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let present: Vec<(Ipv4Net, Via, RouteMessage)> =
            all.try_filter_map(async |message| Ok(ours(message, network, devices))).try_collect().await?;
        let mut there = BTreeMap::new();
        let mut changes = 0;
        for (subnet, via, message) in present {
            if plan.routes.get(&subnet) == Some(&via) {
                there.insert(subnet, via);
            } else {
                changes += 1;
                note(&format!("remove the route to {subnet}"), self.handle.route().del(message).execute().await);
            }
        }
        for (subnet, via) in plan.routes.iter().filter(|(subnet, _)| !there.contains_key(subnet)) {
            let Some(index) = devices.index(via.device) else { continue };
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(subnet.network(), subnet.prefix_len())
                .gateway(via.gateway)
                .output_interface(index);
            let route = if via.device == Device::Tunnel { route.onlink() } else { route };
            changes += 1;
            let added = self.handle.route().add(route.build()).replace().execute().await;
            note(&format!("add the route to {subnet} by {}", via.gateway), added);
        }
        Ok(changes)
    }

    async fn apply_neighbours(&self, plan: &Plan, tunnel: u32) -> anyhow::Result<usize> {
        let mut there = BTreeMap::new();
        let mut changes = 0;
        for message in self.neighbours(AddressFamily::Inet, tunnel).await? {
            let ip = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(*ip),
                _ => None,
            });
            // What the kernel found out by itself is not ours.
            let (Some(ip), true) = (ip, message.header.state == NeighbourState::Permanent) else { continue };
            if mac_of(&message).is_some_and(|mac| plan.neighbours.get(&ip) == Some(&mac)) {
                there.insert(ip, ());
            } else {
                changes += 1;
                note(&format!("forget neighbour {ip}"), self.handle.neighbours().del(message).execute().await);
            }
        }
        for (ip, mac) in plan.neighbours.iter().filter(|(ip, _)| !there.contains_key(ip)) {
            changes += 1;
            let neighbours = self.handle.neighbours();
            let request = neighbours.add(tunnel, IpAddr::V4(*ip)).link_layer_address(&mac.0).replace();
            note(&format!("note neighbour {ip}"), request.execute().await);
        }
        Ok(changes)
    }

    async fn apply_forwarding(&self, plan: &Plan, tunnel: u32) -> anyhow::Result<usize> {
        let mut there = BTreeMap::new();
        let mut changes = 0;
        for message in self.neighbours(AddressFamily::Bridge, tunnel).await? {
            let (Some(mac), Some(ip)) = (mac_of(&message), destination(&message)) else { continue };
            // Of what was learnt, nothing is ours.
            if message.header.state != NeighbourState::Permanent || mac == Mac([0; 6]) {
                continue;
            }
            if plan.forwarding.get(&mac) == Some(&ip) {
                there.insert(mac, ());
            } else {
                changes += 1;
                note(&format!("forget where {mac} is"), self.handle.neighbours().del(message).execute().await);
            }
        }
        for (mac, ip) in plan.forwarding.iter().filter(|(mac, _)| !there.contains_key(mac)) {
            changes += 1;
            let neighbours = self.handle.neighbours();
            let request = neighbours.add_bridge(tunnel, &mac.0).flags(NeighbourFlags::Own).destination(IpAddr::V4(*ip));
            note(&format!("note that {mac} is at {ip}"), request.replace().execute().await);
        }
        Ok(changes)
    }

    async fn neighbours(&self, family: AddressFamily, device: u32) -> Result<Vec<NeighbourMessage>, Error> {
        let all = self.handle.neighbours().get().set_address_family(family).execute();
        all.try_filter(|message| futures::future::ready(message.header.ifindex == device)).try_collect().await
    }
}

/// Whether a notification may be of what is ours. Neighbours of pods and of other machines come and go all the time; ours are
/// permanent, and those that somebody removes have failed.
fn concerns_us(message: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    let NetlinkPayload::InnerMessage(message) = message else { return true };
    match message {
        RouteNetlinkMessage::NewNeighbour(neighbour) => neighbour.header.state == NeighbourState::Permanent,
        RouteNetlinkMessage::DelNeighbour(neighbour) => {
            matches!(neighbour.header.state, NeighbourState::Permanent | NeighbourState::Failed)
        }
        _ => true,
    }
}

/// Numbers of the devices.
#[derive(Clone, Copy, Debug)]
pub struct Devices {
    /// The interface by which nodes reach each other.
    pub external: u32,
    /// The tunnel, where the backend has one.
    pub tunnel: Option<u32>,
}

impl Devices {
    fn index(&self, device: Device) -> Option<u32> {
        match device {
            Device::External => Some(self.external),
            Device::Tunnel => self.tunnel,
        }
    }
}

/// A route that is ours: to a part of the network, by way of another machine, on one of our devices. Who removed a node while
/// this daemon was not running has left one.
fn ours(message: RouteMessage, network: Ipv4Net, devices: &Devices) -> Option<(Ipv4Net, Via, RouteMessage)> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let (mut destination, mut gateway, mut output) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => destination = Some(*ip),
            RouteAttribute::Gateway(RouteAddress::Inet(ip)) => gateway = Some(*ip),
            RouteAttribute::Oif(index) => output = Some(*index),
            _ => {}
        }
    }
    let subnet = Ipv4Net::new(destination?, header.destination_prefix_length).ok()?;
    let device = match output? {
        index if index == devices.external => Device::External,
        index if devices.tunnel == Some(index) => Device::Tunnel,
        _ => return None,
    };
    let is_part = network.contains(&subnet) && subnet != network;
    is_part.then_some((subnet, Via { gateway: gateway?, device }, message))
}

/// Whether the device that is there is what is wanted.
fn is_tunnel(link: &LinkMessage, tunnel: &Tunnel, interface: &Interface) -> bool {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Vxlan(infos)) => Some(infos),
            _ => None,
        }),
        _ => None,
    });
    let Some(infos) = infos else { return false };
    let has = |wanted: InfoVxlan| infos.contains(&wanted);
    let is_mac =
        |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::Address(bytes) if *bytes == tunnel.mac.0);
    has(InfoVxlan::Id(tunnel.config.vni))
        && has(InfoVxlan::Link(interface.index))
        && has(InfoVxlan::Port(tunnel.config.port))
        && has(InfoVxlan::Local(interface.address.addr()))
        && has(InfoVxlan::Learning(tunnel.config.learning))
        && link.attributes.iter().any(is_mac)
        && link.attributes.contains(&LinkAttribute::Mtu(tunnel.mtu))
}

fn mac_of(message: &NeighbourMessage) -> Option<Mac> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac),
        _ => None,
    })
}

/// Bridge entries have their address without its family.
fn destination(message: &NeighbourMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(*ip),
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
            <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from)
        }
        _ => None,
    })
}

fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}

fn note(what: &str, outcome: Result<(), Error>) {
    match outcome {
        Ok(()) => tracing::info!("{what}"),
        Err(error) => tracing::error!("{what}: {error}"),
    }
}

mod ethtool;
