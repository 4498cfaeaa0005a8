//! The real kernel, in a network namespace of the test's own.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use netfilter::{Chain, Family, Monitor, Nft, Set, Table, Transaction};
use nix::sched::{CloneFlags, unshare};

const TABLE: Table = Table { family: Family::Ip, name: "fk-test" };
const OTHER: Table = Table { family: Family::Ip6, name: "fk-test" };

/// Runs on a thread in a new network namespace, with a runtime that stays on it.
fn in_a_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        if test_needs::need("a network namespace", unshare(CloneFlags::CLONE_NEWNET)).is_none() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if test_needs::need("nft", Nft.check("add table ip fk-test\n").await).is_some() {
                test().await;
            }
        });
    };
    std::thread::spawn(run).join().unwrap();
}

fn table(table: Table) -> String {
    let mut transaction = Transaction::new(table);
    transaction.add_table();
    transaction.add_chain(&Chain::new("c", []));
    let definition = "type inet_service : verdict ;".into();
    transaction.add_set(&Set { kind: "map", name: "m".into(), definition });
    transaction.add_element("m", "80 : goto c");
    transaction.to_string()
}

#[test]
fn a_transaction_is_done_as_a_whole_or_not() {
    in_a_namespace(|| async {
        assert!(Nft.chains(TABLE).await.unwrap().is_empty());
        Nft.run(&table(TABLE)).await.unwrap();
        assert_eq!(Nft.chains(TABLE).await.unwrap().into_iter().collect::<Vec<_>>(), ["c"]);
        let mut wrong = Transaction::new(TABLE);
        wrong.add_chain(&Chain::new("d", []));
        wrong.add_element("m", "80 : drop");
        assert!(Nft.run(&wrong.to_string()).await.is_err(), "the key leads elsewhere");
        assert_eq!(Nft.chains(TABLE).await.unwrap().len(), 1);
    });
}

#[test]
fn changes_are_heard_of() {
    in_a_namespace(|| async {
        Nft.run(&table(TABLE)).await.unwrap();
        let mut monitor = Monitor::open([TABLE]).unwrap();
        assert!(!monitor.forget().unwrap());
        Nft.run(&table(OTHER)).await.unwrap();
        assert!(!monitor.forget().unwrap(), "another table");
        Nft.run("delete element ip fk-test m { 80 }\n").await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), monitor.changed()).await.unwrap().unwrap();
        assert!(!monitor.forget().unwrap(), "heard of already");
        Nft.run("flush ruleset\n").await.unwrap();
        assert!(monitor.forget().unwrap());
    });
}
