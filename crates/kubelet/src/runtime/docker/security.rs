//! A security context in Docker's `SecurityOpt` strings and flags.

use std::fs;

use bollard::models::HostConfig;

use super::{Capabilities, Result, RuntimeError, SeccompProfile, SecurityContext};

/// Docker's word for "no profile".
const UNCONFINED: &str = "unconfined";

/// Fills in everything about privileges except the user.
pub(super) fn apply(security: &SecurityContext, host: &mut HostConfig) -> Result<()> {
    host.privileged = Some(security.privileged);
    host.readonly_rootfs = Some(security.read_only_root_fs);
    host.cap_add = some_list(names(&security.capabilities, |c| &c.add));
    host.cap_drop = some_list(names(&security.capabilities, |c| &c.drop));
    host.group_add = some_list(security.supplemental_groups.iter().map(i64::to_string).collect());
    host.security_opt = Some(options(security)?);
    if security.unmasked_proc {
        host.masked_paths = Some(Vec::new());
        host.readonly_paths = Some(Vec::new());
    }
    Ok(())
}

/// `uid[:gid]`, or `None` for the image's own user. A group alone goes with root, as Docker has no word for it.
pub(super) fn user(security: &SecurityContext) -> Option<String> {
    match (security.run_as_user, security.run_as_group) {
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (Some(user), None) => Some(user.to_string()),
        (None, Some(group)) => Some(format!("0:{group}")),
        (None, None) => None,
    }
}

fn names(capabilities: &Capabilities, which: impl Fn(&Capabilities) -> &Vec<String>) -> Vec<String> {
    which(capabilities).iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
}

fn some_list(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

fn options(security: &SecurityContext) -> Result<Vec<String>> {
    let mut options = Vec::new();
    match &security.seccomp {
        SeccompProfile::Unconfined => options.push(format!("seccomp={UNCONFINED}")),
        SeccompProfile::RuntimeDefault => {}
        SeccompProfile::Localhost(path) => {
            let refused = |source| RuntimeError::Broken { operation: "read the seccomp profile", source };
            let profile = fs::read_to_string(path).map_err(|error| refused(error.into()))?;
            options.push(format!("seccomp={profile}"));
        }
    }
    if let Some(profile) = &security.apparmor {
        options.push(format!("apparmor={profile}"));
    }
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_what_the_context_says() {
        let cases: [(SecurityContext, &[&str]); 3] = [
            (SecurityContext::default(), &["seccomp=unconfined"]),
            (SecurityContext { seccomp: SeccompProfile::RuntimeDefault, ..Default::default() }, &[]),
            (
                SecurityContext { no_new_privileges: true, apparmor: Some("p".into()), ..Default::default() },
                &["seccomp=unconfined", "apparmor=p", "no-new-privileges"],
            ),
        ];
        for (context, expected) in cases {
            let mut host = HostConfig::default();
            apply(&context, &mut host).unwrap();
            assert_eq!(host.security_opt.unwrap(), expected, "{context:?}");
        }
    }

    #[test]
    fn users() {
        let of = |user, group| {
            super::user(&SecurityContext { run_as_user: user, run_as_group: group, ..Default::default() })
        };
        assert_eq!(of(Some(7), None).as_deref(), Some("7"));
        assert_eq!(of(Some(7), Some(8)).as_deref(), Some("7:8"));
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn a_missing_profile_is_an_error() {
        let context =
            SecurityContext { seccomp: SeccompProfile::Localhost("/nonexistent".into()), ..Default::default() };
        assert!(apply(&context, &mut HostConfig::default()).is_err());
    }
}
