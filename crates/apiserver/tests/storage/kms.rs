//! Values whose keys a key management service keeps: a real gRPC server at a socket.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    future::{Ready, ready},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use apiserver::storage::{
    Key, ListQuery, Prefix, Store, StoreError,
    embedded::{EmbeddedOptions, EmbeddedStore},
    encryption::{
        Encrypted, EncryptionConfig, Folder,
        kms::protocol::{
            DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptedObject, StatusRequest,
            StatusResponse,
        },
    },
};
use component::files::FromFiles;
use futures::{FutureExt, future::BoxFuture};
use prost::Message;
use tokio::{net::UnixListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use crate::conformance::object;

const SECRETS: &str = "/registry/secrets";

/// What the service is like, and how often it was asked to decrypt.
#[derive(Default)]
struct State {
    key: String,
    ill: bool,
    decrypted: usize,
}

/// A service that encrypts by turning bits round.
#[derive(Clone, Default)]
struct Plugin(Arc<Mutex<State>>);

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn annotations() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("plugin.example".to_owned(), b"said".to_vec())])
}

impl Plugin {
    fn status(&self, _: StatusRequest) -> Result<StatusResponse, Status> {
        let state = self.0.lock().unwrap();
        let healthz = if state.ill { "broken" } else { "ok" };
        Ok(StatusResponse { version: "v2".into(), healthz: healthz.into(), key_id: state.key.clone() })
    }

    fn encrypt(&self, asked: EncryptRequest) -> Result<EncryptResponse, Status> {
        let key_id = self.0.lock().unwrap().key.clone();
        Ok(EncryptResponse { ciphertext: turned(&asked.plaintext), key_id, annotations: annotations() })
    }

    fn decrypt(&self, asked: DecryptRequest) -> Result<DecryptResponse, Status> {
        let mut state = self.0.lock().unwrap();
        if state.ill {
            return Err(Status::internal("broken"));
        }
        assert_eq!(asked.annotations, annotations(), "it is told again what it said");
        state.decrypted += 1;
        Ok(DecryptResponse { plaintext: turned(&asked.ciphertext) })
    }
}

/// One method of the service.
struct Method<Q, A>(Plugin, fn(&Plugin, Q) -> Result<A, Status>);

impl<Q, A> tower::Service<Request<Q>> for Method<Q, A> {
    type Response = Response<A>;
    type Error = Status;
    type Future = Ready<Result<Response<A>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ready((self.1)(&self.0, request.into_inner()).map(Response::new))
    }
}

impl tower::Service<http::Request<Body>> for Plugin {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let plugin = self.clone();
        async move {
            Ok(match request.uri().path() {
                "/v2.KeyManagementService/Status" => {
                    Grpc::new(ProstCodec::default()).unary(Method(plugin, Plugin::status), request).await
                }
                "/v2.KeyManagementService/Encrypt" => {
                    Grpc::new(ProstCodec::default()).unary(Method(plugin, Plugin::encrypt), request).await
                }
                "/v2.KeyManagementService/Decrypt" => {
                    Grpc::new(ProstCodec::default()).unary(Method(plugin, Plugin::decrypt), request).await
                }
                other => panic!("{other} is no method"),
            })
        }
        .boxed()
    }
}

/// The service at a socket in a directory, with a configuration that names it.
struct Server {
    plugin: Plugin,
    config: PathBuf,
    socket: PathBuf,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    fn start(directory: &Path, key: &str) -> Self {
        let (socket, config) = (directory.join("kms.sock"), directory.join("keys.yaml"));
        let provider = format!("{{kms: {{apiVersion: v2, name: cloud, endpoint: 'unix://{}'}}}}", socket.display());
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers: [{provider}, {{identity: {{}}}}]\n"
        );
        fs::write(&config, text).unwrap();
        let plugin = Plugin::default();
        plugin.0.lock().unwrap().key = key.to_owned();
        let mut server = Self { plugin, config, socket, running: None };
        server.listen();
        server
    }

    fn listen(&mut self) {
        let incoming = UnixListenerStream::new(UnixListener::bind(&self.socket).unwrap());
        let (stop, stopped) = oneshot::channel();
        let (plugin, stopped) = (self.plugin.clone(), stopped.map(drop));
        let serving = tonic::transport::Server::builder().serve_with_incoming_shutdown(plugin, incoming, stopped);
        self.running = Some((stop, tokio::spawn(async move { serving.await.unwrap() })));
    }

    /// Ends with its connections.
    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap();
        fs::remove_file(&self.socket).unwrap();
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.plugin.0.lock().unwrap());
    }

    /// The store as a server has it that has just started.
    fn open(&self, raw: &Arc<dyn Store>) -> (Arc<dyn Store>, Arc<FromFiles<EncryptionConfig>>) {
        let file = self.config.clone();
        let config = FromFiles::new("keys", Vec::new(), move || EncryptionConfig::read(&file)).unwrap();
        let config = Arc::new(config);
        let folder = Folder { prefix: Prefix::new(SECRETS), group: String::new(), plural: "secrets".into() };
        (Arc::new(Encrypted::new(raw.clone(), config.clone(), vec![folder])), config)
    }
}

fn embedded(directory: &Path) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(&EmbeddedOptions::new(directory.join("store.redb"))).unwrap())
}

async fn health(config: &FromFiles<EncryptionConfig>) -> Result<(), String> {
    let config = config.get();
    config.services().next().unwrap().refresh().await
}

#[tokio::test]
async fn it_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), "one");
    crate::conformance::run_store(server.open(&embedded(directory.path())).0).await;
}

#[tokio::test]
async fn values_are_stored_as_upstream_stores_them() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), "one");
    let raw = embedded(directory.path());
    let (store, _) = server.open(&raw);
    let [first, second] = ["a", "b"].map(|name| Key::from(format!("{SECRETS}/ns/{name}").as_str()));
    for key in [&first, &second] {
        store.create(key, object("hidden"), None).await.unwrap();
        assert_eq!(store.get(key).await.unwrap().value, object("hidden"));
    }
    let prefix = b"k8s:enc:kms:v2:cloud:";
    let stored = [raw.get(&first).await.unwrap().value, raw.get(&second).await.unwrap().value];
    let stored = stored.map(|value| EncryptedObject::decode(value.strip_prefix(prefix).unwrap()).unwrap());
    assert_eq!((stored[0].key_id.as_str(), stored[0].encrypted_dek_source_type), ("one", 1));
    assert_eq!(stored[0].annotations, annotations());
    assert_eq!(stored[0].encrypted_dek_source, stored[1].encrypted_dek_source, "one seed for all values");
    assert_eq!(server.plugin.0.lock().unwrap().decrypted, 0, "it is known here");
    let (again, _) = server.open(&raw);
    let page = again.list(&ListQuery::all(Prefix::new(SECRETS))).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(server.plugin.0.lock().unwrap().decrypted, 1, "once for the seed");
}

#[tokio::test]
async fn another_key_makes_what_is_stored_stale() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), "one");
    let raw = embedded(directory.path());
    let (store, config) = server.open(&raw);
    let key = Key::from("/registry/secrets/ns/a");
    raw.create(&key, object("plain"), None).await.unwrap();
    health(&config).await.unwrap();
    let rewrite = async || {
        assert!(store.needs_rewrite(&key).await.unwrap());
        let item = store.get(&key).await.unwrap();
        assert_eq!(item.value, object("plain"));
        store.update(&key, item.revision, item.value, None).await.unwrap();
        assert!(!store.needs_rewrite(&key).await.unwrap());
    };
    rewrite().await;
    server.set(|state| state.key = "two".into());
    health(&config).await.unwrap();
    rewrite().await;
}

#[tokio::test]
async fn without_the_service_nothing_is_taken_for_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), "one");
    let raw = embedded(directory.path());
    let (store, config) = server.open(&raw);
    let key = Key::from("/registry/secrets/ns/a");
    store.create(&key, object("hidden"), None).await.unwrap();
    server.stop().await;
    assert!(health(&config).await.unwrap_err().contains("failed to perform status section"));
    assert_eq!(store.get(&key).await.unwrap().value, object("hidden"), "its seed is known");
    let other = Key::from("/registry/secrets/ns/b");
    store.create(&other, object("new"), None).await.unwrap();
    let (store, config) = server.open(&raw);
    let unavailable = |error: StoreError| matches!(error, StoreError::Unavailable { .. });
    assert!(store.get(&key).await.is_err_and(unavailable));
    assert!(store.list(&ListQuery::all(Prefix::new(SECRETS))).await.is_err_and(unavailable));
    assert!(store.create(&Key::from("/registry/secrets/ns/c"), object("c"), None).await.is_err_and(unavailable));
    assert_eq!(store.unreadable().count(), 0);
    server.listen();
    server.set(|state| state.ill = true);
    let wrong = health(&config).await.unwrap_err();
    assert_eq!(wrong, "kmsv2 Provider cloud is not healthy, error: got unexpected healthz status: broken");
    server.set(|state| state.ill = false);
    health(&config).await.unwrap();
    assert_eq!(store.list(&ListQuery::all(Prefix::new(SECRETS))).await.unwrap().items.len(), 2);
}
