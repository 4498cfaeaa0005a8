//! The programs that the fake's containers can run: `echo`, `true`, `false`, `cat`, `sleep`, and `sh -c` with a list
//! of these, `trap` (which makes the shell deaf to the stop signal) and `exit N`, separated by `;`.

use bytes::Bytes;

use crate::runtime::{ExecOutput, OutputChunk, StdStream};

/// What a command does, known beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// What it prints, in order.
    pub(super) prints: Vec<OutputChunk>,
    /// Its exit code, or `None` if it runs until it is stopped.
    pub(super) end: Option<i32>,
    /// Whether it copies its standard input to its standard output before it ends.
    pub(super) echoes: bool,
    /// Whether it ends for nothing but SIGKILL.
    pub(super) stubborn: bool,
}

impl Program {
    /// `None` if there is no such program.
    pub(super) fn parse(command: &[String]) -> Option<Self> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut program = Self { end: Some(0), ..Self::default() };
        match words.as_slice() {
            ["sh" | "/bin/sh", "-c", script] => {
                for line in script.split(';') {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    if program.step(&words)? == Step::Ends {
                        break;
                    }
                }
            }
            words => {
                program.step(words)?;
            }
        }
        Some(program)
    }

    fn step(&mut self, words: &[&str]) -> Option<Step> {
        match words {
            ["echo", words @ .., ">&2"] => self.print(StdStream::Stderr, words),
            ["echo", words @ ..] => self.print(StdStream::Stdout, words),
            ["true"] => self.end = Some(0),
            ["false"] => self.end = Some(1),
            ["cat"] => self.echoes = true,
            ["trap"] => self.stubborn = true,
            ["sleep", ..] => {
                self.end = None;
                return Some(Step::Ends);
            }
            ["exit", code] => {
                self.end = Some(code.parse().ok()?);
                return Some(Step::Ends);
            }
            _ => return None,
        }
        Some(Step::GoesOn)
    }

    fn print(&mut self, stream: StdStream, words: &[&str]) {
        let data = Bytes::from(format!("{}\n", words.join(" ")));
        self.prints.push(OutputChunk { stream, data });
    }

    /// All that it prints, and its exit code.
    pub(super) fn output(&self) -> ExecOutput {
        let of = |wanted| {
            let parts: Vec<_> = self.prints.iter().filter(|c| c.stream == wanted).map(|c| c.data.clone()).collect();
            Bytes::from(parts.concat())
        };
        ExecOutput {
            stdout: of(StdStream::Stdout),
            stderr: of(StdStream::Stderr),
            exit_code: self.end.unwrap_or_default(),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Step {
    GoesOn,
    Ends,
}
