//! Docker's event stream, for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;

use super::client::Client;
use super::list::InspectCache;
use super::{EventKind, Result, RuntimeError, RuntimeEvent, labels};

/// How long to wait before the second attempt to connect; doubled for each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);

/// Docker's names of the events that matter.
const ACTIONS: [(&str, EventKind); 4] = [
    ("create", EventKind::Created),
    ("start", EventKind::Started),
    ("die", EventKind::Died),
    ("destroy", EventKind::Removed),
];

type Messages = BoxStream<'static, Result<EventMessage, bollard::errors::Error>>;

struct Follower {
    client: Client,
    cache: Arc<InspectCache>,
    /// The connection, while there is one.
    messages: Option<Messages>,
    /// How long to wait before the next attempt.
    back_off: Duration,
}

/// See [`super::Runtime::events`].
pub(super) fn stream(client: Client, cache: Arc<InspectCache>) -> BoxStream<'static, RuntimeEvent> {
    let follower = Follower { client, cache, messages: None, back_off: Duration::ZERO };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await;
        Some((event, follower))
    })
    .boxed()
}

impl Follower {
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            let Some(messages) = &mut self.messages else {
                if let Some(event) = self.connect().await {
                    return event;
                }
                continue;
            };
            match messages.next().await {
                Some(Ok(message)) => {
                    if let Some(event) = translate(&message) {
                        let id = event.container.as_ref().map(|id| id.as_str()).unwrap_or_default();
                        self.cache.forget(id, happened_at(&message));
                        return event;
                    }
                }
                Some(Err(error)) => self.lost(&error),
                None => self.lost(&"the stream ended"),
            }
        }
    }

    fn lost(&mut self, why: &dyn std::fmt::Display) {
        tracing::warn!("docker's event stream is lost: {why}");
        self.messages = None;
        self.back_off = FIRST_BACK_OFF;
    }

    /// `None` if Docker is not there; the next call waits longer.
    async fn connect(&mut self) -> Option<RuntimeEvent> {
        tokio::time::sleep(self.back_off).await;
        self.back_off = (self.back_off * 2).clamp(FIRST_BACK_OFF, LAST_BACK_OFF);
        match open(&self.client).await {
            Ok(messages) => {
                self.messages = Some(messages);
                Some(RuntimeEvent { kind: EventKind::Reconnected, pod: None, container: None })
            }
            Err(error) => {
                tracing::debug!("docker's event stream: {error}");
                None
            }
        }
    }
}

/// The subscription is made when the stream is first polled, so it asks for events since now: none is lost between
/// the announcement and the subscription.
async fn open(client: &Client) -> Result<Messages> {
    let docker = client.docker()?;
    let now = Timestamp::now();
    docker.ping().await.map_err(|error| RuntimeError::Unreachable(error.into()))?;
    let actions = ACTIONS.iter().map(|(action, _)| (*action).to_owned()).collect();
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![labels::TYPE.to_owned()]),
        ("event".to_owned(), actions),
    ]);
    let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
    let options = EventsOptions { since: Some(since), until: None, filters: Some(filters) };
    Ok(docker.events(Some(options)).boxed())
}

/// Docker runs on the same machine, and by the same clock. An event without a time has only just happened.
fn happened_at(message: &EventMessage) -> Timestamp {
    let told = message.time_nano.and_then(|nanoseconds| Timestamp::from_nanosecond(nanoseconds.into()).ok());
    told.unwrap_or_else(Timestamp::now)
}

fn translate(message: &EventMessage) -> Option<RuntimeEvent> {
    let action = message.action.as_deref()?;
    let kind = ACTIONS.iter().find(|(name, _)| *name == action)?.1;
    let actor = message.actor.as_ref()?;
    let uid = actor.attributes.as_ref()?.get(labels::POD_UID)?;
    Some(RuntimeEvent { kind, pod: Some(uid.as_str().into()), container: actor.id.clone().map(Into::into) })
}
