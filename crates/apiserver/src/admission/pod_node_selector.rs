//! A namespace says on which nodes its pods run, in an annotation, or else a file says it for all; the file can also say
//! what they may ask for.

use std::collections::BTreeMap;

use api_types::{
    StatusError,
    core::{Namespace, Pod},
    rows,
};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::{Make, view::View};
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
/// What the file has for namespaces without the annotation.
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    pod_node_selector_plugin_config: BTreeMap<String, String>,
}

pub(super) struct PodNodeSelector {
    namespaces: View<Namespace>,
    /// By namespace, and by [`DEFAULT`].
    selectors: BTreeMap<String, Labels>,
}

/// The plugin as its configuration has it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let file = configuration.map(File::deserialize).transpose().map_err(|error| error.to_string())?.unwrap_or_default();
    let read = |(namespace, text): (String, String)| Ok((namespace, parse(&text)?));
    let selectors = file.pod_node_selector_plugin_config.into_iter().map(read).collect::<Result<_, String>>()?;
    Ok(Box::new(|registry: Handle| {
        Box::new(PodNodeSelector { namespaces: View::new(&registry, &rows::NAMESPACES), selectors })
    }))
}

/// `a=b,c=d`.
fn parse(text: &str) -> Result<Labels, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let read = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("invalid selector: {text}"))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    pairs.map(read).collect()
}

impl PodNodeSelector {
    /// What a namespace says, or the file for it.
    async fn selector(&self, review: &Review<'_>) -> Result<Labels, StatusError> {
        let name = review.door.target.namespace;
        let namespace = self.namespaces.get("", name).await?;
        let Some(namespace) = namespace else {
            return Err(StatusError::not_found((&rows::NAMESPACES).into(), name));
        };
        let annotation = namespace.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
        match annotation {
            Some(text) => parse(text).map_err(|why| review.forbidden(&why)),
            None => Ok(self.selectors.get(DEFAULT).cloned().unwrap_or_default()),
        }
    }

    fn refuse_conflict(&self, review: &Review<'_>, wanted: &Labels, own: &Labels) -> Result<(), StatusError> {
        let conflict = own.iter().any(|(key, value)| wanted.get(key).is_some_and(|wanted| wanted != value));
        if conflict {
            return Err(review.forbidden("pod node label selector conflicts with its namespace node label selector"));
        }
        Ok(())
    }
}

impl Plugin for PodNodeSelector {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.leads_to(&rows::PODS, Operation::Create)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let wanted = self.selector(review).await?;
            let own = selector_of(review.expect::<Pod>("Pod")?);
            self.refuse_conflict(review, &wanted, &own)?;
            if !wanted.is_empty() {
                let spec = review.expect_mut::<Pod>("Pod")?.spec.get_or_insert_default();
                spec.node_selector.get_or_insert_default().extend(wanted);
            }
            Ok(())
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let wanted = self.selector(review).await?;
            let own = selector_of(review.expect::<Pod>("Pod")?);
            self.refuse_conflict(review, &wanted, &own)?;
            let allowed = self.selectors.get(review.door.target.namespace);
            let stray = allowed.is_some_and(|allowed| {
                !allowed.is_empty() && own.iter().any(|(key, value)| allowed.get(key) != Some(value))
            });
            if stray {
                return Err(review.forbidden("pod node label selector labels conflict with its namespace whitelist"));
            }
            Ok(())
        })
    }
}

fn selector_of(pod: &Pod) -> Labels {
    pod.spec.as_ref().and_then(|spec| spec.node_selector.clone()).unwrap_or_default()
}
