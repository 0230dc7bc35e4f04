//! What a fingerprint must not leave out: situations that count as the same must go on in the same way.
//!
//! A search looks only at the first of the situations that have one fingerprint. Here every situation is looked at as
//! often as it is come to, and must lead where the first one led: to the same fingerprints, and to rest if that was at
//! rest. By induction the search then leaves nothing out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::memo::{Machines, Memo};
use super::moves::{Move, Moves};
use super::state::{Court, State};
use super::{Limits, Scope, forgetful};
use crate::api_server::Numbering;

/// Where a situation leads, by each of its moves; and whether it is at rest.
#[derive(Debug, PartialEq, Eq)]
struct Outlook {
    is_at_rest: bool,
    ends: BTreeSet<u64>,
}

/// Looks at a world until so many different situations are known, and returns how many there are.
///
/// # Panics
/// When two situations have one fingerprint and go on in different ways.
fn look_twice(scope: &Scope, known_max: usize) -> usize {
    let limits = Limits::of(1);
    let machines = Machines::new(scope, Numbering::ByState.version_mask(), limits.generation_max);
    let mut court = Court::remembering(forgetful(scope), limits.writes_max);
    let first = State::first(scope, Numbering::ByState, machines, &mut court);
    let first = first.expect("the first situation breaks nothing");
    let mut known: BTreeMap<u64, (Outlook, Vec<Move>)> = BTreeMap::new();
    let mut waiting = VecDeque::from([(Vec::new(), first)]);
    while let Some((by, state)) = waiting.pop_front() {
        let fingerprint = state.fingerprint(scope);
        let (outlook, ends) = look(&state, scope, &mut court);
        if let Some((former, formerly)) = known.get(&fingerprint) {
            let differ = former.ends.symmetric_difference(&outlook.ends).count();
            assert_eq!(
                *former, outlook,
                "{differ} ends differ\nafter {formerly:?}\nand   {by:?}\nin {scope:?}"
            );
            continue;
        }
        if known.len() == known_max {
            break;
        }
        known.insert(fingerprint, (outlook, by.clone()));
        waiting.extend(ends.into_iter().map(|(what, state)| ([&by[..], &[what]].concat(), state)));
    }
    known.len()
}

fn look(
    state: &State<Memo>,
    scope: &Scope,
    court: &mut Court<'_, Memo>,
) -> (Outlook, Vec<(Move, State<Memo>)>) {
    let mut moves = Moves::default();
    state.moves(&mut moves);
    let mut ends = Vec::new();
    for what in moves.list {
        let mut end = state.clone();
        end.make(what, court).unwrap_or_else(|violation| panic!("{violation:?}"));
        ends.push((what, end));
    }
    let fingerprints = ends.iter().map(|(_, end)| end.fingerprint(scope)).collect();
    (Outlook { is_at_rest: moves.at_rest, ends: fingerprints }, ends)
}

#[test]
fn what_counts_as_the_same_goes_on_in_the_same_way() {
    let one = Scope { claims: 1, ..Scope::small() };
    let worlds = [
        Scope { pool: 2, ..Scope::small() },
        Scope { crashes: 1, relists: 1, ..one.clone() },
        Scope { crashes: 1, lost_answers: 1, ..one.clone() },
        Scope { lost_answers: 1, relists: 1, ..one.clone() },
        Scope { claim_deletes: 1, crashes: 1, ..one.clone() },
        Scope { claim_deletes: 1, relists: 1, ..one.clone() },
        Scope { scale_downs: 1, relists: 1, ..one.clone() },
        Scope { pool: 2, relists: 1, ..one.clone() },
        Scope { leaders: 2, ..one.clone() },
        Scope { no_shortcuts: true, ..one },
        Scope { crashes: 1, ..Scope::small() },
    ];
    // In release the worlds are looked at further, in debug that would take minutes.
    let known_max = if cfg!(debug_assertions) { 1_500 } else { 30_000 };
    for scope in worlds {
        assert!(look_twice(&scope, known_max) > 1_000, "{scope:?} is too small to say anything");
    }
}
