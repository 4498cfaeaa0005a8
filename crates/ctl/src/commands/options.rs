//! `ctl options`, `ctl alpha`, and commands that are gone, with a word on what is there instead.

use crate::cli::Cli;

/// Prints the flags of every command.
pub fn print() {
    println!("The following options can be passed to any command:\n");
    for arg in Cli::tree().get_arguments().filter(|arg| arg.is_global_set() && arg.get_long().is_some()) {
        let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        println!("    {short}--{}:\n\t{help}\n", arg.get_long().unwrap_or_default());
    }
}

/// Commands of old, and what to type today.
const GONE: [(&str, &str); 4] = [
    (
        "rolling-update",
        "'rolling-update' is gone: replication controllers gave way to deployments, which roll by themselves. Use 'set image deployment/NAME CONTAINER=IMAGE' and 'rollout status deployment/NAME'",
    ),
    ("stop", "'stop' is gone: use 'delete TYPE NAME', which deletes what belongs to it, too"),
    ("namespace", "'namespace' is gone: use 'config set-context --current --namespace=NAME'"),
    (
        "convert",
        "'convert' is a plugin today: the API server serves every version of an object, as 'get TYPE.VERSION.GROUP NAME'",
    ),
];

/// What to type instead of a command that is gone.
#[must_use]
pub fn successor(name: &str) -> Option<&'static str> {
    GONE.iter().find(|(known, _)| *known == name).map(|(_, words)| *words)
}
