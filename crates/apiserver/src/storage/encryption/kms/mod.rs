//! A key management service, which alone has the keys that all others come from: provider `kms`, `apiVersion: v2`.
//!
//! The service is asked to encrypt a seed, once for each of its keys; from the seed come the keys of values
//! ([`dek`]). How the service is, and with which key it encrypts, it has to be asked: that is its protocol.

mod dek;
pub mod protocol;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use component::auth::Answers;
use parking_lot::Mutex as ShortLock;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use self::{
    dek::Dek,
    protocol::{
        DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptedObject, HKDF_SEED, Service,
        StatusRequest, StatusResponse, check_key_id,
    },
};
use super::CipherError;
use crate::storage::Key;

/// How long a seed is written with after the service was well; upstream's.
const WRITES_FOR: Duration = Duration::from_secs(180);
/// How often a service is asked that was well, and one that was not; upstream's.
const ASKED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));
/// How long an answer is good enough for health checks, when it was good and when it was not; upstream's.
const TOLD: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(3));
/// How long a decrypted seed is remembered; upstream's.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How a service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, which stands before what is stored.
    pub name: String,
    /// The socket at which it listens.
    pub socket: PathBuf,
    /// How long it may take for an answer.
    pub timeout: Duration,
}

/// A service.
pub struct Kms {
    settings: Settings,
    /// Made when it is first needed, because it needs a runtime.
    service: OnceLock<Service>,
    /// What is written with.
    current: ArcSwapOption<Current>,
    /// Sources that the service has decrypted, by what is stored of them.
    known: Answers<[u8; 32], Arc<Dek>>,
    /// When it was asked last, and what was wrong then. Who holds it asks.
    asked: Mutex<Option<(Instant, Result<(), String>)>>,
    /// Asks again and again.
    task: ShortLock<Option<AbortOnDropHandle<()>>>,
}

/// A seed, and what is stored of it beside each value.
struct Current {
    dek: Arc<Dek>,
    stored: EncryptedObject,
    until: Instant,
}

impl Kms {
    /// A service that nobody has asked yet.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            service: OnceLock::new(),
            current: ArcSwapOption::empty(),
            known: Answers::new(),
            asked: Mutex::default(),
            task: ShortLock::default(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Asks the service now, and then again and again, as long as this is there. Doing it twice is doing it once.
    pub fn start(self: &Arc<Self>) {
        let mut task = self.task.lock();
        if task.is_none() {
            *task = Some(AbortOnDropHandle::new(tokio::spawn(ask_again(Arc::downgrade(self)))));
        }
    }

    fn service(&self) -> Result<&Service, String> {
        if let Some(service) = self.service.get() {
            return Ok(service);
        }
        let made = Service::new(&self.settings.socket, self.settings.timeout);
        let made = made.map_err(|error| format!("kms provider {}: {error}", self.settings.name))?;
        Ok(self.service.get_or_init(|| made))
    }

    /// Whether the service is well, as far as is known from a short while ago; else it is asked.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if let Some((when, answer)) = &*asked {
            let good_for = if answer.is_ok() { TOLD.0 } else { TOLD.1 };
            if when.elapsed() < good_for {
                return answer.clone();
            }
        }
        self.ask_and_remember(&mut asked).await
    }

    /// Asks the service, whatever it told before.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn refresh(&self) -> Result<(), String> {
        self.ask_and_remember(&mut *self.asked.lock().await).await
    }

    async fn ask_and_remember(&self, asked: &mut Option<(Instant, Result<(), String>)>) -> Result<(), String> {
        let answer = self.ask().await;
        *asked = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn ask(&self) -> Result<(), String> {
        let name = &self.settings.name;
        let until = Instant::now() + WRITES_FOR;
        let status = self.service()?.call("/v2.KeyManagementService/Status", StatusRequest {}).await;
        let status: StatusResponse = status.map_err(|error| {
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {error}")
        })?;
        let mut wrong = Vec::new();
        if status.healthz != "ok" {
            wrong.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !["v2", "v2beta1"].contains(&status.version.as_str()) {
            wrong.push(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        match check_key_id(&status.key_id) {
            Err(why) => wrong.push(format!("got invalid KMSv2 KeyID: {why}")),
            Ok(()) => wrong.extend(self.follow(&status.key_id, until).await.err()),
        }
        match wrong.len() {
            0 => Ok(()),
            1 => Err(format!("kmsv2 Provider {name} is not healthy, error: {}", wrong[0])),
            _ => Err(format!("kmsv2 Provider {name} is not healthy, error: [{}]", wrong.join(", "))),
        }
    }

    /// Writes go on with the seed that there is as long as the service's key is the same; with another key comes another
    /// seed.
    async fn follow(&self, key_id: &str, until: Instant) -> Result<(), String> {
        let current = self.current.load_full();
        if let Some(same) = current.filter(|current| current.stored.key_id == key_id) {
            let renewed = Current { dek: same.dek.clone(), stored: same.stored.clone(), until };
            self.current.store(Some(Arc::new(renewed)));
            return Ok(());
        }
        let (dek, seed) = Dek::generate();
        let question = EncryptRequest { plaintext: seed.to_vec(), uid: uid() };
        let sealed: EncryptResponse = self
            .service()?
            .call("/v2.KeyManagementService/Encrypt", question)
            .await
            .map_err(|error| format!("failed to rotate DEK: failed to encrypt DEK, error: {error}"))?;
        let stored = EncryptedObject {
            // Anything: it has to be checked now and is there only later.
            encrypted_data: vec![0],
            key_id: sealed.key_id,
            encrypted_dek_source: sealed.ciphertext,
            annotations: sealed.annotations,
            encrypted_dek_source_type: HKDF_SEED,
        };
        stored.check().map_err(|error| format!("failed to rotate DEK: {error}"))?;
        if stored.key_id != key_id {
            return Err("failed to rotate DEK: the key of the answer is not the one of the status".into());
        }
        let dek = Arc::new(dek);
        self.known.put(fingerprint(&stored), dek.clone(), REMEMBERED);
        self.current.store(Some(Arc::new(Current { dek, stored, until })));
        tracing::info!(provider = self.settings.name, "values are encrypted with a new seed from now on");
        Ok(())
    }

    /// What is written with now; the service is asked when that is not known.
    async fn current(self: &Arc<Self>) -> Result<Arc<Current>, CipherError> {
        self.start();
        let usable = || self.current.load_full().filter(|current| Instant::now() <= current.until);
        if let Some(current) = usable() {
            return Ok(current);
        }
        let asked = self.check().await;
        let why =
            || asked.err().unwrap_or_else(|| "the seed has expired: the service was not asked in time".to_owned());
        usable().ok_or_else(|| CipherError::Kms(why()))
    }

    /// A value as it is stored.
    ///
    /// # Errors
    /// When the service was not well for a while.
    pub async fn seal(self: &Arc<Self>, at: &Key, value: &[u8]) -> Result<Vec<u8>, CipherError> {
        let current = self.current().await?;
        let encrypted_data = current.dek.seal(at, value)?;
        Ok(EncryptedObject { encrypted_data, ..current.stored.clone() }.encode_to_vec())
    }

    /// A value that was stored, and whether it would be written in another way now.
    ///
    /// # Errors
    /// When it is damaged, or the service does not say from what its key comes.
    pub async fn open(self: &Arc<Self>, at: &Key, sealed: &[u8]) -> Result<(Vec<u8>, bool), CipherError> {
        self.start();
        let stored = EncryptedObject::decode(sealed).map_err(|error| CipherError::Malformed(error.to_string()))?;
        stored.check().map_err(CipherError::Malformed)?;
        let value = self.dek(&stored).await?.open(at, &stored.encrypted_data)?;
        let same = self.current.load().as_ref().is_some_and(|current| current.stored.key_id == stored.key_id);
        Ok((value, !same || stored.encrypted_dek_source_type != HKDF_SEED))
    }

    async fn dek(&self, stored: &EncryptedObject) -> Result<Arc<Dek>, CipherError> {
        let fingerprint = fingerprint(stored);
        if let Some(dek) = self.known.get(&fingerprint) {
            return Ok(dek);
        }
        let question = DecryptRequest {
            ciphertext: stored.encrypted_dek_source.clone(),
            uid: uid(),
            key_id: stored.key_id.clone(),
            annotations: stored.annotations.clone(),
        };
        let service = self.service().map_err(CipherError::Kms)?;
        let answer: Result<DecryptResponse, _> = service.call("/v2.KeyManagementService/Decrypt", question).await;
        let answer = answer.map_err(|error| CipherError::Kms(format!("failed to decrypt DEK, error: {error}")))?;
        let dek = Dek::parse(stored.encrypted_dek_source_type, &answer.plaintext).map_err(CipherError::Malformed)?;
        let dek = Arc::new(dek);
        self.known.put(fingerprint, dek.clone(), REMEMBERED);
        Ok(dek)
    }
}

/// Asks as often as upstream does, so that a service that was well is found out to be ill, or to have another key.
async fn ask_again(kms: Weak<Kms>) {
    while let Some(kms) = kms.upgrade() {
        let answer = kms.refresh().await;
        if let Err(why) = &answer {
            tracing::warn!("{why}");
        }
        drop(kms);
        tokio::time::sleep(if answer.is_ok() { ASKED.0 } else { ASKED.1 }).await;
    }
}

fn uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Distinguishes what is stored of one source from what is stored of another.
fn fingerprint(stored: &EncryptedObject) -> [u8; 32] {
    let source = EncryptedObject { encrypted_data: Vec::new(), ..stored.clone() };
    Sha256::digest(source.encode_to_vec()).into()
}
