//! Which names a definition gets: two kinds of a group have none in common.

use std::collections::HashSet;

use api_types::{
    Resource,
    apiextensions::{CustomResourceDefinitionNames, CustomResourceDefinitionStatus},
};

/// Names that are others'.
#[derive(Default)]
pub struct Taken {
    /// Plurals, singulars and short names.
    resources: HashSet<String>,
    /// Kinds, and kinds of lists.
    kinds: HashSet<String>,
}

impl Taken {
    /// Adds those that a definition has got.
    pub fn add(&mut self, names: &CustomResourceDefinitionNames) {
        let own = [&names.plural].into_iter().chain(&names.singular).chain(names.short_names.iter().flatten());
        self.resources.extend(own.filter(|name| !name.is_empty()).cloned());
        self.kinds.extend([&names.kind].into_iter().chain(&names.list_kind).filter(|name| !name.is_empty()).cloned());
    }

    /// Adds those of a resource that is built in.
    pub fn add_row(&mut self, row: &Resource) {
        self.resources
            .extend([row.plural.to_string(), row.singular.to_string()].into_iter().filter(|name| !name.is_empty()));
        self.resources.extend(row.short_names.iter().map(str::to_owned));
        self.kinds.extend([row.kind.to_string(), row.list_kind()]);
    }
}

/// Why a definition does not get all names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

/// The names that a definition has from now on, and what it does not get although it wants it: the last thing, as
/// upstream tells it. What it has got it keeps.
pub fn accept(
    wanted: &CustomResourceDefinitionNames,
    status: Option<&CustomResourceDefinitionStatus>,
    taken: &Taken,
) -> (CustomResourceDefinitionNames, Option<Conflict>) {
    let has = status.and_then(|status| status.accepted_names.clone()).unwrap_or_default();
    let mut gets = has.clone();
    let mut conflict = None;
    let mut check = |name: &str, has: &str, among: &HashSet<String>, reason: &'static str| {
        let free = name == has || !among.contains(name);
        if !free {
            conflict = Some(Conflict { reason, message: in_use(name) });
        }
        free
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    if check(&wanted.plural, &has.plural, &taken.resources, "PluralConflict") {
        gets.plural.clone_from(&wanted.plural);
    }
    if check(&text(&wanted.singular), &text(&has.singular), &taken.resources, "SingularConflict") {
        gets.singular.clone_from(&wanted.singular);
    }
    let short = wanted.short_names.iter().flatten();
    let had: HashSet<&String> = has.short_names.iter().flatten().collect();
    let clashes: Vec<String> =
        short.filter(|name| !had.contains(name) && taken.resources.contains(*name)).map(|name| in_use(name)).collect();
    if clashes.is_empty() {
        gets.short_names.clone_from(&wanted.short_names);
    }
    if check(&wanted.kind, &has.kind, &taken.kinds, "KindConflict") {
        gets.kind.clone_from(&wanted.kind);
    }
    if check(&text(&wanted.list_kind), &text(&has.list_kind), &taken.kinds, "ListKindConflict") {
        gets.list_kind.clone_from(&wanted.list_kind);
    }
    gets.categories.clone_from(&wanted.categories);
    let of_short = || match clashes.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    };
    let of_short = of_short().map(|message| Conflict { reason: "ShortNamesConflict", message });
    (gets, conflict.or(of_short))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(plural: &str, short: &[&str]) -> CustomResourceDefinitionNames {
        CustomResourceDefinitionNames {
            plural: plural.to_owned(),
            singular: Some(plural.trim_end_matches('s').to_owned()),
            kind: plural.to_uppercase(),
            list_kind: Some(format!("{plural}List")),
            short_names: Some(short.iter().map(|name| (*name).to_owned()).collect()),
            categories: None,
        }
    }

    #[test]
    fn names_of_others_are_not_given_twice() {
        let mut taken = Taken::default();
        taken.add(&names("widgets", &["wd", "w"]));
        let (gets, conflict) = accept(&names("gadgets", &["g"]), None, &taken);
        assert_eq!((gets, conflict), (names("gadgets", &["g"]), None));
        let (gets, conflict) = accept(&names("gadgets", &["wd", "w"]), None, &taken);
        assert_eq!((gets.plural.as_str(), gets.short_names), ("gadgets", None));
        let message = r#"["wd" is already in use, "w" is already in use]"#.to_owned();
        assert_eq!(conflict, Some(Conflict { reason: "ShortNamesConflict", message }));
        let mut other = names("gadgets", &[]);
        other.kind = "WIDGETS".to_owned();
        let (gets, conflict) = accept(&other, None, &taken);
        assert_eq!((gets.kind.as_str(), conflict.unwrap().reason), ("", "KindConflict"));
        let status = CustomResourceDefinitionStatus {
            accepted_names: Some(names("gadgets", &["w"])),
            ..CustomResourceDefinitionStatus::default()
        };
        assert_eq!(accept(&names("gadgets", &["w"]), Some(&status), &taken).1, None, "what it has it keeps");
    }
}
