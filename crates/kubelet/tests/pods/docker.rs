//! A static pod on real Docker.

use kubelet::runtime::{ContainerId, Runtime, RuntimePod};

use crate::node::{Machine, NODE};
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
