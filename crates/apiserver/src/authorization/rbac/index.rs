//! Roles and bindings by whom they are about: what concerns a user is found without looking at anything else.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use api_types::rbac::{PolicyRule, RoleRef, Subject};
use component::auth::User;
use smallvec::SmallVec;

use super::RoleRules;

/// A binding of either kind.
#[derive(Debug)]
pub struct Binding {
    /// Empty for the whole cluster.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What is bound.
    pub role: RoleRef,
    /// To whom.
    pub subjects: Vec<Subject>,
}

/// A place in a list of subjects.
type Bound = (Arc<Binding>, usize);

/// The bindings of the cluster, or of a namespace.
#[derive(Default)]
struct Bindings {
    by_name: HashMap<Box<str>, Arc<Binding>>,
    /// Service accounts are users, too.
    by_user: HashMap<Box<str>, Vec<Bound>>,
    by_group: HashMap<Box<str>, Vec<Bound>>,
}

/// Roles and bindings.
#[derive(Default)]
pub struct Index {
    cluster_roles: HashMap<Box<str>, RoleRules>,
    /// By namespace and name.
    roles: HashMap<Box<str>, HashMap<Box<str>, RoleRules>>,
    /// By namespace; those of the cluster under the empty one.
    bindings: HashMap<Box<str>, Bindings>,
}

/// A role that somebody has by a binding. It says which binding.
pub struct Granted<'a> {
    index: &'a Index,
    binding: &'a Binding,
    subject: usize,
}

impl Index {
    /// Notes a cluster role.
    pub fn put_cluster_role(&mut self, name: &str, rules: Vec<PolicyRule>) {
        self.cluster_roles.insert(name.into(), rules.into());
    }

    /// Forgets a cluster role.
    pub fn remove_cluster_role(&mut self, name: &str) {
        self.cluster_roles.remove(name);
    }

    /// Notes a role.
    pub fn put_role(&mut self, namespace: &str, name: &str, rules: Vec<PolicyRule>) {
        self.roles.entry(namespace.into()).or_default().insert(name.into(), rules.into());
    }

    /// Forgets a role.
    pub fn remove_role(&mut self, namespace: &str, name: &str) {
        let Some(roles) = self.roles.get_mut(namespace) else { return };
        roles.remove(name);
        if roles.is_empty() {
            self.roles.remove(namespace);
        }
    }

    /// Notes a binding, which replaces another of its name.
    pub fn put_binding(&mut self, binding: Binding) {
        self.remove_binding(&binding.namespace, &binding.name);
        let binding = Arc::new(binding);
        self.bindings.entry(binding.namespace.clone()).or_default().put(&binding);
    }

    /// Forgets a binding.
    pub fn remove_binding(&mut self, namespace: &str, name: &str) {
        let Some(bindings) = self.bindings.get_mut(namespace) else { return };
        bindings.remove(name);
        if bindings.by_name.is_empty() {
            self.bindings.remove(namespace);
        }
    }

    /// The rules of the role that a binding in this namespace (empty: of the cluster) refers to.
    ///
    /// # Errors
    /// When there is no such role.
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Result<&RoleRules, String> {
        let found = match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(role.name.as_str()),
            "Role" => self.roles.get(namespace).and_then(|roles| roles.get(role.name.as_str())),
            kind => return Err(format!("unsupported role reference kind: {kind:?}")),
        };
        found.ok_or_else(|| role_error(role))
    }

    /// What a user has: in the whole cluster first, then in this namespace, unless it is empty; each in the order of names.
    pub fn granted(&self, user: &User, namespace: &str) -> impl Iterator<Item = Granted<'_>> {
        let mut found: SmallVec<[(&Binding, usize); 8]> = SmallVec::new();
        for place in [Some(""), Some(namespace).filter(|namespace| !namespace.is_empty())].into_iter().flatten() {
            let Some(bindings) = self.bindings.get(place) else { continue };
            let start = found.len();
            found.extend(bindings.of(user).map(|(binding, subject)| (&**binding, *subject)));
            found[start..].sort_unstable_by(|a, b| (&a.0.name, a.1).cmp(&(&b.0.name, b.1)));
        }
        // Who is in a binding twice has it once, by the first mention.
        found.dedup_by(|later, earlier| std::ptr::eq(later.0, earlier.0));
        found.into_iter().map(|(binding, subject)| Granted { index: self, binding, subject })
    }

    /// The rules of everything that a user has, and what could not be found of it.
    #[must_use]
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<&PolicyRule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for granted in self.granted(user, namespace) {
            match granted.rules() {
                Ok(own) => rules.extend(own.iter()),
                Err(error) => errors.push(error),
            }
        }
        (rules, errors)
    }
}

/// The error about a role that is not there.
fn role_error(role: &RoleRef) -> String {
    format!("{}.rbac.authorization.k8s.io {:?} not found", role.kind.to_lowercase(), role.name)
}

impl Bindings {
    fn put(&mut self, binding: &Arc<Binding>) {
        for (sort, key, index) in subjects(binding) {
            self.map(sort).entry(key).or_default().push((binding.clone(), index));
        }
        self.by_name.insert(binding.name.clone(), binding.clone());
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.by_name.remove(name) else { return };
        for (sort, key, _) in subjects(&binding) {
            let map = self.map(sort);
            let Some(list) = map.get_mut(&key) else { continue };
            list.retain(|(other, _)| !Arc::ptr_eq(other, &binding));
            // What the last binding leaves behind would pile up otherwise.
            if list.is_empty() {
                map.remove(&key);
            }
        }
    }

    fn map(&mut self, sort: Sort) -> &mut HashMap<Box<str>, Vec<Bound>> {
        match sort {
            Sort::Group => &mut self.by_group,
            Sort::User => &mut self.by_user,
        }
    }

    fn of<'a>(&'a self, user: &User) -> impl Iterator<Item = &'a Bound> {
        let own = self.by_user.get(user.name.as_str());
        let groups = user.groups.iter().filter_map(|group| self.by_group.get(group.as_str()));
        own.into_iter().chain(groups.collect::<SmallVec<[_; 4]>>()).flatten()
    }
}

/// What somebody is bound as.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sort {
    User,
    Group,
}

/// Whom a binding is about, each once, with the place of the first mention.
fn subjects(binding: &Binding) -> Vec<(Sort, Box<str>, usize)> {
    let mut known = HashSet::new();
    let named = binding.subjects.iter().enumerate().filter_map(|(index, subject)| {
        let sort = if subject.kind == "Group" { Sort::Group } else { Sort::User };
        Some((sort, key(subject, &binding.namespace)?, index))
    });
    named.filter(|(sort, key, _)| known.insert((*sort, key.clone()))).collect()
}

/// Under which name a subject is found; `None` for one that is nobody.
fn key(subject: &Subject, namespace: &str) -> Option<Box<str>> {
    match subject.kind.as_str() {
        "User" | "Group" => Some(subject.name.as_str().into()),
        "ServiceAccount" => {
            let own = subject.namespace.as_deref().filter(|own| !own.is_empty());
            let namespace = own.unwrap_or(namespace);
            let name = format!("system:serviceaccount:{namespace}:{}", subject.name);
            (!namespace.is_empty()).then(|| name.into_boxed_str())
        }
        _ => None,
    }
}

impl<'a> Granted<'a> {
    /// The rules.
    ///
    /// # Errors
    /// When there is no such role.
    pub fn rules(&self) -> Result<&'a RoleRules, String> {
        self.index.role(&self.binding.namespace, &self.binding.role)
    }
}

impl fmt::Display for Granted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binding { namespace, name, role, subjects } = self.binding;
        let (kind, name) = match &**namespace {
            "" => ("ClusterRoleBinding", name.to_string()),
            namespace => ("RoleBinding", format!("{name}/{namespace}")),
        };
        write!(f, "{kind} {name:?} of {} {:?} to ", role.kind, role.name)?;
        let Some(subject) = subjects.get(self.subject) else { return Ok(()) };
        let own = subject.namespace.as_deref().filter(|own| !own.is_empty());
        match subject.kind.as_str() {
            kind @ "ServiceAccount" => {
                write!(f, "{kind} {:?}", format!("{}/{}", subject.name, own.unwrap_or(namespace)))
            }
            kind => write!(f, "{kind} {:?}", subject.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(resource: &str) -> Vec<PolicyRule> {
        let some = |word: &str| Some(vec![word.to_owned()]);
        vec![PolicyRule {
            verbs: vec!["get".into()],
            api_groups: some(""),
            resources: some(resource),
            ..PolicyRule::default()
        }]
    }

    fn binding(namespace: &str, name: &str, role: (&str, &str), subjects: Value) -> Binding {
        let role = RoleRef { kind: role.0.into(), name: role.1.into(), api_group: None };
        let subjects = serde_json::from_value(subjects).unwrap();
        Binding { namespace: namespace.into(), name: name.into(), role, subjects }
    }

    fn index() -> Index {
        let mut index = Index::default();
        index.put_cluster_role("view", rule("pods"));
        index.put_role("x", "own", rule("secrets"));
        let ann = json!({"kind": "User", "name": "ann"});
        let ops = json!({"kind": "Group", "name": "ops"});
        let robot = json!({"kind": "ServiceAccount", "name": "robot"});
        let there = json!({"kind": "ServiceAccount", "name": "robot", "namespace": "y"});
        index.put_binding(binding("", "all", ("ClusterRole", "view"), json!([ops, ann])));
        index.put_binding(binding("", "lost", ("ClusterRole", "gone"), json!([ann, robot])));
        index.put_binding(binding("x", "here", ("Role", "own"), json!([robot, there, ann])));
        index.put_binding(binding("x", "view", ("ClusterRole", "view"), json!([there])));
        index
    }

    fn granted(index: &Index, name: &str, groups: &[&str], namespace: &str) -> Vec<String> {
        let user = User::authenticated(name, "", groups.iter().map(|group| (*group).to_owned()).collect());
        let described = index.granted(&user, namespace).map(|granted| match granted.rules() {
            Ok(_) => granted.to_string(),
            Err(error) => error,
        });
        described.collect()
    }

    #[test]
    fn who_is_bound_has_the_role() {
        let index = index();
        let all = r#"ClusterRoleBinding "all" of ClusterRole "view" to "#;
        let lost = r#"clusterrole.rbac.authorization.k8s.io "gone" not found"#;
        let here = r#"RoleBinding "here/x" of Role "own" to "#;
        assert_eq!(granted(&index, "ann", &[], ""), [format!("{all}User \"ann\""), lost.to_owned()]);
        assert_eq!(
            granted(&index, "ann", &["ops"], "x"),
            [format!("{all}Group \"ops\""), lost.to_owned(), format!("{here}User \"ann\"")]
        );
        assert_eq!(granted(&index, "bob", &["ops"], "z"), [format!("{all}Group \"ops\"")]);
        let own = "system:serviceaccount:x:robot";
        assert_eq!(granted(&index, own, &[], "x"), [format!("{here}ServiceAccount \"robot/x\"")]);
        assert_eq!(granted(&index, own, &[], "y"), Vec::<String>::new());
        let view = r#"RoleBinding "view/x" of ClusterRole "view" to ServiceAccount "robot/y""#;
        assert_eq!(
            granted(&index, "system:serviceaccount:y:robot", &[], "x"),
            [format!("{here}ServiceAccount \"robot/y\""), view.to_owned()]
        );
    }

    #[test]
    fn who_is_named_often_is_bound_once() {
        let mut index = Index::default();
        let (ann, ops) = (json!({"kind": "User", "name": "ann"}), json!({"kind": "Group", "name": "ops"}));
        let own = json!({"kind": "User", "name": "system:serviceaccount:x:robot"});
        let robot = json!({"kind": "ServiceAccount", "name": "robot"});
        let subjects = json!([ann, ops, ann, own, robot, ops, ann]);
        index.put_binding(binding("x", "b", ("ClusterRole", "view"), subjects));
        let lists = |map: &HashMap<Box<str>, Vec<Bound>>| map.values().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lists(&index.bindings["x"].by_user), [1, 1]);
        assert_eq!(lists(&index.bindings["x"].by_group), [1]);
        index.remove_binding("x", "b");
        assert!(index.bindings.is_empty());
    }

    #[test]
    fn what_goes_leaves_nothing_behind() {
        let mut index = index();
        for (namespace, name) in [("", "all"), ("", "lost"), ("x", "here"), ("x", "view"), ("x", "view"), ("z", "z")] {
            index.remove_binding(namespace, name);
        }
        assert!(index.bindings.is_empty());
        index.remove_role("x", "own");
        index.remove_role("x", "own");
        index.remove_cluster_role("view");
        assert!(index.roles.is_empty() && index.cluster_roles.is_empty());
    }

    #[test]
    fn another_version_replaces_what_was() {
        let mut index = index();
        index.put_binding(binding("", "all", ("ClusterRole", "view"), json!([{"kind": "User", "name": "bob"}])));
        assert_eq!(granted(&index, "bob", &[], "").len(), 1);
        assert_eq!(granted(&index, "eve", &["ops"], ""), Vec::<String>::new());
        assert!(index.bindings[""].by_group.is_empty(), "nobody is bound by a group any more");
    }
}
