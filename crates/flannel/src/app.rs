//! Putting the daemon together.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use anyhow::Context;
use component::Daemon;
use component::backoff::Backoff;
use component::flags::ClientFlags;
use component::serve::health::Health;
use iptables::HostIptables;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::backend::{self, udp};
use crate::config::{BackendConfig, NetworkConfig, VxlanConfig};
use crate::flags::Flags;
use crate::interface::Interface;
use crate::kernel::{Devices, Kernel, Tunnel};
use crate::lease::{Attributes, Lease, Mac, VxlanData};
use crate::peers::Peers;
use crate::rules::{self, Facts};
use crate::subnet_file::{self, SubnetFile};
use crate::subnets::etcd::EtcdSubnets;
use crate::subnets::nodes::NodeSubnets;
use crate::subnets::{Everybody, Subnets};

/// For how long a change waits for the others that belong to it.
const GATHER: Duration = Duration::from_millis(20);

/// Gets a subnet, and joins the network.
///
/// # Errors
/// When the flags make no sense, or this node cannot be joined to the network.
pub async fn start(daemon: Daemon, flags: Flags) -> anyhow::Result<()> {
    let mut interface = Interface::find(&flags)?;
    tracing::info!(name = interface.name, address = %interface.address, public_ip = %interface.public_ip, "interface");
    if flags.healthz_port != 0 {
        Health::new().serve_plain(SocketAddr::new(flags.healthz_ip, flags.healthz_port), &daemon).await?;
    }
    let subnets = subnets(&flags, &daemon).await?;
    let config = subnets.config().await?;
    let changed = Arc::new(Notify::new());
    let kernel = Kernel::open(Arc::clone(&changed), &daemon)?;
    interface.mtu = kernel.mtu(&interface.name).await?.unwrap_or(interface.mtu);
    let own = attributes(&config, &interface, &*subnets, &kernel).await?;
    let lease = acquire(&*subnets, &config, &own, &flags).await?;
    tracing::info!(subnet = %lease.subnet, network = %config.network, backend = config.backend.name(), "subnet acquired");

    let file = SubnetFile {
        network: config.network,
        subnet: lease.subnet,
        mtu: backend::mtu(&config.backend, &interface),
        ip_masq: flags.ip_masq,
    };
    let facts = Facts {
        network: config.network,
        subnet: lease.subnet,
        masquerade: flags.ip_masq,
        forward: flags.iptables_forward_rules,
    };
    let everybody = subnets.start(config.clone(), lease.clone(), &daemon);
    let forwarding = match &config.backend {
        BackendConfig::Udp { port } => Some(udp::Tunnel::start(udp::Settings {
            listen: SocketAddrV4::new(interface.address.addr(), *port),
            network: config.network,
            subnet: lease.subnet,
        })?),
        _ => None,
    };
    let iptables = HostIptables::detect().await?;
    let mut node =
        Node { config, interface, lease, kernel, iptables, facts, everybody, forwarding, complaints: Vec::new() };
    node.sync().await.context("joining the network")?;
    file.write(&flags.subnet_file).with_context(|| format!("writing {}", flags.subnet_file.display()))?;
    daemon.ready();
    let period = flags.resync_period.max(Duration::from_secs(1));
    daemon.spawn_until_shutdown(async move { node.run(&changed, period).await });
    Ok(())
}

async fn subnets(flags: &Flags, daemon: &Daemon) -> anyhow::Result<Box<dyn Subnets>> {
    if !flags.kube_subnet_mgr {
        return Ok(Box::new(EtcdSubnets::new(flags).await?));
    }
    let url = Some(flags.kube_api_url.clone()).filter(|url| !url.is_empty());
    let client = ClientFlags { master: url, kubeconfig: flags.kubeconfig_file.clone() };
    let client = component::client::connect(&client).await?;
    let host = || nix::unistd::gethostname().map(|name| name.to_string_lossy().to_lowercase());
    let name = flags.node_name.clone().map_or_else(host, Ok).context("the node's name")?;
    let prefix = &flags.kube_annotation_prefix;
    Ok(Box::new(NodeSubnets::new(client, &name, prefix, flags.net_config_path.clone(), daemon)))
}

/// Tries until there is a subnet: etcd may be away, and all subnets may be taken for a while.
async fn acquire(
    subnets: &dyn Subnets,
    config: &NetworkConfig,
    own: &Attributes,
    flags: &Flags,
) -> anyhow::Result<Lease> {
    let before = subnet_file::previous(&flags.subnet_file, config.network);
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        match subnets.acquire(config, own, before).await {
            Ok(lease) => return Ok(lease),
            Err(error) => tracing::error!("acquire a subnet: {error:#}"),
        }
        sleep(backoff.next_delay()).await;
    }
}

/// What this node says of itself.
async fn attributes(
    config: &NetworkConfig,
    interface: &Interface,
    subnets: &dyn Subnets,
    kernel: &Kernel,
) -> anyhow::Result<Attributes> {
    let mut own = Attributes {
        public_ip: interface.public_ip,
        public_ipv6: None,
        backend_type: config.backend.name().to_owned(),
        backend_data: Value::Null,
    };
    if let BackendConfig::Vxlan(vxlan) = &config.backend {
        let mac = hardware_address(vxlan, &own, subnets, kernel).await?;
        own.backend_data = json!(VxlanData { vni: Some(vxlan.vni), mac });
    }
    Ok(own)
}

/// The hardware address that the node had: in the others' tables it is still there. Else a random one.
async fn hardware_address(
    config: &VxlanConfig,
    own: &Attributes,
    subnets: &dyn Subnets,
    kernel: &Kernel,
) -> anyhow::Result<Mac> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    let before = loop {
        match subnets.backend_data(own).await {
            Ok(before) => break before,
            Err(error) => tracing::error!("read the lease of an earlier run: {error:#}"),
        }
        sleep(backoff.next_delay()).await;
    };
    if let Some(data) = before.and_then(|data| serde_json::from_value::<VxlanData>(data).ok()) {
        return Ok(data.mac);
    }
    if let Some(mac) = kernel.mac(&Tunnel::name(config)).await? {
        return Ok(mac);
    }
    let [first, second] = config.mac_prefix;
    let [a, b, c, d]: [u8; 4] = rand::random();
    Ok(Mac([first, second, a, b, c, d]))
}

/// This node in the network.
struct Node {
    config: NetworkConfig,
    interface: Interface,
    lease: Lease,
    kernel: Kernel,
    iptables: HostIptables,
    facts: Facts,
    everybody: Everybody,
    /// The tunnel of ours, where that is the backend.
    forwarding: Option<udp::Tunnel>,
    /// What was last said to be wrong with others' leases.
    complaints: Vec<String>,
}

impl Node {
    /// Follows the others' leases, and heals what somebody removes, for ever.
    async fn run(&mut self, changed: &Notify, period: Duration) {
        let mut backoff = Backoff::new(Duration::from_millis(500), period);
        loop {
            let wake_at = match self.sync().await {
                Ok(()) => {
                    backoff.reset();
                    Instant::now() + period
                }
                Err(error) => {
                    tracing::error!("{error:#}");
                    Instant::now() + backoff.next_delay()
                }
            };
            tokio::select! {
                () = changed.notified() => sleep(GATHER).await,
                told = self.everybody.changed() => match told {
                    Ok(()) => sleep(GATHER).await,
                    // Shutting down.
                    Err(_) => return,
                },
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Brings everything into force. Before the others are known, their routes are left as an earlier run made them.
    async fn sync(&mut self) -> anyhow::Result<()> {
        let tunnel = self.ensure_device().await?;
        let everybody = self.everybody.borrow_and_update().clone();
        if let Some(everybody) = everybody {
            let peers = Peers::check(self.config.network, &self.lease, everybody.iter().cloned());
            let plan = backend::plan(&self.config, &self.interface, &peers.leases);
            self.complain([peers.complaints, plan.complaints.clone()].concat());
            if let Some(forwarding) = &self.forwarding {
                forwarding.set(udp::Table::new(&peers.leases));
            }
            let devices = Devices { external: self.interface.index, tunnel };
            self.kernel.apply(&plan, self.config.network, &devices).await?;
        }
        rules::apply(&self.iptables, &self.facts).await
    }

    async fn ensure_device(&self) -> anyhow::Result<Option<u32>> {
        let subnet = self.lease.subnet;
        match &self.config.backend {
            BackendConfig::HostGw => Ok(None),
            BackendConfig::Vxlan(config) => {
                let data: VxlanData = serde_json::from_value(self.lease.attributes.backend_data.clone())?;
                let mtu = backend::mtu(&self.config.backend, &self.interface);
                let tunnel = Tunnel { name: Tunnel::name(config), mac: data.mac, mtu, config: config.clone() };
                self.kernel.ensure_tunnel(&tunnel, &self.interface, subnet.network()).await.map(Some)
            }
            BackendConfig::Udp { .. } => {
                let index = self.kernel.index(udp::DEVICE).await?;
                // The device lives as long as its descriptors: who deletes it breaks them, and the process ends.
                let index = index.context("the tunnel's device is gone")?;
                let mtu = backend::mtu(&self.config.backend, &self.interface);
                // The network's prefix: the kernel's route to the device is the route to everybody.
                let address = ipnet::Ipv4Net::new(subnet.network(), self.config.network.prefix_len())?;
                self.kernel.set_mtu(index, mtu).await.with_context(|| format!("the MTU of {}", udp::DEVICE))?;
                self.kernel.set_addresses(index, address).await.with_context(|| udp::DEVICE)?;
                self.kernel.bring_up(index).await.with_context(|| udp::DEVICE)?;
                Ok(Some(index))
            }
        }
    }

    /// Says what is wrong, once.
    fn complain(&mut self, complaints: Vec<String>) {
        for complaint in complaints.iter().filter(|complaint| !self.complaints.contains(complaint)).take(100) {
            tracing::warn!("a lease is passed over: {complaint}");
        }
        self.complaints = complaints;
    }
}
