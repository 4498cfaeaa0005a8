//! What is wrong with a command line, in the words of kubectl's own parser.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Command,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use crate::program;

/// Tells what is wrong, or shows the help that was asked for; the process's exit code.
#[must_use]
pub fn report(error: &Error, root: &Command, words: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            print!("{}", help(root, words));
            ExitCode::FAILURE
        }
        _ => {
            eprintln!("error: {}", message(error, &path(root, words)));
            ExitCode::FAILURE
        }
    }
}

/// The commands that the words go through, such as `create deployment`.
fn path(root: &Command, words: &[OsString]) -> Vec<String> {
    let mut command = root;
    let mut path = Vec::new();
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(found) = command.find_subcommand(word) {
            path.push(found.get_name().to_owned());
            command = found;
        }
    }
    path
}

fn help(root: &Command, words: &[OsString]) -> String {
    let mut command = root.clone();
    for name in path(root, words) {
        if let Some(found) = command.find_subcommand(&name) {
            command = found.clone();
        }
    }
    command.render_help().to_string()
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

/// `--name` of `--name <VALUE>` or of `-n, --name[=<VALUE>]`.
fn flag(argument: &str) -> &str {
    argument.split(['=', ' ', '[', '<']).next().unwrap_or(argument)
}

fn message(error: &Error, path: &[String]) -> String {
    let command: Vec<&str> = std::iter::once(program::name()).chain(path.iter().map(String::as_str)).collect();
    let command = command.join(" ");
    let argument = text(error, ContextKind::InvalidArg);
    let hint = format!("\nSee '{command} --help' for usage.");
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => format!("unknown flag: {}{hint}", flag(&argument)),
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let letter: String = argument.chars().skip(1).take(1).collect();
            format!("unknown shorthand flag: '{letter}' in {argument}{hint}")
        }
        ErrorKind::UnknownArgument => {
            format!("Unexpected args: [{argument}]\nSee '{command} -h' for help and examples")
        }
        ErrorKind::InvalidSubcommand => unknown_command(&text(error, ContextKind::InvalidSubcommand), &command, path),
        ErrorKind::ValueValidation => value(error, &argument, &hint),
        ErrorKind::InvalidValue | ErrorKind::NoEquals => format!("flag needs an argument: {}{hint}", flag(&argument)),
        ErrorKind::MissingRequiredArgument if !argument.starts_with('-') => "Unexpected args: []".to_owned(),
        ErrorKind::MissingRequiredArgument => {
            format!("required flag(s) {:?} not set", flag(&argument).trim_start_matches('-'))
        }
        _ => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
    }
}

fn unknown_command(word: &str, command: &str, path: &[String]) -> String {
    match path {
        [] => format!("unknown command {word:?} for {command:?}"),
        [only] if only == "create" => format!("Unexpected args: [{word}]\nSee '{command} -h' for help and examples"),
        _ => format!("unknown command {word:?}\nSee '{command} -h' for help and examples"),
    }
}

/// A value that a flag does not take: in the flag's own words, or in those of Go's numbers.
fn value(error: &Error, argument: &str, hint: &str) -> String {
    let given = text(error, ContextKind::InvalidValue);
    let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let numeric = ["invalid digit", "is not in", "number too", "cannot parse integer"];
    let go = match why.as_str() {
        why if numeric.iter().any(|word| why.contains(word)) => {
            format!("strconv.ParseInt: parsing {given:?}: invalid syntax")
        }
        "it is neither true nor false" => format!("strconv.ParseBool: parsing {given:?}: invalid syntax"),
        _ => return why,
    };
    format!("invalid argument {given:?} for {:?} flag: {go}{hint}", flag(argument))
}
