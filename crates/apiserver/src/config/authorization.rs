//! What clients may do, by the flags: either `--authorization-config` says it, or the other flags do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use component::auth::{AlwaysAllow, Authorizer, Authorizers, Masters};

use super::{Flags, Mistakes, authentication::review_version};
use crate::{
    authorization::{
        Authorization, Inputs, MODES, configuration,
        webhook::{Failure, Settings},
    },
    webhook::Connection,
};

/// How long a webhook that flags name may take; upstream's.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// The modes: everything is allowed where nothing is said.
fn modes(flags: &Flags) -> Vec<&str> {
    match flags.authorization_mode.as_slice() {
        [] if flags.authorization_config.is_some() => Vec::new(),
        [] => vec![AlwaysAllow::NAME],
        modes => modes.iter().map(String::as_str).collect(),
    }
}

/// Whether somebody who is not known is allowed everything, too.
pub(super) fn allows_everything(flags: &Flags) -> bool {
    let listed = |path: &PathBuf| configuration::lists(path, AlwaysAllow::NAME);
    modes(flags).contains(&AlwaysAllow::NAME) || flags.authorization_config.as_ref().is_some_and(listed)
}

pub(super) fn authorization(flags: &Flags, mistakes: &mut Mistakes) -> Authorization {
    let mut members: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    let mut mirrors = Vec::new();
    let webhook = webhook(flags, mistakes);
    let inputs = Inputs { policy_file: flags.authorization_policy_file.as_deref(), webhook: webhook.as_ref() };
    check(flags, mistakes);
    let mut take = |made: Authorization| {
        members.push(made.authorizer);
        mirrors.extend(made.mirrors);
    };
    if let Some(path) = &flags.authorization_config {
        let read = configuration::read(path).map_err(|error| format!("{error:#}"));
        mistakes.take("authorization-config", read).map(&mut take);
    }
    let modes = modes(flags);
    for (index, mode) in modes.iter().enumerate() {
        if modes[..index].contains(mode) {
            mistakes.0.push(format!("--authorization-mode: {mode} is listed more than once"));
        }
        match MODES.iter().find(|(name, _)| name == mode) {
            Some((_, make)) => {
                let made = make(inputs).map_err(|error| format!("{error:#}"));
                mistakes.take("authorization-mode", made).map(&mut take);
            }
            None => {
                let known: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
                mistakes.0.push(format!("--authorization-mode: {mode} is not supported, only {}", known.join(", ")));
            }
        }
    }
    Authorization { authorizer: Arc::new(Authorizers::new(members)), mirrors }
}

/// Flags that say something twice, or nothing.
fn check(flags: &Flags, mistakes: &mut Mistakes) {
    let (policy, webhook) = (&flags.authorization_policy_file, &flags.authorization_webhook_config_file);
    let others = !flags.authorization_mode.is_empty() || policy.is_some() || webhook.is_some();
    let modes = modes(flags);
    let cases = [
        (
            flags.authorization_config.is_some() && others,
            "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined",
        ),
        (
            policy.is_some() && !modes.contains(&"ABAC") && flags.authorization_config.is_none(),
            "cannot specify --authorization-policy-file without mode ABAC",
        ),
        (
            webhook.is_some() && !modes.contains(&"Webhook") && flags.authorization_config.is_none(),
            "cannot specify --authorization-webhook-config-file without mode Webhook",
        ),
    ];
    mistakes.0.extend(cases.into_iter().filter(|(wrong, _)| *wrong).map(|(_, why)| why.to_owned()));
}

fn webhook(flags: &Flags, mistakes: &mut Mistakes) -> Option<Settings> {
    let path = flags.authorization_webhook_config_file.clone()?;
    let version = review_version(&flags.authorization_webhook_version);
    Some(Settings {
        connection: Connection::Kubeconfig(path),
        version: mistakes.take("authorization-webhook-version", version)?,
        allowed_ttl: flags.authorization_webhook_cache_authorized_ttl,
        refused_ttl: flags.authorization_webhook_cache_unauthorized_ttl,
        timeout: WEBHOOK_TIMEOUT,
        failure: Failure::NoOpinion,
    })
}
