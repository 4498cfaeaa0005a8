//! Pods on real Docker.

use api_types::core::{Node, Pod, Secret};
use apiserver::testing::TestServer;
use component::Daemon;
use component::informer::ObjectKey;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kubelet::runtime::{ContainerId, Runtime, RuntimePod};
use serde_json::json;

use crate::node::{Machine, NODE, PATIENCE, Watcher, phase};
use crate::shared::{self, IMAGE};

#[tokio::test]
async fn a_restart_leaves_containers_on_docker_alone() {
    let Some(docker) = shared::docker().await else { return };
    let machine = Machine::on(docker);
    let name = format!("it{}", std::process::id());
    let full_name = format!("{name}-{NODE}");
    let manifest = format!(
        "kind: Pod\nmetadata: {{name: {name}}}\nspec: {{terminationGracePeriodSeconds: 0, containers: [{{name: main, image: \"{IMAGE}\", command: [sleep, \"1000\"]}}]}}\n"
    );
    std::fs::write(machine.manifest("it.yaml"), manifest).unwrap();
    let flags = ["--pod-cidr=10.9.0.0/24".to_owned()];
    let first = machine.start(&flags).await;
    let running = |pods: &[RuntimePod]| -> Vec<ContainerId> {
        let own = pods.iter().filter(|pod| pod.identity.name == full_name).flat_map(|pod| &pod.containers);
        own.filter(|container| container.state.is_running()).map(|container| container.id.clone()).collect()
    };
    machine.until("the container to run", |pods| running(pods).len() == 1).await;
    let before = running(&machine.runtime.list_pods().await.unwrap());
    first.stop().await;
    let second = machine.start(&flags).await;
    assert_eq!(running(&machine.runtime.list_pods().await.unwrap()), before);
    std::fs::remove_file(machine.manifest("it.yaml")).unwrap();
    machine.until("nothing to be left", |pods| pods.iter().all(|pod| pod.identity.name != full_name)).await;
    second.stop().await;
}

/// What a container tries that wants the node: links in place of what the kubelet writes and mounts.
const ATTACK: &str = "
    ln -sfn /etc /vol/..data && exit 4
    ln -s /etc /vol/x 2>>/scratch/log; touch /vol/x 2>>/scratch/log; mkdir /map/x 2>>/scratch/log
    mv /scratch/part /scratch/moved; ln -sfn /etc /scratch/part
    echo mine >/part/file
    while [ \"$(cat /vol/pw)\" != new ]; do sleep 0.1; done
    [ \"$(cat /one)\" = old ] && [ \"$(cat /map/k)\" = v ] || exit 3
";

#[tokio::test]
async fn a_container_reaches_nothing_beyond_its_volumes() {
    let Some(docker) = shared::docker().await else { return };
    let server = TestServer::start().await;
    let (client, daemon) = (server.client(), Daemon::new());
    let mut machine = Machine::on(docker);
    machine.node = format!("node-{}", std::process::id());
    let kubelet =
        machine.start(&[format!("--api-servers={}", server.url()), "--pod-cidr=10.9.0.0/24".to_owned()]).await;
    let nodes: Watcher<Node> = Watcher::new(&client, &daemon);
    nodes.until(&ObjectKey::new("", machine.node.as_str()), "the node to be registered", |node| node.is_some()).await;

    let (secrets, api): (Api<Secret>, Api<Pod>) =
        (Api::namespaced(client.clone(), "default"), Api::namespaced(client.clone(), "default"));
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"pw": "old"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let maps: Api<api_types::core::ConfigMap> = Api::namespaced(client.clone(), "default");
    let map = json!({"metadata": {"name": "m"}, "data": {"k": "v"}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    let spec = json!({"nodeName": machine.node, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "s", "secret": {"secretName": "s"}}, {"name": "e", "emptyDir": {}},
            {"name": "m", "configMap": {"name": "m"}}],
        "containers": [{"name": "c", "image": IMAGE, "command": ["sh", "-c", ATTACK], "volumeMounts": [
            {"name": "s", "mountPath": "/vol"}, {"name": "s", "mountPath": "/one", "subPath": "pw"},
            {"name": "e", "mountPath": "/scratch"}, {"name": "e", "mountPath": "/part", "subPath": "part"},
            {"name": "m", "mountPath": "/map"}]}]});
    let name = format!("attack-{}", std::process::id());
    let pod = json!({"metadata": {"name": name}, "spec": spec});
    let pod = api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let directory = machine.directory.path().join("root/pods").join(pod.metadata.uid.unwrap());
    let pods: Watcher<Pod> = Watcher::new(&client, &daemon);
    let key = ObjectKey::new("default", name.as_str());
    pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    let change = Patch::Merge(json!({"stringData": {"pw": "new"}}));
    secrets.patch("s", &PatchParams::default(), &change).await.unwrap();
    pods.until(&key, "the pod to see what is new", |pod| pod.is_some_and(|pod| phase(pod) == "Succeeded")).await;

    let scratch = directory.join("volumes/kubernetes.io~empty-dir/e");
    let log = std::fs::read_to_string(scratch.join("log")).unwrap();
    assert_eq!(log.matches("Read-only file system").count(), 3, "{log}");
    assert_eq!(std::fs::read_to_string(scratch.join("moved/file")).unwrap(), "mine\n");
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    pods.until(&key, "the pod to be gone", |pod| pod.is_none()).await;
    let removed = async {
        while directory.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.expect("nothing is left on disk");
    assert!(std::path::Path::new("/etc/passwd").exists());
    kubelet.stop().await;
    daemon.shutdown.cancel();
    server.stop().await;
}
