//! The scenarios that are built in.

/// A scenario that is built in.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".yaml")) }),*]
    };
}

/// All of them, the simplest first.
pub const LIBRARY: &[Entry] = entries![
    "steady",
    "thundering-herd",
    "diurnal",
    "image-pull-storm",
    "node-loss",
    "rollout",
    "quota",
    "throttling",
    "slow-refill",
];

/// Returns the one of a name.
pub fn named(name: &str) -> Option<&'static Entry> {
    LIBRARY.iter().find(|entry| entry.name == name)
}
