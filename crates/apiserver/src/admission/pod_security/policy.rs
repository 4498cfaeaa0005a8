//! Which standard pods of a namespace are held to, and what happens when they do not meet it.

use std::fmt;

use api_types::field::{FieldError, Path};

/// What labels and annotations begin with.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How strict a standard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Everything goes.
    Privileged,
    /// What is known to give a pod the node is out.
    Baseline,
    /// Good practice is compulsory.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

/// A standard as of a minor version of Kubernetes 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub u32);

impl Version {
    pub(super) const LATEST: Self = Self(u32::MAX);

    fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text.strip_prefix("v1.").filter(|number| {
            number.bytes().all(|byte| byte.is_ascii_digit()) && (*number == "0" || !number.starts_with('0'))
        });
        match (text, number.and_then(|number| number.parse().ok())) {
            ("latest", _) => Ok(Self::LATEST),
            (_, Some(minor)) if minor < u32::MAX => Ok(Self(minor)),
            _ => Err(r#"must be "latest" or "v1.x""#),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::LATEST { f.write_str("latest") } else { write!(f, "v1.{}", self.0) }
    }
}

/// A standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub level: Level,
    pub version: Version,
}

impl Standard {
    pub(super) const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::LATEST };
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

/// What a namespace demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Or else the pod is refused.
    pub enforce: Standard,
    /// Or else the audit log says so.
    pub audit: Standard,
    /// Or else the client is warned.
    pub warn: Standard,
}

impl Policy {
    pub(super) const PRIVILEGED: Self =
        Self { enforce: Standard::PRIVILEGED, audit: Standard::PRIVILEGED, warn: Standard::PRIVILEGED };

    pub(super) fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }

    /// Whether it comes to the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let alike = |a: Standard, b: Standard| a == b || (a.level, b.level) == (Level::Privileged, Level::Privileged);
        alike(self.enforce, other.enforce) && alike(self.audit, other.audit) && alike(self.warn, other.warn)
    }

    /// What labels demand. Where they are wrong, pods are refused rather than let in.
    pub(super) fn of<'a>(labels: impl Fn(&str) -> Option<&'a str>, defaults: &Self) -> (Self, Vec<FieldError>) {
        let mut read = Read { labels: &labels, errors: Vec::new() };
        let mut policy = *defaults;
        let enforced = read.mode("enforce", &mut policy.enforce, Level::Restricted);
        read.mode("audit", &mut policy.audit, Level::Privileged);
        read.mode("warn", &mut policy.warn, Level::Privileged);
        let said = |mode: &str| labels(&format!("{PREFIX}{mode}")).is_some();
        // Who enforces is warned, too, unless they say otherwise.
        if enforced && !said("warn") && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if !said("warn-version") {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, read.errors)
    }
}

struct Read<'r, F> {
    labels: &'r F,
    errors: Vec<FieldError>,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Read<'_, F> {
    /// Whether the level is said, and is one.
    fn mode(&mut self, mode: &str, standard: &mut Standard, if_wrong: Level) -> bool {
        let level = self.label(mode, Level::parse);
        let said = matches!(level, Some(Some(_)));
        if let Some(level) = level {
            standard.level = level.unwrap_or(if_wrong);
        }
        if let Some(version) = self.label(&format!("{mode}-version"), Version::parse) {
            standard.version = version.unwrap_or(Version::LATEST);
        }
        said
    }

    /// What a label says, if it is there; nothing when it is wrong.
    fn label<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, &'static str>) -> Option<Option<T>> {
        let key = format!("{PREFIX}{name}");
        let value = (self.labels)(&key)?;
        Some(match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.errors.push(FieldError::invalid(&Path::new("metadata").child("labels").key(&key), value, why));
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of labels without their prefix, and what is wrong with them.
    fn check(labels: &[(&str, &str)], policy: &str, errors: &[&str]) {
        let find =
            |key: &str| labels.iter().find(|(name, _)| key.strip_prefix(PREFIX) == Some(name)).map(|(_, value)| *value);
        let (found, wrong) = Policy::of(find, &Policy::PRIVILEGED);
        assert_eq!(format!("{} {} {}", found.enforce, found.audit, found.warn), policy, "{labels:?}");
        assert_eq!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>(), errors, "{labels:?}");
    }

    #[test]
    fn labels_are_read() {
        let nothing = "privileged:latest privileged:latest privileged:latest";
        check(&[], nothing, &[]);
        check(&[("other", "x")], nothing, &[]);
        let enforced = [("enforce", "baseline"), ("enforce-version", "v1.20")];
        check(&enforced, "baseline:v1.20 privileged:latest baseline:v1.20", &[]);
        let warned = [("enforce", "baseline"), ("warn", "privileged"), ("warn-version", "v1.0")];
        check(&warned, "baseline:latest privileged:latest privileged:v1.0", &[]);
        check(
            &[("enforce", "x"), ("audit", "y"), ("warn-version", "v1.01")],
            "restricted:latest privileged:latest privileged:latest",
            &[
                r#"metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted"#,
                r#"metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: "y": must be one of privileged, baseline, restricted"#,
                r#"metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "v1.01": must be "latest" or "v1.x""#,
            ],
        );
    }
}
