//! What follows, some time later, from what people have done.

use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::Object;

use super::Timed;
use crate::api_server::{Commit, Writer, kept};
use crate::controller::Controller;
use crate::namespace;
use crate::scene::Act;
use crate::step::Step;
use crate::tape::{Site, Topic};

/// How long the controller of namespaces waits before it looks again for what is left.
///
/// Source: about what it waits while Pods have their grace.
const SWEPT_EVERY: Duration = Duration::from_secs(5);

impl<C: Controller> Timed<C> {
    /// Plans when somebody takes a finalizer off that was just put.
    pub(super) fn follow_finalizer(&mut self, commit: &Commit) {
        let bears_one = |object: &Option<_>| {
            object.as_ref().is_some_and(|object: &Object| kept::bears(object.meta(), kept::OTHERS))
        };
        if commit.by != Some(Writer::User) || bears_one(&commit.old) || !bears_one(&commit.new) {
            return;
        }
        let (kind, uid) = (commit.object().kind(), commit.object().uid());
        let name = commit.object().key().name.clone();
        self.choices.about(|| Site::new(Topic::Other, "finalizer").named(Some(name)));
        let after = self.much_later(Duration::from_secs(10));
        self.plan_step(after, Step::Release(kind, uid));
    }

    /// Plans what becomes of a namespace: the step was the last that was done about it.
    pub(super) fn follow_namespace(&mut self, step: Step) {
        if let Step::Sweep(kind) = step
            && !namespace::is_swept(self.world.server(), kind)
        {
            return self.plan_step(SWEPT_EVERY, step);
        }
        let Step::User(line) = step else { return };
        let deed = self.world.scene().script.get(line as usize);
        if !deed.is_some_and(|deed| matches!(deed.act, Act::EndNamespace(_))) {
            return;
        }
        for kind in Kind::ALL {
            self.choices.about(|| Site::kind(Topic::Other, kind));
            let after = self.choices.around(Duration::from_secs(1));
            self.plan_step(after, Step::Sweep(kind));
        }
    }
}
