//! `ctl port-forward`: connections to ports here go to ports of a pod. Each connection is a request of its own.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use api_types::core::Pod;
use clap::Args;
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{exec::pods_api, pods};
use crate::{
    api::Api,
    error::{Error, Result},
    program::misused,
    resources::{Catalog, Target},
};

/// What to forward.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE/NAME, and [LOCAL_PORT:]REMOTE_PORT…; :REMOTE_PORT means some free port
    #[arg(value_name = "TYPE/NAME")]
    arguments: Vec<String>,
    /// Addresses to listen on
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    /// How long to wait for a pod
    #[arg(long, default_value = "1m", value_parser = component::flags::duration)]
    pod_running_timeout: Duration,
}

/// A port here, and one of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    local: u16,
    remote: u16,
}

/// Runs the command, until it is interrupted or the pod is gone.
///
/// # Errors
/// When there is no such pod or port, or no port here can be listened on.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let (name, ports) = match flags.arguments.as_slice() {
        [] | [_] => {
            return Err(misused("TYPE/NAME and list of ports are required for port-forward", "port-forward"));
        }
        [name, ports @ ..] => (name, ports),
    };
    let service = service(api, name).await?;
    let pod = pods::find_within(api, name, flags.pod_running_timeout).await?;
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    if phase != "Running" {
        return Err(Error::usage(format!("unable to forward port because pod is not running. Current status={phase}")));
    }
    let pairs = ports.iter().map(|text| pair(text, &pod, service.as_ref())).collect::<Result<Vec<_>>>()?;
    let listeners = listen(&flags.addresses()?, &pairs).await?;
    serve(api, pod.metadata.name.as_deref().unwrap_or_default(), listeners).await
}

/// The service that is named, if one is.
async fn service(api: &Api, name: &str) -> Result<Option<Value>> {
    let Some((kind, name)) = name.split_once('/') else { return Ok(None) };
    let target = Target { resource: Catalog::discover(api).await?.find(kind)?, name: Some(name.to_owned()) };
    match target.resource.kind.as_str() {
        "Service" => Ok(Some(api.get(&target.path(Some(&api.namespace))).await?)),
        _ => Ok(None),
    }
}

fn pair(text: &str, pod: &Pod, service: Option<&Value>) -> Result<Pair> {
    let invalid = || Error::usage(format!("invalid port format '{text}'"));
    let (local, remote) = match text.split(':').collect::<Vec<_>>()[..] {
        [both] => (both, both),
        [local, remote] => (local, remote),
        _ => return Err(invalid()),
    };
    let asked = match service {
        Some(service) => of_service(service, remote)?,
        None => remote.to_owned(),
    };
    let target = match asked.parse::<u16>() {
        Ok(port) => port,
        Err(_) => named(pod, &asked).ok_or_else(|| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            Error::usage(format!("Pod '{name}' does not have a named port '{asked}'"))
        })?,
    };
    let local = match local {
        "" => 0,
        same if same == remote => remote.parse().unwrap_or(target),
        other => {
            other.parse().map_err(|_| Error::usage(format!("error parsing local port '{other}': invalid syntax")))?
        }
    };
    if target == 0 {
        return Err(Error::usage("remote port must be > 0"));
    }
    Ok(Pair { local, remote: target })
}

/// The pod's port, by number or name, behind a service's.
fn of_service(service: &Value, port: &str) -> Result<String> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let is = |known: &&Value| {
        known["name"] == port || known["port"].as_u64().is_some_and(|number| number.to_string() == port)
    };
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let found = ports.into_iter().find(is).ok_or_else(|| match port.parse::<u16>() {
        Ok(_) => Error::usage(format!("Service {name} does not have a service port {port}")),
        Err(_) => Error::usage(format!("Service '{name}' does not have a named port '{port}'")),
    })?;
    let headless = service["spec"]["clusterIP"] == "None";
    let target = if headless || found["targetPort"].is_null() { &found["port"] } else { &found["targetPort"] };
    Ok(target.as_str().map_or_else(|| target.to_string(), str::to_owned))
}

fn named(pod: &Pod, name: &str) -> Option<u16> {
    let spec = pod.spec.as_ref()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(port.container_port).ok()
}

/// An address to listen on, and whether it may be missing.
struct Address {
    ip: IpAddr,
    optional: bool,
}

impl Flags {
    fn addresses(&self) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        for text in &self.address {
            match (text.as_str(), text.parse()) {
                ("localhost", _) => {
                    addresses.push(Address { ip: Ipv4Addr::LOCALHOST.into(), optional: false });
                    addresses.push(Address { ip: Ipv6Addr::LOCALHOST.into(), optional: true });
                }
                (_, Ok(ip)) => addresses.push(Address { ip, optional: false }),
                (text, Err(_)) => return Err(Error::usage(format!("{text} is not a valid IP"))),
            }
        }
        Ok(addresses)
    }
}

async fn listen(addresses: &[Address], pairs: &[Pair]) -> Result<Vec<(TcpListener, u16)>> {
    let mut listeners = Vec::new();
    for pair in pairs {
        let mut local = pair.local;
        for address in addresses {
            match TcpListener::bind((address.ip, local)).await {
                Ok(listener) => {
                    let bound = listener.local_addr().map_err(|error| Error::usage(error.to_string()))?;
                    local = bound.port();
                    println!("Forwarding from {bound} -> {}", pair.remote);
                    listeners.push((listener, pair.remote));
                }
                Err(_) if address.optional => {}
                Err(error) => {
                    eprintln!(
                        "Unable to listen on port {local}: Listeners failed to create with the following errors: [unable to create listener: Error listen tcp {}:{local}: bind: {}]",
                        address.ip,
                        reason(&error)
                    );
                    return Err(Error::usage(format!(
                        "unable to listen on any of the requested ports: [{{{local} {}}}]",
                        pair.remote
                    )));
                }
            }
        }
    }
    Ok(listeners)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Takes connections, and joins each to the pod.
async fn serve(api: &Api, pod: &str, listeners: Vec<(TcpListener, u16)>) -> Result<()> {
    let mut taking: FuturesUnordered<_> = listeners.into_iter().map(take).collect();
    let mut joined = tokio::task::JoinSet::new();
    while let Some((listener, remote, taken)) = taking.next().await {
        match taken {
            Ok(stream) => {
                println!(
                    "Handling connection for {}",
                    listener.local_addr().map(|address| address.port()).unwrap_or_default()
                );
                let (api, pod) = (api.clone(), pod.to_owned());
                joined.spawn(async move {
                    if let Err(error) = join(&api, &pod, remote, stream).await {
                        eprintln!("an error occurred forwarding {remote}: {error}");
                    }
                });
            }
            Err(error) => return Err(Error::usage(format!("error accepting connection: {error}"))),
        }
        while joined.try_join_next().is_some() {}
        taking.push(take((listener, remote)));
    }
    Ok(())
}

async fn take((listener, remote): (TcpListener, u16)) -> (TcpListener, u16, io::Result<TcpStream>) {
    let taken = listener.accept().await.map(|(stream, _)| stream);
    (listener, remote, taken)
}

async fn join(api: &Api, pod: &str, remote: u16, mut local: TcpStream) -> Result<()> {
    let mut forwarder = pods_api(api).portforward(pod, &[remote]).await.map_err(|error| api.explain(error))?;
    let told = forwarder.take_error(remote);
    let Some(mut stream) = forwarder.take_stream(remote) else { return Ok(()) };
    let copied = tokio::io::copy_bidirectional(&mut local, &mut stream).await;
    drop(stream);
    // What the kubelet says of a port that nobody listens on.
    if let Some(told) = told
        && let Some(words) = told.await
    {
        return Err(Error::usage(words));
    }
    match copied {
        Ok(_) => Ok(()),
        // Whoever connected went away.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(Error::usage(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use api_types::codec::FromJson;
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]}});
        let pod = Pod::from_tree(&pod).unwrap();
        let service =
            json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}});
        for (text, service, local, remote) in [
            ("80", None, 80, 80),
            ("1:2", None, 1, 2),
            (":web", None, 0, 8080),
            ("web", None, 8080, 8080),
            ("80", Some(&service), 80, 8080),
            (":http", Some(&service), 0, 8080),
        ] {
            assert_eq!(pair(text, &pod, service).unwrap(), Pair { local, remote }, "{text}");
        }
        assert!(
            pair("x", &pod, None).is_err()
                && pair("1:2:3", &pod, None).is_err()
                && pair("81", &pod, Some(&service)).is_err()
        );
    }
}
