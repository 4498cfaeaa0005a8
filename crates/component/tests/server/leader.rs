use std::time::Duration;

use api_types::coordination::{Lease, LeaseSpec};
use component::{flags::LeaderElectionFlags, leader::Candidate};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, Server, Wire, client};

const LEASE: &str = "test";

fn timing(lease: u64, renew_milliseconds: u64, retry_milliseconds: u64) -> LeaderElectionFlags {
    LeaderElectionFlags {
        enabled: true,
        lease_duration: Duration::from_secs(lease),
        renew_deadline: Duration::from_millis(renew_milliseconds),
        retry_period: Duration::from_millis(retry_milliseconds),
        namespace: "default".to_owned(),
    }
}

async fn lease(client: &Client) -> LeaseSpec {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "default");
    leases.get(LEASE).await.unwrap().spec.unwrap()
}

async fn soon<T>(what: &str, waited: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, waited).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen"),
    }
}

#[tokio::test]
async fn one_leads_until_it_lets_go() {
    let server = Server::start().await;
    let (client, timing) = (server.client(), timing(15, 10_000, 100));
    let stop = CancellationToken::new();
    let leading = soon("leading", Candidate::new(client.clone(), LEASE, &timing).lead(stop.clone())).await;
    let leading = tokio::spawn(leading);
    let first = lease(&client).await;
    assert_eq!((first.lease_duration_seconds, first.lease_transitions), (Some(15), Some(0)));
    let next = Candidate::new(client.clone(), LEASE, &timing);
    let next = tokio::spawn(next.lead(CancellationToken::new()));
    // The one renews, the other waits.
    soon("renewing", async {
        while lease(&client).await.renew_time <= first.renew_time {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(lease(&client).await.holder_identity, first.holder_identity);
    assert!(!next.is_finished());
    let let_go = Instant::now();
    stop.cancel();
    soon("the end of the first", leading).await.unwrap();
    drop(soon("the second's turn", next).await.unwrap());
    assert!(let_go.elapsed() < Duration::from_secs(15), "a lease that was released is not waited for");
    let second = lease(&client).await;
    assert_ne!(second.holder_identity, first.holder_identity);
    assert_eq!(second.lease_transitions, Some(1));
}

#[tokio::test]
async fn a_leader_that_is_gone_is_succeeded_when_its_lease_is_over() {
    let server = Server::start().await;
    let (client, timing) = (server.client(), timing(2, 1_000, 100));
    let gone = soon("leading", Candidate::new(client.clone(), LEASE, &timing).lead(CancellationToken::new())).await;
    let last = Instant::now();
    drop(gone);
    let next = Candidate::new(client.clone(), LEASE, &timing).lead(CancellationToken::new());
    drop(soon("the next one's turn", next).await);
    assert!(last.elapsed() >= timing.lease_duration, "it took over after {:?}", last.elapsed());
    assert_eq!(lease(&client).await.lease_transitions, Some(1));
}

/// The worst moment: the last request before the deadline gets no answer.
#[tokio::test]
async fn a_leader_that_is_cut_off_steps_down_before_another_leads() {
    let server = Server::start().await;
    let wire = Wire::to(server.address()).await;
    let timing = timing(4, 2_000, 1_800);
    let cut_off = Candidate::new(client(wire.address), LEASE, &timing);
    let leading = soon("leading", cut_off.lead(CancellationToken::new())).await;
    wire.hold();
    let held = Instant::now();
    let next = Candidate::new(server.client(), LEASE, &timing);
    let next = tokio::spawn(next.lead(CancellationToken::new()));
    soon("stepping down", leading).await;
    assert!(held.elapsed() < Duration::from_millis(3_500), "it led for {:?} without a renewal", held.elapsed());
    assert!(!next.is_finished(), "two have led");
    drop(soon("the next one's turn", next).await.unwrap());
}
