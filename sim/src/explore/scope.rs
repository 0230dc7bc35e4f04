//! How large the world is that a search goes through, and what may go wrong in it.

use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::mutant::Mutant;

use super::shortcut::Shortcut;
use crate::scene::{self, Act, Deed};

/// A small world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// How many claims users create, at any time and in any order.
    pub claims: u32,
    /// `spec.replicas` of the only pool.
    pub pool: u32,
    /// How many processes lead at the same time, from the beginning.
    pub leaders: u8,
    /// How many times a process dies. It comes back, as a new one, whenever it likes.
    pub crashes: u8,
    /// How many answers never arrive: the write has taken effect, or does so later, or never.
    pub lost_answers: u8,
    /// How many answers at a time are overtaken by what a watch shows.
    pub late_answers: u8,
    /// How many watches break, so that a process must list again.
    pub relists: u8,
    /// How many claims their users delete: the first ones, at any time after they were created.
    pub claim_deletes: u32,
    /// How many times a user takes one from `spec.replicas`, at any time.
    pub scale_downs: u32,
    /// Whether everything takes its time, even where that should make no difference.
    pub no_shortcuts: bool,
    /// Whether claims that differ in nothing but their names are created in any order.
    pub any_order: bool,
    /// The defect to have.
    pub mutant: Option<Mutant>,
}

impl Scope {
    /// Returns the smallest world that has everything: two claims race for one member.
    pub const fn small() -> Self {
        Self {
            claims: 2,
            pool: 1,
            leaders: 1,
            crashes: 0,
            lost_answers: 0,
            late_answers: 1,
            relists: 0,
            claim_deletes: 0,
            scale_downs: 0,
            no_shortcuts: false,
            any_order: false,
            mutant: None,
        }
    }

    /// Returns the world in which the harm of a defect shows soonest.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no world of their own yet")]
    pub const fn of_mutant(mutant: Mutant) -> Self {
        let small = Self { mutant: Some(mutant), ..Self::small() };
        match mutant {
            Mutant::DeleteWithoutPreconditions => Self { claims: 1, crashes: 1, scale_downs: 1, ..small },
            Mutant::LostAnswerIsFailure => Self { claims: 1, lost_answers: 1, ..small },
            Mutant::OwnWriteInvisible => Self { claims: 1, ..small },
            Mutant::AdoptWithoutLock => Self { crashes: 1, claim_deletes: 1, ..small },
            Mutant::AbandonOnConflict => Self { claims: 1, crashes: 1, ..small },
            _ => Self { claims: 1, crashes: 1, lost_answers: 1, ..small },
        }
    }

    /// Returns how a controller is set up in a search.
    ///
    /// A second lasts 50 µs. So everything happens within one second of the calendar, where names decide between
    /// claims; and no delay is long enough for its jitter to show.
    pub fn config(&self) -> Config {
        Config {
            adopt_grace: GRACE,
            settle: QUIET,
            // Minutes would pass at any moment, and every member that starts would be stuck.
            readiness_grace: Duration::MAX,
            ended_grace: Duration::MAX,
            pool_status_interval: QUIET,
            write_timeout: WRITE_LIMIT / 2,
            write_margin: WRITE_LIMIT / 2,
            backoff_min: BACKOFF,
            backoff_max: BACKOFF,
            claim_events: false,
            mutant: self.mutant,
            ..Config::default()
        }
    }

    /// Returns whether a claim is created after the one before it, from which it differs in nothing but its name.
    fn follows_its_like(&self, claim: u32) -> bool {
        let is_deleted = |claim: u32| claim < self.claim_deletes;
        Shortcut::InOrder.is_taken(self) && claim > 0 && is_deleted(claim - 1) == is_deleted(claim)
    }

    /// Returns what users do, the first two lines before everything else.
    pub(super) fn script(&self) -> Vec<Deed> {
        let create = |object| Deed::new(Act::Create(object));
        let mut script = vec![create(scene::finished_template()), create(scene::pool(POOL, self.pool))];
        let claim = |number: u32| format!("claim-{}", number + 1);
        script.extend((0..self.claims).map(|number| {
            let deed = create(scene::claim(claim(number), POOL));
            if self.follows_its_like(number) { deed.after(SETTING + number - 1) } else { deed }
        }));
        script.extend((0..self.claim_deletes.min(self.claims)).map(|number| {
            Deed::new(Act::Delete(Kind::Claim, scene::key(claim(number)))).after(SETTING + number)
        }));
        for number in 1..=self.scale_downs.min(self.pool) {
            let before = script.len() as u32 - 1;
            let scale = Deed::new(Act::Scale(scene::key(POOL), self.pool - number));
            script.push(if number == 1 { scale } else { scale.after(before) });
        }
        script
    }
}

/// The only pool.
const POOL: &str = "pool";

/// How many lines of the script are done before the search begins.
pub(super) const SETTING: u32 = 2;

/// A delay after a failure. Longer than the shortest time that passes, and too short for jitter.
const BACKOFF: Duration = Duration::from_micros(2);

/// How long a claim waits for a member that is starting.
const GRACE: Duration = Duration::from_micros(100);

/// How long a write may take effect when its answer is missing.
const WRITE_LIMIT: Duration = Duration::from_millis(1);

/// How long news that are none are held back: longer than all else together.
pub(super) const QUIET: Duration = Duration::from_millis(10);

/// Moments further ahead than this are all the same.
pub(super) const FAR: Duration = Duration::from_millis(5);
