//! `/var/log/pods` and `/var/log/containers`, where collectors of logs look: links to the files that Docker writes and
//! rotates. Other runtimes write to the former themselves.

use std::io;
use std::path::{Path, PathBuf};

use super::worker::Worker;
use crate::runtime::{ContainerStatus, PodIdentity, PodUid};

/// Where the links are.
#[derive(Debug, Clone)]
pub struct LogLinks {
    /// `/var/log/pods`: a directory for each pod.
    pods: PathBuf,
    /// `/var/log/containers`: a link for each container.
    containers: PathBuf,
}

impl LogLinks {
    /// Links in this directory, and in `containers` beside it.
    #[must_use]
    pub fn new(pods: &Path) -> Self {
        Self { pods: pods.to_owned(), containers: pods.with_file_name("containers") }
    }

    fn of_pod(&self, pod: &PodIdentity) -> PathBuf {
        self.pods.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }

    /// Makes a container's links. Blocking.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make(&self, pod: &PodIdentity, container: &ContainerStatus) -> io::Result<()> {
        let Some(log) = &container.log_path else { return Ok(()) };
        let directory = self.of_pod(pod).join(&container.name);
        std::fs::create_dir_all(&directory)?;
        std::fs::create_dir_all(&self.containers)?;
        let of_attempt = directory.join(format!("{}.log", container.attempt));
        if *log != of_attempt {
            link(log, &of_attempt)?;
        }
        let name = format!("{}_{}_{}-{}.log", pod.name, pod.namespace, container.name, container.id);
        link(&of_attempt, &self.containers.join(name))
    }

    /// Takes away the links of a container that is gone. Blocking.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, pod: &PodIdentity, container: &ContainerStatus) -> io::Result<()> {
        let of_attempt = self.of_pod(pod).join(&container.name).join(format!("{}.log", container.attempt));
        absent(std::fs::remove_file(of_attempt))?;
        let name = format!("{}_{}_{}-{}.log", pod.name, pod.namespace, container.name, container.id);
        absent(std::fs::remove_file(self.containers.join(name)))
    }

    /// Takes away everything of a pod, whatever it was called. Blocking.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_pod(&self, uid: &PodUid) -> io::Result<()> {
        let ending = format!("_{uid}");
        let own = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&ending));
        for directory in entries(&self.pods)?.filter(own) {
            for path in entries(&self.containers)? {
                if std::fs::read_link(&path).is_ok_and(|target| target.starts_with(&directory)) {
                    absent(std::fs::remove_file(path))?;
                }
            }
            absent(std::fs::remove_dir_all(directory))?;
        }
        Ok(())
    }
}

fn entries(directory: &Path) -> io::Result<impl Iterator<Item = PathBuf> + use<>> {
    let found = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    Ok(found.into_iter().flatten().flatten().map(|entry| entry.path()))
}

/// What is not there need not be removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a link, in place of another.
fn link(target: &Path, path: &Path) -> io::Result<()> {
    absent(std::fs::remove_file(path))?;
    std::os::unix::fs::symlink(target, path)
}

impl Worker {
    /// Makes the links of a container that runs. Without them it runs as well.
    pub(super) async fn link_log(&self, pod: &PodIdentity, container: &ContainerStatus) {
        let (links, pod, container) = (self.context.log_links.clone(), pod.clone(), container.clone());
        let name = container.name.clone();
        let made = tokio::task::spawn_blocking(move || links.make(&pod, &container)).await;
        if let Err(error) = made.map_err(io::Error::other).and_then(|made| made) {
            tracing::warn!(pod = %self.uid, container = name, "linking the log: {error}");
        }
    }

    /// Takes away the links of a container that is gone.
    pub(super) async fn unlink_log(&self, pod: &PodIdentity, container: &ContainerStatus) {
        let (links, pod, container) = (self.context.log_links.clone(), pod.clone(), container.clone());
        let removed = tokio::task::spawn_blocking(move || links.remove(&pod, &container)).await;
        if let Err(error) = removed.map_err(io::Error::other).and_then(|removed| removed) {
            tracing::warn!(pod = %self.uid, "removing the links of a log: {error}");
        }
    }

    /// Takes away all links of the pod.
    pub(super) async fn unlink_logs(&self) -> io::Result<()> {
        let (links, uid) = (self.context.log_links.clone(), self.uid.clone());
        tokio::task::spawn_blocking(move || links.remove_pod(&uid)).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn links_come_and_go_with_their_containers() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("docker.log");
        std::fs::write(&log, "line").unwrap();
        let links = LogLinks::new(&directory.path().join("log/pods"));
        let pod = |name: &str, uid: &str| PodIdentity { uid: uid.into(), namespace: "ns".into(), name: name.into() };
        let (web, other) = (pod("web", "u1"), pod("other", "xu1"));
        let runtime = testing::runtime(
            &testing::pod(serde_json::json!({"containers": [{"name": "c"}]})),
            "sandbox0 c#0=exit1 c#1=running",
        );
        let containers: Vec<ContainerStatus> = runtime
            .containers
            .into_iter()
            .map(|container| ContainerStatus { log_path: Some(log.clone()), ..container })
            .collect();
        for container in &containers {
            links.make(&web, container).unwrap();
            links.make(&web, container).unwrap();
        }
        let direct = directory.path().join("log/pods/ns_direct_u2/c/0.log");
        std::fs::create_dir_all(direct.parent().unwrap()).unwrap();
        std::fs::write(&direct, "own").unwrap();
        let own = ContainerStatus { log_path: Some(direct.clone()), attempt: 0, ..containers[0].clone() };
        links.make(&pod("direct", "u2"), &own).unwrap();
        assert!(direct.symlink_metadata().unwrap().is_file(), "a log that is there already stays");
        links.make(&other, &containers[0]).unwrap();
        let read = |path: &str| std::fs::read_to_string(directory.path().join("log").join(path)).ok();
        assert_eq!(read("pods/ns_web_u1/c/1.log").as_deref(), Some("line"));
        assert_eq!(read("containers/web_ns_c-c#0.log").as_deref(), Some("line"));
        links.remove(&web, &containers[1]).unwrap();
        links.remove(&web, &containers[1]).unwrap();
        assert_eq!((read("pods/ns_web_u1/c/0.log"), read("containers/web_ns_c-c#0.log")), (None, None));
        links.remove_pod(&"u1".into()).unwrap();
        links.remove_pod(&"u1".into()).unwrap();
        assert_eq!((read("pods/ns_web_u1/c/1.log"), read("containers/web_ns_c-c#1.log")), (None, None));
        assert!(read("pods/ns_other_xu1/c/1.log").is_some() && read("containers/other_ns_c-c#1.log").is_some());
    }
}
