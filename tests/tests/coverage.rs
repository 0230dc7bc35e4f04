//! Every requirement that is defined is shown by a test, or `docs/spec-not-covered.md` says why not.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_tests::documents::{definitions, expand, read, shown};

#[test]
fn every_requirement_is_shown_by_a_test_or_is_listed() {
    let (shown, listed) = (shown(), listed());
    // What must hold in every interleaving is watched by checkers, and what only others got wrong is no requirement.
    let is_requirement =
        |id: &String| !["INV-", "BUG-", "DEF-", "GAP-"].iter().any(|family| id.starts_with(family));
    let silent: Vec<_> = definitions()
        .into_keys()
        .filter(|id| is_requirement(id) && !shown.contains_key(id) && !listed.contains_key(id))
        .collect();
    assert!(silent.is_empty(), "no test's doc comment cites {silent:?}, nor does docs/spec-not-covered.md");
}

#[test]
fn what_is_listed_is_not_shown() {
    let shown = shown();
    let stale: BTreeSet<_> = listed().into_keys().filter(|id| shown.contains_key(id)).collect();
    assert!(stale.is_empty(), "docs/spec-not-covered.md lists what tests show: {stale:?}");
}

/// Returns the numbers that are listed, each with the reason.
fn listed() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let text = read("docs/spec-not-covered.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("| ")).skip(1) {
        let cells: Vec<_> = line.split(" | ").collect();
        let [numbers, reason] = cells[..] else { panic!("not two columns: {line}") };
        for id in expand(numbers) {
            let before = found.insert(id.clone(), reason.to_owned());
            assert!(before.is_none(), "{id} is listed twice");
        }
    }
    found
}
