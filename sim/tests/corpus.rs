//! What a fuzzer has found interesting is played again.

use std::path::Path;

use agent_sandbox_sim::fuzz;

#[test]
fn every_property_holds_in_the_worlds_of_the_fuzzer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/world");
    let mut files: Vec<_> = std::fs::read_dir(&path)
        .expect("the corpus is part of the repository")
        .map(|entry| entry.expect("a directory can be read").path())
        .collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        fuzz::check(&std::fs::read(file).expect("a file can be read"));
    }
    assert!(files.len() >= 5, "only {} files are left", files.len());
}
