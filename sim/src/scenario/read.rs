//! The text of a file → a scenario that makes sense, or one sentence that says where it does not.

use std::time::Duration;

use super::delay::{COUNT_MAX, Delay, Span};
use super::{Arrivals, Scenario, Trouble};

/// Most claims that a scenario is expected to bring: more would not be simulated within minutes.
const CLAIMS_MAX: f64 = COUNT_MAX as f64;

/// Reads a scenario in YAML, or in JSON, which is YAML too.
///
/// # Errors
/// One sentence with the line and what would be right, or with the field and what is wrong about it.
pub fn read(text: &str) -> Result<Scenario, String> {
    let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or(String::new(), |at| {
            let line = text.lines().nth(at.line() as usize - 1).unwrap_or_default().trim();
            let line = if line.is_empty() { String::new() } else { format!(" ({line})") };
            format!("line {}, column {}{line}: ", at.line(), at.column())
        });
        let why = error.without_snippet().to_string();
        let why = why.split(" at line ").next().unwrap_or(&why).replace('\n', " ");
        format!("{place}{why}")
    })?;
    match wrong(&scenario) {
        None => Ok(scenario),
        Some((field, why)) => Err(format!("{field}: {why}")),
    }
}

/// Returns the first field that makes no sense, and why.
fn wrong(scenario: &Scenario) -> Option<(String, String)> {
    let field = |name: &str, why: &str| Some((name.to_owned(), why.to_owned()));
    if scenario.duration.0.is_zero() {
        return field("for", "must be longer than 0s");
    }
    let Some(first) = scenario.pools.first() else { return field("pools", "needs at least one pool") };
    for (place, pool) in scenario.pools.iter().enumerate() {
        let is_name = !pool.name.is_empty()
            && pool.name.len() <= 63
            && pool
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_name {
            let why = "a name has small letters, digits and -, at most 63 of them";
            return field(&format!("pools[{place}].name"), why);
        }
        if scenario.pools[..place].iter().any(|other| other.name == pool.name) {
            return field(&format!("pools[{place}].name"), "another pool has this name");
        }
    }
    for (name, delay) in delays(scenario) {
        if let Some(why) = delay.wrong() {
            return field(&name, why);
        }
    }
    if scenario.nodes.count.0 == 0 || scenario.nodes.pulls_at_once.0 == 0 {
        return field("nodes", "count and pulls_at_once must be at least 1");
    }
    let is_pool = |name: &Option<String>| {
        let name = name.as_ref().unwrap_or(&first.name);
        scenario.pools.iter().any(|pool| pool.name == *name)
    };
    let names: Vec<&str> = scenario.pools.iter().map(|pool| &*pool.name).collect();
    let no_pool = format!("there is no such pool; there are {}", names.join(", "));
    for (place, arrivals) in scenario.arrivals.iter().enumerate() {
        let (Arrivals::Burst { pool, .. } | Arrivals::Poisson { pool, .. } | Arrivals::Diurnal { pool, .. }) =
            arrivals;
        if !is_pool(pool) {
            return field(&format!("arrivals[{place}].pool"), &no_pool);
        }
        if let Some(why) = wrong_arrivals(arrivals, scenario.duration) {
            return field(&format!("arrivals[{place}]"), why);
        }
    }
    for (place, trouble) in scenario.faults.iter().enumerate() {
        if let Trouble::Scale { pool, .. } = trouble
            && !is_pool(pool)
        {
            return field(&format!("faults[{place}].pool"), &no_pool);
        }
        if let Some(why) = wrong_trouble(trouble, scenario) {
            return field(&format!("faults[{place}]"), why);
        }
    }
    let claims: f64 = scenario.arrivals.iter().map(|arrivals| expected(arrivals, scenario.duration)).sum();
    if claims > CLAIMS_MAX {
        let why = format!("they come to {claims:.0} claims, and {COUNT_MAX} is the most");
        return field("arrivals", &why);
    }
    None
}

fn delays(scenario: &Scenario) -> Vec<(String, &Delay)> {
    let mut delays = vec![("start".to_owned(), &scenario.start)];
    delays.extend(scenario.hold.iter().map(|delay| ("hold".to_owned(), delay)));
    delays.extend(scenario.patience.iter().map(|delay| ("patience".to_owned(), delay)));
    delays.extend(scenario.nodes.pull.iter().map(|delay| ("nodes.pull".to_owned(), delay)));
    for (place, trouble) in scenario.faults.iter().enumerate() {
        if let Trouble::SlowServer { by, .. } = trouble {
            delays.push((format!("faults[{place}].slow_server.by"), by));
        }
    }
    delays
}

fn wrong_arrivals(arrivals: &Arrivals, end: Span) -> Option<&'static str> {
    match arrivals {
        Arrivals::Burst { at, within, .. } => {
            (at.0 + within.0 > end.0).then_some("the burst must be over at the end of the scenario")
        }
        Arrivals::Poisson { from, to, .. } => {
            let to = to.unwrap_or(end);
            (*from >= to || to > end).then_some("from must come before to, and to not after the end")
        }
        Arrivals::Diurnal { low, high, day, .. } => {
            (low > high || day.0.is_zero()).then_some("low must not be above high, and day be longer than 0s")
        }
    }
}

fn wrong_trouble(trouble: &Trouble, scenario: &Scenario) -> Option<&'static str> {
    let end = scenario.duration;
    match trouble {
        Trouble::Quota { from, to, .. }
        | Trouble::Throttling { from, to, .. }
        | Trouble::SlowServer { from, to, .. } => {
            (from >= to || *to > end).then_some("from must come before to, and to not after the end")
        }
        Trouble::NodeLoss { nodes, .. } if *nodes >= scenario.nodes.count => {
            Some("at least one node must be left")
        }
        Trouble::NodeLoss { at, .. }
        | Trouble::Rollout { at }
        | Trouble::Crash { at }
        | Trouble::Scale { at, .. } => (*at > end).then_some("at must not be after the end"),
    }
}

/// Returns how many claims come on average.
fn expected(arrivals: &Arrivals, end: Span) -> f64 {
    let seconds = |span: Duration| span.as_secs_f64();
    match arrivals {
        Arrivals::Burst { claims, .. } => f64::from(claims.0),
        Arrivals::Poisson { from, to, rate, .. } => {
            rate.0 * seconds(to.unwrap_or(end).0.saturating_sub(from.0))
        }
        Arrivals::Diurnal { low, high, .. } => (low.0 + high.0) / 2.0 * seconds(end.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
about: a few claims
for: 10m
pools:
  - { name: p, replicas: 2 }
arrivals:
  - burst: { at: 1m, claims: 3 }
start: { fixed: 1s }
";

    #[test]
    fn a_small_file_is_read() {
        let scenario = read(SMALL).unwrap();
        assert_eq!((scenario.pools[0].replicas.0, scenario.nodes.count.0), (2, 10));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_allowed() {
        for (from, to, told) in [
            ("for: 10m", "for: 10", "line 3, column 6 (for: 10): \"10\" does not fit: a duration looks like"),
            ("for: 10m", "for: 0s", "for: must be longer than 0s"),
            ("replicas: 2", "replicas: -2", "a whole number from 0 to 100000 is needed"),
            ("replicas: 2", "size: 2", "unknown field `size`, expected one of name, replicas, update"),
            (
                "fixed: 1s",
                "about: 1s",
                "unknown variant `about`, expected one of fixed, uniform, exponential",
            ),
            ("start: { fixed: 1s }", "", "missing field `start`"),
            ("at: 1m", "at: 11m", "arrivals[0]: the burst must be over at the end of the scenario"),
            ("claims: 3", "claims: 3, pool: q", "arrivals[0].pool: there is no such pool; there are p"),
            ("name: p", "name: P", "pools[0].name: a name has small letters"),
            ("fixed: 1s", "uniform: { least: 2s, most: 1s }", "start: most must not be below least"),
            (
                "burst: { at: 1m, claims: 3 }",
                "poisson: { rate: 300 }",
                "arrivals: they come to 180000 claims",
            ),
            ("about: a", "about: [a", "line 2, column 8"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let why = read(&SMALL.replace(from, to)).unwrap_err();
            assert!(why.contains(told), "{to}: {why}");
            assert_eq!(why.lines().count(), 1, "{why}");
        }
        assert!(read("").is_err() && read("hello").is_err());
    }
}
