//! `ctl logs`: of one container, or of many, one after the other or, when followed, all at once.

use std::{io::Write, time::Duration};

use api_types::core::Pod;
use clap::Args;
use futures::{AsyncBufReadExt, StreamExt, stream};

use super::{pods, query};
use crate::{
    api::Api,
    error::{Error, Result},
    program::misused,
};

/// Which logs.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME, and CONTAINER
    #[arg(value_name = "POD")]
    names: Vec<String>,
    /// Container
    #[arg(short, long, default_value = "")]
    container: String,
    /// Every container of the pods
    #[arg(long)]
    all_containers: bool,
    /// Every pod of the workload
    #[arg(long)]
    all_pods: bool,
    /// Label selector
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Before each line, the pod and the container it is from
    #[arg(long)]
    prefix: bool,
    /// Follow at most so many containers
    #[arg(long, default_value_t = 5)]
    max_log_requests: usize,
    /// Go on when one cannot be had
    #[arg(long)]
    ignore_errors: bool,
    /// How long to wait for a pod
    #[arg(long, default_value = "20s", value_parser = component::flags::duration)]
    pod_running_timeout: Duration,
    #[command(flatten)]
    options: Options,
}

/// What of a log.
#[derive(Args, Clone, Debug)]
struct Options {
    /// Go on as the log grows
    #[arg(short, long)]
    follow: bool,
    /// The container's previous run
    #[arg(short, long)]
    previous: bool,
    /// This many last lines; -1 means all, of selected pods ten
    #[arg(long, allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Not older than this, such as 5m
    #[arg(long, default_value = "0s", value_parser = component::flags::duration)]
    since: Duration,
    /// Not older than this time (RFC 3339)
    #[arg(long, default_value = "")]
    since_time: String,
    /// Each line's time
    #[arg(long)]
    timestamps: bool,
    /// At most this many bytes
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    limit_bytes: i64,
    /// Do not check the kubelet's certificate
    #[arg(long)]
    insecure_skip_tls_verify_backend: bool,
}

const EXPECTED: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n\
    POD or TYPE/NAME is a required argument for the logs command";

/// A container's log.
#[derive(Clone, Debug)]
struct Source {
    path: String,
    /// `[pod/NAME/CONTAINER] `, or nothing.
    prefix: String,
}

/// Runs the command.
///
/// # Errors
/// When there is no such pod or container, or no log yet.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    flags.check()?;
    let pods = flags.pods(api).await.map_err(|error| in_namespace(api, error))?;
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(flags.sources(api, pod)?);
    }
    if sources.is_empty() && flags.selector.is_some() {
        eprintln!("No resources found in {} namespace.", api.namespace);
        return Ok(());
    }
    if !flags.options.follow || sources.len() < 2 {
        for source in &sources {
            flags.tolerate(copy(api, source).await)?;
        }
        return Ok(());
    }
    flags.follow(api, &sources).await
}

/// What is not there is told with the namespace in which it is not.
fn in_namespace(api: &Api, error: Error) -> Error {
    match error {
        Error::Server(status) if status.code == Some(404) => Error::usage(format!(
            "error from server (NotFound): {} in namespace {:?}",
            status.message.as_deref().unwrap_or_default(),
            api.namespace
        )),
        error => error,
    }
}

impl Flags {
    fn check(&self) -> Result<()> {
        let options = &self.options;
        match (self.names.as_slice(), &self.selector) {
            ([], None) => {
                return Err(misused(EXPECTED, "logs"));
            }
            ([_, ..], Some(_)) => return Err(misused("only a selector (-l) or a POD name is allowed", "logs")),
            ([_, _, _, ..], _) => {
                return Err(misused(EXPECTED, "logs"));
            }
            ([_, _], _) if !self.container.is_empty() => {
                return Err(Error::usage("only one of -c or an inline [CONTAINER] arg is allowed"));
            }
            _ => {}
        }
        if self.all_containers && !self.named_container().is_empty() {
            return Err(Error::usage(format!(
                "--all-containers=true should not be specified with container name {}",
                self.named_container()
            )));
        }
        if !options.since_time.is_empty() && !options.since.is_zero() {
            return Err(Error::usage("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        if options.limit_bytes < 0 {
            return Err(Error::usage("--limit-bytes must be greater than 0"));
        }
        if options.tail.is_some_and(|tail| tail < -1) {
            return Err(Error::usage("--tail must be greater than or equal to -1"));
        }
        Ok(())
    }

    fn named_container(&self) -> &str {
        self.names.get(1).map_or(&self.container, String::as_str)
    }

    async fn pods(&self, api: &Api) -> Result<Vec<Pod>> {
        match (self.names.first(), &self.selector) {
            (Some(name), _) if self.all_pods => pods::find_every(api, name).await,
            (Some(name), _) => Ok(vec![pods::find_within(api, name, self.pod_running_timeout).await?]),
            (None, selector) => pods::select(api, selector.as_deref().unwrap_or_default()).await,
        }
    }

    fn sources(&self, api: &Api, pod: &Pod) -> Result<Vec<Source>> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let containers = match (self.all_containers, self.named_container()) {
            (true, _) => pods::all_containers(pod),
            (false, "") => vec![pods::container(pod, None)?],
            (false, named) => vec![pods::container(pod, Some(named))?],
        };
        let source = |container: String| Source {
            path: self.options.path(api, name, &container, self.selector.is_some()),
            prefix: if self.prefix || self.all_pods { format!("[pod/{name}/{container}] ") } else { String::new() },
        };
        Ok(containers.into_iter().map(source).collect())
    }

    /// An error, unless it is to be told only.
    fn tolerate(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if self.ignore_errors => {
                eprintln!("{error}");
                Ok(())
            }
            result => result,
        }
    }

    async fn follow(&self, api: &Api, sources: &[Source]) -> Result<()> {
        if sources.len() > self.max_log_requests {
            return Err(Error::usage(format!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
                sources.len(),
                self.max_log_requests
            )));
        }
        let mut ends = stream::iter(sources).map(|source| copy(api, source)).buffer_unordered(sources.len());
        while let Some(end) = ends.next().await {
            self.tolerate(end)?;
        }
        Ok(())
    }
}

impl Options {
    fn path(&self, api: &Api, pod: &str, container: &str, selected: bool) -> String {
        let yes = |flag: bool| flag.then_some("true");
        // Of many pods the last lines are enough, unless all are asked for.
        let tail = self.tail.or(selected.then_some(10)).filter(|tail| *tail >= 0).map(|tail| tail.to_string());
        let limit = (self.limit_bytes > 0).then(|| self.limit_bytes.to_string());
        let since = (!self.since.is_zero()).then(|| self.since.as_secs_f64().ceil().to_string());
        let query = query(&[
            ("container", Some(container)),
            ("follow", yes(self.follow)),
            ("previous", yes(self.previous)),
            ("timestamps", yes(self.timestamps)),
            ("tailLines", tail.as_deref()),
            ("limitBytes", limit.as_deref()),
            ("sinceSeconds", since.as_deref()),
            ("sinceTime", Some(self.since_time.as_str()).filter(|time| !time.is_empty())),
            ("insecureSkipTLSVerifyBackend", yes(self.insecure_skip_tls_verify_backend)),
        ]);
        format!("/api/v1/namespaces/{}/pods/{pod}/log?{query}", api.namespace)
    }
}

/// Copies a log line by line: lines of several are never mixed.
async fn copy(api: &Api, source: &Source) -> Result<()> {
    let mut stream = std::pin::pin!(api.stream(&source.path, "*/*").await?);
    let mut line = Vec::with_capacity(4 << 10);
    loop {
        line.clear();
        line.extend_from_slice(source.prefix.as_bytes());
        let read = bounded_line(&mut stream, &mut line).await?;
        let mut out = std::io::stdout().lock();
        // A reader that has seen enough is no error.
        if read == 0 || out.write_all(&line).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}

/// The most of a line that is kept before it is written.
const LONGEST: usize = 64 << 10;

/// Reads until a line ends, or until there is much of it; how many bytes came.
async fn bounded_line<S: futures::AsyncBufRead + Unpin>(stream: &mut S, line: &mut Vec<u8>) -> Result<usize> {
    let mut read = 0;
    loop {
        let chunk = stream.fill_buf().await.map_err(|error| Error::Unreachable(error.to_string()))?;
        let end = chunk.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..taken]);
        stream.consume_unpin(taken);
        read += taken;
        if end.is_some() || taken == 0 || read > LONGEST {
            return Ok(read);
        }
    }
}
