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
//! | which parts has a sandbox | [`sandboxes`] |
//! | what does a sandbox say | [`words`] |
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
pub mod words;

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
    use std::sync::Arc;

    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::id::{Kind, Uid};
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::names;
    use agent_sandbox_core::object::{Condition, Json, Object, Pod, Sandbox, Truth};
    use agent_sandbox_core::time::Mono;
    use serde_json::{Value, json};

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

    /// Returns what is wrong with the only sandbox, and its Pod, when they were changed.
    fn changed(change: impl FnOnce(&mut Sandbox, &mut Pod)) -> Option<String> {
        let mut store = served();
        let (sandbox, pod) = (&store.list(Kind::Sandbox)[0], &store.list(Kind::Pod)[0]);
        let (mut sandbox, mut pod) = (
            Sandbox::clone(sandbox.as_sandbox().expect("it is one")),
            Pod::clone(pod.as_pod().expect("it is one")),
        );
        change(&mut sandbox, &mut pod);
        store.put(Object::Sandbox(sandbox.into()));
        store.put(Object::Pod(pod.into()));
        sandboxes::difference(&store)
    }

    /// Returns whether each of these words is part of what is wrong.
    fn tells(wrong: Option<String>, words: &str) -> bool {
        wrong.is_some_and(|wrong| wrong.contains(words))
    }

    /// META-040, SCND-030 and SBX-032: clients find a Pod by what its sandbox says.
    #[test]
    fn a_word_about_a_pod_that_is_not_so_makes_a_difference() {
        assert_eq!(changed(|_, _| {}), None);
        let noted = changed(|it, _| {
            it.meta.annotations.insert(names::POD_NAME.into(), "another".into());
        });
        assert!(tells(noted, "notes Pod"));
        let selector = format!("{}=1", names::WARM_POOL);
        assert!(tells(changed(|it, _| it.status.selector = selector.into()), "selects its Pod"));
        let scheduled = |status, reason: &str| Some((status, reason.into(), "".into()));
        assert!(tells(changed(|_, pod| pod.scheduled = scheduled(Truth::True, "Other")), "PodScheduled"));
        assert!(tells(changed(|_, pod| pod.scheduled = scheduled(Truth::False, "")), "PodScheduled"));
    }

    /// KEY-006, SBX-051, SCND-040: what a sandbox notes, says and bears.
    #[test]
    fn a_note_or_a_mark_of_another_makes_a_difference() {
        let elsewhere = changed(|it, pod| {
            it.meta.annotations.insert(names::POD_NAME.into(), "another".into());
            pod.meta.owner = None;
        });
        assert!(tells(elsewhere, "notes Pod another, which it cannot have"));
        let client = changed(|it, _| _ = it.meta.labels.insert(names::CREATED_BY.into(), "go-client".into()));
        assert!(tells(client, "has asked for it"));
        let recorded = changed(|_, pod| {
            pod.meta.annotations.insert(names::PROPAGATED_ANNOTATIONS.into(), "note".into());
        });
        assert!(tells(recorded, "as given to it"));
        let mut store = served();
        let pod = store.list(Kind::Pod)[0].clone();
        let mut more = pod.clone();
        (more.meta_mut().key, more.meta_mut().uid) = (scene::key("more"), Uid::from_bits(1234));
        store.put(more);
        let mut several = |message: &str| {
            let sandbox = store.list(Kind::Sandbox)[0].as_sandbox().expect("it is one");
            let mut sandbox = Sandbox::clone(sandbox);
            let unknown = "Pod state is unknown. Pod scheduling cannot be determined";
            for told in &mut sandbox.status.conditions {
                (told.status, told.reason, told.message) = match &*told.kind {
                    names::READY => (Truth::False, names::MULTIPLE_PODS.into(), message.into()),
                    names::POD_SCHEDULED => (Truth::Unknown, "PodSchedulingUnknown".into(), unknown.into()),
                    _ => continue,
                };
            }
            store.put(Object::Sandbox(sandbox.into()));
            sandboxes::difference(&store)
        };
        let message = "are controlled by this Sandbox; refusing to choose or create a Pod";
        let mut says = |count: u32| several(&format!("multiple Pods ({count}) {message}"));
        assert!(tells(says(1), "instead of False MultiplePods: \"multiple Pods (2) are"));
        assert!(!tells(says(2), "MultiplePods"));
    }

    /// CND-005 and CND-023: what a claim says of its sandbox it says in the sandbox's words.
    #[test]
    fn a_claim_that_says_it_in_other_words_makes_a_difference() {
        let says = |change: fn(&mut Condition)| {
            let mut store = served();
            let Object::Claim(mut claim) = store.list(Kind::Claim)[0].clone() else {
                unreachable!("it is one")
            };
            Arc::make_mut(&mut claim).status.conditions.iter_mut().for_each(change);
            store.put(Object::Claim(claim));
            claims::difference(&store)
        };
        assert_eq!(says(|_| {}), None);
        assert!(tells(says(|ready| ready.message = "Fine".into()), "its sandbox says"));
        assert!(tells(says(|ready| ready.reason = "Fine".into()), "its sandbox says"));
    }

    /// INV-24: the policy of a template is not for the Pods of sandboxes that users make.
    #[test]
    fn a_label_of_a_template_that_is_not_for_a_pod_makes_a_difference() {
        let wrong = changed(|it, pod| {
            it.meta.owner = None;
            pod.meta.labels.insert(names::TEMPLATE_REF_HASH.into(), "1".into());
        });
        assert!(tells(wrong, names::TEMPLATE_REF_HASH));
        let right = changed(|it, pod| {
            it.meta.owner = None;
            pod.meta.labels.remove(names::TEMPLATE_REF_HASH);
        });
        assert_eq!(right, None);
    }

    /// META-020: no template gives a Pod what is the controllers' own.
    #[test]
    fn metadata_of_the_system_on_a_pod_makes_a_difference() {
        let label =
            |key: &'static str| changed(move |_, pod| _ = pod.meta.labels.insert(key.into(), "1".into()));
        let note = |key: &'static str| {
            changed(move |_, pod| _ = pod.meta.annotations.insert(key.into(), "1".into()))
        };
        assert!(tells(label("extensions.agents.x-k8s.io/mark"), "not for Pods"));
        assert!(tells(note("extensions.agents.x-k8s.io/note"), "not for Pods"));
        assert!(tells(note(names::POD_NAME), "not for Pods"));
        assert_eq!(note("example.com/note"), None);
    }

    /// RES-016, DEF-019: the network of a sandbox is that of the template that it was made from.
    #[test]
    fn a_label_of_another_template_than_a_sandbox_was_made_from_makes_a_difference() {
        let bears = |hash: Option<&str>| {
            let mut store = served();
            let sandbox =
                store.list(Kind::Sandbox).iter().find(|it| it.meta().owner_of_kind(Kind::Claim).is_some());
            let mut sandbox = sandbox.cloned().expect("the claim has one");
            let labels = &mut sandbox.meta_mut().labels;
            labels.remove(names::TEMPLATE_REF_HASH);
            labels.extend(hash.map(|hash| (names::TEMPLATE_REF_HASH.into(), hash.into())));
            store.put(sandbox);
            claims::difference(&store)
        };
        assert_eq!(bears(Some(&names::name_hash(scene::TEMPLATE))), None);
        assert!(tells(bears(Some(&names::name_hash(scene::OTHER_TEMPLATE))), "bears"));
        assert!(tells(bears(None), "bears"));
    }

    /// TPL-006, TPL-007: each half of a rule matters, and each rule more.
    #[test]
    fn a_secure_policy_with_other_rules_makes_a_difference() {
        let judged = |change: fn(&mut Value)| {
            let mut store = served();
            let Object::NetworkPolicy(mut policy) = store.list(Kind::NetworkPolicy)[0].clone() else {
                unreachable!("it is one")
            };
            let mut spec = policy.spec.value();
            change(&mut spec);
            Arc::make_mut(&mut policy).spec = Json::from(&spec);
            store.put(Object::NetworkPolicy(policy));
            templates::difference(&store)
        };
        assert_eq!(judged(|_| {}), None);
        let changes: [fn(&mut Value); 5] = [
            |spec| spec["podSelector"]["matchLabels"]["app"] = "mine".into(),
            |spec| _ = spec["ingress"][0]["from"][0].as_object_mut().map(|it| it.remove("namespaceSelector")),
            |spec| spec["ingress"][0]["from"][0]["namespaceSelector"] = json!({}),
            |spec| _ = spec["egress"].as_array_mut().map(|rules| rules.push(json!({}))),
            |spec| spec["egress"][0]["to"][0]["ipBlock"]["except"] = json!(["10.0.0.0/8"]),
        ];
        assert!(changes.into_iter().all(|change| judged(change).is_some()));
    }
}
