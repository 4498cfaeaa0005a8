use serde_json::{Value, json};

use super::*;
use crate::{config::default_profiles, model::Node};

fn queue() -> SchedulingQueue {
    SchedulingQueue::new(Arc::new(default_profiles("default-scheduler")), Backoff::default())
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn set(queue: &SchedulingQueue, name: &str, pod: Value) {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    queue.set(key(name), Arc::new(pod));
}

fn add(queue: &SchedulingQueue, name: &str, priority: i32) {
    set(queue, name, json!({"metadata": {"uid": name}, "spec": {"priority": priority}}));
}

async fn pop(queue: &SchedulingQueue) -> Waiting {
    queue.pop().await.1
}

async fn is_silent(queue: &SchedulingQueue, seconds: u64) -> bool {
    tokio::time::timeout(Duration::from_secs(seconds), queue.pop()).await.is_err()
}

fn node(name: &str) -> Option<Arc<Node>> {
    Some(Arc::new(serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()))
}

fn came(name: &str) -> Change {
    Change::Node { old: None, new: node(name) }
}

fn rejected(by: &'static str) -> Retry {
    Retry::Rejected(Rejected { by: vec![by], hopeless: false })
}

#[tokio::test(start_paused = true)]
async fn priority_then_age() {
    let queue = queue();
    for (name, priority) in [("low", 0), ("high", 9), ("low2", 0)] {
        add(&queue, name, priority);
    }
    for expected in ["high", "low", "low2"] {
        assert_eq!(pop(&queue).await.pod.uid(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_pod_waits_for_a_change_that_helps() {
    let queue = queue();
    set(&queue, "a", json!({"metadata": {"uid": "a"}, "spec": {"nodeName": "n1"}}));
    let waiting = pop(&queue).await;
    queue.retry(&key("a"), &waiting, rejected("NodeName"));
    queue.wake(Change::Pod { old: Some(Arc::default()), new: None });
    queue.wake(came("n2"));
    assert!(is_silent(&queue, 60).await);
    queue.wake(came("n1"));
    assert_eq!(pop(&queue).await.pod.uid(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_attempt_counts() {
    let queue = queue();
    add(&queue, "a", 0);
    let waiting = pop(&queue).await;
    queue.wake(came("n1"));
    queue.retry(&key("a"), &waiting, rejected("NodeName"));
    assert!(!is_silent(&queue, 60).await);
}

#[tokio::test(start_paused = true)]
async fn who_has_been_tried_backs_off_while_others_wait() {
    let queue = queue();
    for name in ["a", "b", "c"] {
        add(&queue, name, 0);
    }
    let waiting = pop(&queue).await;
    queue.wake(came("n1"));
    queue.retry(&key("a"), &waiting, rejected("NodeName"));
    let start = Instant::now();
    for expected in ["b", "c", "a"] {
        assert_eq!(pop(&queue).await.pod.uid(), expected);
    }
    assert_eq!(start.elapsed().as_secs(), 0, "there was nothing else to do");
}

#[tokio::test(start_paused = true)]
async fn who_failed_waits_in_any_case() {
    let queue = queue();
    add(&queue, "a", 0);
    let waiting = pop(&queue).await;
    queue.retry(&key("a"), &waiting, Retry::Failed);
    let start = Instant::now();
    assert_eq!(pop(&queue).await.pod.uid(), "a");
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let queue = queue();
    add(&queue, "a", 0);
    let waiting = pop(&queue).await;
    queue.retry(&key("a"), &waiting, rejected("NodeName"));
    let start = Instant::now();
    assert_eq!(pop(&queue).await.pod.uid(), "a");
    assert_eq!(start.elapsed(), LONGEST_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_removed_pod_does_not_come_back() {
    let queue = queue();
    add(&queue, "a", 0);
    let waiting = pop(&queue).await;
    queue.remove(&key("a"));
    queue.retry(&key("a"), &waiting, Retry::Failed);
    assert!(is_silent(&queue, 1000).await);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_takes_anothers_name_is_not_lost() {
    let queue = queue();
    add(&queue, "a", 0);
    let waiting = pop(&queue).await;
    queue.remove(&key("a"));
    set(&queue, "a", json!({"metadata": {"uid": "another"}}));
    queue.retry(&key("a"), &waiting, Retry::Failed);
    assert_eq!(pop(&queue).await.pod.uid(), "another");
    queue.retry(&key("a"), &waiting, Retry::Failed);
    assert!(is_silent(&queue, 1000).await, "the other is still being decided about");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_changes_may_fit() {
    let queue = queue();
    let tolerant = json!({"metadata": {"uid": "a"}, "spec": {"tolerations": [{"operator": "Exists"}]}});
    let labelled = json!({"metadata": {"uid": "a", "labels": {"a": "b"}}});
    for during in [false, true] {
        add(&queue, "a", 0);
        let waiting = pop(&queue).await;
        if during {
            set(&queue, "a", tolerant.clone());
        }
        queue.retry(&key("a"), &waiting, rejected("TaintToleration"));
        if !during {
            set(&queue, "a", labelled.clone());
            assert!(is_silent(&queue, 60).await, "labels do not help against taints");
            set(&queue, "a", tolerant.clone());
        }
        assert!(!pop(&queue).await.pod.spec.tolerations.is_empty());
        queue.remove(&key("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_pod_is_in_the_way_none_that_goes_helps() {
    let queue = queue();
    let gone = || Change::Pod { old: Some(Arc::default()), new: None };
    for hopeless in [true, false] {
        add(&queue, "a", 0);
        let waiting = pop(&queue).await;
        queue.retry(&key("a"), &waiting, Retry::Rejected(Rejected { by: vec!["NodeResourcesFit"], hopeless }));
        queue.wake(gone());
        assert_eq!(is_silent(&queue, 60).await, hopeless);
        queue.remove(&key("a"));
    }
}
