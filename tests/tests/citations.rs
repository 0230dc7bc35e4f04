//! Requirements, invariants and known bugs are cited by number. Each number leads somewhere, and to one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agent_sandbox_tests::documents::{
    citations, defined, definitions, documents, expand, files, read, repository,
};

/// Files that may cite.
const TEXTS: [&str; 7] = ["rs", "md", "toml", "txt", "sh", "py", "yaml"];

/// Documents that list what is not decided or not shown.
const OPEN: [&str; 3] = ["docs/spec-not-covered.md", "docs/undecided.md", "docs/differences.md"];

#[test]
fn every_number_that_is_cited_is_defined() {
    let defined: BTreeSet<_> = definitions().into_keys().collect();
    let mut unknown = BTreeMap::<String, String>::new();
    for path in texts() {
        for (line, number) in read(&path).lines().zip(1..) {
            for cited in citations(line).filter(|cited| !defined.contains(*cited)) {
                unknown.entry(cited.to_owned()).or_insert_with(|| format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "cited, but not defined in docs: {unknown:#?}");
}

#[test]
fn no_number_is_defined_twice() {
    let twice: Vec<_> = definitions().into_iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn definitions_stand_in_the_order_of_their_numbers() {
    for path in documents() {
        let mut last = BTreeMap::new();
        for line in read(&path).lines() {
            let Some((family, number)) = defined(line).and_then(|id| id.split_once('-')) else { continue };
            let number: u32 = number.parse().expect("a number");
            let before = last.insert(family.to_owned(), number).unwrap_or(0);
            assert!(before < number, "{}: {family}-{number:03} comes after {before:03}", path.display());
        }
    }
}

#[test]
fn a_citation_is_a_family_and_two_or_three_digits() {
    let found = |text| citations(text).collect::<Vec<_>>();
    assert_eq!(
        found("by INV-03, CON-010 to CON-017; (ADP-035)"),
        ["INV-03", "CON-010", "CON-017", "ADP-035"]
    );
    assert_eq!(found("KEP-5504, UTF-16, SINV-03, INV-3x, INV-1, xINV-03"), [""; 0]);
}

#[test]
fn a_range_is_every_number_in_it() {
    assert_eq!(
        expand("ACC-001 to ACC-003, CON-010, INV-03 to"),
        ["ACC-001", "ACC-002", "ACC-003", "CON-010", "INV-03"]
    );
    assert_eq!(expand("from ADP-035 it goes to CON-010"), ["ADP-035", "CON-010"]);
}

fn texts() -> Vec<PathBuf> {
    let mut all = files(repository(), &TEXTS);
    // This file cites to test, and what is listed as open need not be defined.
    all.retain(|path| path.file_name() != Path::new(file!()).file_name());
    all.retain(|path| OPEN.iter().all(|open| !path.ends_with(open)));
    all.push(repository().join("justfile"));
    all
}
