//! `docs/differences.md` is what `docs/spec/defects.md` says, with the tests that show it, and `docs/undecided.md`.
//!
//! This test compares, and rewrites the page when `UPDATE_DIFFERENCES=1`.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;

use agent_sandbox_tests::documents::{Shown, citations, defined, read, repository, shown};

/// What is known to be wrong with the original: a family of numbers, which run from 1, and how many there are.
const KNOWN: [(&str, u32, &str); 2] =
    [("DEF", 37, "Claims, pools and templates"), ("GAP", 27, "Sandboxes and the process")];

/// Requirements that are met in another way than the original's, for what is no defect of it: where they are.
const OTHERWISE: [&str; 5] = ["claims", "pools", "sandboxes", "keys", "process"];

/// What comes before what the original does.
const ORIGINAL: &str = "*Original:*";

/// What comes before the reason why no test shows an entry.
const NO_TEST: &str = "*No test:*";

const HEAD: &str = "\
# Differences from the original

For whoever switches over. The first two tables have what the original gets wrong, found by reading its source, and what
this controller does instead; the third has what is no defect there and done in another way here; the last has what a
comparison of both on the same stories still shows.

Made by `just fix` from [spec/defects.md](spec/defects.md), from the tests that cite its numbers, from
[undecided.md](undecided.md), from what the [requirements](spec/README.md) say of the original, and from
[accept.txt](../tests/differential/accept.txt), so edit those.
";

/// One entry of `defects.md`.
struct Entry {
    id: String,
    here: String,
    original: String,
    /// Why no test shows it.
    no_test: Option<String>,
}

#[test]
fn the_page_of_differences_is_fresh() {
    let (path, page) = (repository().join("docs/differences.md"), page());
    if env::var_os("UPDATE_DIFFERENCES").is_some() {
        fs::write(&path, &page).expect("the repository is writable");
    }
    let is_fresh = fs::read_to_string(&path).is_ok_and(|text| text == page);
    assert!(is_fresh, "docs/differences.md is stale: run `just fix`");
}

#[test]
fn everything_that_the_original_gets_wrong_has_an_entry() {
    let both = ["docs/spec/defects.md", "docs/undecided.md"];
    let mut entries: Vec<_> = both.into_iter().flat_map(entries).map(|entry| entry.id).collect();
    entries.sort();
    let wanted =
        KNOWN.iter().flat_map(|(family, count, _)| (1..=*count).map(move |n| format!("{family}-{n:03}")));
    assert_eq!(entries, wanted.collect::<Vec<_>>());
}

#[test]
fn whatever_is_decided_is_shown_by_a_test() {
    let shown = shown();
    for entry in entries("docs/spec/defects.md") {
        let has_test = shown.contains_key(&entry.id);
        assert!(has_test || entry.no_test.is_some(), "no test cites {}, and it does not say why", entry.id);
        assert!(!has_test || entry.no_test.is_none(), "{} has a test and says that it has none", entry.id);
    }
}

fn entries(path: &str) -> Vec<Entry> {
    let text = read(path);
    let lines = text.lines().filter_map(|line| Some((defined(line)?, line)));
    lines.map(|(id, line)| entry(id, line)).collect()
}

/// What a page of requirements says of the original. What is a defect has its own line.
fn otherwise(page: &str) -> Vec<Entry> {
    let text = read(format!("docs/spec/{page}.md"));
    let lines = text.lines().filter_map(|line| Some((defined(line)?, line)));
    let is_known =
        |line: &str| citations(line).any(|id| KNOWN.iter().any(|(family, ..)| id.starts_with(family)));
    let others = lines.filter(|(_, line)| line.contains(ORIGINAL) && !is_known(line));
    others.map(|(id, line)| entry(id, line)).collect()
}

fn entry(id: &str, line: &str) -> Entry {
    let (_, said) = line.split_once("** ").unwrap_or_else(|| panic!("{id} says nothing"));
    let (said, no_test) = match said.split_once(NO_TEST) {
        Some((said, why)) => (said, Some(why.trim().to_owned())),
        None => (said, None),
    };
    let (here, original) =
        said.split_once(ORIGINAL).unwrap_or_else(|| panic!("{id} does not say what the original does"));
    let [here, original] = [here, original].map(|text| text.trim().to_owned());
    assert!(here.ends_with('.') && original.ends_with('.'), "{id}: both parts are sentences");
    Entry { id: id.to_owned(), here, original, no_test }
}

fn page() -> String {
    let (decided, undecided, shown) =
        (entries("docs/spec/defects.md"), entries("docs/undecided.md"), shown());
    let mut page = HEAD.to_owned();
    for (family, _, title) in KNOWN {
        let _ = write!(page, "\n## {title}\n\n| | the original | here | shown by |\n|---|---|---|---|\n");
        for entry in decided.iter().filter(|entry| entry.id.starts_with(family)) {
            let Entry { id, here, original, .. } = entry;
            let _ =
                writeln!(page, "| {id} | {} | {} | {} |", cell(original), cell(here), tests(entry, &shown));
        }
        for Entry { id, here, original, .. } in undecided.iter().filter(|entry| entry.id.starts_with(family))
        {
            let _ = writeln!(page, "| {id} | {} | {} | not decided yet |", cell(original), cell(here));
        }
    }
    page += "\n## Done in another way\n\n| | the original | here |\n|---|---|---|\n";
    for Entry { id, here, original, .. } in OTHERWISE.into_iter().flat_map(otherwise) {
        let _ = writeln!(page, "| {id} | {} | {} |", cell(&original), cell(&here));
    }
    page += "\n## What a comparison shows\n\n| stories | value | why |\n|---|---|---|\n";
    for line in read("tests/differential/accept.txt").lines() {
        let Some((what, why)) = line.split_once('#').filter(|(what, _)| !what.trim().is_empty()) else {
            continue;
        };
        let words: Vec<_> = what.split_whitespace().collect();
        let [stories, value] = words[..] else { panic!("not two words: {what}") };
        let value = value.replace("?*?", "").replace("??", "");
        let _ = writeln!(page, "| `{stories}` | `{value}` | {} |", cell(why.trim()));
    }
    page
}

fn tests(entry: &Entry, shown: &BTreeMap<String, Vec<Shown>>) -> String {
    if let Some(why) = &entry.no_test {
        return cell(why);
    }
    let tests = shown.get(&entry.id).map_or(&[][..], |tests| tests);
    let links = tests.iter().map(|Shown { path, test }| format!("[{}](../{path})", test.replace('_', " ")));
    links.collect::<Vec<_>>().join(" · ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn an_entry_has_what_we_do_what_the_original_does_and_perhaps_why_no_test_shows_it() {
    let read = entry("DEF-001", "- **DEF-001** Better. *Original:* Worse. *No test:* it is a comment.");
    assert_eq!(
        (&*read.here, &*read.original, read.no_test.as_deref()),
        ("Better.", "Worse.", Some("it is a comment."))
    );
    assert_eq!(citations("see DEF-001").next(), Some("DEF-001"));
}
