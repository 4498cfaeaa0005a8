use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;
use crate::{
    framework::plugin::Waiting,
    model::{Node, Pod},
};

type Log = Arc<Mutex<Vec<String>>>;

/// A plugin that sets something aside and writes down what becomes of it.
#[derive(Debug)]
struct Setter {
    name: &'static str,
    log: Log,
    refuses: Option<&'static str>,
    /// Allows the pod to be bound.
    gate: Option<Arc<Notify>>,
}

struct Held {
    name: &'static str,
    log: Log,
    refuses: Option<&'static str>,
    gate: Option<Arc<Notify>>,
}

impl Held {
    fn step(&self, step: &str) -> Result<(), Rejection> {
        self.log.lock().push(format!("{} {step}", self.name));
        if self.refuses == Some(step) { Err(Rejection::not_now("no")) } else { Ok(()) }
    }
}

impl Plugin for Setter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hint(&self, _: Candidate<'_>, _: &Change) -> Hint {
        Hint::Skip
    }

    fn reserve(&self, _: Candidate<'_>, _: &NodeInfo, _: &Snapshot) -> Result<Option<Box<dyn Reservation>>, Rejection> {
        let held = Held { name: self.name, log: self.log.clone(), refuses: self.refuses, gate: self.gate.clone() };
        held.step("reserve")?;
        Ok(Some(Box::new(held)))
    }
}

impl Reservation for Held {
    fn permit(&self) -> Result<Permit, Rejection> {
        self.step("permit")?;
        let Some(gate) = self.gate.clone() else { return Ok(Permit::Now) };
        Ok(Permit::Later(Box::pin(async move {
            let allowed = tokio::time::timeout(Duration::from_secs(10), gate.notified()).await;
            allowed.map_err(|_| Rejection::not_now("timed out"))
        })))
    }

    fn pre_bind(&self) -> Waiting<'_> {
        Box::pin(async { self.step("pre_bind") })
    }

    fn release(&self) {
        self.log.lock().push(format!("{} release", self.name));
    }
}

fn profile(log: &Log, refuses: Option<&'static str>, gate: Option<Arc<Notify>>) -> Profile {
    let first = Setter { name: "first", log: log.clone(), refuses: None, gate };
    let second = Setter { name: "second", log: log.clone(), refuses, gate: None };
    let rows = vec![Row::new(Arc::new(first), 0), Row::new(Arc::new(second), 0)];
    Profile { rows, percentage: None }
}

fn reserve(profile: &Profile) -> Result<Reserved, (&'static str, Rejection)> {
    let pod = Pod::default();
    let node = NodeInfo::of(&Arc::new(Node::default()));
    profile.reserve(Candidate { pod: &pod, info: &pod.info }, &node, &Snapshot::default())
}

fn steps(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock())
}

#[tokio::test(start_paused = true)]
async fn each_plugin_prepares_before_the_pod_is_bound() {
    let log = Log::default();
    let mut reserved = reserve(&profile(&log, None, None)).unwrap();
    assert_eq!(steps(&log), ["first reserve", "first permit", "second reserve", "second permit"]);
    reserved.prepare().await.unwrap();
    assert_eq!(steps(&log), ["first pre_bind", "second pre_bind"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_set_aside_is_given_back_the_last_first() {
    let log = Log::default();
    for (refuses, expected) in [
        ("reserve", vec!["first reserve", "first permit", "second reserve", "first release"]),
        (
            "permit",
            vec!["first reserve", "first permit", "second reserve", "second permit", "second release", "first release"],
        ),
    ] {
        assert_eq!(reserve(&profile(&log, Some(refuses), None)).unwrap_err().0, "second");
        assert_eq!(steps(&log), expected);
    }
    let mut reserved = reserve(&profile(&log, Some("pre_bind"), None)).unwrap();
    steps(&log);
    assert_eq!(reserved.prepare().await.unwrap_err().0, "second");
    reserved.release();
    assert_eq!(steps(&log), ["first pre_bind", "second pre_bind", "second release", "first release"]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_may_be_waited_for_and_runs_out() {
    let (log, gate) = (Log::default(), Arc::new(Notify::new()));
    let profile = profile(&log, None, Some(gate.clone()));
    let mut reserved = reserve(&profile).unwrap();
    steps(&log);
    let waiting = tokio::time::timeout(Duration::from_secs(1), reserved.prepare()).await;
    assert!(waiting.is_err() && steps(&log).is_empty());
    gate.notify_one();
    reserved.prepare().await.unwrap();
    assert_eq!(steps(&log), ["first pre_bind", "second pre_bind"]);
    let mut late = reserve(&profile).unwrap();
    assert_eq!(late.prepare().await.unwrap_err(), ("first", Rejection::not_now("timed out")));
}
