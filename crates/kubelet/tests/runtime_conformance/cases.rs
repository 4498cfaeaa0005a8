//! What every runtime does.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use kubelet::runtime::{
    AttachRequest, ContainerId, ContainerState, EventKind, ExecRequest, LinuxResources, LogOptions, OutputChunk,
    Runtime, RuntimeError, SandboxState, StdStream,
};
use tokio::io::AsyncWriteExt;

use super::harness::{Case, Harness, IMAGE, container, words};

const FOREVER: &[&str] = &["sleep", "3600"];

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn log(runtime: &dyn Runtime, id: &ContainerId, options: LogOptions) -> Vec<OutputChunk> {
    runtime.logs(id, &options).await.unwrap().try_collect().await.unwrap()
}

async fn log_text(runtime: &dyn Runtime, id: &ContainerId, options: LogOptions) -> String {
    let chunks = log(runtime, id, options).await;
    chunks.iter().map(|chunk| text(&chunk.data)).collect()
}

pub fn a_pod_is_found_again_from_labels(h: &Harness) -> Case<'_> {
    async {
        let mut config = h.sandbox.clone();
        config.labels = BTreeMap::from([("app".into(), "web".into())]);
        config.annotations = BTreeMap::from([("note".into(), "sandbox".into())]);
        let sandbox = h.runtime.run_sandbox(&config).await.unwrap();
        assert!(sandbox.pid.is_some());
        let mut wanted = container("main", FOREVER);
        wanted.annotations = BTreeMap::from([("note".into(), "container".into())]);
        let id = h.runtime.create_container(&sandbox.id, &config, &wanted).await.unwrap();
        h.runtime.start_container(&id).await.unwrap();

        let pods = (h.reconnect)().list_pods().await.unwrap();
        let pod = pods.iter().find(|pod| pod.identity == config.pod).expect("the pod is listed");
        assert_eq!(pod.sandboxes, std::slice::from_ref(&sandbox));
        assert_eq!((&sandbox.labels, &sandbox.annotations), (&config.labels, &config.annotations));
        assert_eq!((sandbox.state, sandbox.host_network), (SandboxState::Ready, false));
        let found = pod.latest("main").unwrap();
        assert_eq!((&found.id, &found.sandbox_id), (&id, &sandbox.id));
        assert_eq!((found.attempt, found.hash.as_str(), found.image.as_str()), (0, "5eed", IMAGE));
        assert_eq!(found.image_id, h.runtime.inspect_image(IMAGE).await.unwrap().unwrap().id);
        assert_eq!(found.termination_message_path, "/dev/termination-log");
        assert_eq!(found.annotations, wanted.annotations);
        assert!(found.state.is_running() && found.created_at.as_second() > 0);
        assert_eq!(h.runtime.pod(&config.pod.uid).await.unwrap(), *pod);
    }
    .boxed()
}

pub fn a_container_ends_with_its_exit_code_and_log(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", &["sh", "-c", "echo out; echo err >&2; exit 3"]).await;
        let ContainerState::Exited(exit) = h.ended(&id).await.state else { panic!("it has ended") };
        assert_eq!((exit.code, exit.reason), (3, "Error"));
        assert!(exit.started_at.unwrap() <= exit.finished_at);
        let mut log = log(&*h.runtime, &id, LogOptions::default()).await;
        log.sort_by_key(|chunk| chunk.stream == StdStream::Stderr);
        let lines: Vec<_> = log.iter().map(|chunk| (chunk.stream, text(&chunk.data))).collect();
        assert_eq!(lines, [(StdStream::Stdout, "out\n"), (StdStream::Stderr, "err\n")]);
    }
    .boxed()
}

pub fn stopping_and_removing_can_be_repeated(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", FOREVER).await;
        for _ in 0..2 {
            h.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
            let status = h.runtime.container_status(&id).await.unwrap();
            assert!(matches!(status.state, ContainerState::Exited(exit) if exit.code == 137));
        }
        for _ in 0..2 {
            h.runtime.stop_sandbox(&sandbox).await.unwrap();
            let pod = h.runtime.pod(&h.sandbox.pod.uid).await.unwrap();
            assert_eq!((pod.sandboxes[0].state, pod.sandboxes[0].pid), (SandboxState::NotReady, None));
            assert!(pod.ready_sandbox().is_none());
        }
        for _ in 0..2 {
            h.runtime.remove_container(&id).await.unwrap();
            h.runtime.remove_sandbox(&sandbox).await.unwrap();
            h.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
            h.runtime.stop_sandbox(&sandbox).await.unwrap();
        }
        let pod = h.runtime.pod(&h.sandbox.pod.uid).await.unwrap();
        assert!(pod.sandboxes.is_empty() && pod.containers.is_empty());
    }
    .boxed()
}

pub fn a_dead_left_over_of_the_same_name_is_replaced(h: &Harness) -> Case<'_> {
    async {
        let first = h.sandbox().await;
        h.runtime.stop_sandbox(&first).await.unwrap();
        let second = h.sandbox().await;
        assert_ne!(first, second);
        let created = h.created(&second, "main", FOREVER).await;
        let started = h.started(&second, "main", &["true"]).await;
        h.ended(&started).await;
        let again = h.created(&second, "main", FOREVER).await;
        let pod = h.runtime.pod(&h.sandbox.pod.uid).await.unwrap();
        assert_eq!(pod.sandboxes.iter().map(|s| &s.id).collect::<Vec<_>>(), [&second]);
        assert_eq!(pod.containers.iter().map(|c| &c.id).collect::<Vec<_>>(), [&again]);
        assert!(created != started && started != again);
    }
    .boxed()
}

pub fn a_running_container_keeps_its_name(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", FOREVER).await;
        let config = container("main", FOREVER);
        let refused = h.runtime.create_container(&sandbox, &h.sandbox, &config).await.unwrap_err();
        assert!(matches!(refused, RuntimeError::Refused { .. }), "{refused}");
        let refused = h.runtime.run_sandbox(&h.sandbox).await.unwrap_err();
        assert!(matches!(refused, RuntimeError::Refused { .. }), "{refused}");
        assert!(h.runtime.container_status(&id).await.unwrap().state.is_running());
    }
    .boxed()
}

pub fn attempts_are_listed_newest_first(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        for attempt in 0..3 {
            let mut config = container("main", &["true"]);
            config.attempt = attempt;
            h.runtime.create_container(&sandbox, &h.sandbox, &config).await.unwrap();
        }
        let pod = h.runtime.pod(&h.sandbox.pod.uid).await.unwrap();
        assert_eq!(pod.containers.iter().map(|c| c.attempt).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(pod.latest("main").unwrap().attempt, 2);
        assert!(pod.latest("other").is_none());
    }
    .boxed()
}

pub fn a_failed_start_is_told_and_remembered(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.created(&sandbox, "main", &["/no/such/program"]).await;
        let error = h.runtime.start_container(&id).await.unwrap_err();
        assert!(error.to_string().contains("no such"), "{error}");
        let status = h.runtime.container_status(&id).await.unwrap();
        let ContainerState::Exited(exit) = status.state else { panic!("{:?}", status.state) };
        // As upstream shows it of Docker and of others.
        assert!([(127, "ContainerCannotRun"), (128, "StartError")].contains(&(exit.code, exit.reason)), "{exit:?}");
        assert!(exit.message.contains("no such"), "{}", exit.message);
    }
    .boxed()
}

pub fn limits_change_while_a_container_runs(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let mut wanted = container("main", FOREVER);
        wanted.resources = LinuxResources::from_requests(Some(100), Some(200), Some(32 << 20));
        let id = h.runtime.create_container(&sandbox, &h.sandbox, &wanted).await.unwrap();
        h.runtime.start_container(&id).await.unwrap();
        let actual = async || h.runtime.pod(&h.sandbox.pod.uid).await.unwrap().latest("main").unwrap().clone();
        assert!(wanted.resources.same_limits(actual().await.resources.as_ref().unwrap()));
        for (request, limit, memory) in [(300, Some(400), 64 << 20), (50, Some(60), 16 << 20), (50, None, 16 << 20)] {
            let changed = LinuxResources::from_requests(Some(request), limit, Some(memory));
            h.runtime.update_container(&id, &changed).await.unwrap();
            let now = actual().await;
            assert!(changed.same_limits(now.resources.as_ref().unwrap()), "{changed:?} {now:?}");
            assert!(now.id == id && now.state.is_running());
        }
        let absent = h.runtime.update_container(&"absent".into(), &LinuxResources::default()).await;
        assert!(matches!(absent, Err(RuntimeError::NotFound(_))), "{absent:?}");
    }
    .boxed()
}

pub fn a_missing_image_is_told_apart(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let mut config = container("main", FOREVER);
        config.image = "ferrokube/absent:1".into();
        let error = h.runtime.create_container(&sandbox, &h.sandbox, &config).await.unwrap_err();
        assert!(matches!(&error, RuntimeError::ImageMissing(image) if image == "ferrokube/absent:1"), "{error}");
    }
    .boxed()
}

pub fn logs_are_cut_as_asked(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", &["sh", "-c", "echo one; echo two; echo three"]).await;
        h.ended(&id).await;
        let cases = [
            (LogOptions::default(), "one\ntwo\nthree\n"),
            (LogOptions { tail: Some(2), ..LogOptions::default() }, "two\nthree\n"),
            (LogOptions { tail: Some(0), ..LogOptions::default() }, ""),
            (LogOptions { limit_bytes: Some(5), ..LogOptions::default() }, "one\nt"),
            (LogOptions { stream: Some(StdStream::Stderr), ..LogOptions::default() }, ""),
            (
                LogOptions { since: Some("2001-01-01T00:00:00Z".parse().unwrap()), ..LogOptions::default() },
                "one\ntwo\nthree\n",
            ),
            (LogOptions { since: Some("2037-01-01T00:00:00Z".parse().unwrap()), ..LogOptions::default() }, ""),
        ];
        for (options, expected) in cases {
            assert_eq!(log_text(&*h.runtime, &id, options.clone()).await, expected, "{options:?}");
        }
        let stamped =
            log_text(&*h.runtime, &id, LogOptions { timestamps: true, tail: Some(1), ..LogOptions::default() });
        let stamped = stamped.await;
        let (time, line) = stamped.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && line == "three\n", "{stamped}");
    }
    .boxed()
}

/// Docker keeps a long line in pieces.
pub fn a_long_line_is_one_line(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let long = "x".repeat(40_000);
        let script = format!("echo first; echo {long}; echo last >&2; echo end");
        let id = h.started(&sandbox, "main", &["sh", "-c", &script]).await;
        h.ended(&id).await;
        let lengths = |text: &str| text.lines().map(str::len).collect::<Vec<_>>();
        let mut all = lengths(&log_text(&*h.runtime, &id, LogOptions::default()).await);
        all.sort_unstable();
        assert_eq!(all, [3, 4, 5, 40_000]);
        let options = LogOptions { timestamps: true, stream: Some(StdStream::Stdout), ..LogOptions::default() };
        let stamped = log_text(&*h.runtime, &id, options).await;
        let lines: Vec<(&str, &str)> = stamped.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(lines.iter().all(|(time, _)| time.parse::<jiff::Timestamp>().is_ok()));
        assert_eq!(lines.iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [5, 40_000, 3]);
        for (tail, expected) in [(1, vec![3]), (2, vec![40_000, 3]), (3, vec![5, 40_000, 3]), (9, vec![5, 40_000, 3])] {
            let options = LogOptions { tail: Some(tail), stream: Some(StdStream::Stdout), ..LogOptions::default() };
            assert_eq!(lengths(&log_text(&*h.runtime, &id, options).await), expected, "{tail}");
        }
    }
    .boxed()
}

pub fn a_followed_log_ends_with_its_container(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", &["sh", "-c", "echo ready; sleep 3600"]).await;
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut log = h.runtime.logs(&id, &options).await.unwrap();
        assert_eq!(text(&log.next().await.unwrap().unwrap().data), "ready\n");
        let (rest, stopped) = tokio::join!(log.count(), h.runtime.stop_container(&id, Duration::ZERO));
        stopped.unwrap();
        assert_eq!(rest, 0);
    }
    .boxed()
}

pub fn a_command_gives_its_output_and_exit_code(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", FOREVER).await;
        for (script, stdout, stderr, code) in
            [("echo hello", "hello\n", "", 0), ("echo a; echo b >&2; exit 7", "a\n", "b\n", 7)]
        {
            let command = words(&["sh", "-c", script]);
            let output = h.runtime.exec_sync(&id, &command, Duration::from_secs(30)).await.unwrap();
            assert_eq!((text(&output.stdout), text(&output.stderr), output.exit_code), (stdout, stderr, code));
        }
    }
    .boxed()
}

pub fn a_command_that_hangs_is_timed_out(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", FOREVER).await;
        let timeout = Duration::from_millis(300);
        let error = h.runtime.exec_sync(&id, &words(&["sleep", "1234"]), timeout).await.unwrap_err();
        assert!(matches!(error, RuntimeError::Timeout(after) if after == timeout), "{error}");
        assert!(h.runtime.container_status(&id).await.unwrap().state.is_running());
    }
    .boxed()
}

pub fn a_command_needs_a_running_container(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.created(&sandbox, "main", FOREVER).await;
        let error = h.runtime.exec_sync(&id, &words(&["true"]), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, RuntimeError::NotRunning(_)), "{error}");
        let streams = AttachRequest { stdout: true, ..AttachRequest::default() };
        let error = h.runtime.attach(&id, &streams).await.err().unwrap();
        assert!(matches!(error, RuntimeError::NotRunning(_)), "{error}");
    }
    .boxed()
}

pub fn a_session_has_input_and_output(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let id = h.started(&sandbox, "main", FOREVER).await;
        let request = ExecRequest {
            command: words(&["sh", "-c", "cat; exit 5"]),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let mut session = h.runtime.exec(&id, &request).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"through the pipe\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        let output: Vec<OutputChunk> = session.output.try_collect().await.unwrap();
        let output: String = output.iter().map(|chunk| text(&chunk.data)).collect();
        assert_eq!(output, "through the pipe\n");
        assert_eq!(session.control.exit_code().await.unwrap(), 5);
    }
    .boxed()
}

pub fn events_tell_a_containers_life(h: &Harness) -> Case<'_> {
    async {
        let sandbox = h.sandbox().await;
        let mut events = h.runtime.events();
        assert_eq!(events.next().await.unwrap().kind, EventKind::Reconnected);
        let id = h.started(&sandbox, "main", &["true"]).await;
        h.ended(&id).await;
        h.runtime.remove_container(&id).await.unwrap();
        let ours = events.filter(|event| futures::future::ready(event.container.as_ref() == Some(&id)));
        let life: Vec<_> = ours.take(4).collect().await;
        assert!(life.iter().all(|event| event.pod.as_ref() == Some(&h.sandbox.pod.uid)), "{life:?}");
        let kinds: Vec<_> = life.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Created, EventKind::Started, EventKind::Died, EventKind::Removed]);
    }
    .boxed()
}

pub fn images_come_and_go(h: &Harness) -> Case<'_> {
    async {
        let name = format!("ferrokube/conformance-{}:v1", &h.sandbox.pod.uid.as_str()[..8]);
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_mode(0o644);
        archive.append_data(&mut header, "file", &h.sandbox.pod.uid.as_str().as_bytes()[..2]).unwrap();
        let rootfs = Bytes::from(archive.into_inner().unwrap());
        assert_eq!(h.runtime.inspect_image(&name).await.unwrap(), None);
        let imported = h.runtime.import_image(&name, rootfs, &words(&["USER 7:8"])).await.unwrap();
        let [tag] = &imported.tags[..] else { panic!("{imported:?}") };
        assert!(tag.ends_with(&name), "with its registry, or without: {tag}");
        assert_eq!(h.runtime.inspect_image(&name).await.unwrap().unwrap().id, imported.id);
        assert!(h.runtime.list_images().await.unwrap().iter().any(|image| image.id == imported.id));
        for _ in 0..2 {
            h.runtime.remove_image(&name).await.unwrap();
            assert_eq!(h.runtime.inspect_image(&name).await.unwrap(), None);
        }
    }
    .boxed()
}

pub fn what_is_not_there_is_not_found(h: &Harness) -> Case<'_> {
    async {
        let nothing = ContainerId::from("0123456789abcdef");
        let is_missing = |error: RuntimeError| matches!(error, RuntimeError::NotFound(_));
        assert!(is_missing(h.runtime.container_status(&nothing).await.unwrap_err()));
        assert!(is_missing(h.runtime.start_container(&nothing).await.unwrap_err()));
        assert!(is_missing(h.runtime.logs(&nothing, &LogOptions::default()).await.err().unwrap()));
        let exec = h.runtime.exec_sync(&nothing, &words(&["true"]), Duration::from_secs(5)).await;
        assert!(is_missing(exec.unwrap_err()));
        assert!(h.runtime.pod(&h.sandbox.pod.uid).await.unwrap().sandboxes.is_empty());
    }
    .boxed()
}
