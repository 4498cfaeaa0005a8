//! Where requests queue to be charged: one at a time in a namespace, and whoever is first charges for all who wait, with
//! one write a quota.

use std::{collections::HashMap, sync::Arc};

use api_types::{
    StatusError,
    core::{ResourceQuota, ResourceQuotaStatus},
    quota,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::account::{Account, Asked, Charged};
use crate::{
    admission::view::View,
    registry::own::{loopback_user, own_options},
    registry::{Part, Target, Write, strategy::AbsentUpdate, update::Replace},
};

/// So often a charge is tried anew when somebody else has changed the quota.
const ATTEMPTS: usize = 10;

/// Whether a request may have what it asks for.
type Verdict = Result<(), String>;

/// The queues of all namespaces.
pub(super) struct Counters {
    quotas: Arc<View<ResourceQuota>>,
    by_namespace: Mutex<HashMap<String, Arc<Counter>>>,
}

/// The queue of a namespace.
#[derive(Default)]
struct Counter {
    waiting: Mutex<Vec<Waiter>>,
    /// Held by whoever charges.
    turn: tokio::sync::Mutex<()>,
}

struct Waiter {
    asked: Arc<Asked>,
    answer: oneshot::Sender<Result<Verdict, StatusError>>,
}

impl Counters {
    pub(super) fn new(quotas: Arc<View<ResourceQuota>>) -> Self {
        Self { quotas, by_namespace: Mutex::default() }
    }

    /// Charges for a request.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn charge(&self, namespace: &str, asked: Asked) -> Result<Verdict, StatusError> {
        let counter = self.by_namespace.lock().entry(namespace.to_owned()).or_default().clone();
        let result = self.queue(&counter, namespace, Arc::new(asked)).await;
        drop(counter);
        self.by_namespace.lock().retain(|_, counter| Arc::strong_count(counter) > 1);
        result
    }

    async fn queue(&self, counter: &Counter, namespace: &str, asked: Arc<Asked>) -> Result<Verdict, StatusError> {
        loop {
            let (answer, mut answered) = oneshot::channel();
            counter.waiting.lock().push(Waiter { asked: asked.clone(), answer });
            let _turn = counter.turn.lock().await;
            if let Ok(verdict) = answered.try_recv() {
                return verdict;
            }
            let batch = std::mem::take(&mut *counter.waiting.lock());
            self.charge_all(namespace, batch).await;
            // Without an answer, whoever took this request on has gone away: it queues again.
            if let Ok(verdict) = answered.try_recv() {
                return verdict;
            }
        }
    }

    async fn charge_all(&self, namespace: &str, batch: Vec<Waiter>) {
        let mut waiters = batch;
        let mut accounts = match self.quotas.list(namespace).await {
            Ok(quotas) => Account::all(&quotas),
            Err(error) => return answer(waiters, &Err(error)),
        };
        for _ in 0..ATTEMPTS {
            let before: Vec<_> = accounts.iter().map(|account| account.used.clone()).collect();
            waiters.retain_mut(|waiter| !waiter.answer.is_closed());
            waiters = charge_each(&mut accounts, waiters);
            let changed = accounts.into_iter().zip(before).filter(|(account, before)| account.used != *before);
            accounts = match self.write_all(namespace, changed.map(|(account, _)| account)).await {
                Ok(overtaken) if overtaken.is_empty() => return answer(waiters, &Ok(Ok(()))),
                Ok(overtaken) => overtaken,
                Err(error) => return answer(waiters, &Err(error)),
            };
        }
        answer(waiters, &Err(StatusError::timeout("quotas changed too often while they were charged", 1)));
    }

    /// Writes what is used; those that somebody else has changed meanwhile, as they are now.
    async fn write_all(
        &self,
        namespace: &str,
        accounts: impl Iterator<Item = Account>,
    ) -> Result<Vec<Account>, StatusError> {
        let mut overtaken = Vec::new();
        for account in accounts {
            match self.write(namespace, &account).await {
                // A quota that has gone limits nothing.
                Err(error) if error.code() == 404 => {}
                Err(error) if error.reason() == "Conflict" => {
                    overtaken.extend(self.newest(namespace, account.name()).await?);
                }
                result => result?,
            }
        }
        Ok(overtaken)
    }

    async fn write(&self, namespace: &str, account: &Account) -> Result<(), StatusError> {
        let (registry, rest) = self.quotas.rest()?;
        let hard = account.quota.status.as_ref().and_then(|status| status.hard.clone());
        let status = ResourceQuotaStatus { hard, used: Some(quota::to_wire(&account.used)) };
        let quota = ResourceQuota { status: Some(status), ..ResourceQuota::clone(&account.quota) };
        let user = loopback_user();
        let change = Replace { object: &quota, absent: AbsentUpdate::NotFound };
        let target = Target { namespace, name: account.name() };
        registry.update(&rest, &Write::new(&user, own_options()), target, Part::Status, &change).await.map(drop)
    }

    async fn newest(&self, namespace: &str, name: &str) -> Result<Option<Account>, StatusError> {
        let (registry, rest) = self.quotas.rest()?;
        let entry = match registry.get(&rest, Target { namespace, name }).await {
            Err(error) if error.code() == 404 => return Ok(None),
            entry => entry?,
        };
        let object = rest.decode(entry.item()).await?;
        Ok(object.downcast_ref::<ResourceQuota>().cloned().map(|quota| Account::new(Arc::new(quota))))
    }
}

/// Charges for one after the other, and refuses at once what cannot be had. Those remain for whom something has to be
/// written.
fn charge_each(accounts: &mut Vec<Account>, waiters: Vec<Waiter>) -> Vec<Waiter> {
    let mut remaining = Vec::with_capacity(waiters.len());
    for waiter in waiters {
        // All quotas are charged, or none.
        let mut tried = accounts.clone();
        let charged: Result<Vec<Charged>, String> =
            tried.iter_mut().map(|account| account.charge(&waiter.asked)).collect();
        match charged {
            Err(why) => answer(vec![waiter], &Ok(Err(why))),
            Ok(charged) if charged.contains(&Charged::Yes) => {
                *accounts = tried;
                remaining.push(waiter);
            }
            Ok(_) => answer(vec![waiter], &Ok(Ok(()))),
        }
    }
    remaining
}

fn answer(waiters: Vec<Waiter>, verdict: &Result<Verdict, StatusError>) {
    for waiter in waiters {
        // Who has gone away needs no answer.
        let _ = waiter.answer.send(verdict.clone());
    }
}
