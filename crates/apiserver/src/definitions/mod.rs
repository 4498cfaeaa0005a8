//! Definitions of custom resources become resources: routes, discovery, schemas. They are followed as the watch cache tells
//! of them, so that it does not matter which server wrote one.
//!
//! Each step takes up what has changed since the last one, decides ([`naming`], [`plan`]), changes what is served once for
//! all of it, and then says so in the definitions' status: whoever sees that a definition is established finds it served.

mod cleanup;
mod conversion;
mod naming;
mod plan;
mod status;
mod webhook;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    StatusError,
    apiextensions::{CustomResourceDefinition, CustomResourceDefinitionNames},
    rows,
};
use component::{Daemon, backoff::Backoff};
use tokio::sync::watch;

use self::{naming::Taken, plan::Plan};
use crate::{
    catalogue::{ChangeError, Route, Served},
    registry::{
        Registry, Rest,
        following::{Changed, Mirrored, follow},
    },
    storage::{StoreError, cache::Freshness},
};

/// So many definitions are taken up at once; a decoded one is many times as large as its text.
const BATCH: usize = 16;
/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What has to be known of the server.
pub struct Settings {
    /// What is served, which definitions change.
    pub served: Arc<Served>,
    /// Where definitions and custom resources are.
    pub registry: Arc<Registry>,
    /// `--etcd-prefix`.
    pub prefix: String,
}

/// What is known of a definition that was taken up.
struct Known {
    group: String,
    names: CustomResourceDefinitionNames,
    /// Whether it waits for a name that another one has.
    waiting: bool,
    /// What its routes were made of.
    print: [u8; 32],
    /// Versions that are served.
    versions: Vec<String>,
    /// Its objects are being deleted.
    cleaning: bool,
}

/// Follows definitions as long as the daemon runs. What is given back becomes true when those are served that were there
/// at the start.
pub fn keep(settings: Settings, daemon: &Daemon) -> watch::Receiver<bool> {
    let (ready, receiver) = watch::channel(false);
    let own = daemon.clone();
    daemon.spawn_until_shutdown(async move {
        let changed = Arc::new(Changed::default());
        let row = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        for mut synced in follow(vec![Mirrored::new(row, changed.clone())], &settings.registry, &own) {
            // A task that has ended has ended with the daemon.
            let _ = synced.wait_for(|synced| *synced).await;
        }
        let mut definitions = Definitions { settings, changed, known: BTreeMap::new(), daemon: own };
        let mut backoff = Backoff::reconnect();
        loop {
            let failed = definitions.step().await;
            ready.send_replace(true);
            if failed {
                tokio::time::sleep(backoff.next_delay().min(LONGEST_PAUSE)).await;
            } else {
                backoff.reset();
            }
            definitions.changed.wait().await;
        }
    });
    receiver
}

struct Definitions {
    settings: Settings,
    changed: Arc<Changed>,
    known: BTreeMap<String, Known>,
    daemon: Daemon,
}

/// What becomes of one definition.
enum Turn {
    Planned(Box<Plan>),
    Gone(String),
}

impl Definitions {
    /// Takes up what has changed. Tells whether some of it has to be tried again.
    async fn step(&mut self) -> bool {
        let names: Vec<String> = self.changed.take().into_iter().collect();
        let mut failed = Vec::new();
        for batch in names.chunks(BATCH) {
            let mut turns = Vec::new();
            for name in batch {
                match self.turn(name).await {
                    Ok(turn) => turns.extend(turn),
                    Err(error) => {
                        tracing::warn!(definition = %name, "cannot be taken up: {error}");
                        failed.push(name.clone());
                    }
                }
            }
            failed.extend(self.apply(turns).await);
        }
        let again = !failed.is_empty();
        self.changed.add(failed);
        again
    }

    /// What has to happen about a definition; nothing where it only says what is known.
    async fn turn(&self, name: &str) -> Result<Option<Turn>, StatusError> {
        let Some(definition) = self.read(name).await? else {
            return Ok(self.known.contains_key(name).then(|| Turn::Gone(name.to_owned())));
        };
        let taken = self.taken(name, &definition.spec.group);
        let before = self.known.get(name).map(|known| &known.print);
        let plan = Plan::new(&self.settings, &definition, &taken, before)?;
        Ok((plan.changed || plan.status.is_some()).then(|| Turn::Planned(Box::new(plan))))
    }

    /// A definition as the cache has it.
    async fn read(&self, name: &str) -> Result<Option<CustomResourceDefinition>, StatusError> {
        let rest = self.definitions()?;
        match rest.cache().get(&rest.key("", name), Freshness::Any).await {
            Ok(entry) => {
                let object = rest.decode(entry.item()).await?;
                Ok(Some(object.expect_ref::<CustomResourceDefinition>("CustomResourceDefinition")?.clone()))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(rest.store_error(name, &error)),
        }
    }

    fn definitions(&self) -> Result<Arc<Rest>, StatusError> {
        let row = &rows::CUSTOM_RESOURCE_DEFINITIONS;
        let rest = self.settings.registry.find(&row.group, &row.version, &row.plural);
        rest.ok_or_else(|| StatusError::internal("definitions of custom resources are not served"))
    }

    /// The names that others have in a group: other definitions, and what is built in.
    fn taken(&self, name: &str, group: &str) -> Taken {
        let mut taken = Taken::default();
        let others = self.known.iter().filter(|(other, known)| *other != name && known.group == group);
        others.for_each(|(_, known)| taken.add(&known.names));
        let served = self.settings.served.load();
        let built_in = served.routes().map(|route| &route.row);
        built_in.filter(|row| row.group == group && row.ops.own_schema().is_none()).for_each(|row| taken.add_row(row));
        taken
    }

    /// Does what was decided. Answers the names of those about which it failed.
    async fn apply(&mut self, turns: Vec<Turn>) -> Vec<String> {
        let mut plans = Vec::new();
        let mut removed = Vec::new();
        for turn in turns {
            match turn {
                Turn::Gone(name) => removed.extend(self.forget(&name)),
                Turn::Planned(plan) => {
                    if plan.changed {
                        removed.extend(self.routes_of(&plan.name));
                    }
                    plans.push(*plan);
                }
            }
        }
        self.serve(&removed, &mut plans);
        let mut failed = Vec::new();
        for plan in plans {
            let name = plan.name.clone();
            if let Err(error) = self.settle(plan).await {
                tracing::warn!(definition = %name, "its status cannot be written: {error}");
                failed.push(name);
            }
        }
        failed
    }

    /// Makes what is served what it is to be, at once for all.
    fn serve(&self, removed: &[(String, String, String)], plans: &mut [Plan]) {
        let routes: Vec<Route> = plans.iter_mut().flat_map(|plan| std::mem::take(&mut plan.routes)).collect();
        if routes.is_empty() && removed.is_empty() {
            return;
        }
        let changed = self.settings.served.change(|draft| {
            for (group, version, plural) in removed {
                draft.remove(group, version, plural);
            }
            for route in routes {
                if let Err(error) = draft.put(route) {
                    // Another server answers for the group version, or a built-in kind has the name.
                    tracing::warn!("a custom resource is not served: {error}");
                }
            }
            Ok::<_, ChangeError>(())
        });
        if let Err(error) = changed {
            tracing::error!("what is served could not be changed: {error}");
        }
    }

    /// Group, version and plural of what is served of a definition.
    fn routes_of(&self, name: &str) -> Vec<(String, String, String)> {
        let known = self.known.get(name).into_iter();
        known
            .flat_map(|known| {
                let plural = name.strip_suffix(&format!(".{}", known.group)).unwrap_or(name);
                known.versions.iter().map(|version| (known.group.clone(), version.clone(), plural.to_owned()))
            })
            .collect()
    }

    /// Answers what was served of a definition that is gone. Who waited for its names looks again.
    fn forget(&mut self, name: &str) -> Vec<(String, String, String)> {
        let routes = self.routes_of(name);
        if let Some(known) = self.known.remove(name) {
            let waiting = self.known.iter().filter(|(_, other)| other.waiting && other.group == known.group);
            self.changed.add(waiting.map(|(name, _)| name.clone()));
        }
        routes
    }

    /// Notes what is known now, writes the status, and begins to delete objects where that is due.
    async fn settle(&mut self, plan: Plan) -> Result<(), StatusError> {
        let before = self.known.remove(&plan.name);
        let begins = plan.terminating && before.as_ref().is_none_or(|before| !before.cleaning);
        let freed = before.as_ref().is_some_and(|before| before.names != plan.names);
        let kept = before.filter(|_| !plan.changed).map(|before| before.versions);
        let known = Known {
            group: plan.group.clone(),
            names: plan.names.clone(),
            waiting: plan.waiting,
            print: plan.print,
            versions: kept.unwrap_or(plan.versions),
            cleaning: plan.terminating,
        };
        self.known.insert(plan.name.clone(), known);
        if freed {
            let waiting = self.known.iter().filter(|(name, other)| other.waiting && **name != plan.name);
            self.changed.add(waiting.map(|(name, _)| name.clone()));
        }
        if let Some(wanted) = &plan.status {
            status::write(&self.settings.registry, &*self.definitions()?, &plan.name, wanted).await?;
        }
        if begins {
            let cleaning = cleanup::Cleaning {
                registry: self.settings.registry.clone(),
                definitions: self.definitions()?,
                name: plan.name,
                objects: plan.rest,
            };
            self.daemon.spawn_until_shutdown(cleaning.run());
        }
        Ok(())
    }
}
