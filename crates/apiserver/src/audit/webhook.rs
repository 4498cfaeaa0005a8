//! `--audit-webhook-config-file`: events are posted to another server, many at a time.

use std::time::Duration;

use bytes::Bytes;
use component::CancellationToken;
use http::{Request, header};
use kube::{Client, client::Body};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

use super::Event;
use crate::webhook::Connection;

/// How long an answer may take; upstream's.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a batch is sent until it is lost, how much longer each pause is than the one before, and by how much they
/// are spread; upstream's.
const ATTEMPTS: u32 = 5;
const FACTOR: f64 = 1.5;
const JITTER: f64 = 0.2;

const HEAD: &[u8] = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

/// Another server that takes events.
pub struct Webhook {
    connection: Connection,
    /// How long to wait after the first failure.
    initial_backoff: Duration,
    /// Made for the first batch.
    client: OnceCell<(Client, String)>,
}

impl Webhook {
    /// A server.
    ///
    /// # Errors
    /// When its kubeconfig cannot be read.
    pub fn new(connection: Connection, initial_backoff: Duration) -> anyhow::Result<Self> {
        connection.check()?;
        Ok(Self { connection, initial_backoff, client: OnceCell::new() })
    }

    /// An event as an item of a list, whose kind goes without saying.
    pub(super) fn encode(event: &Event<'_>) -> Result<Bytes, String> {
        let item = Event { kind: "", api_version: "", ..event.clone() };
        serde_json::to_vec(&item).map(Bytes::from).map_err(|error| error.to_string())
    }

    /// Sends events, several times if need be, but not when the server is about to end.
    pub(super) async fn send(&self, events: &[Bytes], shutdown: &CancellationToken) -> Result<(), String> {
        let list = Bytes::from([HEAD, &events.join(&b","[..]), b"]}"].concat());
        let mut pause = self.initial_backoff;
        for attempt in 1.. {
            let why = match self.post(list.clone()).await {
                Ok(()) => return Ok(()),
                Err(why) => format!("{why:#}"),
            };
            let spread = pause.mul_f64(1.0 + rand::random::<f64>() * JITTER);
            if attempt == ATTEMPTS || shutdown.run_until_cancelled(sleep(spread)).await.is_none() {
                return Err(why);
            }
            pause = pause.mul_f64(FACTOR);
        }
        Ok(())
    }

    async fn post(&self, list: Bytes) -> anyhow::Result<()> {
        let (client, path) = self.client.get_or_try_init(|| self.connection.connect()).await?;
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(list.to_vec()))?;
        let response = timeout(TIMEOUT, client.send(request)).await??;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "the server answered {status}");
        Ok(())
    }
}
