//! The contracts on top of `core/src/rules/*.rs` are whole, say what the code does, and are what `docs/rules.md` shows.
//!
//! The page is made of the sources' text. This test compares, and rewrites it when `UPDATE_RULES=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs};

use agent_sandbox_tests::documents::{read, repository};

/// The parts of a contract after its description, in their order.
const PARTS: [&str; 4] = ["Reads", "Emits", "Never", "Source"];

/// What a rule can emit or arm: each that its code names, its contract names under Emits, and the other way round.
const EFFECTS: [&str; 2] = ["Intent::", "TimeoutReason::"];

const HEAD: &str = "\
# Rules

Everything that the core decides. A rule looks at one object and says one thing to do; the rules of a kind are asked in
this order, again and again until all are quiet. Each is one file, with its tests at the bottom.

Made from the contracts in `core/src/rules/*.rs` by `just fix`, so edit those.
";

/// One rule, as its file tells it.
#[derive(Debug)]
struct Rule {
    name: String,
    kind: String,
    waits: String,
    /// What it does, in paragraphs.
    about: Vec<String>,
    /// The text of each of [`PARTS`].
    parts: Vec<String>,
    /// The function's code, without comments and tests.
    code: String,
}

#[test]
fn the_page_of_rules_is_what_the_contracts_say() {
    let (path, page) = (repository().join("docs/rules.md"), page(&rules()));
    if env::var_os("UPDATE_RULES").is_some() {
        fs::write(&path, &page).expect("the repository is writable");
    }
    let is_fresh = fs::read_to_string(&path).is_ok_and(|text| text == page);
    assert!(is_fresh, "docs/rules.md is stale: run `just fix`");
}

#[test]
fn a_contract_names_what_its_rule_emits_and_nothing_else() {
    for rule in rules() {
        let (emits, does) = (effects(&rule.parts[1]), effects(&rule.code));
        assert_eq!(emits, does, "{}: what Emits names, and what the code does", rule.name);
        assert!(!emits.is_empty(), "{} emits nothing", rule.name);
    }
}

#[test]
fn a_contract_cites_its_sources() {
    for rule in rules() {
        let source = &rule.parts[3];
        let cites = source.split([' ', ',', ';', '.']).any(|word| {
            word.split_once('-').is_some_and(|(family, number)| {
                family.bytes().all(|b| b.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
            })
        });
        assert!(cites, "{}: no number in its source: {source}", rule.name);
    }
}

#[test]
fn every_file_of_a_rule_is_in_the_list() {
    let listed: BTreeSet<_> = rules().into_iter().map(|rule| rule.name).collect();
    let folder = repository().join("core/src/rules");
    let files = fs::read_dir(&folder).expect("the rules are there").map(|entry| {
        let path = entry.expect("an entry").path();
        path.file_stem().expect("a name").to_string_lossy().into_owned()
    });
    let files: BTreeSet<_> = files.filter(|name| name != "testing").collect();
    assert_eq!(files, listed);
}

/// Returns the rules in the order of the list `RULES`.
fn rules() -> Vec<Rule> {
    let text = read("core/src/rules.rs");
    let waits = waits(&text);
    let (_, list) = text.split_once("const RULES").expect("rules.rs has the list RULES");
    let (list, _) = list.split_once("\n];").expect("the list ends");
    let (_, list) = list.split_once("= &[").expect("the list begins");
    let entries = list.split('(').skip(1).map(|entry| {
        let (entry, _) = entry.split_once(')').unwrap_or_else(|| panic!("no end: {entry}"));
        let words: Vec<_> = entry.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let [kind, _id, waits_for_it, run] = words[..] else { panic!("not four parts: {words:?}") };
        let (file, name) = run.split_once("::").unwrap_or_else(|| panic!("not file::function: {run}"));
        assert_eq!(file, name, "a rule has its file's name");
        rule(name, kind.trim_start_matches("Kind::"), &waits[waits_for_it.trim_start_matches("For::")])
    });
    entries.collect()
}

/// Returns what each variant of `For` says of itself.
fn waits(text: &str) -> BTreeMap<String, String> {
    let (_, body) = text.split_once("enum For {").expect("rules.rs says who waits");
    let (body, _) = body.split_once('}').expect("the enum ends");
    let mut said = BTreeMap::new();
    let mut doc = String::new();
    for line in body.lines().map(str::trim) {
        match line.strip_prefix("/// ") {
            Some(text) => doc += text,
            None if line.is_empty() => {}
            None => drop(said.insert(line.trim_end_matches(',').to_owned(), std::mem::take(&mut doc))),
        }
    }
    said
}

fn rule(name: &str, kind: &str, waits: &str) -> Rule {
    let file = format!("core/src/rules/{name}.rs");
    let text = read(&file);
    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or_else(|| panic!("{file}: no tests"));
    let signature = format!("\npub(super) fn {name}(");
    let (before, _) = code.split_once(&signature).unwrap_or_else(|| panic!("{file}: no{signature}"));
    let mut lines: Vec<_> = before.lines().rev().take_while(|line| line.starts_with("///")).collect();
    lines.reverse();
    let (about, parts) = contract(&file, &lines);
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    Rule {
        name: name.to_owned(),
        kind: kind.to_owned(),
        waits: waits.to_owned(),
        about,
        parts,
        code: code.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
    }
}

/// Splits a contract into its description and its parts.
fn contract(file: &str, lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut about, mut parts) = (Vec::new(), Vec::new());
    let mut paragraph = String::new();
    for line in lines.iter().map(|line| line[3..].trim()).chain([""]) {
        let begins = PARTS.get(parts.len()).and_then(|part| line.strip_prefix(part)?.strip_prefix(": "));
        match begins {
            Some(text) => parts.push(text.to_owned()),
            None if !parts.is_empty() && line.is_empty() => {}
            None if line.is_empty() => about.push(std::mem::take(&mut paragraph)),
            None => {
                let to = parts.last_mut().unwrap_or(&mut paragraph);
                let gap = if to.is_empty() { "" } else { " " };
                let _ = write!(to, "{gap}{line}");
            }
        }
    }
    let wanted = PARTS.map(|part| format!("`{part}: `")).join(", ");
    assert!(!about.is_empty() && paragraph.is_empty(), "{file}: a contract begins with what the rule does");
    assert_eq!(parts.len(), PARTS.len(), "{file}: after that, lines that begin with {wanted}, in this order");
    for text in about.iter().chain(&parts) {
        assert!(text.ends_with('.'), "{file}: no full stop after: {text}");
    }
    (about, parts)
}

/// Returns the intents and timeouts that a text names.
fn effects(text: &str) -> BTreeSet<String> {
    let named = EFFECTS.iter().flat_map(|effect| {
        text.split(effect).skip(1).map(move |rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            format!("{effect}{}", &rest[..end])
        })
    });
    named.collect()
}

fn page(rules: &[Rule]) -> String {
    let mut page = HEAD.to_owned();
    let mut kinds: Vec<&str> = Vec::new();
    for rule in rules {
        if !kinds.contains(&&*rule.kind) {
            kinds.push(&rule.kind);
        }
    }
    for kind in kinds {
        let of_kind = || rules.iter().filter(|rule| rule.kind == kind);
        let _ = write!(page, "\n## {kind}\n\n| rule | what it does | who waits for it |\n|---|---|---|\n");
        for rule in of_kind() {
            let (name, waits) = (&rule.name, rule.waits.trim_end_matches('.'));
            let _ = writeln!(page, "| [{name}](#{name}) | {} | {waits} |", plain(&rule.about[0]));
        }
        for rule in of_kind() {
            let _ = write!(page, "\n### {}\n\n", rule.name);
            for paragraph in &rule.about {
                let _ = write!(page, "{}\n\n", plain(paragraph));
            }
            for (part, text) in PARTS.iter().zip(&rule.parts) {
                let _ = writeln!(page, "- **{part}**: {}", plain(text));
            }
            let _ = writeln!(page, "- [code and tests](../core/src/rules/{}.rs)", rule.name);
        }
    }
    page
}

/// Returns a text without rustdoc's links, which lead nowhere on a page.
fn plain(text: &str) -> String {
    let mut pieces = text.split("[`");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("`]").unwrap_or_else(|| panic!("a link without end: {text}"));
        let rest =
            rest.strip_prefix('(').and_then(|link| link.split_once(')')).map_or(rest, |(_, rest)| rest);
        let _ = write!(out, "`{name}`{rest}");
    }
    out
}
