//! What must be there before containers start: objects, tokens, volumes.

use std::sync::Arc;

use api_types::core::Pod;
use component::recorder::EventType::Warning;

use super::worker::{Next, Worker};
use crate::objects::Objects;
use crate::volumes::payload::{Tokens, tokens_of};
use crate::volumes::{self, FailedMount, Ownership, PayloadSources, VolumeError, VolumePaths};

impl Worker {
    /// Sets up the pod's volumes, or brings them up to date. A failure does not disturb containers that run.
    pub(super) async fn prepare(&mut self, pod: &Arc<Pod>) -> Result<(), Next> {
        self.objects.follow(pod, &self.nudge).await;
        let tokens = self.fetch_tokens(pod).await;
        match self.set_up_volumes(pod, &tokens).await {
            Ok(paths) => {
                self.volumes = paths;
                Ok(())
            }
            Err(failed) => {
                self.context.events.pod(pod, Warning, "FailedMount", &failed.to_string());
                let running = self.runtime.containers.iter().any(|container| container.state.is_running());
                if running && !self.volumes.is_empty() { Ok(()) } else { Err(self.later()) }
            }
        }
    }

    async fn fetch_tokens(&self, pod: &Pod) -> Tokens {
        let mut tokens = Tokens::new();
        for key in tokens_of(pod) {
            let token = self.context.tokens.get(pod, &key).await;
            tokens.insert(key, token);
        }
        tokens
    }

    async fn set_up_volumes(&self, pod: &Pod, tokens: &Tokens) -> Result<VolumePaths, FailedMount> {
        let lookup = PayloadSources {
            pod,
            ips: &self.ips,
            node_ips: &self.context.node.ips,
            allocatable: &self.context.node.allocatable,
            objects: &self.objects as &dyn Objects,
            tokens,
        };
        let sources = volumes::sources(pod, &lookup)?;
        let (directory, ownership) = (self.directory.clone(), Ownership::of(pod));
        let set_up = tokio::task::spawn_blocking(move || volumes::set_up(&directory, &sources, &ownership));
        set_up.await.unwrap_or_else(|error| {
            Err(FailedMount {
                volume: String::new(),
                source: VolumeError::Disk {
                    operation: "setting up volumes in",
                    path: self.directory.path().display().to_string(),
                    source: std::io::Error::other(error),
                },
            })
        })
    }

    /// Removes the pod's directory.
    pub(super) async fn remove_directory(&self) -> Result<(), VolumeError> {
        let directory = self.directory.clone();
        let removed = tokio::task::spawn_blocking(move || directory.remove()).await;
        removed.unwrap_or_else(|error| {
            Err(VolumeError::Disk {
                operation: "removing",
                path: self.directory.path().display().to_string(),
                source: std::io::Error::other(error),
            })
        })
    }
}
