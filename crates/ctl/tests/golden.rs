//! What kubectl 1.36.3 wrote for commands that need no server: `$` the command, its output, `!` its errors, `=` its exit code. A
//! command is split as a shell would.

#![allow(clippy::unwrap_used)]

use std::{os::unix::fs::symlink, path::Path, process::Command};

/// A command and what it wrote.
struct Case<'a> {
    command: &'a str,
    written: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let case = |block| -> Option<Case<'_>> {
        let (command, written) = str::split_once(block, '\n')?;
        Some(Case { command: command.strip_prefix("$ ").unwrap_or(command), written: written.trim_end_matches('\n') })
    };
    text.split("\n$ ").filter_map(case).collect()
}

/// Runs a command as kubectl, with no configuration.
fn run(program: &Path, command: &str) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec \"$0\" {command}")])
        .arg(program)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")])
        .current_dir("/")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: String = errors.lines().map(|line| format!("! {line}\n")).collect();
    let code = output.status.code().unwrap_or(-1);
    format!("{}{errors}= {code}", String::from_utf8_lossy(&output.stdout))
}

#[test]
fn what_kubectl_writes_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("kubectl");
    symlink(env!("CARGO_BIN_EXE_ctl"), &program).unwrap();
    let cases = cases(include_str!("golden/kubectl.txt"));
    assert!(cases.len() > 150, "only {} cases were read", cases.len());
    let differing: Vec<String> = cases
        .iter()
        .map(|case| (case, run(&program, case.command)))
        .filter(|(case, written)| case.written != written)
        .map(|(case, written)| format!("$ {}\n--- kubectl\n{}\n--- ctl\n{written}\n", case.command, case.written))
        .collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
