//! A client whose credentials change while it lives: certificates, keys, authorities and the kubeconfig itself are read
//! again when their files change. What is asked from then on goes over new connections, and watches of the old ones end,
//! as if the server had closed them: nobody goes on by an identity that was given up.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use kube::{
    Client,
    client::{Body, ClientBuilder},
    config::Kubeconfig,
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tower::{BoxError, Service};

use super::{ClientError, config, from_kubeconfig_error};
use crate::{files::FromFiles, flags::ClientFlags, metrics::CountRequests};

/// An identity that takes the kubeconfig's place: a certificate and its key in one file.
pub trait Identity: Send + Sync + 'static {
    /// Where the file is, or will be.
    fn path(&self) -> &Path;

    /// Whether it is there and good.
    fn is_usable(&self) -> bool;
}

/// A client from the flags that follows the files which they name. `identity`, when it is usable, takes the place of the
/// kubeconfig's. Credentials need not be there yet: until they are, requests fail.
///
/// # Errors
/// When the kubeconfig cannot be read, or `--master` is no URL.
pub fn following(flags: &ClientFlags, identity: Option<Box<dyn Identity>>) -> Result<Client, ClientError> {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Some(path) = &flags.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| from_kubeconfig_error(path, error))?;
        files.push(path.clone());
        files.extend(named_files(&kubeconfig));
    }
    if let Some(url) = &flags.master {
        super::master_url(url)?;
    }
    files.extend(identity.iter().map(|identity| identity.path().to_owned()));
    let flags = flags.clone();
    let make = move || Current::new(&flags, identity.as_deref());
    Ok(ClientBuilder::new(Following(FromFiles::awaited("the client's credentials", files, make)), "default").build())
}

/// The files that a kubeconfig names.
fn named_files(kubeconfig: &Kubeconfig) -> Vec<PathBuf> {
    let clusters = kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
    let authorities = clusters.filter_map(|cluster| cluster.certificate_authority.clone());
    let users = kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref());
    let own = users.flat_map(|user| [user.client_certificate.clone(), user.client_key.clone()]).flatten();
    authorities.chain(own).map(PathBuf::from).collect()
}

/// A client by the credentials that are in the files now.
struct Current {
    client: Client,
    /// Ends watches when other credentials have taken the place of these.
    replaced: DropGuard,
}

impl Current {
    fn new(flags: &ClientFlags, identity: Option<&dyn Identity>) -> anyhow::Result<Self> {
        // Only files are read on the way, which nobody has to wait for.
        let read = config(flags).now_or_never();
        let mut config = read.ok_or_else(|| anyhow::anyhow!("the kubeconfig cannot be read at once"))??;
        if let Some(identity) = identity.filter(|identity| identity.is_usable()) {
            let path = Some(identity.path().to_string_lossy().into_owned());
            config.auth_info.client_certificate.clone_from(&path);
            config.auth_info.client_key = path;
            config.auth_info.client_certificate_data = None;
            config.auth_info.client_key_data = None;
        }
        let client = ClientBuilder::try_from(config)?.with_layer(&CountRequests).build();
        Ok(Self { client, replaced: CancellationToken::new().drop_guard() })
    }
}

/// Hands each request to the client of the moment.
struct Following(FromFiles<Option<Current>>);

impl Service<Request<Body>> for Following {
    type Response = Response<Followed>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let found = self.0.get();
        let Some(current) = found.as_ref() else {
            return Box::pin(async { Err("there are no credentials for the API server yet".into()) });
        };
        let client = current.client.clone();
        let replaced = is_watch(request.uri()).then(|| Box::pin(current.replaced.token().clone().cancelled_owned()));
        Box::pin(async move {
            let response = client.send(request).await?;
            Ok(response.map(|body| Followed { body, replaced }))
        })
    }
}

fn is_watch(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch" | "watch=true" | "watch=1"))
}

/// What a request is answered with; a watch ends with the credentials that it was begun with.
struct Followed {
    body: Body,
    replaced: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, kube::Error>>> {
        if let Some(replaced) = &mut self.replaced
            && replaced.poll_unpin(context).is_ready()
        {
            self.replaced = None;
            self.body = Body::empty();
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn watches_are_told_from_other_requests() {
        let is = |uri: &str| is_watch(&uri.parse().unwrap());
        assert!(is("/api/v1/pods?watch=true&x=y") && is("/api/v1/pods?x=y&watch=1"));
        assert!(!is("/api/v1/pods") && !is("/api/v1/pods?limit=1&unwatch=true") && !is("/api/v1/watch"));
    }

    #[tokio::test]
    async fn a_watch_ends_with_the_credentials_that_it_was_begun_with() {
        let replaced = CancellationToken::new();
        let body = Body::from(b"event".to_vec());
        let watch = |replaced: CancellationToken| Some(Box::pin(replaced.cancelled_owned()));
        let mut followed = Followed { body, replaced: watch(replaced.clone()) };
        let frame = followed.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "event".as_bytes());
        followed = Followed { body: Body::from(b"event".to_vec()), replaced: watch(replaced.clone()) };
        replaced.cancel();
        assert!(followed.frame().await.is_none());
    }

    #[tokio::test]
    async fn until_there_are_credentials_requests_fail() {
        let directory = tempfile::tempdir().unwrap();
        let (kubeconfig, identity) = (directory.path().join("kubeconfig"), directory.path().join("identity.pem"));
        let path = identity.display();
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}], \
             users: [{{name: u, user: {{client-certificate: {path}, client-key: {path}}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let flags = ClientFlags { master: None, kubeconfig: Some(kubeconfig) };
        let client = following(&flags, None).unwrap();
        let error = client.apiserver_version().await.unwrap_err();
        assert!(error.to_string().contains("no credentials"), "{error}");
        let missing = ClientFlags { master: None, kubeconfig: Some(directory.path().join("missing")) };
        assert!(following(&missing, None).is_err());
    }
}
