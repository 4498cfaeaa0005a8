//! Expressions of admission: in policies and in the conditions of webhooks.

use std::sync::LazyLock;

use cel::{Env, Program, Type, libraries};

use super::{BASE, but_got, compile, fields, typed};
use crate::schema;

const REQUEST: &[(&str, &[(&str, &str)])] = &[
    ("kubernetes.GroupVersionKind", &[("group", "string"), ("version", "string"), ("kind", "string")]),
    ("kubernetes.GroupVersionResource", &[("group", "string"), ("version", "string"), ("resource", "string")]),
    (
        "kubernetes.UserInfo",
        &[
            ("username", "string"),
            ("uid", "string"),
            ("groups", "list(string)"),
            ("extra", "map(string, list(string))"),
        ],
    ),
    (
        "kubernetes.AdmissionRequest",
        &[
            ("subResource", "string"),
            ("requestSubResource", "string"),
            ("name", "string"),
            ("namespace", "string"),
            ("operation", "string"),
            ("dryRun", "bool"),
            ("options", "dyn"),
        ],
    ),
];

/// Of a namespace not everything is told.
const NAMESPACE: &[(&str, &[(&str, &str)])] = &[
    ("kubernetes.NamespaceSpec", &[("finalizers", "list(string)")]),
    (
        "kubernetes.NamespaceCondition",
        &[
            ("status", "string"),
            ("type", "string"),
            ("lastTransitionTime", "timestamp"),
            ("message", "string"),
            ("reason", "string"),
        ],
    ),
    ("kubernetes.NamespaceStatus", &[("phase", "string")]),
    (
        "kubernetes.NamespaceMetadata",
        &[
            ("name", "string"),
            ("generateName", "string"),
            ("namespace", "string"),
            ("labels", "map(string, string)"),
            ("annotations", "map(string, string)"),
            ("UID", "string"),
            ("creationTimestamp", "timestamp"),
            ("deletionGracePeriodSeconds", "int"),
            ("deletionTimestamp", "timestamp"),
            ("generation", "int"),
            ("resourceVersion", "string"),
            ("finalizers", "list(string)"),
        ],
    ),
    ("kubernetes.Namespace", &[]),
];

/// Fields whose types are objects themselves.
const NESTED: &[(&str, &str, &str)] = &[
    ("kubernetes.AdmissionRequest", "kind", "kubernetes.GroupVersionKind"),
    ("kubernetes.AdmissionRequest", "resource", "kubernetes.GroupVersionResource"),
    ("kubernetes.AdmissionRequest", "requestKind", "kubernetes.GroupVersionKind"),
    ("kubernetes.AdmissionRequest", "requestResource", "kubernetes.GroupVersionResource"),
    ("kubernetes.AdmissionRequest", "userInfo", "kubernetes.UserInfo"),
    ("kubernetes.Namespace", "metadata", "kubernetes.NamespaceMetadata"),
    ("kubernetes.Namespace", "spec", "kubernetes.NamespaceSpec"),
    ("kubernetes.Namespace", "status", "kubernetes.NamespaceStatus"),
];

static ENV: LazyLock<Env> = LazyLock::new(|| {
    let mut env = BASE.clone();
    for (name, own) in REQUEST.iter().chain(NAMESPACE) {
        let mut of = fields(own);
        let nested = NESTED.iter().filter(|(outer, ..)| outer == name);
        of.fields.extend(nested.map(|(_, field, inner)| ((*field).into(), Type::object(inner))));
        if *name == "kubernetes.NamespaceStatus" {
            let conditions = Type::list(Type::object("kubernetes.NamespaceCondition"));
            of.fields.insert("conditions".into(), conditions);
        }
        env = env.object(name, of);
    }
    env.variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("namespaceObject", Type::object("kubernetes.Namespace"))
        .variable("request", Type::object("kubernetes.AdmissionRequest"))
});

/// What expressions may speak of besides what they always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// `params`
    Params,
    /// `authorizer`, `authorizer.requestResource`
    Authorizer,
    /// `Object{}`, `JSONPatch{}`
    Patches,
}

/// What the expressions of one policy or webhook may speak of.
#[derive(Clone)]
pub struct Admission {
    env: Env,
}

/// The type of `variables`.
const VARIABLES: &str = "kubernetes.variables";

impl Admission {
    /// Without variables of the policy's own.
    #[must_use]
    pub fn new(optional: &[Optional]) -> Self {
        let with = |env: Env, optional: &Optional| match optional {
            Optional::Params => env.variable("params", Type::Dyn),
            Optional::Authorizer => env
                .variable("authorizer", Type::parse("kubernetes.authorization.Authorizer"))
                .variable("authorizer.requestResource", Type::parse("kubernetes.authorization.ResourceCheck")),
            Optional::Patches => env.library(libraries::JSON_PATCH).open_object("Object").object(
                "JSONPatch",
                fields(&[("op", "string"), ("path", "string"), ("from", "string"), ("value", "dyn")]),
            ),
        };
        Self { env: optional.iter().fold(ENV.clone(), with) }
    }

    /// The same where it is known of what type the object is, and parameters are.
    #[must_use]
    pub fn typed(self, object: &schema::Type, params: Option<&schema::Type>) -> Self {
        let (mut env, of) = typed::declare(self.env, object);
        env.declare("object", of.clone());
        env.declare("oldObject", of);
        let Some(params) = params else { return Self { env } };
        let (mut env, of) = typed::declare(env, params);
        env.declare("params", of);
        Self { env }
    }

    /// Declares a variable, and compiles what it is.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words; the variable is there nevertheless, and may be anything.
    pub fn declare(&mut self, name: &str, text: &str) -> Result<Program, String> {
        let compiled = compile(&self.env, text, &[], but_got);
        let of = compiled.as_ref().map_or(Type::Dyn, |program| program.result_type().clone());
        self.env.declare("variables", Type::object(VARIABLES));
        self.env.declare_field(VARIABLES, name, of);
        compiled
    }

    /// The same for what people are told, which may not ask who may.
    #[must_use]
    pub fn without_authorizer(&self) -> Self {
        let env = self.env.clone().without("authorizer").without("authorizer.requestResource");
        Self { env }
    }

    /// A condition, or a rule that has to be fulfilled.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words.
    pub fn condition(&self, text: &str) -> Result<Program, String> {
        compile(&self.env, text, &[Type::Bool], but_got)
    }

    /// What people are told.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words.
    pub fn message(&self, text: &str) -> Result<Program, String> {
        compile(&self.env, text, &[Type::String], but_got)
    }

    /// The value of an annotation, or that there is none.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words.
    pub fn annotation(&self, text: &str) -> Result<Program, String> {
        compile(&self.env, text, &[Type::String, Type::Null], but_got)
    }

    /// What is applied to the object.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words.
    pub fn apply_configuration(&self, text: &str) -> Result<Program, String> {
        compile(&self.env, text, &[Type::object("Object")], but_got)
    }

    /// How the object is patched.
    ///
    /// # Errors
    /// Why it cannot be, in upstream's words.
    pub fn json_patch(&self, text: &str) -> Result<Program, String> {
        compile(&self.env, text, &[Type::list(Type::object("JSONPatch"))], but_got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_policies_know_their_variables() {
        let mut own = Admission::new(&[Optional::Params, Optional::Authorizer]);
        own.declare("replicas", "object.spec.replicas > 1").unwrap();
        let wrong = own.declare("more", "variables.less").map(|_| ()).unwrap_err();
        assert!(wrong.contains("undefined field 'less'"), "{wrong}");
        for good in [
            "variables.replicas && request.userInfo.groups.exists(g, g == 'a')",
            "namespaceObject.metadata.labels['a'] == 'b' && namespaceObject.status.conditions.size() == 0",
            "authorizer.group('apps').resource('deployments').check('create').allowed()",
            "authorizer.requestResource.check('get').allowed() && params.x == 1",
            "quantity('1Gi').isGreaterThan(quantity('1G')) && semver('1.2.3').isGreaterThan(semver('1.2.2'))",
            "!format.dns1123Label().validate('a').hasValue()",
        ] {
            own.condition(good).unwrap();
        }
        for (text, words) in [
            ("request.nothing == ''", "undefined field 'nothing'"),
            ("object.spec", "must evaluate to bool but got dyn"),
            ("Object{}", "undeclared reference to 'Object'"),
        ] {
            let error = own.condition(text).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = own.annotation("1").map(|_| ()).unwrap_err();
        assert_eq!(error, "must evaluate to one of [string null_type] but got int");
        let plain = Admission::new(&[]);
        assert!(plain.condition("variables.replicas").is_err());
        assert!(plain.condition("params == 1 || authorizer.path('/a').check('get').allowed()").is_err());
    }

    #[test]
    fn patches_have_types() {
        let own = Admission::new(&[Optional::Patches]);
        own.apply_configuration("Object{spec: Object.spec{replicas: object.spec.replicas + 1}}").unwrap();
        own.json_patch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 1}]")
            .unwrap();
        for (text, words) in [
            ("[JSONPatch{op: 1}]", "expected type of field 'op' is 'string' but provided type is 'int'"),
            ("[JSONPatch{color: 1}]", "undefined field 'color'"),
            ("1", "must evaluate to list(JSONPatch) but got int"),
        ] {
            let error = own.json_patch(text).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
