//! What an older original has left: members with its marks, claims that it has served, and adoptions that it had begun
//! when it was stopped.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Bound, Claim, Dependent, Json, Meta, Object, Sandbox};
use agent_sandbox_core::time::Mono;

use super::{POOL, Workload};
use crate::choices::Choices;
use crate::faults::{Fault, Options, Rates};
use crate::scene::{self, Act};
use crate::tape::Site;

/// When all of it is there: before any process looks.
const THEN: Mono = Mono::from_micros(3);

/// Where the original has noted which sandbox a claim has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Record {
    Annotation,
    Label,
    Status,
}

impl Workload {
    /// Draws what was there before: at most as many members as the pool wants, and some claims.
    pub(super) fn draw_inherited(
        &mut self,
        options: &Options,
        rates: &Rates,
        choices: &mut Choices,
        end: Mono,
    ) {
        if !rates.has(Fault::Inherited) {
            return self.trouble.push((Fault::Inherited, 0));
        }
        choices.about(|| Site::deed("left"));
        let mut members = choices.below(options.pool + 1);
        let site = Site::deed("left-claim");
        let claims = choices.each(&site, |choices| choices.below(4));
        self.trouble.push((Fault::Inherited, 1 + members));
        for number in claims {
            choices.about(|| site.clone().number(number));
            let name: Text = format!("old-{number}").into();
            match choices.below(5) {
                0 => self.leave_served(&name, Record::Annotation),
                1 => self.leave_served(&name, Record::Label),
                2 => self.leave_served(&name, Record::Status),
                3 => self.leave_cold(&name),
                _ if members > 0 => {
                    members -= 1;
                    self.leave_half_done(&name);
                }
                _ => continue,
            }
            choices.about(|| Site::deed("left-policy").number(number));
            if choices.chance(300) {
                choices.about(|| Site::deed("left-policy-name").number(number));
                // Somebody else may have made one for a claim, too.
                let is_other = choices.chance(150);
                self.leave_policy(
                    &name,
                    if is_other { "-of-somebody" } else { names::NETWORK_POLICY_SUFFIX },
                );
            }
            choices.about(|| Site::deed("left-claim-deletion").number(number));
            if choices.chance(500) {
                let gone = THEN + choices.around(Duration::from_secs(10));
                self.add(gone.min(end), Act::Delete(Kind::Claim, scene::key(name)));
            }
        }
        for number in 0..members {
            choices.about(|| Site::deed("left-member").number(number));
            let name = format!("{POOL}-m{number}");
            let mut sandbox = member(&name);
            if choices.chance(300) {
                // There was a release without this label.
                sandbox.meta.labels.remove(names::LAUNCH_TYPE);
            }
            self.leave_sandbox(sandbox, (Kind::Pool, scene::key(POOL)));
            if choices.chance(700) {
                self.leave_pod(&name);
            }
        }
    }

    /// A claim that has a member, by one of the records that there have been.
    fn leave_served(&mut self, name: &str, record: Record) {
        let former = format!("{POOL}-of-{name}");
        let mut claim = left_claim(name, (record == Record::Status).then_some(&*former));
        let note = |notes: &mut agent_sandbox_core::object::Labels, key: &str| {
            notes.insert(key.into(), (*former).into());
        };
        match record {
            Record::Annotation => note(&mut claim.meta.annotations, names::SANDBOX_NAME),
            Record::Label => note(&mut claim.meta.labels, names::LEGACY_SANDBOX_NAME),
            Record::Status => {}
        }
        self.add(THEN, Act::Leave(Object::Claim(claim.into()), None));
        let mut sandbox = member(&former);
        for key in [names::WARM_POOL, names::TEMPLATE_HASH, names::POD_TEMPLATE_HASH] {
            sandbox.meta.labels.remove(key);
        }
        self.leave_sandbox(sandbox, (Kind::Claim, scene::key(name)));
        self.leave_pod(&former);
    }

    /// A claim with a sandbox of its own, of which nothing is recorded.
    fn leave_cold(&mut self, name: &str) {
        self.add(THEN, Act::Leave(Object::Claim(left_claim(name, Some(name)).into()), None));
        let mut sandbox = scene::sandbox(name);
        sandbox.meta.labels.insert(names::LAUNCH_TYPE.into(), "cold".into());
        self.leave_sandbox(sandbox, (Kind::Claim, scene::key(name)));
        self.leave_pod(name);
    }

    /// A claim that has recorded a member and has not got it yet.
    fn leave_half_done(&mut self, name: &str) {
        let recorded = format!("{POOL}-of-{name}");
        let mut claim = left_claim(name, None);
        claim.meta.annotations.insert(names::SANDBOX_NAME.into(), (*recorded).into());
        self.add(THEN, Act::Leave(Object::Claim(claim.into()), None));
        self.leave_sandbox(member(&recorded), (Kind::Pool, scene::key(POOL)));
        self.leave_pod(&recorded);
    }

    /// A network policy for one claim, as there was before templates had theirs.
    fn leave_policy(&mut self, claim: &str, suffix: &str) {
        let meta = Meta::draft(scene::key(format!("{claim}{suffix}")));
        let spec = Json::from(&serde_json::json!({ "podSelector": {} }));
        let policy = Object::NetworkPolicy(Arc::new(Dependent { meta, spec }));
        self.add(THEN, Act::Leave(policy, Some((Kind::Claim, scene::key(claim)))));
    }

    fn leave_sandbox(&mut self, sandbox: Sandbox, owner: (Kind, Key)) {
        self.add(THEN, Act::Leave(Object::Sandbox(sandbox.into()), Some(owner)));
    }

    fn leave_pod(&mut self, sandbox: &str) {
        let labels = [(names::SANDBOX_NAME_HASH, names::name_hash(sandbox))];
        let pod = scene::part(Kind::Pod, sandbox, None, &labels);
        self.add(THEN, Act::Leave(pod, Some((Kind::Sandbox, scene::key(sandbox)))));
    }
}

/// Returns a claim whose status names this sandbox.
fn left_claim(name: &str, told: Option<&str>) -> Claim {
    let Object::Claim(claim) = scene::claim(name, POOL) else { unreachable!("it is a claim") };
    let mut claim = Claim::clone(&claim);
    claim.status.sandbox = told.map(|name| Bound { name: name.into(), pod_ips: Vec::new() });
    claim
}

/// Returns a member with the original's marks, which are not ours.
fn member(name: &str) -> Sandbox {
    let mut sandbox = scene::sandbox(name);
    let marks = [
        (names::WARM_POOL, names::name_hash(POOL)),
        (names::TEMPLATE_REF_HASH, names::name_hash(scene::TEMPLATE)),
        (names::TEMPLATE_HASH, "e7ff4803".into()),
        (names::POD_TEMPLATE_HASH, "de6ec94c".into()),
    ];
    for labels in [&mut sandbox.meta.labels, &mut sandbox.pod.labels] {
        labels.extend(marks.iter().map(|(key, value)| ((*key).into(), value.clone())));
    }
    sandbox.meta.labels.insert(names::LAUNCH_TYPE.into(), "warm".into());
    sandbox.meta.annotations.insert(names::TEMPLATE_REF.into(), scene::TEMPLATE.into());
    sandbox
}
