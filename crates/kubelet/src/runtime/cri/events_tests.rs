//! A runtime that tells what happens, as Debian's containerd does not yet: a gRPC server at a socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Ready, ready};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response};
use tonic_prost::ProstCodec;

use super::super::protocol::{PodSandboxStatus, VersionRequest, VersionResponse};
use super::super::{CriConfig, CriRuntime, Runtime};
use super::*;

#[derive(Clone)]
struct Teller;

struct Version;

impl tower::Service<Request<VersionRequest>> for Version {
    type Response = Response<VersionResponse>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<VersionRequest>) -> Self::Future {
        ready(Ok(Response::new(VersionResponse { runtime_name: "teller".into(), ..VersionResponse::default() })))
    }
}

struct Events;

impl tower::Service<Request<Nothing>> for Events {
    type Response = Response<Told>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Nothing>) -> Self::Future {
        let labels = BTreeMap::from([(labels::POD_UID.to_owned(), "u".to_owned())]);
        let known = PodSandboxStatus { labels, ..PodSandboxStatus::default() };
        let event = |kind: ContainerEventType, sandbox: Option<&PodSandboxStatus>| ContainerEvent {
            container_id: "c".into(),
            kind: kind.into(),
            pod_sandbox_status: sandbox.cloned(),
            containers_statuses: Vec::new(),
        };
        use ContainerEventType::{Created, Deleted, Started, Stopped};
        let told = [Created, Started, Stopped, Deleted].map(|kind| Ok(event(kind, Some(&known))));
        // Whose the last is nobody knows; then the stream ends.
        ready(Ok(Response::new(stream::iter(told.into_iter().chain([Ok(event(Stopped, None))])).boxed())))
    }
}

impl tower::Service<http::Request<Body>> for Teller {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/runtime.v1.RuntimeService/Version" => Grpc::new(ProstCodec::default()).unary(Version, request).await,
                "/runtime.v1.RuntimeService/GetContainerEvents" => {
                    Grpc::new(ProstCodec::default()).server_streaming(Events, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

impl tonic::server::NamedService for Teller {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

#[tokio::test]
async fn a_runtime_that_tells_is_listened_to_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let serving = tonic::transport::Server::builder().serve_with_incoming(Teller, incoming);
    let serving = AbortOnDropHandle::new(tokio::spawn(serving));
    let config = CriConfig { endpoint: format!("unix://{}", socket.display()), ..CriConfig::default() };
    let runtime = CriRuntime::new(config).unwrap();
    let told: Vec<_> = runtime.events().take(7).map(|event| (event.kind, event.pod.is_some())).collect().await;
    use EventKind::{Created, Died, Reconnected, Removed, Started};
    let once = [(Created, true), (Started, true), (Died, true), (Removed, true), (Reconnected, false)];
    let expected: Vec<_> = [(Reconnected, false)].into_iter().chain(once).chain([(Reconnected, false)]).collect();
    assert_eq!(told, expected);
    drop(serving);
}
