//! Probes and life cycle handlers.

use crate::{
    core::{Container, ExecAction, HTTPGetAction, LifecycleHandler, PodSpec, Probe, TCPSocketAction},
    field::{FieldError, Path},
    validation::{names, number},
};

/// Probes and handlers of a container that may have them.
pub(super) fn validate_all(path: &Path, container: &Container, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(lifecycle) = &container.lifecycle {
        let path = path.child("lifecycle");
        for (field, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(handler) = handler {
                let grace = spec.termination_grace_period_seconds;
                errors.extend(Action::of_handler(handler, grace).validate(&path.child(field)));
            }
        }
    }
    for (field, probe) in [("livenessProbe", &container.liveness_probe), ("startupProbe", &container.startup_probe)] {
        let Some(probe) = probe else { continue };
        let path = path.child(field);
        errors.extend(validate_probe(&path, probe));
        if let Some(threshold) = probe.success_threshold.filter(|threshold| *threshold != 1) {
            errors.push(FieldError::invalid(&path.child("successThreshold"), threshold, "must be 1"));
        }
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.child("readinessProbe");
        errors.extend(validate_probe(&path, probe));
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let path = path.child("terminationGracePeriodSeconds");
            errors.push(FieldError::invalid(&path, seconds, "must not be set for readinessProbes"));
        }
    }
    errors
}

fn validate_probe(path: &Path, probe: &Probe) -> Vec<FieldError> {
    let mut errors = Action::of_probe(probe).validate(path);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, value) in numbers {
        errors.extend(number::non_negative(&path.child(field), value.unwrap_or_default()));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        errors.extend(number::positive(&path.child("terminationGracePeriodSeconds"), seconds));
    }
    errors
}

/// What a probe or a handler does; exactly one of these.
struct Action<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    /// Port of a gRPC health check.
    grpc: Option<i32>,
    /// Seconds.
    sleep: Option<i64>,
    /// How long the pod may take to end, in seconds.
    grace: Option<i64>,
}

impl<'a> Action<'a> {
    fn of_probe(probe: &'a Probe) -> Self {
        Self {
            exec: probe.exec.as_ref(),
            http_get: probe.http_get.as_ref(),
            tcp_socket: probe.tcp_socket.as_ref(),
            grpc: probe.grpc.as_ref().map(|grpc| grpc.port),
            sleep: None,
            grace: None,
        }
    }

    fn of_handler(handler: &'a LifecycleHandler, grace: Option<i64>) -> Self {
        Self {
            exec: handler.exec.as_ref(),
            http_get: handler.http_get.as_ref(),
            tcp_socket: handler.tcp_socket.as_ref(),
            grpc: None,
            sleep: handler.sleep.as_ref().map(|sleep| sleep.seconds),
            grace,
        }
    }

    /// All but the first are too many.
    fn validate(&self, path: &Path) -> Vec<FieldError> {
        let found = [
            ("exec", self.exec.map(|action| exec(&path.child("exec"), action))),
            ("httpGet", self.http_get.map(|action| http_get(&path.child("httpGet"), action))),
            ("tcpSocket", self.tcp_socket.map(|action| tcp_socket(&path.child("tcpSocket"), action))),
            ("grpc", self.grpc.map(|port| number::port(&path.child("grpc").child("port"), port))),
            ("sleep", self.sleep.map(|seconds| sleep(&path.child("sleep"), seconds, self.grace))),
        ];
        let mut present = found.into_iter().filter_map(|(field, errors)| Some((field, errors?)));
        let Some((_, mut errors)) = present.next() else {
            return vec![FieldError::required(path, "must specify a handler type")];
        };
        let detail = "may not specify more than 1 handler type";
        errors.extend(present.map(|(field, _)| FieldError::forbidden(&path.child(field), detail)));
        errors
    }
}

fn exec(path: &Path, action: &ExecAction) -> Vec<FieldError> {
    let empty = action.command.as_ref().is_none_or(Vec::is_empty);
    empty.then(|| FieldError::required(&path.child("command"), "")).into_iter().collect()
}

fn http_get(path: &Path, action: &HTTPGetAction) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> =
        names::required(&path.child("path"), action.path.as_deref().unwrap_or_default()).into_iter().collect();
    errors.extend(number::port_or_name(&path.child("port"), &action.port));
    errors.extend(names::one_of(&path.child("scheme"), action.scheme.as_deref(), &["HTTP", "HTTPS"]));
    for header in action.http_headers.iter().flatten() {
        errors.extend(names::check(names::http_header_name, &path.child("httpHeaders"), &header.name));
    }
    errors
}

fn tcp_socket(path: &Path, action: &TCPSocketAction) -> Vec<FieldError> {
    number::port_or_name(&path.child("port"), &action.port)
}

fn sleep(path: &Path, seconds: i64, grace: Option<i64>) -> Vec<FieldError> {
    let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) else { return Vec::new() };
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    vec![FieldError::invalid(path, seconds, detail)]
}
