//! Pods, and the pod templates of workloads.

use serde_json::Value;

use super::{Writer, controller, labels, or_none, pairs, text};

/// Writes a pod.
pub fn describe(writer: &mut Writer, pod: &Value) {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    writer.field("Name", text(&metadata["name"]));
    writer.field("Namespace", text(&metadata["namespace"]));
    writer.field("Priority", or_zero(&spec["priority"]));
    writer.field("Service Account", text(&spec["serviceAccountName"]));
    let node = match (text(&spec["nodeName"]), text(&status["hostIP"])) {
        (name, _) if name.is_empty() => "<none>".to_owned(),
        (name, address) => format!("{name}/{address}"),
    };
    writer.field("Node", node);
    if status["startTime"].is_string() {
        writer.field("Start Time", text(&status["startTime"]));
    }
    labels(writer, pod);
    match metadata["deletionTimestamp"].as_str() {
        Some(since) => {
            writer.field("Status", format!("Terminating (since {since})"));
            writer.field("Termination Grace Period", format!("{}s", or_zero(&metadata["deletionGracePeriodSeconds"])));
        }
        None => writer.field("Status", text(&status["phase"])),
    }
    for (name, field) in [("Reason", "reason"), ("Message", "message")] {
        if status[field].is_string() {
            writer.field(name, text(&status[field]));
        }
    }
    writer.field("IP", text(&status["podIP"]));
    writer.section("IPs", |writer| {
        for address in status["podIPs"].as_array().into_iter().flatten() {
            writer.field("IP", text(&address["ip"]));
        }
    });
    controller(writer, pod);
    containers(writer, spec, Some(status));
    conditions(writer, status);
    volumes(writer, spec);
    writer.field("QoS Class", text(&status["qosClass"]));
    writer.list("Node-Selectors", &pairs(&spec["nodeSelector"], "="));
    writer.list("Tolerations", &tolerations(spec));
}

fn or_zero(value: &Value) -> String {
    if value.is_null() { "0".to_owned() } else { text(value) }
}

/// Init containers and containers, with their state when there is a status.
pub fn containers(writer: &mut Writer, spec: &Value, status: Option<&Value>) {
    let lists = [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ];
    for (title, list, statuses) in lists {
        let Some(containers) = spec[list].as_array().filter(|containers| !containers.is_empty()) else { continue };
        writer.section(title, |writer| {
            for container in containers {
                let known = status.map(|status| &status[statuses]).and_then(Value::as_array).into_iter().flatten();
                let status = known.into_iter().find(|status| status["name"] == container["name"]);
                writer.section(&text(&container["name"]), |writer| one(writer, container, status));
            }
        });
    }
}

fn one(writer: &mut Writer, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        writer.field("Container ID", text(&status["containerID"]));
    }
    writer.field("Image", text(&container["image"]));
    if let Some(status) = status {
        writer.field("Image ID", text(&status["imageID"]));
    }
    let port = |port: &Value, number: &str| format!("{}/{}", or_zero(&port[number]), text(&port["protocol"]));
    let list = |number: &str| -> Vec<String> {
        container["ports"].as_array().into_iter().flatten().map(|entry| port(entry, number)).collect()
    };
    writer.field("Port", or_none(&list("containerPort").join(", ").into()));
    writer.field("Host Port", or_none(&list("hostPort").join(", ").into()));
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        let words = container[field].as_array().into_iter().flatten();
        let words: Vec<String> = words.map(text).collect();
        if !words.is_empty() {
            writer.section(name, |writer| words.iter().for_each(|word| writer.line(word)));
        }
    }
    if let Some(status) = status {
        state(writer, "State", &status["state"]);
        if status["lastState"].as_object().is_some_and(|state| !state.is_empty()) {
            state(writer, "Last State", &status["lastState"]);
        }
        writer.field("Ready", if status["ready"] == true { "True" } else { "False" });
        writer.field("Restart Count", or_zero(&status["restartCount"]));
    }
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        if let Some(amounts) = container["resources"][field].as_object() {
            writer.section(name, |writer| amounts.iter().for_each(|(name, amount)| writer.field(name, text(amount))));
        }
    }
    for (name, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
        if container[field].is_object() {
            writer.field(name, probe(&container[field]));
        }
    }
    environment(writer, container);
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mount = |mount: &Value| {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        format!("{} from {} ({mode})", text(&mount["mountPath"]), text(&mount["name"]))
    };
    writer.list("Mounts", &mounts.map(mount).collect::<Vec<_>>());
}

fn state(writer: &mut Writer, name: &str, state: &Value) {
    let title = |kind: &str| kind[..1].to_uppercase() + &kind[1..];
    let (kind, details) = state
        .as_object()
        .and_then(|state| state.iter().next())
        .map_or_else(|| ("Waiting".to_owned(), &Value::Null), |(kind, details)| (title(kind), details));
    writer.field(name, kind);
    let fields = [
        ("Reason", "reason"),
        ("Message", "message"),
        ("Exit Code", "exitCode"),
        ("Started", "startedAt"),
        ("Finished", "finishedAt"),
    ];
    for (name, field) in fields.into_iter().filter(|(_, field)| !details[*field].is_null()) {
        writer.field(&format!("  {name}"), text(&details[field]));
    }
}

fn probe(probe: &Value) -> String {
    let action = if let Some(get) = probe["httpGet"].as_object() {
        let scheme = get.get("scheme").and_then(Value::as_str).unwrap_or("HTTP").to_lowercase();
        format!("http-get {scheme}://:{}{}", text(&probe["httpGet"]["port"]), text(&probe["httpGet"]["path"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket :{}", text(&probe["tcpSocket"]["port"]))
    } else if probe["exec"].is_object() {
        let words = probe["exec"]["command"].as_array().into_iter().flatten().map(text);
        format!("exec [{}]", words.collect::<Vec<_>>().join(" "))
    } else {
        "grpc".to_owned()
    };
    let seconds = |field: &str| or_zero(&probe[field]);
    format!(
        "{action} delay={}s timeout={}s period={}s #success={} #failure={}",
        seconds("initialDelaySeconds"),
        seconds("timeoutSeconds"),
        seconds("periodSeconds"),
        seconds("successThreshold"),
        seconds("failureThreshold")
    )
}

fn environment(writer: &mut Writer, container: &Value) {
    let Some(variables) = container["env"].as_array().filter(|variables| !variables.is_empty()) else {
        writer.field("Environment", "<none>");
        return;
    };
    writer.section("Environment", |writer| {
        for variable in variables {
            let source = &variable["valueFrom"];
            let value = if source.is_null() { text(&variable["value"]) } else { from(source) };
            writer.field(&text(&variable["name"]), value);
        }
    });
}

fn from(source: &Value) -> String {
    let key = |reference: &Value, what: &str| {
        format!("<set to the key '{}' {what} '{}'>", text(&reference["key"]), text(&reference["name"]))
    };
    if source["fieldRef"].is_object() {
        format!("({}:{})", text(&source["fieldRef"]["apiVersion"]), text(&source["fieldRef"]["fieldPath"]))
    } else if source["configMapKeyRef"].is_object() {
        key(&source["configMapKeyRef"], "of config map")
    } else if source["secretKeyRef"].is_object() {
        key(&source["secretKeyRef"], "in secret")
    } else {
        format!("({})", text(&source["resourceFieldRef"]["resource"]))
    }
}

fn conditions(writer: &mut Writer, status: &Value) {
    let Some(conditions) = status["conditions"].as_array().filter(|conditions| !conditions.is_empty()) else { return };
    writer.section("Conditions", |writer| {
        let rows = conditions.iter().map(|condition| vec![text(&condition["type"]), text(&condition["status"])]);
        writer.table(&["Type", "Status"], rows.collect());
    });
}

/// A pod's or a template's volumes.
pub fn volumes(writer: &mut Writer, spec: &Value) {
    let Some(volumes) = spec["volumes"].as_array().filter(|volumes| !volumes.is_empty()) else {
        writer.field("Volumes", "<none>");
        return;
    };
    writer.section("Volumes", |writer| {
        for volume in volumes {
            writer.section(&text(&volume["name"]), |writer| {
                let sources = volume.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
                for (kind, source) in sources {
                    writer.field("Type", kind.clone());
                    for (name, value) in source
                        .as_object()
                        .into_iter()
                        .flatten()
                        .filter(|(_, value)| !value.is_object() && !value.is_array())
                    {
                        writer.field(name, text(value));
                    }
                }
            });
        }
    });
}

fn tolerations(spec: &Value) -> Vec<String> {
    let one = |toleration: &Value| {
        let mut line = text(&toleration["key"]);
        if toleration["value"].is_string() {
            line.push_str(&format!("={}", text(&toleration["value"])));
        }
        if toleration["effect"].is_string() {
            line.push_str(&format!(":{}", text(&toleration["effect"])));
        }
        if toleration["operator"] == "Exists" {
            line.push_str(" op=Exists");
        }
        if toleration["tolerationSeconds"].is_number() {
            line.push_str(&format!(" for {}s", text(&toleration["tolerationSeconds"])));
        }
        line
    };
    spec["tolerations"].as_array().into_iter().flatten().map(one).collect()
}
