//! Inputs that nobody thought of: seeds, cut, repeated, joined and bent, the same ones every time.
//!
//! A target is a function of bytes that panics when something is not as it has to be. A short run is a test like others.
//! [`SECONDS`] makes it go on, with other inputs each time; what it finds is kept in [`FOUND`] and told.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// So long each target goes on, in seconds; without it, for [`SHORT`] inputs.
pub const SECONDS: &str = "FERROKUBE_FUZZ_SECONDS";
/// The folder where inputs are kept that a long run found.
pub const FOUND: &str = "FERROKUBE_FUZZ_FOUND";
const SHORT: usize = 500;
/// An input is not longer than this, in bytes.
const LONGEST: usize = 4096;
/// How long what is repeated becomes. Whoever needs a square of steps for it does not end while the test may run.
const LARGE: usize = 1 << 18;

/// What texts and messages are made of.
const WORDS: [&[u8]; 40] = [
    b"[",
    b"]",
    b"{",
    b"}",
    b"{\"a\":",
    b"[{",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b":",
    b"-",
    b"- ",
    b"\n",
    b"  ",
    b"#",
    b"&a ",
    b"*a",
    b"!!",
    b"? ",
    b"|\n",
    b"null",
    b"true",
    b"0",
    b"1e9",
    b"-1",
    b"999999999999999999999",
    b"a",
    b"=",
    b"!=",
    b"!",
    b" in (a,b)",
    b"/",
    b"~1",
    b"$patch",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x80",
    "é".as_bytes(),
];

/// Numbers without a pattern (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }
}

/// A seed with a few changes.
fn input(seeds: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).map(|seed| seed.to_vec()).unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(&mut input, seeds, random);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.below(input.len() + 1 - at);
    match random.below(8) {
        0 if at < input.len() => input[at] = random.byte(),
        1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 => drop(input.drain(at..end)),
        3 => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        4 => {
            let piece = input[at..end].repeat(1 + random.below(4));
            input.splice(at..at, piece);
        }
        5 => {
            let word = WORDS[random.below(WORDS.len())].repeat(1 + random.below(200));
            input.splice(at..at, word);
        }
        6 => {
            let other = seeds.get(random.below(seeds.len())).copied().unwrap_or_default();
            let from = random.below(other.len() + 1);
            input.splice(at..end, other[from..].iter().copied());
        }
        _ => input.insert(at, random.byte()),
    }
}

/// Inputs that are long and of one piece, or of one piece within a seed.
fn large(seeds: &[&[u8]]) -> impl Iterator<Item = Vec<u8>> {
    let seed = seeds.first().copied().unwrap_or_default();
    let (before, after) = seed.split_at(seed.len() / 2);
    WORDS.into_iter().chain([seed]).filter(|word| !word.is_empty()).flat_map(move |word| {
        let much = word.repeat(LARGE / word.len());
        [[before, &much, after].concat(), much]
    })
}

/// Tries a target with many inputs.
///
/// # Panics
/// When the target does; the message names the input.
pub fn fuzz(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8])) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let begin = Instant::now();
    let mut found = Vec::new();
    let mut try_one = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            keep(name, input);
            found.push(input.escape_ascii().to_string());
        }
    };
    seeds.iter().for_each(|seed| try_one(seed));
    large(seeds).for_each(|input| try_one(&input));
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seconds.map_or(0, |_| now()));
    let mut count = 0;
    while seconds.map_or(count < SHORT, |seconds| begin.elapsed() < seconds) {
        try_one(&input(seeds, &mut random));
        count += 1;
    }
    println!("{name}: {count} inputs in {:?}", begin.elapsed());
    found.sort_by_key(String::len);
    found.iter_mut().for_each(|input| input.truncate(2000));
    assert!(found.is_empty(), "{name}: {} inputs were found, the shortest: {}", found.len(), found[0]);
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::try_from(since.as_nanos()).unwrap_or(1))
}

/// Keeps an input that was found; it is told anyhow.
fn keep(name: &str, input: &[u8]) {
    let Some(folder) = std::env::var_os(FOUND).map(PathBuf::from) else { return };
    let _ = std::fs::create_dir_all(&folder);
    let _ = std::fs::write(folder.join(format!("{name}-{}-{:x}", input.len(), now())), input);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found() {
        let result = catch_unwind(|| fuzz("a test", &[b"abc"], |input| assert!(!input.starts_with(b"b"))));
        assert!(result.is_err(), "a cut is tried");
        fuzz("a test", &[b"abc"], |input| assert!(input.len() <= LARGE + 3));
    }
}
