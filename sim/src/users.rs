//! Users: they do what their script says, in any order that the script allows.

mod strangers;

use std::sync::Arc;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, ClaimStatus, Json, Object, Owner, Sandbox, Template};

use crate::api_server::{ApiServer, Commit, Commits, Deletion, Writer, kept, reset_status};
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
    Arc::make_mut(&mut world.done)[line as usize / 64] |= 1 << (line % 64);
    if let Act::ResumeOwned = deed.act {
        let all = world.server.store().list(Kind::Sandbox).iter();
        let owned: Vec<Key> = all.filter(|it| it.meta().owner.is_some()).map(|it| it.key().clone()).collect();
        for key in owned {
            let commit = edit(world, &key, |sandbox| sandbox.suspended = false);
            world.note(commit, facts);
        }
        return true;
    }
    if let Act::Leave(object, owner) = &deed.act {
        let commits = leave(world, object.clone(), owner.as_ref());
        world.note_all(commits, facts);
        return true;
    }
    let commits = if let Some((kind, key, deletion)) = deletion(world, &deed.act) {
        world.server.delete_now(kind, &key, deletion, Writer::User)
    } else {
        [commit(world, &deed.act), None]
    };
    world.note_all(commits, facts);
    true
}

/// Writes an annotation that means nothing to any controller of ours; every second time what would end ends no more.
pub(crate) fn touch(server: &mut ApiServer, kind: Kind, uid: Uid) -> Option<Commit> {
    let key = server.store().find(kind, uid)?.key().clone();
    let count = server.revision();
    server.update(kind, &key, Writer::User, |object| {
        if count.0.is_multiple_of(2) && take_end(object, count.0.is_multiple_of(4)) {
            object.meta_mut().generation += 1;
            return;
        }
        object.meta_mut().annotations.insert("example.com/seen".into(), count.to_string().into());
    })
}

/// Takes its end off a claim that was told that it is over, with what it was told or without, or off a sandbox, or lets one
/// run again; returns whether there was anything to take.
fn take_end(object: &mut Object, is_untold: bool) -> bool {
    match object {
        Object::Claim(claim) if claim.expired().is_none() => false,
        Object::Claim(claim) => {
            let claim = Arc::make_mut(claim);
            let wishes = &mut claim.wishes;
            let is_taken =
                wishes.as_mut().and_then(|wishes| Arc::make_mut(wishes).lifecycle.take()).is_some();
            if is_taken && is_untold {
                claim.status = ClaimStatus::default();
            }
            is_taken
        }
        Object::Sandbox(sandbox) => {
            let sandbox = Arc::make_mut(sandbox);
            let was_suspended = core::mem::take(&mut sandbox.suspended);
            sandbox.shutdown.take().is_some() || was_suspended
        }
        Object::Pool(_)
        | Object::Template(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => false,
    }
}

/// Creates an object with an owner and a status of its own.
fn leave<C: Controller>(world: &mut World<C>, mut object: Object, owner: Option<&(Kind, Key)>) -> Commits {
    if let Some((kind, key)) = owner {
        let Some(owner) = world.server.store().get(*kind, key) else { return [None, None] };
        object.meta_mut().owner = Some(Owner::new(*kind, owner.meta()));
    }
    let wall = world.wall();
    let (_, [created, _]) = world.server.handle(&Operation::Create(object.clone()), Writer::User, wall);
    let told = created.as_ref().and_then(|_| {
        world.server.update(object.kind(), object.key(), Writer::User, |stored| match (stored, &object) {
            (Object::Claim(stored), Object::Claim(left)) => {
                Arc::make_mut(stored).status = left.status.clone();
            }
            (Object::Sandbox(stored), Object::Sandbox(left)) => {
                Arc::make_mut(stored).status = left.status.clone();
            }
            _ => {}
        })
    });
    [created, told]
}

/// Returns what an act deletes, and how.
fn deletion<C: Controller>(world: &World<C>, act: &Act) -> Option<(Kind, Key, Deletion)> {
    let any = |kind: Kind, number: u32| {
        let all = world.server.store().list(kind);
        let place = (number as usize).checked_rem(all.len())?;
        Some(all[place].key().clone())
    };
    if let Act::Delete(kind, key) = act {
        Some((*kind, key.clone(), Deletion::default()))
    } else if let Act::DeleteAny(kind, number) = act {
        Some((*kind, any(*kind, *number)?, Deletion::default()))
    } else if let Act::TerminateAny(number) = act {
        Some((Kind::Sandbox, any(Kind::Sandbox, *number)?, Deletion::FOREGROUND))
    } else {
        None
    }
}

fn create<C: Controller>(world: &mut World<C>, draft: Object) -> Option<Commit> {
    let wall = world.wall();
    let (_, [commit, _]) = world.server.handle(&Operation::Create(draft), Writer::User, wall);
    commit
}

fn commit<C: Controller>(world: &mut World<C>, act: &Act) -> Option<Commit> {
    match act {
        Act::Create(draft) => create(world, draft.clone()),
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
        Act::Label(key, metadata) => edit_claim(world, key, |claim| {
            Arc::make_mut(claim.wishes.get_or_insert_default()).pod = metadata.clone();
        }),
        Act::Extend(key, until) => edit_claim(world, key, |claim| {
            claim.wishes.iter_mut().for_each(|wishes| {
                let wishes = Arc::make_mut(wishes);
                match (&mut wishes.lifecycle, until) {
                    (Some(lifecycle), Some(_)) => lifecycle.shutdown = *until,
                    (lifecycle, _) => *lifecycle = None,
                }
            });
        }),
        Act::Refer(key, pool) => edit_claim(world, key, |claim| claim.pool = pool.clone()),
        Act::ResumeOwned | Act::Leave(..) | Act::Delete(..) | Act::DeleteAny(..) | Act::TerminateAny(_) => {
            None
        }
        Act::Spoil(kind, number) => edit_any(world, *kind, *number, |object| spoil(object, *number)),
        Act::SpoilService(key, number) => {
            world.server.update(Kind::Service, key, Writer::User, |object| spoil(object, *number))
        }
        Act::ClearStatus(kind, number) => edit_any(world, *kind, *number, reset_status),
        Act::Relabel(kind, number) => {
            edit_any(world, *kind, *number, |object| strangers::relabel(object, *number))
        }
        Act::Finalize(kind, number) => edit_any(world, *kind, *number, kept::put_others),
        Act::EndNamespace(namespace) => {
            world.server.end_namespace(namespace);
            None
        }
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
            create(world, pod)
        }
    }
}

/// Changes the n-th of all objects of a kind, counted round and round.
fn edit_any<C: Controller>(
    world: &mut World<C>,
    kind: Kind,
    number: u32,
    change: impl FnOnce(&mut Object),
) -> Option<Commit> {
    let all = world.server.store().list(kind);
    let place = (number as usize).checked_rem(all.len())?;
    let key = all[place].key().clone();
    world.server.update(kind, &key, Writer::User, change)
}

/// Takes over the spec of a draft. The server counts a change of it.
fn edit_spec(object: &mut Object, draft: &Object) {
    match (object, draft) {
        (Object::Template(template), Object::Template(draft)) => {
            let mut edited = Template { meta: template.meta.clone(), ..Template::clone(draft) };
            if edited != **template {
                edited.meta.generation += 1;
                *template = Arc::new(edited);
            }
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

/// Changes what a controller has made, where it should notice.
fn spoil(object: &mut Object, number: u32) {
    match object {
        Object::Pod(pod) => {
            let labels = &mut Arc::make_mut(pod).meta.labels;
            let keys = [names::SANDBOX_NAME_HASH, names::TEMPLATE_REF_HASH, "sandbox.users.io/tier"];
            let key = keys[number as usize % keys.len()];
            if labels.contains_key(key) {
                labels.insert(key.into(), "mine".into());
            }
            labels.insert("app".into(), "mine".into());
        }
        Object::Service(part) => {
            let mut spec = part.spec.value();
            strangers::spoil_service(&mut spec, number);
            Arc::make_mut(part).spec = Json::from(&spec);
        }
        Object::NetworkPolicy(part) => {
            let mut spec = part.spec.value();
            let everything = serde_json::json!([{}]);
            match number % 4 {
                0 => spec["ingress"] = everything,
                1 => spec["egress"] = everything,
                2 if (number / 4).is_multiple_of(2) => {
                    spec["podSelector"]["matchLabels"]["app"] = "mine".into()
                }
                2 => spec["podSelector"] = serde_json::json!({ "matchLabels": { "app": "mine" } }),
                _ => spec["policyTypes"] = serde_json::json!(["Ingress"]),
            }
            Arc::make_mut(part).spec = Json::from(&spec);
        }
        Object::Claim(_)
        | Object::Pool(_)
        | Object::Template(_)
        | Object::Sandbox(_)
        | Object::VolumeClaim(_) => {}
    }
}

/// Changes the spec of a claim.
fn edit_claim<C: Controller>(
    world: &mut World<C>,
    key: &Key,
    change: impl FnOnce(&mut Claim),
) -> Option<Commit> {
    world.server.update(Kind::Claim, key, Writer::User, |object| {
        let Object::Claim(claim) = object else { return };
        let mut changed = Claim::clone(claim);
        change(&mut changed);
        if changed != **claim {
            changed.meta.generation += 1;
            *claim = Arc::new(changed);
        }
    })
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
