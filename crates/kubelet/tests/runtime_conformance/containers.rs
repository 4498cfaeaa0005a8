//! What only a real container can show.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, TryStreamExt};
use kubelet::runtime::{
    ContainerId, DnsConfig, ExecRequest, LinuxResources, LinuxUser, Mount, NamespaceMode, OutputChunk, SecurityContext,
    TerminalSize,
};
use tokio::io::AsyncWriteExt;

use super::harness::{self, Case, Harness, container, words};

async fn output(h: &Harness, id: &ContainerId, script: &str) -> String {
    let output = h.runtime.exec_sync(id, &words(&["sh", "-c", script]), Duration::from_secs(30)).await.unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// One test per case and real runtime.
macro_rules! on_real_runtimes {
    ($($case:ident),+ $(,)?) => {
        mod on_docker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(harness) = super::harness::docker().await {
                        super::harness::run(harness, super::$case).await;
                    }
                }
            )+
        }

        mod on_containerd {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(harness) = super::harness::containerd().await {
                        super::harness::run(harness, super::$case).await;
                    }
                }
            )+
        }
    };
}

on_real_runtimes!(
    a_configuration_reaches_its_container,
    a_session_can_have_a_terminal,
    a_pod_in_the_nodes_network_has_the_nodes_name_and_its_own_resolv_conf,
);

fn a_configuration_reaches_its_container(h: &Harness) -> Case<'_> {
    async move {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "from the node\n").unwrap();
        let mut pod = h.sandbox.clone();
        pod.dns = Some(DnsConfig {
            servers: vec!["192.0.2.1".into()],
            searches: vec!["a.b".into()],
            options: vec!["ndots:5".into()],
        });
        pod.sysctls = BTreeMap::from([("net.ipv4.ip_unprivileged_port_start".into(), "7".into())]);
        let mut wanted = container("main", &["sleep", "3600"]);
        wanted.env = vec![("A".into(), "first".into()), ("B".into(), "x=y z".into())];
        wanted.working_dir = Some("/work".into());
        wanted.mounts = vec![Mount {
            host_path: dir.path().into(),
            container_path: "/ro".into(),
            read_only: true,
            ..Mount::default()
        }];
        wanted.security = SecurityContext {
            run_as_user: Some(1234),
            run_as_group: Some(5678),
            supplemental_groups: vec![4242],
            no_new_privileges: true,
            read_only_root_fs: true,
            ..SecurityContext::default()
        };
        wanted.resources =
            LinuxResources { oom_score_adj: -997, ..LinuxResources::from_requests(Some(100), None, Some(64 << 20)) };

        let begun = Instant::now();
        let sandbox = h.runtime.run_sandbox(&pod).await.unwrap();
        let id = h.runtime.create_container(&sandbox.id, &pod, &wanted).await.unwrap();
        h.runtime.start_container(&id).await.unwrap();
        eprintln!("sandbox and container run after {:?}", begun.elapsed());

        let cases = [
            ("echo $A; echo $B; echo $HOSTNAME; hostname", format!("first\nx=y z\n{0}\n{0}\n", pod.hostname)),
            ("cat /etc/resolv.conf", "search a.b\nnameserver 192.0.2.1\noptions ndots:5\n".into()),
            ("echo $PWD; id -u; id -g; id -G", "/work\n1234\n5678\n5678 4242\n".into()),
            (
                "cat /ro/file; touch /ro/x 2>/dev/null || echo refused; touch /x 2>/dev/null || echo refused",
                "from the node\nrefused\nrefused\n".into(),
            ),
            (
                "grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status",
                "NoNewPrivs:\t1\nSeccomp:\t0\n".into(),
            ),
            ("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "7\n".into()),
        ];
        for (script, expected) in cases {
            assert_eq!(output(h, &id, script).await, expected, "{script}");
        }
        let user = LinuxUser { uid: 1234, gid: 5678, groups: vec![5678, 4242] };
        assert_eq!(h.runtime.container_status(&id).await.unwrap().user.as_ref(), Some(&user));
        assert_eq!(h.runtime.pod(&pod.pod.uid).await.unwrap().latest("main").unwrap().user, Some(user));
        let stats = h.runtime.stats(&id).await.unwrap();
        assert!(stats.cpu_usage_ns > 0 && stats.memory_working_set > 0, "{stats:?}");
    }
    .boxed()
}

fn a_session_can_have_a_terminal(h: &Harness) -> Case<'_> {
    async move {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", &["sleep", "3600"]).await;
        let request = ExecRequest { command: words(&["sh"]), tty: true, stdin: true, stdout: true, stderr: false };
        let mut session = h.runtime.exec(&id, &request).await.unwrap();
        session.control.resize(TerminalSize { width: 101, height: 42 }).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        let mut seen = String::new();
        stdin.write_all(b"stty size\n").await.unwrap();
        while !seen.contains("42 101") {
            let chunk = session.output.next().await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&chunk.data).unwrap());
        }
        stdin.write_all(b"exit 4\n").await.unwrap();
        let _: Vec<OutputChunk> = session.output.try_collect().await.unwrap();
        assert_eq!(session.control.exit_code().await.unwrap(), 4);
    }
    .boxed()
}

fn a_pod_in_the_nodes_network_has_the_nodes_name_and_its_own_resolv_conf(h: &Harness) -> Case<'_> {
    async move {
        let nodes = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let mut pod = h.sandbox.clone();
        pod.dns = Some(DnsConfig { servers: vec!["192.0.2.1".into()], ..DnsConfig::default() });
        pod.namespaces.network = NamespaceMode::Node;
        let sandbox = h.runtime.run_sandbox(&pod).await.unwrap();
        assert!(sandbox.host_network);
        let wanted = container("main", &["sleep", "3600"]);
        let id = h.runtime.create_container(&sandbox.id, &pod, &wanted).await.unwrap();
        h.runtime.start_container(&id).await.unwrap();
        let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert_eq!(output(h, &id, "hostname").await, format!("{node}\n"));
        assert_eq!(output(h, &id, "cat /etc/resolv.conf").await, "nameserver 192.0.2.1\n");
        assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), nodes);
    }
    .boxed()
}

/// Of Docker the kubelet knows the command's process, and ends its children, too; runtimes behind CRI end the process alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_timed_out_leaves_no_process() {
    let Some(harness) = harness::docker().await else { return };
    harness::run(harness, |h| {
        async move {
            let sandbox = h.sandbox().await;
            let id = h.started(&sandbox, "main", &["sleep", "3600"]).await;
            let command = words(&["sh", "-c", "sleep 4321 & sh -c 'sleep 4322; true'; true"]);
            h.runtime.exec_sync(&id, &command, Duration::from_millis(500)).await.unwrap_err();
            let left = output(h, &id, "ps").await;
            assert!(left.contains("sleep 3600") && !left.contains("sleep 432"), "{left}");
        }
        .boxed()
    })
    .await;
}
