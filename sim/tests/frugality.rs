//! How many writes one warm claim costs, from its creation to its deletion, the refill of the pool included.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation, Part};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::scene::{self, Act, Deed};
use agent_sandbox_sim::step::{Fact, Sent};
use agent_sandbox_sim::timed::Timed;
use agent_sandbox_sim::workload::Workload;

/// Object writes that a claim's life may cost. Source: record, transfer, claim status, first-ready stamp, Pod labels,
/// sandbox status, and for the refill sandbox, Pod and one or two sandbox statuses.
const WRITES_MAX: u64 = 10;

/// Kubernetes Events that it may cost besides.
const EVENTS_MAX: u64 = 1;

/// When the claim comes: the pool has long been full.
const CLAIMED: Duration = Duration::from_secs(120);

/// When it goes: the pool has long been full again.
const DELETED: Duration = Duration::from_secs(240);

/// When everything is over.
const END: Duration = Duration::from_secs(360);

/// What a controller has sent since the claim came.
#[derive(Debug, Default)]
struct Life {
    /// How often each verb on each resource, pool statuses and Events left out.
    rows: BTreeMap<String, u64>,
    events: u64,
    /// What was written to the claim and to its sandbox until the claim was ready, in that order.
    path: Vec<Intent>,
    /// When pool statuses were written.
    pool_status: Vec<Mono>,
    is_ready: bool,
}

#[test]
fn a_warm_claims_whole_life_costs_at_most_ten_writes() {
    let mut rows = BTreeMap::<String, Vec<u64>>::new();
    let seeds = 0..50;
    for seed in seeds.clone() {
        let life = live(seed);
        let writes: u64 = life.rows.values().sum();
        assert!(life.is_ready, "seed {seed}: the claim was never ready");
        assert!(writes <= WRITES_MAX, "seed {seed}: {writes} writes: {:#?}", life.rows);
        assert!(life.events <= EVENTS_MAX, "seed {seed}: {} events", life.events);
        for (row, count) in life.rows {
            rows.entry(row).or_default().push(count);
        }
    }
    println!("writes of one warm claim's life, its refill included");
    let lives = (seeds.end - seeds.start) as f64;
    for (row, counts) in &rows {
        println!("{row:36} {:5.2}", counts.iter().sum::<u64>() as f64 / lives);
    }
    println!("{:36} {:5.2}", "all", rows.values().flatten().sum::<u64>() as f64 / lives);
}

#[test]
fn three_of_them_come_before_it_is_ready() {
    for seed in 0..50 {
        let path = live(seed).path;
        assert_eq!(
            path,
            [Intent::RecordAssignment, Intent::AdoptSandbox, Intent::SetClaimStatus],
            "seed {seed}"
        );
    }
}

#[test]
fn a_pools_status_is_written_at_most_once_a_second() {
    for seed in 0..50 {
        let times = live(seed).pool_status;
        assert!(!times.is_empty(), "seed {seed}: nobody was told of the refill");
        for pair in times.windows(2) {
            assert!(pair[1].since(pair[0]) >= Duration::from_secs(1), "seed {seed}: {times:?}");
        }
    }
}

/// Plays the life of one claim on a full pool of two.
fn live(seed: u64) -> Life {
    let claim = scene::key("claim");
    let deeds = [
        (Duration::ZERO, Act::Create(scene::template())),
        (Duration::from_millis(1), Act::Create(scene::pool("pool", 2))),
        (CLAIMED, Act::Create(scene::claim("claim", "pool"))),
        (DELETED, Act::Delete(Kind::Claim, claim.clone())),
    ];
    let mut workload = Workload::default();
    for (after, act) in deeds {
        workload.script.push(Deed::new(act));
        workload.times.push(Mono::default() + after);
    }
    let mut timed = Timed::<Machine>::scripted(&workload, Config::default(), Choices::from_seed(seed));
    let mut life = Life::default();
    while let Some((at, _)) = timed.next(Mono::default() + END) {
        for fact in timed.facts() {
            if let Fact::Committed(commit) = fact {
                life.is_ready |= is_ready(commit.new.as_ref());
            } else if let Fact::Sent(sent) = fact
                && at >= Mono::default() + CLAIMED
            {
                life.count(at, sent, &claim);
            }
        }
    }
    life
}

impl Life {
    fn count(&mut self, at: Mono, sent: &Sent, claim: &Key) {
        let (intent, operation) = (sent.action.intent, &*sent.action.operation);
        let row = match operation {
            Operation::Get { .. } => return,
            Operation::Notify(_) => {
                self.events += 1;
                return;
            }
            Operation::Patch(patch) if patch.target.kind == Kind::Pool && patch.part == Part::Status => {
                self.pool_status.push(at);
                return;
            }
            Operation::Create(object) => format!("create {}", object.kind().plural()),
            Operation::Delete { target, .. } => format!("delete {}", target.kind.plural()),
            Operation::Patch(patch) => match patch.part {
                Part::Main => format!("patch {}", patch.target.kind.plural()),
                Part::Status => format!("patch {}/status", patch.target.kind.plural()),
            },
        };
        *self.rows.entry(row).or_default() += 1;
        let is_own = operation.key() == claim || intent == Intent::AdoptSandbox;
        if is_own && !self.is_ready {
            self.path.push(intent);
        }
    }
}

fn is_ready(object: Option<&Object>) -> bool {
    matches!(object, Some(Object::Claim(claim)) if claim.status.is_ready())
}
