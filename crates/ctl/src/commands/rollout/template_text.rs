//! A pod template for people, as `rollout history --revision` shows it: with tabs as they are.

use std::fmt::Write;

use serde_json::Value;

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

fn pairs(map: &Value, between: &str) -> Vec<String> {
    map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}{between}{}", text(value))).collect()
}

/// Writes lines, indented.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, level: usize, line: &str) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.0, "{}{line}", "  ".repeat(level));
    }

    fn field(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, &format!("{name}:\t{value}"));
    }

    /// A field with a value a line.
    fn list(&mut self, level: usize, name: &str, values: &[String], indent: &str) {
        match values.split_first() {
            None => self.field(level, name, "<none>"),
            Some((first, rest)) => {
                self.field(level, name, first);
                rest.iter().for_each(|value| self.line(0, &format!("{indent}\t{value}")));
            }
        }
    }
}

/// The template's description.
#[must_use]
pub fn of(template: &Value) -> String {
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    let mut lines = Lines::default();
    lines.line(0, "Pod Template:");
    lines.list(1, "Labels", &pairs(&metadata["labels"], "="), "");
    let annotations = pairs(&metadata["annotations"], ": ");
    if !annotations.is_empty() {
        lines.list(1, "Annotations", &annotations, "");
    }
    if let Some(account) = spec["serviceAccountName"].as_str().filter(|account| !account.is_empty()) {
        lines.field(1, "Service Account", account);
    }
    for (title, list) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
        if let Some(containers) = spec[list].as_array().filter(|containers| !containers.is_empty()) {
            lines.line(1, &format!("{title}:"));
            containers.iter().for_each(|one| container(&mut lines, one));
        }
    }
    volumes(&mut lines, spec);
    lines.list(1, "Node-Selectors", &pairs(&spec["nodeSelector"], "="), "           ");
    let tolerations: Vec<String> = spec["tolerations"].as_array().into_iter().flatten().map(toleration).collect();
    lines.list(1, "Tolerations", &tolerations, "           ");
    lines.0
}

fn container(lines: &mut Lines, container: &Value) {
    lines.line(1, &format!(" {}:", text(&container["name"])));
    lines.field(2, "Image", &text(&container["image"]));
    ports(lines, container, "Port", "containerPort");
    ports(lines, container, "Host Port", "hostPort");
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        if let Some(words) = container[field].as_array().filter(|words| !words.is_empty()) {
            lines.line(2, &format!("{name}:"));
            words
                .iter()
                .flat_map(|word| text(word).lines().map(str::to_owned).collect::<Vec<_>>())
                .for_each(|word| lines.line(3, &word));
        }
    }
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        if let Some(amounts) = container["resources"][field].as_object().filter(|amounts| !amounts.is_empty()) {
            lines.line(2, &format!("{name}:"));
            amounts.iter().for_each(|(name, amount)| lines.field(3, name, &text(amount)));
        }
    }
    for (name, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
        if container[field].is_object() {
            lines.field(2, name, &probe(&container[field]));
        }
    }
    environment(lines, container);
    mounts(lines, container);
}

fn ports(lines: &mut Lines, container: &Value, name: &str, field: &str) {
    let ports = container["ports"].as_array().into_iter().flatten();
    let ports: Vec<String> = ports
        .map(|port| format!("{}/{}", port[field].as_i64().unwrap_or(0), port["protocol"].as_str().unwrap_or("TCP")))
        .collect();
    let name = if ports.len() > 1 { format!("{name}s") } else { name.to_owned() };
    lines.field(2, &name, if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") }.as_str());
}

fn probe(probe: &Value) -> String {
    let number = |field: &str| probe[field].as_i64().unwrap_or(0);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let (get, socket) = (&probe["httpGet"], &probe["tcpSocket"]);
    let what = if probe["exec"].is_object() {
        let words: Vec<String> = probe["exec"]["command"].as_array().into_iter().flatten().map(text).collect();
        format!("exec [{}]", words.join(" "))
    } else if get.is_object() {
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        format!("http-get {scheme}://{}:{}{}", text(&get["host"]), text(&get["port"]), text(&get["path"]))
    } else if socket.is_object() {
        format!("tcp-socket {}:{}", text(&socket["host"]), text(&socket["port"]))
    } else {
        format!("grpc <pod>:{} {}", text(&probe["grpc"]["port"]), text(&probe["grpc"]["service"]))
    };
    format!("{what} {attributes}")
}

fn environment(lines: &mut Lines, container: &Value) {
    let from = container["envFrom"].as_array().filter(|all| !all.is_empty());
    for source in from.into_iter().flatten() {
        let (kind, reference) = match source["configMapRef"].is_object() {
            true => ("ConfigMap", &source["configMapRef"]),
            false => ("Secret", &source["secretRef"]),
        };
        let prefix = source["prefix"].as_str().map(|prefix| format!(" with prefix '{prefix}'")).unwrap_or_default();
        if std::ptr::eq(source, &container["envFrom"][0]) {
            lines.line(2, "Environment Variables from:");
        }
        let optional = reference["optional"] == true;
        lines.line(3, &format!("{}\t{kind}{prefix}\tOptional: {optional}", text(&reference["name"])));
    }
    let Some(variables) = container["env"].as_array().filter(|variables| !variables.is_empty()) else {
        lines.field(2, "Environment", "<none>");
        return;
    };
    lines.line(2, "Environment:");
    for variable in variables {
        let source = &variable["valueFrom"];
        let value = if source.is_null() { text(&variable["value"]) } else { value_from(source) };
        lines.field(3, &text(&variable["name"]), &value);
    }
}

fn value_from(source: &Value) -> String {
    let keyed = |reference: &Value, of: &str| {
        format!(
            "<set to the key '{}' {of} '{}'>\tOptional: {}",
            text(&reference["key"]),
            text(&reference["name"]),
            reference["optional"] == true
        )
    };
    if source["fieldRef"].is_object() {
        let field = &source["fieldRef"];
        format!(" ({}:{})", field["apiVersion"].as_str().unwrap_or("v1"), text(&field["fieldPath"]))
    } else if source["resourceFieldRef"].is_object() {
        format!("({})", text(&source["resourceFieldRef"]["resource"]))
    } else if source["secretKeyRef"].is_object() {
        keyed(&source["secretKeyRef"], "in secret")
    } else {
        keyed(&source["configMapKeyRef"], "of config map")
    }
}

fn mounts(lines: &mut Lines, container: &Value) {
    let Some(mounts) = container["volumeMounts"].as_array().filter(|mounts| !mounts.is_empty()) else {
        lines.field(2, "Mounts", "<none>");
        return;
    };
    lines.line(2, "Mounts:");
    for mount in mounts {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        let path = mount["subPath"].as_str().map(|path| format!(",path={path:?}")).unwrap_or_default();
        lines.line(3, &format!("{} from {} ({mode}{path})", text(&mount["mountPath"]), text(&mount["name"])));
    }
}

fn volumes(lines: &mut Lines, spec: &Value) {
    let Some(volumes) = spec["volumes"].as_array().filter(|volumes| !volumes.is_empty()) else {
        lines.field(1, "Volumes", "<none>");
        return;
    };
    lines.line(1, "Volumes:");
    for volume in volumes {
        lines.line(1, &format!(" {}:", text(&volume["name"])));
        for (kind, source) in volume.as_object().into_iter().flatten().filter(|(name, _)| *name != "name") {
            let kind = kind[..1].to_uppercase() + &kind[1..];
            lines.field(2, "Type", &kind);
            for (name, value) in
                source.as_object().into_iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array())
            {
                lines.field(2, &(name[..1].to_uppercase() + &name[1..]), &text(value));
            }
        }
    }
}

fn toleration(toleration: &Value) -> String {
    let mut line = text(&toleration["key"]);
    if let Some(value) = toleration["value"].as_str().filter(|value| !value.is_empty()) {
        line = format!("{line}={value}");
    }
    if let Some(effect) = toleration["effect"].as_str().filter(|effect| !effect.is_empty()) {
        line = format!("{line}:{effect}");
    }
    if toleration["operator"] == "Exists" && toleration["value"].is_null() {
        let between = if line.is_empty() { "" } else { " " };
        line = format!("{line}{between}op=Exists");
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        line = format!("{line} for {seconds}s");
    }
    line
}
