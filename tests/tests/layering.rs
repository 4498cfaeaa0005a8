//! Rules of the house that a compiler does not know.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs};

use e2e::root;

const DAEMONS: &[&str] = &["apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns", "ctl"];
const LIBRARIES: &[(&str, &[&str])] = &[("api-types", &[]), ("iptables", &[]), ("component", &["api-types"])];

/// The house's own crates that a crate depends on, tests excepted.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let after = manifest.split_once("\n[dependencies]\n").map_or("", |(_, after)| after);
    let section = after.split("\n[").next().unwrap_or_default();
    let named = section.lines().filter_map(|line| line.split([' ', '.', '=']).next());
    let own: BTreeSet<&str> = LIBRARIES.iter().map(|(name, _)| *name).chain(DAEMONS.iter().copied()).collect();
    named.filter(|name| own.contains(name)).map(str::to_owned).collect()
}

#[test]
fn crates_stand_in_a_line() {
    for (library, allowed) in LIBRARIES {
        let found = dependencies(library);
        assert!(found.iter().all(|name| allowed.contains(&name.as_str())), "{library} depends on {found:?}");
    }
    for daemon in DAEMONS {
        let found = dependencies(daemon);
        let forbidden: Vec<_> = found.iter().filter(|name| DAEMONS.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{daemon} depends on {forbidden:?}");
    }
}

#[test]
fn the_top_level_is_what_the_readme_promises() {
    let allowed =
        ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "crates", "deploy", "hack", "tests", "docs", "target"];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}
