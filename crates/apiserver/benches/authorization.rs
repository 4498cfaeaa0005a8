//! What a decision costs by RBAC, with a thousand roles and as many bindings besides those that every cluster has.

use std::{hint::black_box, sync::Arc};

use api_types::Object;
use apiserver::authorization::rbac::{Rbac, policy::policy};
use component::auth::{Attributes, Authorizer, Decision, ResourceAttributes, Target, User};
use criterion::{Criterion, criterion_group, criterion_main};
use futures::FutureExt;
use serde_json::json;

const ROLES: usize = 1000;

/// Roles and bindings, one for each of a thousand users, and all of them for one more.
fn rbac() -> Arc<Rbac> {
    let rbac = Arc::new(Rbac::default());
    let mirrors = rbac.mirrors();
    let [roles, _, bindings, _] = &mirrors[..] else { unreachable!("there are four kinds") };
    let name = |object: &dyn Object| object.meta().name.clone().unwrap_or_default();
    for role in &policy().cluster_roles {
        roles.put("", &name(role), &role.encode());
    }
    for binding in &policy().cluster_role_bindings {
        bindings.put("", &name(binding), &binding.encode());
    }
    for number in 0..ROLES {
        let rule =
            json!({"verbs": ["get", "list"], "apiGroups": ["example.com"], "resources": [format!("things-{number}")]});
        let role = json!({"metadata": {}, "rules": [rule]});
        roles.put("", &format!("role-{number}"), role.to_string().as_bytes());
        let subjects =
            json!([{"kind": "User", "name": format!("user-{number}")}, {"kind": "Group", "name": "everything"}]);
        let role = json!({"kind": "ClusterRole", "name": format!("role-{number}")});
        let binding = json!({"metadata": {}, "roleRef": role, "subjects": subjects});
        bindings.put("", &format!("binding-{number}"), binding.to_string().as_bytes());
    }
    rbac
}

fn decide(rbac: &Rbac, user: &User) -> Decision {
    let place = ResourceAttributes {
        group: "example.com".into(),
        resource: "things-700".into(),
        namespace: "default".into(),
        ..ResourceAttributes::default()
    };
    let asked = Attributes { user, verb: "get".into(), target: Target::Resource(place) };
    rbac.authorize(&asked).now_or_never().map_or(Decision::Deny, |verdict| verdict.decision)
}

fn decisions(c: &mut Criterion) {
    let rbac = rbac();
    let mut group = c.benchmark_group("decision");
    for (what, name, groups, expected) in [
        ("by one role of a thousand", "user-700", vec![], Decision::Allow),
        ("a refusal", "user-1", vec![], Decision::NoOpinion),
        ("somebody who is in a thousand bindings", "ann", vec!["everything".to_owned()], Decision::Allow),
    ] {
        let user = User::authenticated(name, "", groups);
        assert_eq!(decide(&rbac, &user), expected, "{what}");
        group.bench_function(what, |b| b.iter(|| decide(black_box(&rbac), black_box(&user))));
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
