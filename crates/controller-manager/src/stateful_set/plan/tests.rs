use proptest::prelude::*;
use serde_json::json;

use super::*;

type Members = &'static [(Ordinal, &'static str)];
type Actions = &'static [&'static str];

/// `new ready`, `old broken`, `old going`, `new failed`: of which revision, and how it does.
fn member(ordinal: Ordinal, state: &str) -> Member {
    let (revision, state) = state.split_once(' ').unwrap();
    let phase = match state {
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        "pending" => "Pending",
        _ => "Running",
    };
    let ready = if matches!(state, "ready" | "going") { "True" } else { "False" };
    let pod = json!({
        "metadata": {
            "name": format!("web-{ordinal}"), "uid": format!("{ordinal} {revision}"), "labels": {REVISION_LABEL: revision},
            "deletionTimestamp": (state == "going").then_some("2026-01-01T00:00:00Z"),
        },
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
    });
    let pod = Arc::new(serde_json::from_value(pod).unwrap());
    Member { ordinal, pod, labelled: true, has_claims: true, claims_owned: true }
}

fn observed(order: Order, update: Update, replicas: usize, members: &[(Ordinal, &str)]) -> Observed {
    Observed {
        start: 0,
        replicas,
        order,
        update,
        update_revision: "new".to_owned(),
        min_ready_seconds: 0,
        now: Timestamp::from_second(100).unwrap(),
        members: members.iter().map(|(ordinal, state)| member(*ordinal, state)).collect(),
        blocked: BTreeSet::new(),
    }
}

const OLD: Members = &[(0, "old ready"), (1, "old ready"), (2, "old ready")];

fn said(actions: &[Action]) -> Vec<String> {
    let say = |action: &Action| match action {
        Action::Create(ordinal, Which::Current) => format!("+{ordinal} old"),
        Action::Create(ordinal, Which::Update) => format!("+{ordinal}"),
        Action::Replace(pod) | Action::Delete(pod) => format!("-{}", &pod.metadata.name.as_deref().unwrap()[4..]),
        Action::MendClaims(member) => format!("claims {}", member.ordinal),
        Action::MendLabels(member) => format!("labels {}", member.ordinal),
        Action::MendOwners(member) => format!("owners {}", member.ordinal),
    };
    actions.iter().map(say).collect()
}

const ROLLING: Update = Update::Rolling { partition: 0, unavailable: 1 };
const READY: &str = "new ready";

#[test]
fn pods_come_and_go_in_order() {
    // Replicas, pods, what happens one by one, and all at once.
    let cases: [(usize, Members, Actions, Actions); 12] = [
        (3, &[], &["+0"], &["+0", "+1", "+2"]),
        (3, &[(0, READY)], &["+1"], &["+1", "+2"]),
        (3, &[(0, "new pending")], &[], &["+1", "+2"]),
        (2, &[(1, READY)], &["+0"], &["+0"]),
        (2, &[(0, "new failed"), (1, READY)], &["-0"], &["-0"]),
        (2, &[(0, "new succeeded"), (1, READY)], &["-0"], &["-0"]),
        (2, &[(0, "new going"), (1, READY)], &[], &[]),
        (1, &[(0, READY), (1, READY), (2, READY)], &["-2"], &["-2", "-1"]),
        (1, &[(0, READY), (1, READY), (2, "new going")], &[], &["-1"]),
        (1, &[(0, "new broken"), (1, READY)], &[], &["-1"]),
        // The first that is not healthy may go, the others wait for it.
        (1, &[(0, READY), (1, "new broken")], &["-1"], &["-1"]),
        (1, &[(0, READY), (1, "new broken"), (2, "new broken")], &[], &["-2", "-1"]),
    ];
    for (replicas, members, one_by_one, at_once) in cases {
        let plan = |order| said(&observed(order, ROLLING, replicas, members).plan());
        assert_eq!(plan(Order::OneByOne), one_by_one, "{replicas} of {members:?}");
        assert_eq!(plan(Order::AllAtOnce), at_once, "{replicas} of {members:?}");
    }
}

#[test]
fn ordinals_start_where_they_should() {
    let mut observed = observed(Order::AllAtOnce, ROLLING, 2, &[(0, READY), (5, READY)]);
    observed.start = 5;
    assert_eq!(said(&observed.plan()), ["+6", "-0"]);
}

#[test]
fn pods_of_old_are_replaced_from_the_last() {
    let rolling = |partition, unavailable| Update::Rolling { partition, unavailable };
    // Strategy, pods, what happens one by one, and all at once.
    let cases: [(Update, Members, Actions, Actions); 11] = [
        (Update::OnDelete, OLD, &[], &[]),
        (rolling(0, 1), OLD, &["-2"], &["-2"]),
        (rolling(0, 2), OLD, &["-2", "-1"], &["-2", "-1"]),
        (rolling(2, 2), OLD, &["-2"], &["-2"]),
        (rolling(3, 1), OLD, &[], &[]),
        (rolling(0, 1), &[(0, "old ready"), (1, "old ready"), (2, READY)], &["-1"], &["-1"]),
        (rolling(0, 1), &[(0, "old ready"), (1, "old ready"), (2, "new broken")], &[], &[]),
        // What is broken and of old goes where the order lets anything go on.
        (rolling(0, 1), &[(0, "old ready"), (1, "old broken"), (2, READY)], &[], &["-1"]),
        (rolling(0, 1), &[(0, "old ready"), (1, "old broken"), (2, "old ready")], &[], &["-1"]),
        (rolling(2, 1), &[(0, "old ready"), (2, "old ready")], &["+1 old"], &["+1 old"]),
        (rolling(1, 1), &[(0, "old ready"), (2, READY)], &["+1"], &["+1"]),
    ];
    for (update, members, one_by_one, at_once) in cases {
        let plan = |order| said(&observed(order, update, 3, members).plan());
        assert_eq!(plan(Order::OneByOne), one_by_one, "{update:?} of {members:?}");
        assert_eq!(plan(Order::AllAtOnce), at_once, "{update:?} of {members:?}");
    }
}

#[test]
fn what_is_wrong_with_a_pod_is_mended() {
    let mut observed = observed(Order::AllAtOnce, ROLLING, 3, &[(0, "new pending"), (1, READY), (4, READY)]);
    observed.members[0].has_claims = false;
    observed.members[1].labelled = false;
    observed.members[1].claims_owned = false;
    observed.members[2].claims_owned = false;
    observed.blocked.insert(2);
    assert_eq!(said(&observed.plan()), ["claims 0", "labels 1", "owners 1", "owners 4", "-4"]);
}

#[test]
fn strategies_are_read() {
    let cases = [
        (json!({"type": "OnDelete"}), Update::OnDelete),
        (json!({"type": "RollingUpdate"}), ROLLING),
        (json!({"rollingUpdate": {"partition": 3}}), Update::Rolling { partition: 3, unavailable: 1 }),
        (json!({"rollingUpdate": {"maxUnavailable": "30%"}}), Update::Rolling { partition: 0, unavailable: 3 }),
        (json!({"rollingUpdate": {"maxUnavailable": "1%"}}), ROLLING),
    ];
    for (strategy, expected) in cases {
        let strategy: StatefulSetUpdateStrategy = serde_json::from_value(strategy).unwrap();
        assert_eq!(Update::of(Some(&strategy), 10), expected);
    }
}

proptest! {
    /// Whatever state the pods are in and however fast they become ready: no healthy pod goes when as many as allowed
    /// are unavailable, pods below the partition stay, and in the end all others are new.
    #[test]
    fn an_update_keeps_within_its_limits(
        start in proptest::collection::vec(prop_oneof![Just("old ready"), Just("old broken"), Just(READY)], 1..8),
        one_by_one in any::<bool>(),
        partition in 0_usize..4,
        max_unavailable in 1_usize..4,
        luck in proptest::collection::vec(any::<bool>(), 0..60),
    ) {
        // One by one, what is broken stops everything, until somebody deletes it.
        prop_assume!(!one_by_one || !start.contains(&"old broken"));
        // Nor does anything mend what the partition keeps.
        prop_assume!(!start.iter().take(partition).any(|state| *state == "old broken"));
        let order = if one_by_one { Order::OneByOne } else { Order::AllAtOnce };
        let members: Vec<(Ordinal, &str)> = (0..).zip(start.iter().copied()).collect();
        let update = Update::Rolling { partition, unavailable: max_unavailable };
        let mut observed = observed(order, update, start.len(), &members);
        let kept: Vec<&str> = start.iter().take(partition).copied().collect();
        let mut luck = luck.into_iter();
        for _ in 0..200 {
            let unavailable = start.len() - observed.members.iter().filter(|own| !observed.is_unavailable(&own.pod)).count();
            let actions = observed.plan();
            let going = actions.iter().filter_map(|action| match action {
                Action::Replace(pod) | Action::Delete(pod) => Some(pod),
                _ => None,
            });
            let going: Vec<&Arc<Pod>> = going.collect();
            let healthy = going.iter().filter(|pod| !observed.is_unavailable(pod)).count();
            prop_assert!(healthy == 0 || unavailable + healthy <= max_unavailable);
            let gone: Vec<String> = going.iter().map(|pod| pod.uid().to_owned()).collect();
            observed.members.retain(|own| !gone.iter().any(|uid| uid == own.pod.uid()));
            for own in &mut observed.members {
                if own.pod.status.phase == "Pending" && luck.next().unwrap_or(true) {
                    let revision = own.pod.label(REVISION_LABEL).unwrap().to_owned();
                    *own = member(own.ordinal, &format!("{revision} ready"));
                }
            }
            for action in &actions {
                if let Action::Create(ordinal, which) = action {
                    prop_assert!(observed.members.iter().all(|own| own.ordinal != *ordinal));
                    observed.members.push(member(*ordinal, if *which == Which::Update { "new pending" } else { "old pending" }));
                }
            }
        }
        prop_assert_eq!(observed.members.len(), start.len());
        for own in &observed.members {
            let revision = own.pod.label(REVISION_LABEL).unwrap();
            match kept.get(usize::try_from(own.ordinal).unwrap()) {
                Some(before) => prop_assert_eq!(revision, &before[..3]),
                None => prop_assert_eq!(revision, "new"),
            }
        }
    }
}

#[test]
fn no_more_pods_are_thought_of_than_are_created_at_once() {
    let all = usize::try_from(i32::MAX).unwrap();
    for (order, count) in [(Order::OneByOne, 1), (Order::AllAtOnce, AT_ONCE)] {
        let observed = observed(order, ROLLING, all, &[(2, READY), (i32::MAX - 1, READY)]);
        assert_eq!(observed.slots().len(), AT_ONCE + 1);
        assert_eq!(observed.plan().len(), count);
    }
}
