//! CPU and memory of a container.

use std::sync::Arc;

use jiff::Timestamp;

use super::client::Method;
use super::protocol::{ContainerStatsResponse, OfId, UInt64Value};
use super::{ContainerId, ContainerStats, Result, Shared};
use crate::runtime::cgroup;

impl Shared {
    /// What the kernel says, or what the runtime says where the kernel cannot be asked.
    pub(super) async fn container_stats(self: &Arc<Self>, id: &ContainerId) -> Result<ContainerStats> {
        if let Some(pid) = self.cache.pid(id.as_str()) {
            let own = id.clone();
            let read = tokio::task::spawn_blocking(move || cgroup::read(pid, own.as_str())).await;
            if let Ok(Some(stats)) = read {
                return Ok(stats);
            }
        }
        let question = OfId { id: id.0.clone() };
        let answer: ContainerStatsResponse = self.client.call(Method::STATS, id.as_str(), question).await?;
        let stats = answer.stats.unwrap_or_default();
        let (cpu, memory) = (stats.cpu.unwrap_or_default(), stats.memory.unwrap_or_default());
        let number = |value: Option<UInt64Value>| value.map(|value| value.value).unwrap_or(0);
        let time = Timestamp::from_nanosecond(cpu.timestamp.into()).ok().filter(|_| cpu.timestamp > 0);
        Ok(ContainerStats {
            time: time.unwrap_or_else(Timestamp::now),
            cpu_usage_ns: number(cpu.usage_core_nano_seconds),
            memory_working_set: number(memory.working_set_bytes),
            memory_usage: number(memory.usage_bytes),
        })
    }
}
