"""The official Python client against a cluster whose API server and etcd are killed.

What is to be killed is asked for on standard output, a line each: `kill NAME`; the answer is a line on standard input.
"""

import sys
import threading

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

NAMESPACE = "default"
POD = "python-client"
KILLS = sys.argv[1].split(",")


def kill(name):
    print("kill", name, flush=True)
    assert sys.stdin.readline().strip() == "done"


def refused(code, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except ApiException as error:
        assert error.status == code, error
        return
    raise AssertionError(f"{call} is not refused")


def again(call, *arguments, **more):
    """Calls until the server is there."""
    for _ in range(600):
        try:
            return call(*arguments, **more)
        except ApiException as error:
            if error.status < 500:
                raise
        except Exception:  # whatever the client's library makes of a refused connection
            pass
        threading.Event().wait(0.1)
    raise AssertionError("the server does not come back")


def write_and_read(core):
    """Every verb, and patches of every type."""
    body = {"metadata": {"name": "py", "labels": {"app": "py"}}, "data": {"a": "1"}}
    created = core.create_namespaced_config_map(NAMESPACE, body)
    refused(409, core.create_namespaced_config_map, NAMESPACE, body)
    created.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("py", NAMESPACE, created)
    refused(409, core.replace_namespaced_config_map, "py", NAMESPACE, created)
    patch = core.patch_namespaced_config_map
    types = {
        "application/json-patch+json": [{"op": "add", "path": "/data/c", "value": "3"}],
        "application/merge-patch+json": {"data": {"d": "4"}},
        "application/strategic-merge-patch+json": {"data": {"e": "5"}},
        "application/apply-patch+yaml": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "py"}, "data": {"f": "6"}},
    }
    for kind, change in types.items():
        more = {"field_manager": "python"} if "apply" in kind else {}
        patch("py", NAMESPACE, change, _content_type=kind, **more)
    read = core.read_namespaced_config_map("py", NAMESPACE)
    assert sorted(read.data) == ["a", "b", "c", "d", "e", "f"], read.data
    assert replaced.metadata.uid == read.metadata.uid
    page = core.list_namespaced_config_map(NAMESPACE, label_selector="app=py", field_selector="metadata.name=py", limit=1)
    assert [item.metadata.name for item in page.items] == ["py"]
    core.delete_namespaced_config_map("py", NAMESPACE)
    refused(404, core.read_namespaced_config_map, "py", NAMESPACE)


def scale(apps):
    template = {"metadata": {"labels": {"app": "py"}}, "spec": {"containers": [{"name": "c", "image": "ferrokube/demo:v1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "py"}}, "template": template}
    apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "py"}, "spec": spec})
    assert apps.patch_namespaced_deployment_scale("py", NAMESPACE, {"spec": {"replicas": 1}}).spec.replicas == 1
    assert apps.read_namespaced_deployment("py", NAMESPACE).spec.replicas == 1
    apps.delete_namespaced_deployment("py", NAMESPACE)


class Watcher(threading.Thread):
    """Watches, and goes on where it was whenever the watch breaks."""

    def __init__(self, core):
        super().__init__(daemon=True)
        self.core = core
        self.told = []
        self.error = None
        first = core.list_namespaced_config_map(NAMESPACE)
        self.version = first.metadata.resource_version

    def run(self):
        try:
            while self.read():
                pass
        except BaseException as error:  # told to whoever waits
            self.error = error

    def read(self):
        watcher = watch.Watch()
        try:
            for event in watcher.stream(
                self.core.list_namespaced_config_map, NAMESPACE, label_selector="app=watched", resource_version=self.version
            ):
                metadata = event["object"].metadata
                self.version = metadata.resource_version
                self.told.append((event["type"], metadata.name, metadata.resource_version))
                if metadata.name == "py-last":
                    return False
        except ApiException as error:
            assert error.status >= 500, error
        except OSError:
            pass
        except Exception as error:
            assert type(error).__module__.startswith("urllib3"), error
        threading.Event().wait(0.05)
        return True


def watch_through_kills(core):
    watcher = Watcher(core)
    watcher.start()
    written = []

    def create(name):
        body = {"metadata": {"name": name, "labels": {"app": "watched"}}}
        done = again(core.create_namespaced_config_map, NAMESPACE, body)
        written.append(("ADDED", name, done.metadata.resource_version))

    for number, name in enumerate(KILLS):
        create(f"py-{number}-before")
        kill(name)
        create(f"py-{number}-after")
        done = again(core.patch_namespaced_config_map, f"py-{number}-after", NAMESPACE, {"data": {"a": "b"}})
        written.append(("MODIFIED", f"py-{number}-after", done.metadata.resource_version))
    create("py-last")
    watcher.join(120)
    assert watcher.error is None, watcher.error
    assert watcher.told == written, (watcher.told, written)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="app=watched")


def talk_to_a_pod(core):
    container = {"name": "c", "image": "ferrokube/demo:v1", "command": ["/bin/sh", "-c", "echo hello; exec sleep 1000"]}
    core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": POD}, "spec": {"containers": [container]}})
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, NAMESPACE, field_selector=f"metadata.name={POD}", timeout_seconds=60):
        if event["object"].status.phase == "Running":
            watcher.stop()
    assert core.read_namespaced_pod_log(POD, NAMESPACE) == "hello\n"
    run = core.connect_get_namespaced_pod_exec
    said = stream(run, POD, NAMESPACE, command=["/bin/sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True)
    assert sorted(said.split()) == ["err", "out"], said
    session = stream(run, POD, NAMESPACE, command=["/bin/cat"], stdin=True, stdout=True, _preload_content=False)
    session.write_stdin("to and fro\n")
    assert session.readline_stdout(timeout=30) == "to and fro"
    session.close()
    core.delete_namespaced_pod(POD, NAMESPACE, grace_period_seconds=0)


def main():
    config.load_kube_config()
    core = client.CoreV1Api()
    assert client.VersionApi().get_code().git_version.startswith("v1.")
    write_and_read(core)
    scale(client.AppsV1Api())
    talk_to_a_pod(core)
    watch_through_kills(core)
    print("passed", flush=True)


main()
