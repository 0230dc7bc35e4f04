//! What the repository says about itself: numbers that documents define, and tests that cite them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The families of numbers.
const FAMILIES: &str = "CLM LIF RES ADP CLD STS FRB PMD CRS WPL STL EXP RFL TPL QUE WCH WRT CFG KEP ACC DEF API CNV \
    KEY HSH CND EVT MTR GEN SAPI SCNV META SCND ERR SEVT MET TRC SBX WBD OPS TLS NET WR DEP SACC SHAZ GAP CON LOAD \
    HAZ INV BUG";

/// How a line begins that defines a number.
const DEFINES: &str = "- **";

/// Where a number is defined, and how.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The file.
    pub path: PathBuf,
    /// The line, the first being 1.
    pub line: usize,
    /// What it says after the number.
    pub text: String,
}

/// A test that cites a number in its doc comment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The file, as seen from the repository.
    pub path: String,
    /// The test's name.
    pub test: String,
}

/// Returns the folder of the workspace.
///
/// **Panics** never: the package is in it.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent folder, the workspace")
}

/// Returns the text of a file, whose path may be seen from the repository.
///
/// **Panics** when it cannot be read.
#[must_use]
pub fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files of a folder that have one of these extensions, without what is built and what is hidden.
///
/// **Panics** when the folder cannot be read.
#[must_use]
pub fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    collect(dir, &mut all);
    all.retain(|path| extensions.iter().any(|text| path.extension().is_some_and(|found| found == *text)));
    all
}

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

/// Returns the documents that define numbers.
#[must_use]
pub fn documents() -> Vec<PathBuf> {
    let docs = repository().join("docs");
    let mut all = vec![docs.join("invariants.md"), docs.join("known-bugs.md")];
    all.extend(files(&docs.join("spec"), &["md"]));
    all
}

/// Returns where each number is defined.
///
/// **Panics** when there are hardly any, since then they are elsewhere.
#[must_use]
pub fn definitions() -> BTreeMap<String, Vec<Definition>> {
    let mut found = BTreeMap::<String, Vec<Definition>>::new();
    for path in documents() {
        for (text, line) in read(&path).lines().zip(1..) {
            if let Some(id) = defined(text) {
                let said = text[DEFINES.len() + id.len()..].trim_start_matches("**").trim().to_owned();
                found.entry(id.to_owned()).or_default().push(Definition {
                    path: path.clone(),
                    line,
                    text: said,
                });
            }
        }
    }
    assert!(found.len() > 50, "the definitions are not where this looks for them");
    found
}

/// Returns the number that a line defines.
#[must_use]
pub fn defined(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix(DEFINES)?.split_once("**")?;
    citations(id).next().filter(|cited| *cited == id)
}

/// Returns the numbers that a line cites.
pub fn citations(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    line.split(move |c: char| !is_part(c)).filter(|word| {
        word.split_once('-').is_some_and(|(family, number)| {
            let is_number = matches!(number.len(), 2 | 3) && number.bytes().all(|b| b.is_ascii_digit());
            is_number && FAMILIES.split_whitespace().any(|known| known == family)
        })
    })
}

/// Returns the numbers that a text cites, and those between two with `to` between them.
#[must_use]
pub fn expand(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last: Option<(&str, u32)> = None;
    let mut is_range = false;
    for word in text.split_whitespace() {
        let Some(id) = citations(word).next() else {
            is_range = word == "to" && last.is_some();
            continue;
        };
        let (family, number) = id.split_once('-').expect("a citation has a dash");
        let number: u32 = number.parse().expect("and a number");
        let first = match last {
            Some((before, first)) if is_range && before == family => first + 1,
            _ => number,
        };
        let width = id.len() - family.len() - 1;
        found.extend((first..=number).map(|number| format!("{family}-{number:0width$}")));
        last = Some((family, number));
        is_range = false;
    }
    found
}

/// Returns, for each number, the tests whose doc comments cite it: Rust's, and the flows of the Python client.
#[must_use]
pub fn shown() -> BTreeMap<String, Vec<Shown>> {
    let mut found = BTreeMap::<String, Vec<Shown>>::new();
    for path in files(repository(), &["rs", "py"]) {
        let text = read(&path);
        let tests =
            if path.extension().is_some_and(|found| found == "rs") { rust(&text) } else { python(&text) };
        let path = path.strip_prefix(repository()).expect("it is in the repository").display().to_string();
        for (test, doc) in tests {
            for id in expand(&doc) {
                let shown = Shown { path: path.clone(), test: test.clone() };
                let tests = found.entry(id).or_default();
                if !tests.contains(&shown) {
                    tests.push(shown);
                }
            }
        }
    }
    found
}

/// Returns each test of a Rust file with its doc comment.
fn rust(text: &str) -> Vec<(String, String)> {
    let (mut tests, mut doc, mut is_test) = (Vec::new(), String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            doc += said;
            doc.push('\n');
        } else if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") {
            if let (true, Some(name)) = (is_test, line.strip_prefix("fn ")) {
                tests.push((name.split('(').next().unwrap_or(name).to_owned(), doc.clone()));
            }
            doc.clear();
            is_test = false;
        }
    }
    tests
}

/// Returns each flow of a Python file with its docstring.
fn python(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().collect();
    let flows = lines.windows(3).filter(|lines| lines[0] == "@flow").filter_map(|lines| {
        let name = lines[1].strip_prefix("def ")?.split('(').next()?;
        Some((name.to_owned(), lines[2].to_owned()))
    });
    flows.collect()
}
