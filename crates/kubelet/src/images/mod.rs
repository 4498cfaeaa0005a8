//! Having a container's image on the node, as its pull policy says.

mod credentials;
mod reference;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::core::{Container, Pod};
use component::recorder::EventType::{Normal, Warning};
use parking_lot::Mutex;

use crate::events::Events;
use crate::objects::Objects;
use crate::pod::PodExt;
use crate::runtime::{ImageInfo, PodUid, PullCredentials, Runtime, RuntimeError};
use crate::status::Reason;
use component::duration::go_duration;

/// Upstream's delays between attempts to pull what cannot be pulled.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(300);

/// Waiting reason of a container whose image could not be pulled just now.
const PULL_FAILED: &str = "ErrImagePull";

/// Why there is no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageError {
    /// For the container's waiting state.
    pub reason: Reason,
    /// When it makes sense to try again; `None` when only a change of the pod helps.
    pub retry_in: Option<Duration>,
}

/// Pulls images, for all pods.
pub struct Images {
    runtime: Arc<dyn Runtime>,
    events: Events,
    back_offs: Mutex<HashMap<(PodUid, String), BackOff>>,
}

/// After a failed pull.
#[derive(Debug, Clone)]
struct BackOff {
    delay: Duration,
    until: Instant,
    error: String,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Policy {
    /// The container's, or the API's default for its image.
    fn of(container: &Container, image: &str) -> Self {
        match container.image_pull_policy.as_deref() {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            _ if reference::is_latest(image) => Self::Always,
            _ => Self::IfNotPresent,
        }
    }
}

impl Images {
    /// Pulls through `runtime` and tells `events`.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>, events: Events) -> Self {
        Self { runtime, events, back_offs: Mutex::default() }
    }

    /// The container's image, pulled if need be. Cancel-safe.
    ///
    /// # Errors
    /// Why it is not there, in upstream's words; the event has been recorded.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &Container,
        objects: &dyn Objects,
    ) -> Result<ImageInfo, ImageError> {
        let image = container.image.as_deref().unwrap_or_default();
        if let Err(why) = reference::check(image) {
            let message =
                format!("Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {why}");
            self.events.container(pod, &container.name, Warning, "InspectFailed", &message);
            return Err(ImageError { reason: Reason::new("InvalidImageName", message), retry_in: None });
        }
        let present = self.inspect(pod, container, image).await?;
        match (Policy::of(container, image), present) {
            (Policy::Never, None) => {
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                self.events.container(pod, &container.name, Warning, "ErrImageNeverPull", &message);
                let retry_in = Some(FIRST_BACK_OFF);
                Err(ImageError { reason: Reason::new("ErrImageNeverPull", message), retry_in })
            }
            (Policy::Never | Policy::IfNotPresent, Some(info)) => {
                let message =
                    format!("Container image {image:?} already present on machine and can be accessed by the pod");
                self.events.container(pod, &container.name, Normal, "Pulled", &message);
                Ok(info)
            }
            (Policy::IfNotPresent | Policy::Always, _) => self.pull(pod, container, image, objects).await,
        }
    }

    async fn inspect(&self, pod: &Pod, container: &Container, image: &str) -> Result<Option<ImageInfo>, ImageError> {
        self.runtime.inspect_image(image).await.map_err(|error| {
            let message = format!("Failed to inspect image {image:?}: {error}");
            self.events.container(pod, &container.name, Warning, "InspectFailed", &message);
            ImageError { reason: Reason::new("ImageInspectError", message), retry_in: Some(Duration::from_secs(1)) }
        })
    }

    async fn pull(
        &self,
        pod: &Pod,
        container: &Container,
        image: &str,
        objects: &dyn Objects,
    ) -> Result<ImageInfo, ImageError> {
        let key = (pod.uid(), image.to_owned());
        if let Some(waiting) = self.waiting(&key) {
            let message = format!("Back-off pulling image {image:?}");
            self.events.container(pod, &container.name, Normal, "BackOff", &message);
            let message = format!("{message}: {PULL_FAILED}: {}", waiting.error);
            let retry_in = Some(waiting.until.saturating_duration_since(Instant::now()));
            return Err(ImageError { reason: Reason::new("ImagePullBackOff", message), retry_in });
        }
        self.events.container(pod, &container.name, Normal, "Pulling", &format!("Pulling image {image:?}"));
        let began = Instant::now();
        match self.try_pull(image, &credentials::of_pod(pod, image, objects)).await {
            Ok(info) => {
                self.back_offs.lock().remove(&key);
                let took = go_duration(Duration::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(0)));
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    info.size
                );
                self.events.container(pod, &container.name, Normal, "Pulled", &message);
                Ok(info)
            }
            Err(error) => {
                let message = format!("Failed to pull image {image:?}: {}", message_of(&error));
                self.events.container(pod, &container.name, Warning, "Failed", &message);
                // The next attempt comes at once and finds the back-off, which is what people then see.
                self.failed(key, message_of(&error));
                let retry_in = Some(Duration::from_secs(1));
                Err(ImageError { reason: Reason::new(PULL_FAILED, message_of(&error)), retry_in })
            }
        }
    }

    /// Tries each of the credentials; without any, once anonymously.
    async fn try_pull(&self, image: &str, credentials: &[PullCredentials]) -> Result<ImageInfo, RuntimeError> {
        let mut last = None;
        for credentials in credentials {
            match self.runtime.pull_image(image, Some(credentials)).await {
                Ok(info) => return Ok(info),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error),
            None => self.runtime.pull_image(image, None).await,
        }
    }

    fn waiting(&self, key: &(PodUid, String)) -> Option<BackOff> {
        self.back_offs.lock().get(key).filter(|back_off| back_off.until > Instant::now()).cloned()
    }

    fn failed(&self, key: (PodUid, String), error: String) {
        let mut back_offs = self.back_offs.lock();
        let delay = back_offs.get(&key).map_or(FIRST_BACK_OFF, |known| (known.delay * 2).min(LAST_BACK_OFF));
        back_offs.insert(key, BackOff { delay, until: Instant::now() + delay, error });
    }

    /// Forgets what is known of a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.back_offs.lock().retain(|(uid, _), _| uid != pod);
    }
}

fn message_of(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Pull { message, .. } => message.clone(),
        other => other.to_string(),
    }
}
