//! Which program this is.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::KUBERNETES_VERSION;

/// Upstream's labels. What only Go's linker knows there stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    build_date: &'static str,
    compiler: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    git_version: &'static str,
    go_version: &'static str,
    major: &'static str,
    minor: &'static str,
    platform: String,
}

pub(super) fn register(registry: &mut Registry) {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let build = Build {
        build_date: "1970-01-01T00:00:00Z",
        compiler: "rustc",
        git_tree_state: "clean",
        git_version: KUBERNETES_VERSION,
        major: numbers.next().unwrap_or_default(),
        minor: numbers.next().unwrap_or_default(),
        platform: platform(),
        ..Build::default()
    };
    let info = Family::<Build, Gauge>::default();
    info.get_or_create(&build).set(1);
    registry.register("kubernetes_build_info", "Always 1; the labels tell which program this is", info);
}

/// The operating system and the machine's architecture, in Go's names, which clients expect: `linux/amd64`.
#[must_use]
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}
