use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::explore::{Scope, explore};
fn main() {
    let mut scope = Scope::small();
    let mut budget = 60u64;
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(2) {
        let n = || pair[1].parse::<u32>().unwrap();
        match &*pair[0] {
            "claims" => scope.claims = n(),
            "pool" => scope.pool = n(),
            "leaders" => scope.leaders = n() as u8,
            "crashes" => scope.crashes = n() as u8,
            "lost" => scope.lost_answers = n() as u8,
            "relists" => scope.relists = n() as u8,
            "deletes" => scope.claim_deletes = n(),
            "scale" => scope.scale_downs = n(),
            "late" => scope.late_answers = n() as u8,
            "split" => scope.split_writes = n() > 0,
            "budget" => budget = n() as u64,
            "mutant" => scope.mutant = Mutant::ALL.into_iter().find(|m| m.name() == pair[1]),
            _ => panic!(),
        }
    }
    let r = explore(&scope, std::time::Duration::from_secs(budget));
    println!("closed {} states {} transitions {} depth {} rests {} {:.2}s {:.0}/s visited {:.1} B/state frontier {} machines {} reactions {}",
        r.closed, r.states, r.transitions, r.depth, r.rests, r.elapsed.as_secs_f64(), r.transitions as f64 / r.elapsed.as_secs_f64(),
        r.bytes_visited as f64 / r.states as f64, r.frontier_max, r.machines, r.reactions);
    if let Some(f) = r.found { println!("{}: {}", f.violation.property.name, f.violation.what); for l in f.story { println!("{l}"); } }
}
