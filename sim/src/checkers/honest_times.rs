//! What a condition says of when it changed is so.

use std::time::Duration;

use agent_sandbox_core::names;
use agent_sandbox_core::object::{Condition, Object};
use agent_sandbox_core::time::{Mono, Wall};

use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::scene;
use crate::step::Fact;
use crate::store::Store;

/// How far the calendar of a process is off at most, and a little.
///
/// Source: `clock-skew` is up to 5 s.
const INEXACT: Duration = Duration::from_secs(7);

/// How long ago a change may have been decided that is stored now, and a little.
///
/// Source: a late write may take effect 15 s after it was sent.
const LATE: Duration = Duration::from_secs(30);

/// CND-003 and SCND-002: who waits for something asks since when it is so. What a claim says of its sandbox is as old as what
/// the sandbox says.
#[derive(Clone, Debug, Default)]
pub(super) struct HonestTimes {
    now: Mono,
    /// Whether a calendar was set anew, so that it may be anywhere.
    is_timeless: bool,
}

impl Checker for HonestTimes {
    fn property(&self) -> Property {
        Property {
            name: "honest-times",
            about: "a condition's time moves when its status does and not otherwise, and its generation is not of the future",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(Writer::Process { .. }), Some(old), Some(new)) = (commit.by, &commit.old, &commit.new)
        else {
            return Judgement::Silent;
        };
        let (before, after) = (conditions(old), conditions(new));
        if before == after {
            return Judgement::Silent;
        }
        let lie = after.iter().find_map(|condition| {
            let known = before.iter().find(|known| known.kind == condition.kind);
            let lie = self.lie(known, condition, new)?;
            Some(format!("{} {} says {} {lie}", new.kind(), new.key().name, condition.kind))
        });
        Judgement::unless_broken(lie)
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl HonestTimes {
    /// Returns what is wrong with a condition, given what was said before.
    fn lie(&self, known: Option<&Condition>, told: &Condition, object: &Object) -> Option<String> {
        let generation = object.meta().generation;
        // How its work has finished is told of a claim's sandbox, in the generations of that.
        let is_own = object.as_sandbox().is_some() || &*told.kind == names::READY;
        if is_own && told.observed > generation {
            return Some(format!("of generation {}, and it is of {generation}", told.observed));
        }
        if let Some(known) = known.filter(|known| known.status == told.status) {
            let lie = || "since another time, although its status is the same".to_owned();
            return (known.changed != told.changed).then(lie);
        }
        let today: Wall = scene::epoch() + self.now.since(Mono::default());
        let is_early = told.changed > today + INEXACT;
        let is_late = object.as_sandbox().is_some() && today.since(told.changed) > INEXACT + LATE;
        let lie = || "since a time at which it has not changed".to_owned();
        ((is_early || is_late) && !self.is_timeless).then(lie)
    }
}

fn conditions(object: &Object) -> &[Condition] {
    match object {
        Object::Claim(claim) => &claim.status.conditions,
        Object::Sandbox(sandbox) => &sandbox.status.conditions,
        Object::Pool(_)
        | Object::Template(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => &[],
    }
}
