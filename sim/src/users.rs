//! Users: they do what their script says, in any order that the script allows.

use std::sync::Arc;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_core::object::{Object, Owner, Sandbox};

use crate::api_server::{Commit, Writer};
use crate::controller::Controller;
use crate::scene::{self, Act};
use crate::step::{Fact, Step};
use crate::world::World;

/// Adds to `steps` the lines of the script that may be done next.
pub(crate) fn enabled<C: Controller>(world: &World<C>, steps: &mut Vec<Step>) {
    for (line, deed) in (0..).zip(&world.scene.script) {
        if !is_done(&world.done, line) && deed.after.is_none_or(|before| is_done(&world.done, before)) {
            steps.push(Step::User(line));
        }
    }
}

/// Does one line of the script. Every line is done once; what cannot be done (any more) is passed over.
pub(crate) fn act<C: Controller>(world: &mut World<C>, line: u32, facts: &mut Vec<Fact>) -> bool {
    let scene = world.scene.clone();
    let Some(deed) = scene.script.get(line as usize) else { return false };
    if is_done(&world.done, line) {
        return false;
    }
    world.done[line as usize / 64] |= 1 << (line % 64);
    if let Act::ResumeOwned = deed.act {
        let all = world.server.store().list(Kind::Sandbox).iter();
        let owned: Vec<Key> = all.filter(|it| it.meta().owner.is_some()).map(|it| it.key().clone()).collect();
        for key in owned {
            let commit = edit(world, &key, |sandbox| sandbox.suspended = false);
            world.note(commit, facts);
        }
        return true;
    }
    let commit = commit(world, &deed.act);
    world.note(commit, facts);
    true
}

fn commit<C: Controller>(world: &mut World<C>, act: &Act) -> Option<Commit> {
    let wall = world.wall();
    match act {
        Act::Create(draft) => world.server.handle(&Operation::Create(draft.clone()), Writer::User, wall).1,
        Act::Delete(kind, key) => world.server.delete_now(*kind, key, Writer::User),
        Act::Scale(key, replicas) => world.server.update(Kind::Pool, key, Writer::User, |object| {
            let Object::Pool(pool) = object else { return };
            if pool.replicas != *replicas {
                let pool = Arc::make_mut(pool);
                pool.replicas = *replicas;
                pool.meta.generation += 1;
            }
        }),
        Act::Edit(draft) => {
            world.server.update(draft.kind(), draft.key(), Writer::User, |object| edit_spec(object, draft))
        }
        Act::Label(key, metadata) => world.server.update(Kind::Claim, key, Writer::User, |object| {
            let Object::Claim(claim) = object else { return };
            let claim = Arc::make_mut(claim);
            let wishes = claim.wishes.get_or_insert_default();
            if wishes.pod != *metadata {
                Arc::make_mut(wishes).pod = metadata.clone();
                claim.meta.generation += 1;
            }
        }),
        Act::Extend(key) => world.server.update(Kind::Claim, key, Writer::User, |object| {
            let Object::Claim(claim) = object else { return };
            let has_end = claim.wishes.as_ref().is_some_and(|wishes| wishes.lifecycle.is_some());
            if let (true, Some(wishes)) = (has_end, &mut Arc::make_mut(claim).wishes) {
                Arc::make_mut(wishes).lifecycle = None;
                Arc::make_mut(claim).meta.generation += 1;
            }
        }),
        Act::DeleteAny(kind, number) => {
            let all = world.server.store().list(*kind);
            let place = (*number as usize).checked_rem(all.len())?;
            let key = all[place].key().clone();
            world.server.delete_now(*kind, &key, Writer::User)
        }
        Act::TerminateAny(number) => {
            let all = world.server.store().list(Kind::Sandbox);
            let place = (*number as usize).checked_rem(all.len())?;
            let key = all[place].key().clone();
            world
                .server
                .update(Kind::Sandbox, &key, Writer::User, |object| object.meta_mut().terminating = true)
        }
        Act::ResumeOwned => None,
        Act::Suspend(key, suspended) => edit(world, key, |sandbox| sandbox.suspended = *suspended),
        Act::SuspendAny(number) => {
            let all = world.server.store().list(Kind::Sandbox);
            let place = (*number as usize).checked_rem(all.len())?;
            let key = all[place].key().clone();
            edit(world, &key, |sandbox| sandbox.suspended = true)
        }
        Act::Serve(key, service) => edit(world, key, |sandbox| sandbox.service = *service),
        Act::ShutDown(key, shutdown) => edit(world, key, |sandbox| sandbox.shutdown = *shutdown),
        Act::AddPod(key, name) => {
            let owner = Owner::new(Kind::Sandbox, world.server.store().get(Kind::Sandbox, key)?.meta());
            let pod = scene::part(Kind::Pod, name.clone(), Some(owner), &[]);
            world.server.handle(&Operation::Create(pod), Writer::User, wall).1
        }
    }
}

/// Takes over the spec of a draft. The server counts a change of it.
fn edit_spec(object: &mut Object, draft: &Object) {
    match (object, draft) {
        (Object::Template(template), Object::Template(draft)) if template.blueprint != draft.blueprint => {
            let template = Arc::make_mut(template);
            template.blueprint = draft.blueprint.clone();
            template.meta.generation += 1;
        }
        (Object::Pool(pool), Object::Pool(draft))
            if (&pool.template, pool.update) != (&draft.template, draft.update) =>
        {
            let pool = Arc::make_mut(pool);
            (pool.template, pool.update) = (draft.template.clone(), draft.update);
            pool.meta.generation += 1;
        }
        _ => {}
    }
}

/// Changes the spec of a sandbox.
fn edit<C: Controller>(world: &mut World<C>, key: &Key, change: impl FnOnce(&mut Sandbox)) -> Option<Commit> {
    world.server.update(Kind::Sandbox, key, Writer::User, |object| {
        let Object::Sandbox(sandbox) = object else { return };
        let mut changed = Sandbox::clone(sandbox);
        change(&mut changed);
        if changed != **sandbox {
            changed.meta.generation += 1;
            *sandbox = Arc::new(changed);
        }
    })
}

fn is_done(done: &[u64], line: u32) -> bool {
    done[line as usize / 64] >> (line % 64) & 1 == 1
}
