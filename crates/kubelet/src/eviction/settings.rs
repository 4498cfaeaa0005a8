//! `--eviction-hard` and its kin.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Threshold;

/// Upstream's defaults.
const HARD: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];
const TRANSITION: Duration = Duration::from_secs(300);

/// Limits by signal, as the configuration file has them.
pub type Limits = BTreeMap<String, String>;

/// What flags and file say; a flag is a list `signal<limit,…`.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Hard thresholds; `None` are upstream's.
    pub hard: Option<Limits>,
    /// Soft thresholds.
    pub soft: Limits,
    /// How long each of these may be fallen below.
    pub soft_grace: Limits,
    /// How long a pressure lasts after it was last seen.
    pub transition: Option<Duration>,
    /// Most seconds of grace of a pod that goes for a soft threshold.
    pub max_grace: Option<u32>,
}

/// When pods go.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What is too little.
    pub thresholds: Vec<Threshold>,
    /// How long a pressure lasts after it was last seen.
    pub transition: Duration,
    /// Most seconds of grace of a pod that goes for a soft threshold.
    pub max_grace: u32,
}

impl Settings {
    /// The settings that were given.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(given: &Given) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut thresholds = Vec::new();
        let default = || HARD.iter().map(|(signal, limit)| ((*signal).to_owned(), (*limit).to_owned())).collect();
        for (signal, limit) in &given.hard.clone().unwrap_or_else(default) {
            match Threshold::parse(signal, limit) {
                Ok(threshold) => thresholds.extend(threshold),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        for (signal, limit) in &given.soft {
            match soft(signal, limit, given.soft_grace.get(signal)) {
                Ok(threshold) => thresholds.extend(threshold),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let transition = given.transition.unwrap_or(TRANSITION);
        Ok(Self { thresholds, transition, max_grace: given.max_grace.unwrap_or(0) })
    }
}

fn soft(signal: &str, limit: &str, grace: Option<&String>) -> Result<Option<Threshold>, String> {
    let grace =
        grace.ok_or_else(|| format!("grace period must be specified for the soft eviction threshold {signal}"))?;
    let grace = component::flags::duration(grace)?;
    Ok(Threshold::parse(signal, limit)?.map(|threshold| threshold.after(grace)))
}

/// A flag's list of pairs with `between` between signal and value.
///
/// # Errors
/// When something in it is no such pair.
pub fn pairs(list: &str, between: char) -> Result<Limits, String> {
    let pair = |text: &str| {
        let (signal, value) =
            text.split_once(between).ok_or_else(|| format!("{text:?} is not signal{between}value"))?;
        Ok((signal.trim().to_owned(), value.trim().to_owned()))
    };
    list.split(',').filter(|text| !text.is_empty()).map(pair).collect()
}
