//! Rollouts as tables.

use super::*;

fn set(name: &str, replicas: Count, available: Count) -> Set {
    let created = name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(100);
    Set { name: name.to_owned(), created: Timestamp::from_second(created).ok(), replicas, available, ..Set::default() }
}

fn value(text: &str) -> Option<IntOrString> {
    Some(text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int))
}

fn rolling(replicas: Count, surge: &str, unavailable: &str, new: Option<Set>, old: &[Set]) -> Observed {
    let strategy = Strategy::RollingUpdate { surge: value(surge), unavailable: value(unavailable) };
    let status_replicas = old.iter().chain(&new).map(|set| set.replicas).sum();
    Observed { replicas, strategy, status_replicas, new, old: old.to_vec() }
}

fn text(steps: &[Scale]) -> String {
    steps.iter().map(|step| format!("{}:{}->{}", step.name, step.from, step.to)).collect::<Vec<_>>().join(" ")
}

#[test]
fn percentages_round_surge_up_and_unavailable_down() {
    let cases = [
        (10, "25%", "25%", 3, 2),
        (4, "25%", "25%", 1, 1),
        (3, "25%", "25%", 1, 0),
        (1, "25%", "25%", 1, 0),
        (10, "0", "0", 0, 1),
        (3, "0%", "10%", 0, 1),
        (2, "5", "5", 5, 2),
        (0, "1", "1", 1, 0),
    ];
    for (replicas, surge, unavailable, max_surge, max_unavailable) in cases {
        let observed = rolling(replicas, surge, unavailable, None, &[]);
        let actual = (observed.max_surge(), observed.max_unavailable());
        assert_eq!(actual, (max_surge, max_unavailable), "{replicas} {surge} {unavailable}");
    }
}

#[test]
fn a_new_set_starts_with_what_the_surge_leaves() {
    let cases = [(3, "1", 0, 3), (3, "1", 3, 1), (4, "0", 4, 0), (4, "25%", 2, 3), (2, "100%", 2, 2)];
    for (replicas, surge, old, expected) in cases {
        let observed = rolling(replicas, surge, "1", None, &[set("old1", old, old)]);
        assert_eq!(observed.new_replicas(0), expected, "{replicas} {surge} {old}");
    }
}

#[test]
fn rolling_steps() {
    let s = set;
    let cases = [
        // Nothing old: all at once.
        (rolling(3, "1", "0", Some(s("new", 0, 0)), &[]), "new:0->3"),
        // One more than wanted, then one old for each new that is available.
        (rolling(3, "1", "0", Some(s("new", 0, 0)), &[s("old1", 3, 3)]), "new:0->1"),
        (rolling(3, "1", "0", Some(s("new", 1, 0)), &[s("old1", 3, 3)]), ""),
        (rolling(3, "1", "0", Some(s("new", 1, 1)), &[s("old1", 3, 3)]), "old1:3->2"),
        (rolling(3, "1", "0", Some(s("new", 1, 1)), &[s("old1", 2, 2)]), "new:1->2"),
        (rolling(3, "1", "0", Some(s("new", 3, 3)), &[s("old1", 1, 1)]), "old1:1->0"),
        // No surge: old ones go first.
        (rolling(4, "0", "1", Some(s("new", 0, 0)), &[s("old1", 4, 4)]), "old1:4->3"),
        // Broken old pods go first, and need no new ones to replace them.
        (rolling(3, "1", "0", Some(s("new", 1, 1)), &[s("old1", 3, 0)]), "old1:3->2"),
        (rolling(3, "1", "0", Some(s("new", 1, 1)), &[s("old1", 2, 2), s("old2", 1, 0)]), "old2:1->0"),
        (rolling(4, "1", "1", Some(s("new", 2, 0)), &[s("old1", 3, 1)]), ""),
        (rolling(4, "1", "2", Some(s("new", 2, 1)), &[s("old1", 2, 2), s("old2", 1, 0)]), "old1:2->1 old2:1->0"),
        // The oldest goes first.
        (rolling(2, "1", "0", Some(s("new", 2, 2)), &[s("old2", 1, 1), s("old1", 1, 1)]), "old1:1->0 old2:1->0"),
        // The deployment shrank meanwhile.
        (rolling(1, "1", "0", Some(s("new", 3, 3)), &[]), "new:3->1"),
        (rolling(2, "1", "0", Some(s("new", 2, 2)), &[]), ""),
    ];
    for (observed, expected) in cases {
        assert_eq!(text(&observed.roll()), expected, "{observed:?}");
    }
}

/// Steps to the end with pods that become available at once, and never leaves the limits.
#[test]
fn a_rollout_ends_and_stays_within_its_limits() {
    for replicas in [1, 2, 3, 10, 25] {
        for (surge, unavailable) in [("25%", "25%"), ("1", "0"), ("0", "1"), ("100%", "0"), ("50%", "50%")] {
            let mut observed =
                rolling(replicas, surge, unavailable, Some(set("new", 0, 0)), &[set("old1", replicas, replicas)]);
            for _ in 0..200 {
                let steps = observed.roll();
                if steps.is_empty() {
                    break;
                }
                for step in steps {
                    let sets = observed.old.iter_mut().chain(&mut observed.new);
                    for set in sets.filter(|set| set.name == step.name) {
                        set.replicas = step.to;
                        set.available = step.to;
                    }
                }
                let available: Count = observed.sets().map(|set| set.available).sum();
                assert!(available >= replicas - observed.max_unavailable(), "{observed:?}");
                assert!(observed.total() <= replicas + observed.max_surge(), "{observed:?}");
            }
            assert_eq!(observed.new.as_ref().unwrap().replicas, replicas, "{observed:?}");
            assert_eq!(observed.old[0].replicas, 0, "{observed:?}");
        }
    }
}

#[test]
fn the_largest_numbers_that_can_be_written_are_counted() {
    let most = Count::from(i32::MAX);
    let (old, new) = (set("old1", most, most), Some(set("new", most, 0)));
    for surge in ["2147483647", "100%", "9223372036854775807%"] {
        let observed = rolling(most, surge, "0", new.clone(), &[old.clone(), set("old2", most, most)]);
        let steps = [observed.roll(), observed.rescale(), observed.recreate(OldPods::Running)].concat();
        assert!(steps.iter().all(|step| (0..=most).contains(&step.to)), "{steps:?}");
        assert_eq!(on_wire(observed.replicas + observed.max_surge()), i32::MAX);
    }
}

#[test]
fn recreation_waits_for_old_pods() {
    let observed =
        |new: Option<Set>, old: &[Set]| Observed { strategy: Strategy::Recreate, ..rolling(3, "0", "0", new, old) };
    let cases = [
        (observed(None, &[set("old1", 3, 3)]), OldPods::Running, "old1:3->0"),
        (observed(Some(set("new", 0, 0)), &[set("old1", 0, 0)]), OldPods::Running, ""),
        (observed(Some(set("new", 0, 0)), &[set("old1", 0, 0)]), OldPods::Gone, "new:0->3"),
    ];
    for (observed, old_pods, expected) in cases {
        assert_eq!(text(&observed.recreate(old_pods)), expected, "{observed:?}");
    }
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let with_max = |set: Set, max| Set { max: Some(max), ..set };
    let cases = [
        (rolling(5, "1", "0", Some(set("new", 3, 3)), &[set("old1", 0, 0)]), "new:3->5"),
        (rolling(5, "1", "0", None, &[set("old1", 3, 3)]), "old1:3->5"),
        (
            rolling(20, "0", "1", Some(with_max(set("new", 5, 5), 10)), &[with_max(set("old1", 5, 5), 10)]),
            "new:5->10 old1:5->10",
        ),
        (
            rolling(5, "0", "1", Some(with_max(set("new", 2, 2), 10)), &[with_max(set("old1", 8, 8), 10)]),
            "old1:8->4 new:2->1",
        ),
        (
            rolling(0, "1", "0", Some(with_max(set("new", 2, 2), 4)), &[with_max(set("old1", 2, 2), 4)]),
            "old1:2->0 new:2->0",
        ),
    ];
    for (observed, expected) in cases {
        assert_eq!(text(&observed.rescale()), expected, "{observed:?}");
    }
}

#[test]
fn a_change_of_replicas_is_noticed_by_the_annotation() {
    let desired = |set: Set, desired| Set { desired: Some(desired), ..set };
    assert!(rolling(5, "1", "0", Some(desired(set("new", 3, 3), 3)), &[]).is_scaling());
    assert!(!rolling(3, "1", "0", Some(desired(set("new", 3, 3), 3)), &[]).is_scaling());
    assert!(!rolling(3, "1", "0", Some(set("new", 3, 3)), &[desired(set("old", 0, 0), 9)]).is_scaling());
}
