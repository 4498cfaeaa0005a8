//! Images that are made here. CRI has no words for that; containerd, which listens at the same socket, has: the parts of
//! an image are written to its store of contents, and a name is given to the whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};

use super::client::{Method, translate};
use super::protocol::{
    CreateImageRequest, CreateLeaseRequest, Descriptor, NamedImage, Nothing, WriteAction, WriteContentRequest,
    WriteContentResponse,
};
use super::{ImageInfo, Result, RuntimeError, Shared, images};

/// The namespace of containerd in which its CRI is.
const NAMESPACE: &str = "k8s.io";
/// How much is sent at a time.
const PIECE: usize = 1 << 20;
/// How long containerd keeps what nothing refers to yet.
const KEPT: Duration = Duration::from_secs(300);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A part of an image.
struct Part {
    media_type: &'static str,
    digest: String,
    data: Bytes,
}

impl Part {
    fn new(media_type: &'static str, data: Bytes) -> Self {
        let digest = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { media_type, digest: format!("sha256:{digest}"), data }
    }

    fn of_json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into())
    }

    fn describe(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.data.len()})
    }
}

impl Shared {
    pub(super) async fn import(self: &Arc<Self>, image: &str, rootfs: Bytes, changes: &[String]) -> Result<ImageInfo> {
        let written = self.write_image(&images::whole(image), rootfs, changes).await;
        written.map_err(|status| match status.code() {
            Code::Unimplemented => RuntimeError::Refused {
                operation: "import image",
                message: "this container runtime cannot be given images".to_owned(),
            },
            _ => translate(Method::CREATE_IMAGE, image, status),
        })?;
        self.present(image).await
    }

    async fn write_image(&self, name: &str, rootfs: Bytes, changes: &[String]) -> Result<(), Status> {
        let layer = Part::new(LAYER, rootfs);
        let config = Part::of_json(CONFIG, &configuration(&layer, changes));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.describe(), "layers": [layer.describe()],
        });
        let manifest = Part::of_json(MANIFEST, &manifest);
        let refers = BTreeMap::from([
            ("containerd.io/gc.ref.content.config".to_owned(), config.digest.clone()),
            ("containerd.io/gc.ref.content.l.0".to_owned(), layer.digest.clone()),
        ]);
        let lease = self.lease().await?;
        self.write(&lease, &layer, BTreeMap::new()).await?;
        self.write(&lease, &config, BTreeMap::new()).await?;
        self.write(&lease, &manifest, refers).await?;
        let target = Descriptor {
            media_type: MANIFEST.to_owned(),
            size: i64::try_from(manifest.data.len()).unwrap_or(i64::MAX),
            digest: manifest.digest,
        };
        let image = NamedImage { name: name.to_owned(), labels: BTreeMap::new(), target: Some(target) };
        self.name_image(&lease, image).await
    }

    /// Nothing that is written under it is taken away until it ends.
    async fn lease(&self) -> Result<MetadataValue<Ascii>, Status> {
        let id = format!("ferrokube-{}", uuid::Uuid::new_v4());
        let until = Timestamp::now().checked_add(KEPT).unwrap_or(Timestamp::MAX);
        let labels = BTreeMap::from([("containerd.io/gc.expire".to_owned(), until.to_string())]);
        let question = in_namespace(CreateLeaseRequest { id: id.clone(), labels }, None);
        let Nothing {} = self.client.ask(Method::CREATE_LEASE, Duration::ZERO, question).await?;
        id.parse().map_err(|_| Status::internal("a lease's name is no header"))
    }

    async fn write(
        &self,
        lease: &MetadataValue<Ascii>,
        part: &Part,
        labels: BTreeMap<String, String>,
    ) -> Result<(), Status> {
        let total = i64::try_from(part.data.len()).unwrap_or(i64::MAX);
        let piece = |action: WriteAction, at: usize, data: Bytes| WriteContentRequest {
            action: action.into(),
            reference: part.digest.clone(),
            total,
            expected: part.digest.clone(),
            offset: i64::try_from(at).unwrap_or(i64::MAX),
            data,
            labels: labels.clone(),
        };
        let starts = (0..part.data.len()).step_by(PIECE);
        let mut pieces: Vec<_> = starts
            .map(|at| piece(WriteAction::Write, at, part.data.slice(at..part.data.len().min(at + PIECE))))
            .collect();
        pieces.push(piece(WriteAction::Commit, part.data.len(), Bytes::new()));
        let questions = in_namespace(futures::stream::iter(pieces), Some(lease));
        let written =
            self.client.send_all::<WriteContentRequest, WriteContentResponse>(Method::WRITE_CONTENT, questions).await;
        match written {
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            written => written,
        }
    }

    async fn name_image(&self, lease: &MetadataValue<Ascii>, image: NamedImage) -> Result<(), Status> {
        let question = || in_namespace(CreateImageRequest { image: Some(image.clone()) }, Some(lease));
        let named: Result<Nothing, Status> = self.client.ask(Method::CREATE_IMAGE, Duration::ZERO, question()).await;
        match named {
            Err(status) if status.code() == Code::AlreadyExists => {
                let Nothing {} = self.client.ask(Method::UPDATE_IMAGE, Duration::ZERO, question()).await?;
                Ok(())
            }
            named => named.map(drop),
        }
    }
}

fn in_namespace<T>(question: T, lease: Option<&MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(question);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    if let Some(lease) = lease {
        request.metadata_mut().insert("containerd-lease", lease.clone());
    }
    request
}

/// What is in the image besides files. `changes` are as in [`super::Runtime::import_image`].
fn configuration(layer: &Part, changes: &[String]) -> Value {
    let mut config = serde_json::Map::new();
    for change in changes {
        let Some((instruction, value)) = change.split_once(' ') else { continue };
        let list = || serde_json::from_str::<Value>(value).unwrap_or_else(|_| json!(["/bin/sh", "-c", value]));
        match instruction {
            "ENTRYPOINT" => drop(config.insert("Entrypoint".to_owned(), list())),
            "CMD" => drop(config.insert("Cmd".to_owned(), list())),
            "USER" => drop(config.insert("User".to_owned(), json!(value))),
            "WORKDIR" => drop(config.insert("WorkingDir".to_owned(), json!(value))),
            _ => tracing::warn!("an image is made without {instruction}"),
        }
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    })
}
