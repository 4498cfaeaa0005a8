//! Rules of the house that a compiler does not know.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use e2e::root;

const DAEMONS: &[&str] = &["apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns", "ctl"];
const LIBRARIES: &[(&str, &[&str])] = &[
    ("cel", &[]),
    ("api-types", &["cel"]),
    ("iptables", &[]),
    ("netfilter", &[]),
    ("test-needs", &[]),
    ("component", &["api-types"]),
];

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

/// Folders of the API server that import each other in a circle, each with the reason.
const CIRCLES: &[(&[&str], &str)] = &[];

/// The names after each `crate::` in a source text, tests and comments excepted.
fn imports(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.insert(name(&list[start..at]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(name(&list[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    found
}

/// What the files of a module import, whether it is a file or a folder.
fn imports_below(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            imports_below(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs")
        && !path.to_string_lossy().ends_with("tests.rs")
    {
        found.extend(imports(&fs::read_to_string(path).unwrap()));
    }
}

/// The modules of the API server, and which others each imports.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let source = root().join("crates/apiserver/src");
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut found = BTreeSet::new();
        imports_below(&path, &mut found);
        found.remove(&name);
        modules.insert(name, found);
    }
    modules
}

/// Everything that can be reached from a module.
fn reach<'a>(modules: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for other in modules.get(module).into_iter().flatten() {
            if found.insert(other.as_str()) {
                next.push(other);
            }
        }
    }
    found
}

#[test]
fn every_circle_of_modules_has_a_reason() {
    let modules = modules();
    assert!(modules["handlers"].contains("registry"), "imports are not found: {modules:?}");
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for module in modules.keys() {
        let mutual = |other: &&str| reach(&modules, other).contains(module.as_str());
        let circle: BTreeSet<&str> = reach(&modules, module).into_iter().filter(mutual).collect();
        if !circle.is_empty() {
            circles.insert(circle.into_iter().collect());
        }
    }
    let known: BTreeSet<Vec<&str>> = CIRCLES.iter().map(|(circle, _)| circle.to_vec()).collect();
    assert_eq!(circles, known, "modules import each other in a circle that has no reason, or no longer do");
    assert!(CIRCLES.iter().all(|(_, reason)| !reason.is_empty()));
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
