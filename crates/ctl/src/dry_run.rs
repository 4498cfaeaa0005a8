//! `--dry-run`: what a command does instead of writing. Every command that has the flag goes by [`DryRun`], so that none
//! can take a word that it does not know for "write".

use std::str::FromStr;

use clap::Args;

/// What is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// Nothing: the command writes.
    #[default]
    None,
    /// The request: only what would be sent is printed.
    Client,
    /// The last step: the server does everything but store.
    Server,
}

impl FromStr for DryRun {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "false" => Ok(Self::None),
            "client" | "true" | BARE => Ok(Self::Client),
            "server" => Ok(Self::Server),
            other => Err(format!("Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\".")),
        }
    }
}

/// The value of a flag that is given without one; kubectl's word.
const BARE: &str = "unchanged";

/// The flag, to be flattened into a command's.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Flag {
    /// none, client or server: only print what would be done
    #[arg(long = "dry-run", default_value = "none", default_missing_value = BARE, num_args = 0..=1, require_equals = true, value_name = "STRATEGY")]
    pub dry_run: DryRun,
}

impl DryRun {
    /// A request's path with the parameter that asks the server to store nothing.
    #[must_use]
    pub fn ask(self, path: &str) -> String {
        match (self, path.contains('?')) {
            (Self::None, _) => path.to_owned(),
            (_, true) => format!("{path}&dryRun=All"),
            (_, false) => format!("{path}?dryRun=All"),
        }
    }

    /// As [`Self::ask`], but a client's dry run asks for nothing: it may look at the server's objects.
    #[must_use]
    pub fn ask_server(self, path: &str) -> String {
        if self == Self::Server { self.ask(path) } else { path.to_owned() }
    }

    /// What was done, as kubectl says it: `created`, `created (dry run)`, `created (server dry run)`.
    #[must_use]
    pub fn say(self, done: &str) -> String {
        match self {
            Self::None => done.to_owned(),
            Self::Client => format!("{done} (dry run)"),
            Self::Server => format!("{done} (server dry run)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flag: Flag,
    }

    #[test]
    fn only_kubectls_words_are_taken() {
        let read = |words: &[&str]| {
            Command::try_parse_from([&["x"], words].concat()).map(|c| c.flag.dry_run).map_err(|e| e.to_string())
        };
        assert_eq!(read(&[]), Ok(DryRun::None));
        assert_eq!(read(&["--dry-run"]), Ok(DryRun::Client));
        assert_eq!(read(&["--dry-run=server"]), Ok(DryRun::Server));
        assert_eq!(read(&["--dry-run=none"]), Ok(DryRun::None));
        assert!(read(&["--dry-run=Server"]).is_err_and(|e| e.contains("Invalid dry-run value (Server)")));
    }

    #[test]
    fn the_server_is_asked_and_quoted() {
        assert_eq!(DryRun::None.ask("/a"), "/a");
        assert_eq!(DryRun::Server.ask("/a"), "/a?dryRun=All");
        assert_eq!(DryRun::Client.ask("/a?b=c"), "/a?b=c&dryRun=All");
        assert_eq!(DryRun::Server.say("created"), "created (server dry run)");
    }
}
