//! What `mk-docker-opts.sh` writes for Docker.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const SUBNET: &str =
    "FLANNEL_NETWORK=10.0.0.0/16\nFLANNEL_SUBNET=10.0.7.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n";

/// Runs the script on a file with this text: what it says, and what it writes.
fn run(subnet_file: &str, flags: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flannel/mk-docker-opts.sh");
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("subnet.env"), directory.path().join("docker"));
    std::fs::write(&from, subnet_file).unwrap();
    let mut command = Command::new("sh");
    command.arg(script).arg("-f").arg(&from).arg("-d").arg(&to).args(flags.split_whitespace());
    let output =
        command.env_clear().env("PATH", std::env::var("PATH").unwrap()).envs(environment.iter().copied()).output();
    (output.unwrap(), std::fs::read_to_string(to).unwrap_or_default())
}

fn written(flags: &str, environment: &[(&str, &str)]) -> String {
    let (output, text) = run(SUBNET, flags, environment);
    assert!(output.status.success(), "{flags}: {output:?}");
    text
}

/// As upstream's script writes them, blanks too.
#[test]
fn options() {
    let each =
        "DOCKER_OPT_BIP=\"--bip=10.0.7.1/24\"\nDOCKER_OPT_IPMASQ=\"--ip-masq=true\"\nDOCKER_OPT_MTU=\"--mtu=1472\"\n";
    let combined = |name: &str| format!("{name}=\" --bip=10.0.7.1/24 --ip-masq=true --mtu=1472\"\n");
    assert_eq!(written("", &[]), format!("{each}{}", combined("DOCKER_OPTS")));
    assert_eq!(written("-i", &[]), each);
    assert_eq!(written("-c", &[]), combined("DOCKER_OPTS"));
    assert_eq!(written("-c -k DOCKER_NETWORK_OPTIONS", &[]), combined("DOCKER_NETWORK_OPTIONS"));
    assert_eq!(written("-c -m", &[]), "DOCKER_OPTS=\" --bip=10.0.7.1/24 --mtu=1472\"\n");
    let more = [("DOCKER_OPTS", "--debug"), ("DOCKER_OPT_LOG", "--log-level=warn")];
    assert_eq!(
        written("-c", &more),
        "DOCKER_OPTS=\"--debug  --bip=10.0.7.1/24 --ip-masq=true --log-level=warn --mtu=1472\"\n"
    );
}

#[test]
fn who_masquerades() {
    let (_, text) = run("FLANNEL_IPMASQ=true\n", "-i", &[]);
    assert_eq!(text, "DOCKER_OPT_IPMASQ=\"--ip-masq=false\"\n");
    let (output, _) = run("FLANNEL_IPMASQ=perhaps\n", "-i", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Invalid value of FLANNEL_IPMASQ: perhaps\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_file_is_not_a_program() {
    let hostile = "FLANNEL_SUBNET=$(touch /tmp/fk-mk-docker-opts)\nFLANNEL_MTU=1472; touch /tmp/fk-mk-docker-opts\n";
    let (output, text) = run(hostile, "-c", &[]);
    assert!(output.status.success() && text == "DOCKER_OPTS=\"\"\n", "{text}");
    for flags in ["-k x;y", "-k 1x", "-x"] {
        let (output, text) = run(SUBNET, flags, &[]);
        assert!(output.status.code() == Some(1) && text.is_empty(), "{flags}: {text}");
    }
    assert!(!Path::new("/tmp/fk-mk-docker-opts").exists());
}
