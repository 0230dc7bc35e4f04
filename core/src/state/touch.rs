//! Who must be looked at again after a change: the subjects whose rules read what has changed.

use alloc::vec::Vec;

use super::State;
use crate::id::{Key, Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::object::Sandbox;

/// Room for this many touched subjects is kept.
const TOUCHED_KEPT: usize = 1024;

/// What one event touches.
const TOUCHED_BY_ONE: usize = 24;

impl State {
    /// Returns the touched subjects, each once, in the order of their kinds and uids.
    pub(crate) fn take_touched(&mut self) -> Vec<(Kind, Uid)> {
        self.sweep();
        self.tidy_touched();
        core::mem::take(&mut self.touched)
    }

    fn tidy_touched(&mut self) {
        self.touched.sort_unstable();
        self.touched.dedup();
    }

    /// Gives the room of an earlier [`Self::take_touched`] back for the next, unless it is that of a whole list.
    pub(crate) fn give_room(&mut self, empty: Vec<(Kind, Uid)>) {
        if empty.capacity() <= TOUCHED_KEPT {
            self.touched = empty;
        }
    }

    /// Gives the room back that is kept for what comes next.
    pub(crate) fn shrink(&mut self) {
        self.touched.shrink_to_fit();
        self.unsure.shrink_to_fit();
    }

    pub(crate) fn touch(&mut self, kind: Kind, uid: Uid) {
        if self.touched.len() == self.touched.capacity() {
            self.make_room_for_touched();
        }
        self.touched.push((kind, uid));
    }

    /// A list touches a subject once for each of its neighbours, ten times and more: only what is left of that needs room.
    fn make_room_for_touched(&mut self) {
        if self.touched.capacity() >= TOUCHED_KEPT {
            self.tidy_touched();
        }
        // At least as much again, or one would tidy up over and over.
        self.touched.reserve(self.touched.len().max(TOUCHED_BY_ONE));
    }

    fn touch_if_any(&mut self, subject: Option<(Kind, Uid)>) {
        if let Some((kind, uid)) = subject {
            self.touch(kind, uid);
        }
    }

    /// Touches all that is known. Whoever reads an object is known, too.
    pub(crate) fn touch_everything(&mut self) {
        for kind in Kind::ALL {
            self.uids(kind).into_iter().for_each(|uid| self.touch(kind, uid));
        }
    }

    pub(super) fn touch_all(&mut self, kind: Kind) {
        for uid in self.uids(kind) {
            self.touch(kind, uid);
            self.touch_neighbours(kind, uid);
        }
    }

    /// Touches an object and all whose rules read it.
    pub(super) fn touch_neighbours(&mut self, kind: Kind, uid: Uid) {
        self.touch(kind, uid);
        if self.is_deaf(kind) {
            return;
        }
        match kind {
            Kind::Claim => {
                // Of a claim that does not wait, its pool asks nothing.
                if let Some(pool) = self.claims.get(&uid).and_then(|entry| entry.place.queue()).cloned() {
                    self.touch_name(Kind::Pool, &pool);
                }
            }
            Kind::Pool => {
                if let Some(entry) = self.pools.get(&uid) {
                    let key = entry.pool.meta.key.clone();
                    self.touch_referrers(Kind::Pool, &key);
                    self.touch_recorders(uid);
                }
            }
            Kind::Template => {
                if let Some(template) = self.templates.get(&uid) {
                    let key = template.meta.key.clone();
                    self.touch_referrers(Kind::Template, &key);
                }
            }
            Kind::Sandbox => {
                if let Some(entry) = self.sandboxes.get(&uid) {
                    let (claim, key) = (claim(&entry.sandbox), entry.sandbox.meta.key.clone());
                    self.touch_if_any(claim);
                    self.touch_referrers(Kind::Sandbox, &key);
                }
            }
            Kind::Pod => {
                if let Some(pod) = self.pods.get(&uid).cloned() {
                    if let Some(sandbox) = pod.meta.owner_of_kind(Kind::Sandbox) {
                        self.touch_sandbox(sandbox);
                    }
                    self.touch_name_wanters(kind, &pod.meta.key);
                }
            }
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                let Some(object) = self.dependents.get(&uid).cloned() else { return };
                if let Some(owner) = &object.meta().owner {
                    if kind == Kind::NetworkPolicy {
                        self.touch(Kind::Template, owner.uid);
                    } else {
                        self.touch_sandbox(owner.uid);
                    }
                }
                self.touch_name_wanters(kind, object.key());
            }
        }
    }

    /// Returns whether a mutant does not pass on changes of this kind.
    fn is_deaf(&self, kind: Kind) -> bool {
        match kind {
            Kind::Pool => self.has(Mutant::DeafToPools),
            Kind::Template => self.has(Mutant::DeafToTemplates),
            Kind::Sandbox => self.has(Mutant::DeafToSandboxes),
            Kind::Pod => self.has(Mutant::DeafToPods),
            Kind::Service => self.has(Mutant::DeafToServices),
            Kind::Claim | Kind::VolumeClaim | Kind::NetworkPolicy => false,
        }
    }

    pub(super) fn touch_owner(&mut self, sandbox: &Sandbox) {
        self.touch_if_any(owner(sandbox));
    }

    pub(super) fn touch_claim_of(&mut self, sandbox: &Sandbox) {
        self.touch_if_any(claim(sandbox));
    }

    /// Touches those that want an object of this name for themselves: they may wait until its holder is gone.
    pub(crate) fn touch_name_wanters(&mut self, kind: Kind, key: &Key) {
        match kind {
            Kind::Pod => {
                self.touch_sandbox_named(key);
                self.touch_referrers(Kind::Pod, key);
            }
            Kind::Service => self.touch_sandbox_named(key),
            Kind::VolumeClaim => {
                // `<volume>-<sandbox>`, and both may have dashes.
                for (dash, _) in key.name.match_indices('-') {
                    self.touch_sandbox_named(&key.sibling(&key.name[dash + 1..]));
                }
            }
            Kind::NetworkPolicy => {
                if let Some(template) = key.name.strip_suffix(names::NETWORK_POLICY_SUFFIX) {
                    self.touch_name(Kind::Template, &key.sibling(template));
                }
            }
            Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox => {}
        }
    }

    pub(super) fn touch_name(&mut self, kind: Kind, key: &Key) {
        if let Some(uid) = self.names.get(kind, key) {
            self.touch(kind, uid);
        }
    }

    /// Touches the sandbox of this name, and those who read what its Pod is like.
    pub(super) fn touch_sandbox_named(&mut self, key: &Key) {
        if let Some(uid) = self.names.get(Kind::Sandbox, key) {
            self.touch_sandbox(uid);
        }
    }

    /// Touches a sandbox, and those who read what its Pod is like.
    fn touch_sandbox(&mut self, uid: Uid) {
        let Some(entry) = self.sandboxes.get(&uid) else { return };
        let is_member = entry.sandbox.meta.owner_of_kind(Kind::Pool).is_some();
        let (claim, key) = (claim(&entry.sandbox), entry.sandbox.meta.key.clone());
        self.touch_if_any(claim);
        self.touch(Kind::Sandbox, uid);
        if is_member {
            // Whether a member that was recorded changes hands depends on its Pod.
            self.touch_referrers(Kind::Sandbox, &key);
        }
    }

    /// Touches those that name this object in their spec, record or note.
    pub(crate) fn touch_referrers(&mut self, kind: Kind, key: &Key) {
        if kind == Kind::Template {
            self.touch_owners_of_made(key);
        }
        let (index, referrer) = match kind {
            Kind::Pool => (&self.claims_by_pool, Kind::Claim),
            Kind::Template => (&self.pools_by_template, Kind::Pool),
            Kind::Sandbox => (&self.reserved, Kind::Claim),
            Kind::Pod => (&self.noted, Kind::Sandbox),
            Kind::Claim | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => return,
        };
        let referrers: Vec<Uid> = index.of(key).collect();
        for uid in referrers {
            self.touch(referrer, uid);
            if kind == Kind::Pod {
                self.touch_sandbox(uid);
            }
            if kind == Kind::Template
                && let Some(entry) = self.pools.get(&uid)
            {
                let pool = entry.pool.meta.key.clone();
                self.touch_referrers(Kind::Pool, &pool);
            }
        }
    }

    /// Touches the members of a pool: they may have been seen before it.
    pub(super) fn touch_members(&mut self, pool: Uid) {
        let members: Vec<Uid> = self.children(pool).collect();
        members.into_iter().for_each(|uid| self.touch(Kind::Sandbox, uid));
    }

    /// Touches the claims that have recorded a member of a pool: by then they may refer to another one.
    fn touch_recorders(&mut self, pool: Uid) {
        let members: Vec<Uid> = self.children(pool).collect();
        for uid in members {
            if let Some(key) = self.sandboxes.get(&uid).map(|entry| entry.sandbox.meta.key.clone()) {
                self.touch_referrers(Kind::Sandbox, &key);
            }
        }
    }

    /// Touches the claims that have recorded a member of a pool of this name that was never seen, or is gone.
    pub(super) fn touch_recorders_of_unknown(&mut self, pool: &Key) {
        let mut unknown = self.members.sorted_keys();
        unknown.retain(|uid| !self.pools.contains_key(uid));
        let is_named = |uid: &Uid| {
            let member = self.child(*uid).and_then(|member| self.sandboxes.get(&member));
            let owner =
                member.and_then(|entry| entry.sandbox.meta.owner.as_ref().map(|owner| (entry, owner)));
            owner.is_some_and(|(entry, owner)| {
                owner.name == pool.name && entry.sandbox.meta.key.namespace == pool.namespace
            })
        };
        let pools: Vec<Uid> = unknown.into_iter().filter(is_named).collect();
        pools.into_iter().for_each(|pool| self.touch_recorders(pool));
    }

    /// Touches the claims whose sandboxes were made from a template.
    fn touch_owners_of_made(&mut self, template: &Key) {
        let hash = template.sibling(names::name_hash(&template.name));
        let made: Vec<Uid> = self.made_from.of(template).chain(self.made_from.of(&hash)).collect();
        for uid in made {
            if let Some(sandbox) = self.sandboxes.get(&uid).map(|entry| entry.sandbox.clone()) {
                self.touch_owner(&sandbox);
            }
        }
    }

    /// Returns whether it is to be known whether an object is there, because what was made for it is gone.
    fn is_bereaved(&self, kind: Kind, key: &Key) -> bool {
        self.names.get(kind, key).is_some_and(|uid| self.bereaved.contains_key(&uid))
    }

    /// Returns whether somebody waits to know who holds this name.
    pub(crate) fn is_referred_to(&self, kind: Kind, key: &Key) -> bool {
        match kind {
            // A claim may ask for a pool that it does not name: the owner of the member that it has recorded.
            Kind::Pool => true,
            Kind::Template => self.pools_by_template.has(key) || self.is_bereaved(kind, key),
            Kind::Sandbox => self.reserved.has(key) || self.is_bereaved(kind, key),
            // Whether it has really expired.
            Kind::Claim => {
                let has_expired = self.names.get(kind, key).is_some_and(|uid| {
                    let of_claim = (uid, Uid::UNSET)..=(uid, Uid::from_bits(u128::MAX));
                    self.condemned.range(of_claim).any(|(_, is_asked)| !is_asked)
                });
                has_expired || self.is_bereaved(kind, key)
            }
            Kind::Pod => self.noted.has(key),
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => false,
        }
    }
}

/// Returns the claim that owns a sandbox. A pool asks where its members stand, and is touched when that changes.
fn claim(sandbox: &Sandbox) -> Option<(Kind, Uid)> {
    sandbox.meta.owner_of_kind(Kind::Claim).map(|uid| (Kind::Claim, uid))
}

/// Returns the claim or the pool that owns a sandbox.
fn owner(sandbox: &Sandbox) -> Option<(Kind, Uid)> {
    let of_kind = |kind| sandbox.meta.owner_of_kind(kind).map(|uid| (kind, uid));
    of_kind(Kind::Claim).or_else(|| of_kind(Kind::Pool))
}
