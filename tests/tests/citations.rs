//! Requirements, invariants and known bugs are cited by number. Each number leads somewhere, and to one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The families of numbers.
const FAMILIES: &str = "CLM LIF RES ADP CLD STS FRB PMD CRS WPL STL EXP RFL TPL QUE WCH WRT CFG KEP ACC DEF API CNV \
    KEY HSH CND EVT MTR GEN SAPI SCNV META SCND ERR SEVT MET TRC SBX WBD OPS TLS NET WR DEP SACC SHAZ GAP CON LOAD \
    INV BUG";

/// Files that may cite.
const TEXTS: [&str; 7] = ["rs", "md", "toml", "txt", "sh", "py", "yaml"];

/// How a line begins that defines a number.
const DEFINES: &str = "- **";

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

/// Returns where each number is defined.
fn definitions() -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for path in documents() {
        for (line, number) in read(&path).lines().zip(1..) {
            if let Some(id) = defined(line) {
                found.entry(id.to_owned()).or_default().push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(found.len() > 50, "the definitions are not where this test looks for them");
    found
}

/// Returns the number that a line defines.
fn defined(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix(DEFINES)?.split_once("**")?;
    citations(id).next().filter(|cited| *cited == id)
}

/// Returns the numbers that a line cites.
fn citations(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    line.split(move |c: char| !is_part(c)).filter(|word| {
        word.split_once('-').is_some_and(|(family, number)| {
            let is_number = matches!(number.len(), 2 | 3) && number.bytes().all(|b| b.is_ascii_digit());
            is_number && FAMILIES.split_whitespace().any(|known| known == family)
        })
    })
}

fn documents() -> Vec<PathBuf> {
    let docs = repository().join("docs");
    let mut all = vec![docs.join("invariants.md"), docs.join("known-bugs.md")];
    collect(&docs.join("spec"), &mut all);
    all.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    all
}

fn texts() -> Vec<PathBuf> {
    let mut all = Vec::new();
    collect(repository(), &mut all);
    all.retain(|path| TEXTS.iter().any(|text| path.extension().is_some_and(|extension| extension == *text)));
    all.retain(|path| path.file_name() != Path::new(file!()).file_name());
    all.push(repository().join("justfile"));
    all
}

/// Adds the files of a folder, without what is built and what is hidden.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_built = name == "target" || path.join("CACHEDIR.TAG").exists();
        if !name.starts_with('.') && !is_built {
            if path.is_dir() { collect(&path, files) } else { files.push(path) }
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent folder, the workspace")
}
