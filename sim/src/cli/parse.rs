//! Texts on the command line → values, and what is wrong with those that are none.

use std::time::Duration;

use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::engines::Engine;
use agent_sandbox_sim::faults::{Fault, Faults};
use agent_sandbox_sim::span;

/// Reads a seed: decimal, or hexadecimal after 0x.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "a seed is a number below 2^64, decimal or 0x…".to_owned())
}

/// Reads a range of seeds, the end not included.
pub(super) fn seeds(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("a range of seeds looks like 0..1000")?;
    let range = (seed(from)?, seed(to)?);
    if range.0 < range.1 { Ok(range) } else { Err("the range is empty".to_owned()) }
}

/// Reads which part of a campaign it is, of how many, the first being number 0.
pub(super) fn shard(text: &str) -> Result<(u32, u32), String> {
    let wrong = || "a shard looks like 3/16: its number, from 0 on, and how many there are".to_owned();
    let (number, count) = text.split_once('/').ok_or_else(wrong)?;
    let shard: (u32, u32) = (number.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
    match shard {
        (_, 0) => Err(wrong()),
        (number, count) if number >= count => {
            Err(format!("the last of {count} shards is {}/{count}", count - 1))
        }
        shard => Ok(shard),
    }
}

/// Reads how many lines or steps there are.
pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number is needed".to_owned())
}

/// Reads how many claims or members there are.
pub(super) fn count(text: &str) -> Result<u32, String> {
    const MAX: u32 = 100_000;
    text.parse()
        .ok()
        .filter(|count| *count <= MAX)
        .ok_or_else(|| format!("a whole number from 0 to {MAX} is needed"))
}

/// Reads a duration: numbers with units, largest first.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match span::parse(text)? {
        Duration::ZERO => Err("a duration of nothing is too short".to_owned()),
        span => Ok(span),
    }
}

/// Reads `all`, `none`, or names of faults.
pub(super) fn faults(text: &str) -> Result<Faults, String> {
    Faults::parse(text).map_err(|name| {
        let names: Vec<&str> = Fault::ALL.into_iter().map(Fault::name).collect();
        format!("there is no fault {name:?}; there are all, races, none, {}", names.join(", "))
    })
}

/// Reads the name of a way to look.
pub(super) fn engine(text: &str) -> Result<Engine, String> {
    Engine::named(text).ok_or_else(|| {
        let names: Vec<&str> = Engine::ALL.into_iter().map(Engine::name).collect();
        format!("there is no engine {text:?}; there are {}", names.join(", "))
    })
}

/// Some ways to look. A type of its own, because clap takes a list for a flag that may be repeated.
#[derive(Clone, Debug)]
pub(super) struct Engines(pub(super) Vec<Engine>);

/// Reads `all`, or names of ways to look.
pub(super) fn engines(text: &str) -> Result<Engines, String> {
    if text == "all" {
        return Ok(Engines(Engine::ALL.to_vec()));
    }
    text.split(',').map(engine).collect::<Result<_, _>>().map(Engines)
}

/// Reads the name of a mutant; `help` is none, and is told what each does.
pub(super) fn mutant(text: &str) -> Result<Mutant, String> {
    Mutant::ALL.iter().copied().find(|mutant| mutant.name() == text).ok_or_else(|| {
        let about = |mutant: &Mutant| format!("{} ({})", mutant.name(), mutant.about());
        if text == "help" {
            return format!(
                "the mutants are {}",
                Mutant::ALL.iter().map(about).collect::<Vec<_>>().join("; ")
            );
        }
        let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        format!("there is no mutant {text:?}; there are {}, and help tells what each does", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        assert_eq!(seed("42"), Ok(42));
        assert_eq!(seed("0x2a"), Ok(42));
        assert!(seed("2a").is_err() && seed("-1").is_err() && seed("").is_err());
        assert_eq!(seeds("1..0x10"), Ok((1, 16)));
        assert!(seeds("5..5").is_err() && seeds("5").is_err());
    }

    #[test]
    fn shards_count_from_zero() {
        assert_eq!((shard("0/1"), shard("15/16")), (Ok((0, 1)), Ok((15, 16))));
        assert!(["16/16", "1/0", "3", "-1/2", "a/b", ""].iter().all(|text| shard(text).is_err()));
    }

    #[test]
    fn counts_are_whole_and_not_too_large() {
        assert_eq!((count("0"), count("100000")), (Ok(0), Ok(100_000)));
        assert!(["", "-1", "1.5", "100001", "5000000000"].iter().all(|text| count(text).is_err()));
    }

    #[test]
    fn a_duration_is_longer_than_nothing() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("0s").is_err() && duration("").is_err());
    }

    #[test]
    fn wrong_names_list_the_right_ones() {
        assert!(
            faults("crash,typo").is_err_and(|text| text.contains("typo") && text.contains("lost-answer"))
        );
        for text in ["help", "typo"] {
            assert!(mutant(text).is_err_and(|text| text.contains("adopt-without-lock")));
        }
    }
}
