//! What a campaign found, as a file: those of several machines, which know nothing of each other, are merged in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a campaign found: one of a single machine, or several merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The version of the program. Campaigns of two versions are not merged: their seeds are other runs.
    pub version: String,
    /// The defect that was built in.
    pub defect: Option<String>,
    /// What might go wrong, as `--faults` says it.
    pub faults: String,
    /// How it was looked: the name of an engine, or `all`.
    pub engine: String,
    /// The seeds that were to be tried, the ends not included; in order, and none next to another.
    pub seeds: Vec<(u64, u64)>,
    /// How many were tried. Fewer than there are when the budget was used up, or when something broke.
    pub tried: u64,
    /// How many steps there were.
    pub steps: u64,
    /// How often each kind of trouble struck.
    pub struck: BTreeMap<String, u64>,
    /// In how many of the merged campaigns each branch of the core was taken.
    pub branches: BTreeMap<String, u64>,
    /// What broke, by seed.
    pub violations: Vec<Violation>,
}

/// A property that broke.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// The property's name.
    pub property: String,
    /// Whether something bad happened, rather than something good did not.
    #[serde(rename = "unsafe")]
    pub is_unsafe: bool,
    /// How it broke.
    pub what: String,
    /// The number of the step.
    pub step: u64,
    /// The command that tells it again.
    pub command: String,
}

/// Returns the part of a range of seeds that one machine of several tries, the first being number 0. All parts together
/// are the range, and none is in two.
///
/// # Panics
/// When there is no machine.
pub fn share((from, to): (u64, u64), (number, count): (u32, u32)) -> (u64, u64) {
    let length = u128::from(to - from);
    let bound = |number: u32| from + (length * u128::from(number) / u128::from(count)) as u64;
    (bound(number), bound(number + 1))
}

/// Merges campaigns. Neither their order nor what was merged before makes a difference.
///
/// # Errors
/// One sentence, when two do not belong together, or tried the same seeds.
pub fn merge(campaigns: impl IntoIterator<Item = Campaign>) -> Result<Campaign, String> {
    let mut campaigns = campaigns.into_iter();
    let mut all = campaigns.next().ok_or("there is nothing to merge")?;
    for other in campaigns {
        for (what, mine, others) in [
            ("version", &all.version, &other.version),
            ("faults", &all.faults, &other.faults),
            ("engine", &all.engine, &other.engine),
            ("defect", &named(&all.defect), &named(&other.defect)),
        ] {
            if mine != others {
                let (least, most) = (mine.min(others), mine.max(others));
                return Err(format!(
                    "they are of different campaigns: the {what} is {least} in one, {most} in another"
                ));
            }
        }
        all.seeds.extend(other.seeds);
        all.tried += other.tried;
        all.steps += other.steps;
        for (sums, counts) in [(&mut all.struck, other.struck), (&mut all.branches, other.branches)] {
            for (name, count) in counts {
                *sums.entry(name).or_default() += count;
            }
        }
        all.violations.extend(other.violations);
    }
    all.violations.sort_unstable();
    all.seeds = joined(all.seeds)?;
    Ok(all)
}

fn named(defect: &Option<String>) -> String {
    defect.clone().unwrap_or_else(|| "none".to_owned())
}

/// Puts ranges in order and joins those that touch.
fn joined(mut ranges: Vec<(u64, u64)>) -> Result<Vec<(u64, u64)>, String> {
    ranges.retain(|(from, to)| from < to);
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some((_, end)) if *end > from => {
                return Err(format!("the seeds from {from:#x} on were tried by two of them"));
            }
            Some((_, end)) if *end == from => *end = to,
            Some(_) | None => joined.push((from, to)),
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Choices;

    #[test]
    fn shares_are_the_range_and_nothing_twice() {
        let mut choices = Choices::from_seed(1);
        for _ in 0..1000 {
            let from = u64::from(choices.below(u32::MAX)) << choices.below(32);
            let range = (from, from + u64::from(choices.below(1000)));
            let count = 1 + choices.below(40);
            let shares: Vec<_> = (0..count).map(|number| share(range, (number, count))).collect();
            assert_eq!((shares[0].0, shares[shares.len() - 1].1), range);
            assert!(shares.windows(2).all(|pair| pair[0].1 == pair[1].0));
            let lengths = shares.iter().map(|(from, to)| to - from);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1, "{shares:?}");
        }
        assert_eq!(share((0, u64::MAX), (15, 16)).1, u64::MAX);
    }

    #[test]
    fn any_order_and_any_grouping_merge_to_the_same() {
        let mut choices = Choices::from_seed(2);
        for _ in 0..300 {
            let count = 1 + choices.below(12);
            let mut parts: Vec<Campaign> =
                (0..count).map(|number| draw(share((100, 1100), (number, count)), &mut choices)).collect();
            let all = merge(parts.clone()).unwrap();
            assert_eq!(all.seeds, [(100, 1100)]);
            assert_eq!(all.tried, parts.iter().map(|part| part.tried).sum::<u64>());
            // Two at random become one, until one is left.
            while parts.len() > 1 {
                let one = parts.swap_remove(choices.below(parts.len() as u32) as usize);
                let other = parts.swap_remove(choices.below(parts.len() as u32) as usize);
                parts.push(merge([one, other]).unwrap());
            }
            assert_eq!(parts, [all]);
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused_in_any_order() {
        let mut choices = Choices::from_seed(3);
        let one = draw((0, 10), &mut choices);
        let twice = Campaign { seeds: vec![(9, 20)], ..one.clone() };
        let other = Campaign { faults: "none".to_owned(), seeds: vec![(10, 20)], ..one.clone() };
        for strange in [twice, other] {
            let why = merge([one.clone(), strange.clone()]).unwrap_err();
            assert_eq!(merge([strange, one.clone()]), Err(why));
        }
        assert!(merge([]).is_err());
    }

    #[test]
    fn a_campaign_survives_its_file() {
        let campaign = draw((0, u64::MAX), &mut Choices::from_seed(4));
        let text = serde_json::to_string(&campaign).unwrap();
        assert_eq!(serde_json::from_str::<Campaign>(&text).unwrap(), campaign);
    }

    fn draw(range: (u64, u64), choices: &mut Choices) -> Campaign {
        let mut counts = |names: [&str; 3]| {
            let drawn = names.map(|name| (name.to_owned(), u64::from(choices.below(50))));
            drawn.into_iter().filter(|(_, count)| *count > 20).collect()
        };
        let (struck, branches) =
            (counts(["crash", "watch-lag", "tuned"]), counts(["adopts", "waits", "starts"]));
        let violation = |seed: u64| Violation {
            seed,
            property: "one-pod".to_owned(),
            is_unsafe: true,
            what: "two".to_owned(),
            step: seed * 2,
            command: "run".to_owned(),
        };
        let violations = (0..choices.below(3)).map(|number| violation(range.0 + u64::from(number))).collect();
        Campaign {
            version: "1".to_owned(),
            defect: None,
            faults: "all".to_owned(),
            engine: "all".to_owned(),
            seeds: vec![range],
            tried: u64::from(choices.below(100)),
            steps: u64::from(choices.below(1000)),
            struck,
            branches,
            violations,
        }
    }
}
