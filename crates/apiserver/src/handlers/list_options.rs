//! The options of lists and watches: read as Go reads them, checked as upstream checks them, and only then looked at.

use std::num::NonZeroUsize;

use api_types::{
    GroupResource, StatusError,
    field::{FieldError, Path},
};

use super::selection::integer;
use crate::{
    request::Query,
    storage::{Revision, cache::Freshness},
};

/// Exactly this version is wanted.
const EXACT: &str = "Exact";
/// This version or a later one is wanted.
const NOT_OLDER: &str = "NotOlderThan";

/// What a client asks of a list or watch besides selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListOptions {
    /// `limit`, when there is one.
    pub limit: Option<NonZeroUsize>,
    /// `continue`; empty when absent.
    pub token: String,
    /// `resourceVersion`; empty when absent.
    pub version: String,
    /// `resourceVersionMatch`; empty when absent.
    pub rule: String,
    /// `sendInitialEvents`.
    pub initial_events: Option<bool>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `timeoutSeconds`.
    pub timeout: Option<i64>,
}

/// What options are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    List,
    Watch,
}

impl ListOptions {
    /// Reads and checks the options.
    ///
    /// # Errors
    /// 400 for what is no number, 422 for what does not go together.
    pub fn read(query: &Query, r#use: Use) -> Result<Self, StatusError> {
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let limit = integer(query, "limit")?;
        let mut options = Self {
            limit: limit.and_then(|limit| usize::try_from(limit).ok()).and_then(NonZeroUsize::new),
            token: text("continue"),
            version: text("resourceVersion"),
            rule: text("resourceVersionMatch"),
            initial_events: query.contains("sendInitialEvents").then(|| query.flag("sendInitialEvents")),
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: integer(query, "timeoutSeconds")?,
        };
        if r#use == Use::Watch {
            options.default_watch();
        }
        let errors = match r#use {
            Use::List => options.check_list(),
            Use::Watch => options.check_watch(),
        };
        let kind = GroupResource::new("meta.k8s.io", "ListOptions");
        if errors.is_empty() { Ok(options) } else { Err(StatusError::invalid(kind, "", &errors)) }
    }

    /// A watch from no version in particular begins with what there is, whoever asks.
    fn default_watch(&mut self) {
        let said = self.initial_events.is_some() || !self.rule.is_empty();
        if !said && matches!(&*self.version, "" | "0") {
            self.initial_events = Some(true);
            NOT_OLDER.clone_into(&mut self.rule);
        }
    }

    fn check_list(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !self.rule.is_empty() {
            let path = Path::new("resourceVersionMatch");
            let mut forbid = |yes: bool, why: &str| errors.extend(yes.then(|| FieldError::forbidden(&path, why)));
            forbid(self.version.is_empty(), "resourceVersionMatch is forbidden unless resourceVersion is provided");
            forbid(!self.token.is_empty(), "resourceVersionMatch is forbidden when continue is provided");
            if ![EXACT, NOT_OLDER].contains(&&*self.rule) {
                let unsupported = FieldError::not_supported(&path, &*self.rule, &[]);
                // Upstream sorts other lists of values, not this one.
                let detail = format!("supported values: {EXACT:?}, {NOT_OLDER:?}, \"\"");
                errors.push(FieldError { detail, ..unsupported });
            }
            if self.rule == EXACT && self.version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(&path, why));
            }
        }
        if self.initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn check_watch(&self) -> Vec<FieldError> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        let mut forbid = |yes: bool, why: &str| errors.extend(yes.then(|| FieldError::forbidden(&path, why)));
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        forbid(self.initial_events.is_some() && self.rule != NOT_OLDER, why);
        if self.rule.is_empty() {
            return errors;
        }
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        forbid(self.initial_events.is_none(), why);
        if self.rule != NOT_OLDER {
            errors.push(FieldError::not_supported(&path, &*self.rule, &[NOT_OLDER]));
        }
        if !self.token.is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(&path, why));
        }
        errors
    }

    /// Whether exactly the version is wanted. One that is given together with a limit always meant that.
    pub fn is_exact(&self) -> bool {
        let paged = self.rule.is_empty() && self.limit.is_some() && !matches!(&*self.version, "" | "0");
        self.rule == EXACT || paged
    }

    /// How fresh what is read has to be.
    ///
    /// # Errors
    /// 500 when the version is no number.
    pub fn freshness(&self) -> Result<Freshness, StatusError> {
        freshness(&self.version)
    }
}

/// How fresh something has to be that is read by this version, if any is given.
///
/// # Errors
/// 500 when the version is no number, as upstream has it.
pub(super) fn freshness(version: &str) -> Result<Freshness, StatusError> {
    Ok(match version {
        "" => Freshness::Consistent,
        "0" => Freshness::Any,
        text => Freshness::AtLeast(revision(text)?),
    })
}

/// A resource version as the store counts.
///
/// # Errors
/// 500 when it is no number.
pub(super) fn revision(text: &str) -> Result<Revision, StatusError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    text.parse().ok().filter(|_| digits).map(Revision).ok_or_else(|| {
        let why = format!("strconv.ParseUint: parsing {text:?}: {why}");
        StatusError::unexplained(FieldError::invalid(&Path::new("resourceVersion"), text, why).to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked, for what, and the message of the refusal.
    const REFUSED: &[(&str, Use, &str)] = &[
        ("limit=x", Use::List, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("timeoutSeconds=", Use::List, "strconv.ParseInt: parsing \"\": invalid syntax"),
        (
            "sendInitialEvents=true",
            Use::List,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
        (
            "resourceVersionMatch=Foo&continue=x",
            Use::List,
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided, resourceVersionMatch: Unsupported value: \"Foo\": supported values: \"Exact\", \"NotOlderThan\", \"\"]",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            Use::List,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            "continue=x",
            Use::Watch,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            "resourceVersionMatch=NotOlderThan",
            Use::Watch,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            "sendInitialEvents=false&resourceVersionMatch=Exact",
            Use::Watch,
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]",
        ),
    ];

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (query, r#use, message) in REFUSED {
            let refused = ListOptions::read(&Query::parse(query), *r#use).unwrap_err();
            assert_eq!(refused.status().message.as_deref(), Some(*message), "{query}");
        }
        let refused = revision("abc").unwrap_err();
        let message = "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
        assert_eq!((refused.code(), refused.reason(), refused.status().message.as_deref()), (500, "", Some(message)));
    }

    #[test]
    fn a_version_with_a_limit_is_meant_exactly() {
        for (query, exact) in [
            ("resourceVersion=5", false),
            ("resourceVersion=5&limit=2", true),
            ("resourceVersion=0&limit=2", false),
            ("resourceVersion=5&limit=2&resourceVersionMatch=NotOlderThan", false),
            ("resourceVersion=5&resourceVersionMatch=Exact", true),
        ] {
            assert_eq!(ListOptions::read(&Query::parse(query), Use::List).unwrap().is_exact(), exact, "{query}");
        }
    }
}
