//! Putting the daemon together.

use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use anyhow::Context;
use component::Daemon;
use component::api::Api;
use component::backoff::Backoff;
use component::flags::ClientFlags;
use component::serve::health::Health;
use iptables::{HostIptables, PortChoice};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::backend::{self, Leases, udp};
use crate::config::{BackendConfig, NetworkConfig, VxlanConfig};
use crate::flags::Flags;
use crate::interface::Interface;
use crate::kernel::{Devices, Kernel, Tunnel};
use crate::lease::{Attributes, Lease, MAX_FAULTS, Mac, VxlanData};
use crate::peers::{Local, Peers};
use crate::rules::{self, Facts};
use crate::subnet_file::{self, SubnetFile};
use crate::subnets::allocate::Wishes;
use crate::subnets::etcd::EtcdSubnets;
use crate::subnets::nodes::{Annotations, NodeSubnets, Settings};
use crate::subnets::{Everybody, Subnets};

/// For how long a change waits for the others that belong to it.
const GATHER: Duration = Duration::from_millis(20);
/// So many lines say what is wrong with leases.
const SAID_AT_ONCE: usize = 20;

/// Gets a subnet, and joins the network.
///
/// # Errors
/// When the flags make no sense, or this node cannot be joined to the network.
pub async fn start(daemon: Daemon, flags: Flags) -> anyhow::Result<()> {
    if flags.healthz_port != 0 {
        Health::new().serve_plain(SocketAddr::new(flags.healthz_ip, flags.healthz_port), &daemon).await?;
    }
    let subnets = subnets(&flags, &daemon).await?;
    let config = subnets.config().await?;
    let flags = Flags { public_ip: subnets.public_ip().await?.or(flags.public_ip), ..flags };
    let mut interface = Interface::find(&flags)?;
    tracing::info!(name = interface.name, address = %interface.address, public_ip = %interface.public_ip, "interface");
    let changed = Arc::new(Notify::new());
    let kernel = Kernel::open(Arc::clone(&changed), &daemon)?;
    interface.mtu = kernel.mtu(&interface.name).await?.unwrap_or(interface.mtu);
    let own = attributes(&config, &interface, &*subnets, &kernel).await?;
    let wishes =
        Wishes { before: subnet_file::previous(&flags.subnet_file, config.network), link: interface.address.trunc() };
    let lease = acquire(&*subnets, &config, &own, wishes).await?;
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
        masquerade: flags.ip_masq.then_some(match flags.ip_masq_fully_random_disable {
            true => PortChoice::Keep,
            false => PortChoice::RandomFully,
        }),
        forward: flags.iptables_forward_rules,
    };
    let everybody = subnets.start(config.clone(), lease.clone(), &daemon);
    let forwarding = match &config.backend {
        BackendConfig::Udp { port } => Some(udp::Tunnel::start(udp::Settings {
            listen: SocketAddrV4::new(interface.address.addr(), *port),
            subnet: lease.subnet,
        })?),
        _ => None,
    };
    let iptables = HostIptables::detect().await?;
    let mut node = Node {
        config,
        interface,
        lease,
        kernel,
        iptables,
        facts,
        everybody,
        forwarding,
        believed: Leases::new(),
        complaints: BTreeSet::new(),
    };
    node.sync().await.context("joining the network")?;
    node.sync_rules().await.context("the rules of the network")?;
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
    let settings = Settings {
        name: node_name(flags, &client).await.context("the node's name")?,
        annotations: Annotations::new(&flags.kube_annotation_prefix).context("--kube-annotation-prefix")?,
        config: flags.net_config_path.clone(),
        clear_unavailable: flags.set_node_network_unavailable,
    };
    Ok(Box::new(NodeSubnets::new(client, settings, daemon)))
}

/// As it was told; else, in a pod, that of the pod's node; else the host's.
async fn node_name(flags: &Flags, client: &kube::Client) -> anyhow::Result<String> {
    if let Some(name) = flags.node_name.clone().filter(|name| !name.is_empty()) {
        return Ok(name);
    }
    let (Ok(pod), Ok(namespace)) = (std::env::var("POD_NAME"), std::env::var("POD_NAMESPACE")) else {
        return Ok(nix::unistd::gethostname()?.to_string_lossy().to_lowercase());
    };
    let pods: Api<api_types::core::Pod> = Api::namespaced(client.clone(), &namespace);
    let found = pods.get(&pod).await.with_context(|| format!("reading pod {namespace}/{pod}"))?;
    found.spec.and_then(|spec| spec.node_name).with_context(|| format!("pod {namespace}/{pod} is on no node"))
}

/// Tries until there is a subnet: etcd may be away, and all subnets may be taken for a while.
async fn acquire(
    subnets: &dyn Subnets,
    config: &NetworkConfig,
    own: &Attributes,
    wishes: Wishes,
) -> anyhow::Result<Lease> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        match subnets.acquire(config, own, wishes).await {
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
    /// The others' leases that are in force.
    believed: Leases,
    /// What was last said to be wrong with the rest.
    complaints: BTreeSet<String>,
}

impl Node {
    /// Follows the others' leases, and heals what somebody removes, for ever.
    async fn run(&mut self, changed: &Notify, period: Duration) {
        let mut backoff = Backoff::new(Duration::from_millis(500), period);
        let mut rules_at = Instant::now() + period;
        loop {
            let mut done = self.sync().await;
            // Nobody tells of rules that change, and looking at them costs a process.
            if Instant::now() >= rules_at {
                done = done.and(self.sync_rules().await);
                rules_at = Instant::now() + period;
            }
            let wake_at = match done {
                Ok(()) => {
                    backoff.reset();
                    rules_at
                }
                Err(error) => {
                    tracing::error!("{error:#}");
                    rules_at = Instant::now() + backoff.next_delay();
                    rules_at
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

    /// Brings everything into force but the rules. Before the others are known, their routes are left as an earlier run made
    /// them.
    async fn sync(&mut self) -> anyhow::Result<()> {
        let tunnel = self.ensure_device().await?;
        let Some(told) = self.everybody.borrow_and_update().clone() else { return Ok(()) };
        let local = Local { config: &self.config, link: self.interface.address.trunc(), own: &self.lease };
        let peers = Peers::check(local, &told.leases, &self.believed);
        let plan = backend::plan(&self.config, &self.interface, &peers.leases);
        self.complain(told.faults.iter().chain(&peers.complaints).chain(&plan.complaints));
        if let Some(forwarding) = &self.forwarding {
            forwarding.set(udp::Table::new(&peers.leases));
        }
        self.believed = peers.leases;
        let devices = Devices { external: self.interface.index, tunnel };
        self.kernel.apply(&plan, self.config.network, &devices).await?;
        Ok(())
    }

    async fn sync_rules(&self) -> anyhow::Result<()> {
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

    /// Says what is wrong, once, and not too much at once.
    fn complain<'a>(&mut self, complaints: impl Iterator<Item = &'a String>) {
        let complaints: BTreeSet<String> = complaints.take(MAX_FAULTS).cloned().collect();
        let mut new = complaints.difference(&self.complaints);
        for complaint in new.by_ref().take(SAID_AT_ONCE) {
            tracing::warn!("a lease is passed over: {complaint}");
        }
        if let more @ 1.. = new.count() {
            tracing::warn!("{more} more leases are passed over");
        }
        self.complaints = complaints;
    }
}
