//! What the fake remembers, and what each call does to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::program::Program;
use super::{Reachability, Result};
use crate::runtime::{
    ContainerConfig, ContainerId, ContainerState, ContainerStatus, EventKind, Exit, ImageInfo, LinuxResources,
    LogOptions, Mounted, NamespaceMode, OutputChunk, PodIdentity, PodUid, RuntimeError, RuntimeEvent, RuntimePod,
    SandboxConfig, SandboxId, SandboxState, SandboxStatus,
};

/// Exit code of what was killed.
const KILLED: i32 = 137;

pub(super) struct Sandbox {
    pod: PodIdentity,
    status: SandboxStatus,
}

pub(super) struct Container {
    pod: PodIdentity,
    pub(super) status: ContainerStatus,
    command: Vec<String>,
    /// What it has printed, and when.
    log: Vec<(Timestamp, OutputChunk)>,
}

pub(super) struct State {
    next_id: u32,
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
    pub(super) images: Vec<ImageInfo>,
    pub(super) registry: BTreeSet<String>,
    pub(super) failures: Vec<(&'static str, String)>,
    pub(super) reachability: Reachability,
    pub(super) exec_codes: HashMap<String, i32>,
    pub(super) calls: Vec<String>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            next_id: 1,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            images: Vec::new(),
            registry: BTreeSet::new(),
            failures: Vec::new(),
            reachability: Reachability::Up,
            exec_codes: HashMap::new(),
            calls: Vec::new(),
        }
    }

    pub(super) fn check(&mut self, method: &'static str) -> Result<()> {
        if self.reachability == Reachability::Down {
            return Err(RuntimeError::Unreachable("the fake is down".into()));
        }
        match self.failures.iter().position(|(failing, _)| *failing == method) {
            Some(index) => {
                let (operation, message) = self.failures.remove(index);
                Err(RuntimeError::Refused { operation, message })
            }
            None => Ok(()),
        }
    }

    fn id(&mut self) -> String {
        let id = format!("{:064x}", self.next_id);
        self.next_id += 1;
        id
    }

    pub(super) fn run_sandbox(&mut self, config: &SandboxConfig) -> Result<(SandboxStatus, Vec<RuntimeEvent>)> {
        let same = |s: &Sandbox| s.pod.uid == config.pod.uid && s.status.attempt == config.attempt;
        if self.sandboxes.values().any(|s| same(s) && s.status.state == SandboxState::Ready) {
            let message = "the name belongs to a running sandbox".to_owned();
            return Err(RuntimeError::Refused { operation: "create container", message });
        }
        self.sandboxes.retain(|_, s| !same(s));
        let id = self.id();
        let status = SandboxStatus {
            id: id.as_str().into(),
            attempt: config.attempt,
            state: SandboxState::Ready,
            created_at: Timestamp::now(),
            // Its pods live in the network of the process that they are part of.
            pid: Some(std::process::id()),
            host_network: config.namespaces.network == NamespaceMode::Node,
            runtime_ips: Vec::new(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        self.calls.push(format!("run_sandbox {}", config.pod.name));
        let events = [EventKind::Created, EventKind::Started].map(|kind| event(kind, &config.pod, &id)).into();
        self.sandboxes.insert(id, Sandbox { pod: config.pod.clone(), status: status.clone() });
        Ok((status, events))
    }

    pub(super) fn stop_sandbox(&mut self, id: &SandboxId) -> Option<RuntimeEvent> {
        let name = self.sandboxes.get(id.as_str())?.pod.name.clone();
        self.calls.push(format!("stop_sandbox {name}"));
        self.end_sandbox(id.as_str())
    }

    pub(super) fn end_sandbox(&mut self, id: &str) -> Option<RuntimeEvent> {
        let sandbox = self.sandboxes.get_mut(id).filter(|s| s.status.state == SandboxState::Ready)?;
        sandbox.status.state = SandboxState::NotReady;
        sandbox.status.pid = None;
        Some(event(EventKind::Died, &sandbox.pod, id))
    }

    pub(super) fn remove_sandbox(&mut self, id: &SandboxId) -> Option<RuntimeEvent> {
        let sandbox = self.sandboxes.remove(id.as_str())?;
        self.calls.push(format!("remove_sandbox {}", sandbox.pod.name));
        Some(event(EventKind::Removed, &sandbox.pod, id.as_str()))
    }

    pub(super) fn create(
        &mut self,
        sandbox: &SandboxId,
        pod: &PodIdentity,
        config: &ContainerConfig,
    ) -> Result<(ContainerId, RuntimeEvent)> {
        let ready = self.sandboxes.get(sandbox.as_str()).map(|s| s.status.state);
        if ready != Some(SandboxState::Ready) {
            return Err(RuntimeError::NotFound(sandbox.0.clone()));
        }
        let image = self.image(&config.image).ok_or_else(|| RuntimeError::ImageMissing(config.image.clone()))?;
        let image_id = image.id.clone();
        let same =
            |c: &Container| c.pod.uid == pod.uid && c.status.name == config.name && c.status.attempt == config.attempt;
        if self.containers.values().any(|c| same(c) && c.status.state.is_running()) {
            let message = "the name belongs to a running container".to_owned();
            return Err(RuntimeError::Refused { operation: "create container", message });
        }
        self.containers.retain(|_, c| !same(c));
        let id = self.id();
        let status = ContainerStatus {
            reference: format!("fake://{id}"),
            id: id.as_str().into(),
            sandbox_id: sandbox.clone(),
            image_id,
            ..created(config)
        };
        let command = config.command.iter().chain(&config.args).cloned().collect();
        self.calls.push(format!("create_container {}", config.name));
        let event = event(EventKind::Created, pod, &id);
        self.containers.insert(id.clone(), Container { pod: pod.clone(), status, command, log: Vec::new() });
        Ok((id.into(), event))
    }

    pub(super) fn start(&mut self, id: &ContainerId) -> Result<Vec<RuntimeEvent>> {
        let pid = self.next_id;
        self.next_id += 1;
        let container = self.containers.get_mut(id.as_str()).ok_or_else(|| RuntimeError::NotFound(id.0.clone()))?;
        self.calls.push(format!("start_container {}", container.status.name));
        let program = match container.program() {
            Some(program) => program,
            None => {
                let message = format!("no such program: {:?}", container.command);
                let created_at = container.status.created_at;
                container.status.state = ContainerState::Exited(Exit {
                    code: 127,
                    started_at: Some(created_at),
                    finished_at: created_at,
                    reason: "ContainerCannotRun",
                    message: message.clone(),
                });
                return Err(RuntimeError::Refused { operation: "start container", message });
            }
        };
        let started_at = Timestamp::now();
        container.status.state = ContainerState::Running { started_at, pid };
        container.log.extend(program.prints.into_iter().map(|chunk| (started_at, chunk)));
        let mut events = vec![event(EventKind::Started, &container.pod, id.as_str())];
        if let Some(code) = program.end.filter(|_| !program.echoes) {
            events.extend(self.end(id.as_str(), code));
        }
        Ok(events)
    }

    pub(super) fn update(&mut self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        let container = self.containers.get_mut(id.as_str()).ok_or_else(|| RuntimeError::NotFound(id.0.clone()))?;
        self.calls.push(format!("update_container {}", container.status.name));
        container.status.resources = Some(LinuxResources { oom_score_adj: 0, ..resources.clone() });
        Ok(())
    }

    /// The container's process ends by itself.
    pub(super) fn end(&mut self, id: &str, code: i32) -> Option<RuntimeEvent> {
        let container = self.containers.get_mut(id)?;
        let ContainerState::Running { started_at, .. } = container.status.state else { return None };
        container.status.state = ContainerState::Exited(Exit {
            code,
            started_at: Some(started_at),
            finished_at: Timestamp::now(),
            reason: if code == 0 { "Completed" } else { "Error" },
            message: String::new(),
        });
        Some(event(EventKind::Died, &container.pod, id))
    }

    pub(super) fn stop(&mut self, id: &ContainerId) -> Option<RuntimeEvent> {
        let name = self.containers.get(id.as_str())?.status.name.clone();
        self.calls.push(format!("stop_container {name}"));
        self.end(id.as_str(), KILLED)
    }

    pub(super) fn remove(&mut self, id: &ContainerId) -> Option<RuntimeEvent> {
        let container = self.containers.remove(id.as_str())?;
        self.calls.push(format!("remove_container {}", container.status.name));
        Some(event(EventKind::Removed, &container.pod, id.as_str()))
    }

    pub(super) fn container(&self, id: &ContainerId) -> Result<&Container> {
        self.containers.get(id.as_str()).ok_or_else(|| RuntimeError::NotFound(id.0.clone()))
    }

    /// The program of a container that runs.
    pub(super) fn running(&self, id: &ContainerId) -> Result<Program> {
        let container = self.container(id)?;
        let program = container.program().filter(|_| container.status.state.is_running());
        program.ok_or_else(|| RuntimeError::NotRunning(id.0.clone()))
    }

    /// A program executed in a container that runs.
    pub(super) fn exec(&self, id: &ContainerId, command: &[String]) -> Result<Program> {
        self.running(id)?;
        let name = &self.container(id)?.status.name;
        if let Some(code) = self.exec_codes.get(name) {
            return Ok(Program { end: Some(*code), ..Program::default() });
        }
        // A shell's answer to a command that is not there.
        Ok(Program::parse(command).unwrap_or(Program { end: Some(127), ..Program::default() }))
    }

    pub(super) fn image(&self, image: &str) -> Option<&ImageInfo> {
        self.images.iter().find(|known| known.id.as_str() == image || known.tags.iter().any(|tag| tag == image))
    }

    pub(super) fn add_image(&mut self, image: &str, size: u64) -> ImageInfo {
        self.remove_image(image);
        let id = format!("sha256:{}", self.id());
        let info = ImageInfo {
            reference: format!("fake://{id}"),
            id: id.into(),
            tags: vec![image.to_owned()],
            size,
            ..ImageInfo::default()
        };
        self.images.push(info.clone());
        info
    }

    pub(super) fn remove_image(&mut self, image: &str) {
        self.images.retain(|known| known.id.as_str() != image && known.tags.iter().all(|tag| tag != image));
    }

    pub(super) fn pull(&mut self, image: &str) -> Result<ImageInfo> {
        self.calls.push(format!("pull_image {image}"));
        if self.registry.contains(image) {
            return Ok(self.add_image(image, 1));
        }
        Err(RuntimeError::Pull { image: image.to_owned(), message: "not in the registry".to_owned() })
    }

    pub(super) fn pods(&self) -> Vec<RuntimePod> {
        let sandboxes = self.sandboxes.values().map(|s| &s.pod.uid);
        let uids: BTreeSet<&PodUid> = sandboxes.chain(self.containers.values().map(|c| &c.pod.uid)).collect();
        uids.into_iter().map(|uid| self.pod(uid)).collect()
    }

    pub(super) fn pod(&self, uid: &PodUid) -> RuntimePod {
        let mut pod = RuntimePod::nothing_of(uid.clone());
        for sandbox in self.sandboxes.values().filter(|s| s.pod.uid == *uid) {
            pod.identity = sandbox.pod.clone();
            pod.sandboxes.push(sandbox.status.clone());
        }
        for container in self.containers.values().filter(|c| c.pod.uid == *uid) {
            pod.identity = container.pod.clone();
            pod.containers.push(container.status.clone());
        }
        pod.sort();
        pod
    }
}

impl Container {
    /// A container without a command runs until it is stopped, as a server does.
    fn program(&self) -> Option<Program> {
        if self.command.is_empty() { Some(Program::default()) } else { Program::parse(&self.command) }
    }

    pub(super) fn log(&self, options: &LogOptions) -> Vec<OutputChunk> {
        let wanted = |(at, chunk): &&(Timestamp, OutputChunk)| {
            options.since.is_none_or(|since| *at >= since) && options.stream.is_none_or(|s| s == chunk.stream)
        };
        let lines: Vec<_> = self.log.iter().filter(wanted).collect();
        let tail = options.tail.map_or(lines.len(), |tail| usize::try_from(tail).unwrap_or(usize::MAX));
        let skipped = lines.len().saturating_sub(tail);
        lines[skipped..].iter().map(|(at, chunk)| stamped(*at, chunk, options)).collect()
    }
}

fn stamped(at: Timestamp, chunk: &OutputChunk, options: &LogOptions) -> OutputChunk {
    let mut chunk = chunk.clone();
    if options.timestamps {
        chunk.data = [format!("{at} ").as_bytes(), &chunk.data].concat().into();
    }
    chunk
}

fn created(config: &ContainerConfig) -> ContainerStatus {
    let mounted = |mount: &crate::runtime::Mount| Mounted {
        host_path: mount.host_path.to_string_lossy().into_owned(),
        container_path: mount.container_path.clone(),
    };
    ContainerStatus {
        id: ContainerId::default(),
        reference: String::new(),
        sandbox_id: SandboxId::default(),
        name: config.name.clone(),
        attempt: config.attempt,
        state: ContainerState::Created,
        created_at: Timestamp::now(),
        image: config.image_name.clone(),
        image_id: "".into(),
        hash: config.hash.clone(),
        tty: config.tty,
        termination_message_path: config.termination_message_path.clone(),
        termination_message_policy: config.termination_message_policy.clone(),
        resources: Some(LinuxResources { oom_score_adj: 0, ..config.resources.clone() }),
        user: None,
        mounts: config.mounts.iter().map(mounted).collect(),
        log_path: None,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
    }
}

fn event(kind: EventKind, pod: &PodIdentity, id: &str) -> RuntimeEvent {
    RuntimeEvent { kind, pod: Some(pod.uid.clone()), container: Some(id.into()) }
}
