//! The differences from the original that are meant: each says which, where, and why.

use std::path::Path;
use std::{fs, str};

#[test]
fn every_accepted_difference_has_a_story_a_place_and_a_reason() {
    let (accepted, told) = (read("accept.txt"), told());
    for (line, number) in accepted.lines().zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (what, reason) =
            line.split_once('#').unwrap_or_else(|| panic!("accept.txt:{number}: no reason: {line}"));
        let words: Vec<_> = what.split_whitespace().collect();
        let [stories, path] = words[..] else {
            panic!("accept.txt:{number}: a line begins with the stories and the path: {line}");
        };
        assert!(reason.trim().contains(' '), "accept.txt:{number}: a reason has more than one word: {line}");
        assert!(
            !what.contains(['[', ']']),
            "accept.txt:{number}: [ ] is a set of characters here, write ? for each: {line}"
        );
        assert!(path != "*", "accept.txt:{number}: accepts everything: {line}");
        assert!(
            told.iter().any(|story| matches(stories, story)),
            "accept.txt:{number}: {stories} is no story that is told"
        );
    }
}

#[test]
fn the_stories_of_a_claims_life_are_told() {
    let told = told();
    for story in
        ["claim_warm", "claim_cold_from_an_empty_pool", "claim_deleted", "pool_fills", "sandbox_starts"]
    {
        assert!(told.iter().any(|name| name == story), "{story} is not among {told:?}");
    }
}

/// Returns the stories that told.py lists.
fn told() -> Vec<String> {
    let text = read("told.py");
    let list = text.split("\"\"\"").nth(3).expect("told.py lists the stories between three quotes");
    list.split_whitespace().map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a glob with `*` and `?` matches a whole text.
fn matches(glob: &str, text: &str) -> bool {
    let Some(first) = glob.chars().next() else { return text.is_empty() };
    let rest = &glob[first.len_utf8()..];
    match first {
        '*' => (0..=text.len()).any(|from| text.is_char_boundary(from) && matches(rest, &text[from..])),
        '?' => text.chars().next().is_some_and(|any| matches(rest, &text[any.len_utf8()..])),
        _ => text.strip_prefix(first).is_some_and(|left| matches(rest, left)),
    }
}
