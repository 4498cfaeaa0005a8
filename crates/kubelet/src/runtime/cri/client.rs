//! The connection to the runtime, and its errors in the kubelet's words.

use std::error::Error as _;
use std::time::Duration;

use futures::Stream;
use futures::StreamExt;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{CriConfig, Result, RuntimeError};

/// The longest answer: upstream's, and containerd's own.
const ANSWER_MAX: usize = 16 << 20;
/// What containerd says while it starts.
const NOT_YET: &str = "server is not initialized yet";

/// A method of one of the runtime's services.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    path: &'static str,
    /// For messages.
    operation: &'static str,
}

macro_rules! methods {
    ($($name:ident = $path:literal, $operation:literal;)+) => {
        impl Method {
            $(pub(super) const $name: Self = Self { path: $path, operation: $operation };)+
        }
    };
}

methods! {
    VERSION = "/runtime.v1.RuntimeService/Version", "version";
    STATUS = "/runtime.v1.RuntimeService/Status", "status";
    RUN_SANDBOX = "/runtime.v1.RuntimeService/RunPodSandbox", "run sandbox";
    STOP_SANDBOX = "/runtime.v1.RuntimeService/StopPodSandbox", "stop sandbox";
    REMOVE_SANDBOX = "/runtime.v1.RuntimeService/RemovePodSandbox", "remove sandbox";
    SANDBOX_STATUS = "/runtime.v1.RuntimeService/PodSandboxStatus", "inspect sandbox";
    LIST_SANDBOXES = "/runtime.v1.RuntimeService/ListPodSandbox", "list sandboxes";
    CREATE_CONTAINER = "/runtime.v1.RuntimeService/CreateContainer", "create container";
    START_CONTAINER = "/runtime.v1.RuntimeService/StartContainer", "start container";
    STOP_CONTAINER = "/runtime.v1.RuntimeService/StopContainer", "stop container";
    REMOVE_CONTAINER = "/runtime.v1.RuntimeService/RemoveContainer", "remove container";
    CONTAINER_STATUS = "/runtime.v1.RuntimeService/ContainerStatus", "inspect container";
    LIST_CONTAINERS = "/runtime.v1.RuntimeService/ListContainers", "list containers";
    UPDATE_RESOURCES = "/runtime.v1.RuntimeService/UpdateContainerResources", "update container";
    REOPEN_LOG = "/runtime.v1.RuntimeService/ReopenContainerLog", "reopen log";
    EXEC_SYNC = "/runtime.v1.RuntimeService/ExecSync", "exec";
    EXEC = "/runtime.v1.RuntimeService/Exec", "exec";
    ATTACH = "/runtime.v1.RuntimeService/Attach", "attach";
    STATS = "/runtime.v1.RuntimeService/ContainerStats", "stats";
    EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents", "events";
    LIST_IMAGES = "/runtime.v1.ImageService/ListImages", "list images";
    IMAGE_STATUS = "/runtime.v1.ImageService/ImageStatus", "inspect image";
    PULL_IMAGE = "/runtime.v1.ImageService/PullImage", "pull image";
    REMOVE_IMAGE = "/runtime.v1.ImageService/RemoveImage", "remove image";
    IMAGE_FS = "/runtime.v1.ImageService/ImageFsInfo", "image file system";
    CREATE_LEASE = "/containerd.services.leases.v1.Leases/Create", "import image";
    WRITE_CONTENT = "/containerd.services.content.v1.Content/Write", "import image";
    CREATE_IMAGE = "/containerd.services.images.v1.Images/Create", "import image";
    UPDATE_IMAGE = "/containerd.services.images.v1.Images/Update", "import image";
}

/// Connections to the runtime's services, which are made when they are needed, and anew when they were lost.
#[derive(Clone)]
pub(super) struct Client {
    /// Sandboxes and containers.
    runtime: Channel,
    /// Images.
    images: Channel,
    /// How long an ordinary answer may take.
    timeout: Duration,
}

impl Client {
    /// Needs a runtime of tasks around it.
    pub(super) fn new(config: &CriConfig) -> Result<Self, tonic::transport::Error> {
        let runtime = channel(&config.endpoint)?;
        let images = match config.image_endpoint.as_ref().filter(|endpoint| **endpoint != config.endpoint) {
            Some(endpoint) => channel(endpoint)?,
            None => runtime.clone(),
        };
        Ok(Self { runtime, images, timeout: config.request_timeout })
    }

    /// Calls a method about the sandbox, container or image `what`.
    pub(super) async fn call<Q, A>(&self, method: Method, what: &str, question: Q) -> Result<A>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.call_slow(method, what, Duration::ZERO, question).await
    }

    /// The same for a call that may take `extra` longer than an ordinary one.
    pub(super) async fn call_slow<Q, A>(&self, method: Method, what: &str, extra: Duration, question: Q) -> Result<A>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.ask(method, extra, Request::new(question)).await.map_err(|status| translate(method, what, status))
    }

    /// The same with headers, where an answer that is an error is judged by its code.
    pub(super) async fn ask<Q, A>(&self, method: Method, extra: Duration, question: Request<Q>) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let call = async {
            let mut grpc = self.grpc(method).await?;
            let path = PathAndQuery::from_static(method.path);
            grpc.unary(question, path, ProstCodec::<Q, A>::default()).await
        };
        let answer = tokio::time::timeout(self.timeout.saturating_add(extra), call).await;
        Ok(answer.unwrap_or_else(|_| Err(Status::unavailable("it does not answer")))?.into_inner())
    }

    /// Calls a method that answers with a stream, which may go on for ever.
    pub(super) async fn listen<Q, A>(&self, method: Method, question: Q) -> Result<tonic::Streaming<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc(method).await?;
        let path = PathAndQuery::from_static(method.path);
        Ok(grpc.server_streaming(Request::new(question), path, ProstCodec::<Q, A>::default()).await?.into_inner())
    }

    /// Sends several questions, and waits until all are answered.
    pub(super) async fn send_all<Q, A>(
        &self,
        method: Method,
        questions: Request<impl Stream<Item = Q> + Send + 'static>,
    ) -> Result<(), Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let call = async {
            let mut grpc = self.grpc(method).await?;
            let path = PathAndQuery::from_static(method.path);
            let answers = grpc.streaming(questions, path, ProstCodec::<Q, A>::default()).await?;
            let mut answers = answers.into_inner();
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(())
        };
        let sent = tokio::time::timeout(self.timeout, call).await;
        sent.unwrap_or_else(|_| Err(Status::unavailable("it does not answer")))
    }

    async fn grpc(&self, method: Method) -> Result<Grpc<Channel>, Status> {
        let images = method.path.contains(".ImageService/");
        let channel = if images { &self.images } else { &self.runtime };
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(describe(&error)))?;
        Ok(grpc)
    }
}

fn channel(endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let uri = if endpoint.starts_with('/') { format!("unix://{endpoint}") } else { endpoint.to_owned() };
    Ok(Endpoint::from_shared(uri)?.connect_lazy())
}

/// An error and what led to it.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Translates an answer about the container, sandbox or image `what`.
pub(super) fn translate(method: Method, what: &str, status: Status) -> RuntimeError {
    // An answer of the runtime's own has no source.
    let lost = status.code() == Code::Unavailable || status.source().is_some() || status.message() == NOT_YET;
    match status.code() {
        Code::NotFound => RuntimeError::NotFound(what.to_owned()),
        _ if lost => RuntimeError::Unreachable(describe(&status).into()),
        _ => RuntimeError::Refused { operation: method.operation, message: status.message().to_owned() },
    }
}

/// An answer that lacks `what`, which runtimes always send.
pub(super) fn lacking(method: Method, what: &str) -> RuntimeError {
    RuntimeError::Broken { operation: method.operation, source: format!("the answer has no {what}").into() }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Nothing, VersionResponse};
    use super::*;

    #[tokio::test]
    async fn an_absent_runtime_is_unreachable_and_not_an_accident() {
        for endpoint in ["unix:///nonexistent/containerd.sock", "/nonexistent/containerd.sock"] {
            let config = CriConfig { endpoint: endpoint.to_owned(), ..CriConfig::default() };
            let client = Client::new(&config).unwrap();
            let answer: Result<VersionResponse> = client.call(Method::VERSION, "runtime", Nothing {}).await;
            assert!(matches!(answer, Err(RuntimeError::Unreachable(_))), "{answer:?}");
        }
        assert!(Client::new(&CriConfig { endpoint: "::".to_owned(), ..CriConfig::default() }).is_err());
    }

    #[test]
    fn errors_keep_the_runtimes_words() {
        let translated = |status| translate(Method::START_CONTAINER, "abc", status).to_string();
        assert_eq!(translated(Status::not_found("x")), "no such container: abc");
        assert_eq!(translated(Status::unknown("no space left")), "start container: no space left");
        assert!(translated(Status::unknown(NOT_YET)).starts_with("container runtime is not reachable"));
    }
}
