//! The reference model: what must be true of every object when everything is done, given what users asked for.
//!
//! It is a second, independent answer to the question that the controllers answer, and it can afford to be simple: it
//! sees the whole store at once, at rest, and nobody waits for it. From what users have written (specs, and what they
//! deleted) and from what the cluster did (which Pods ended) it says what must be there and what each status must say.
//! It shares nothing with the core but names and types. The checkers of the end compare; each change of behaviour that a
//! user can see begins here.
//!
//! | question | answered in |
//! |---|---|
//! | what has a claim got: a sandbox, an end, or a reason | [`claims`] |
//! | how many members has a pool, and of which make | [`pools`] |
//! | which parts has a sandbox, and what does it say of them | [`sandboxes`] |
//! | what is in its Pod, its Service and its volume claims | [`parts`] |
//! | which network policies are there | [`templates`] |
//! | what may be there at all | [`leftovers`] |
//!
//! It holds only where users have stopped, and where every time that they set has passed.

pub mod claims;
pub mod leftovers;
pub mod parts;
pub mod pools;
pub mod sandboxes;
pub mod templates;

use crate::store::Store;

/// Returns every difference between a store at rest and what must be true of it, each in one sentence.
pub fn differences(store: &Store) -> Vec<String> {
    let all = [
        claims::difference,
        pools::difference,
        sandboxes::difference,
        templates::difference,
        leftovers::difference,
    ];
    all.into_iter().filter_map(|difference| difference(store)).collect()
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::id::Kind;
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::time::Mono;

    use super::*;
    use crate::choices::Choices;
    use crate::scene::{self, Act, Deed};
    use crate::tape::Tape;
    use crate::timed::Timed;
    use crate::workload::Workload;

    /// Returns the store when one claim of a pool of one was served.
    fn served() -> Store {
        let acts = [scene::template(), scene::pool("p", 1), scene::claim("c", "p")];
        let script: Vec<Deed> = acts.into_iter().map(|object| Deed::new(Act::Create(object))).collect();
        let times = vec![Mono::default(); script.len()];
        let workload = Workload { script, times, ..Workload::default() };
        let mut timed =
            Timed::<Machine>::scripted(&workload, Config::default(), Choices::from_tape(Tape::default()));
        while timed.next(Mono::from_micros(120_000_000)).is_some() {}
        timed.world().server().store().clone()
    }

    #[test]
    fn nothing_differs_where_everything_is_done() {
        assert_eq!(differences(&served()), [""; 0]);
    }

    #[test]
    fn each_object_that_is_missing_makes_a_difference() {
        for kind in [Kind::Pool, Kind::Template, Kind::Sandbox, Kind::Pod, Kind::NetworkPolicy] {
            let mut store = served();
            let key = store.list(kind)[0].key().clone();
            store.remove(kind, &key);
            assert_ne!(differences(&store), [""; 0], "{kind}");
        }
    }
}
