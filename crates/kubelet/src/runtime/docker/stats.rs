//! CPU and memory of a container.

use bollard::models::ContainerMemoryStats;
use bollard::query_parameters::StatsOptions;
use futures::StreamExt;
use jiff::Timestamp;

use super::client::{lacking, translate};
use super::{ContainerId, ContainerStats, DockerRuntime, Result};
use crate::runtime::cgroup;

/// Reclaimable page cache, as cgroup v1 and v2 name it.
const INACTIVE_FILE: [&str; 2] = ["total_inactive_file", "inactive_file"];

impl DockerRuntime {
    /// What the kernel says, or what Docker says where the kernel cannot be asked: on another machine, or from within a
    /// container.
    pub(super) async fn container_stats(&self, id: &ContainerId) -> Result<ContainerStats> {
        if let Some(pid) = self.cache.pid(id.as_str()) {
            let own = id.clone();
            let read = tokio::task::spawn_blocking(move || cgroup::read(pid, own.as_str())).await;
            if let Ok(Some(stats)) = read {
                return Ok(stats);
            }
        }
        self.docker_stats(id).await
    }

    async fn docker_stats(&self, id: &ContainerId) -> Result<ContainerStats> {
        let options = StatsOptions { stream: false, one_shot: true };
        let mut answers = std::pin::pin!(self.client.docker()?.stats(id.as_str(), Some(options)));
        let answer = answers.next().await.ok_or_else(|| lacking("stats", "contents"))?;
        let stats = answer.map_err(|error| translate("stats", id.as_str(), error))?;
        let memory = stats.memory_stats.unwrap_or_default();
        let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage);
        Ok(ContainerStats {
            time: stats.read.as_deref().and_then(|text| text.parse().ok()).unwrap_or_else(Timestamp::now),
            cpu_usage_ns: cpu.unwrap_or(0),
            memory_working_set: working_set(&memory),
            memory_usage: memory.usage.unwrap_or(0),
        })
    }
}

fn working_set(memory: &ContainerMemoryStats) -> u64 {
    let stats = memory.stats.as_ref();
    let inactive = INACTIVE_FILE.iter().find_map(|name| stats?.get(*name)).copied();
    memory.usage.unwrap_or(0).saturating_sub(inactive.unwrap_or(0))
}
