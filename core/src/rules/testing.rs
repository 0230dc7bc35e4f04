//! Small worlds as text, for the tests of rules: one line an object, then what the rule says of each subject.
//!
//! ```text
//! template tpl  make=a                  (or: unmanaged, labelled, terminating, spec={"service":true}: JSON without
//!                                        blanks; again: a successor of that name)
//! policy tpl-network-policy template=tpl (or: open, claim=c1)
//! pool p        replicas=1 template=tpl recreate blocked held=3s   (it has lost a member, and waits)
//! sandbox s1    pool=p ready            (or: reachable, starting, ended, succeeded, nopod; noaddress, podgoing, scheduled,
//!                                        unschedulable; terminating, owner=c1, suspended; age=2s;
//!                                        over=now or over=3s, delete; isexpired, untold; notes=the Pod that it notes;
//!                                        make=a from=tpl mark=h; unready=9s, since its status says so; created=9s, ago
//!                                        by the server's calendar)
//!                                       (service=true, volumes=a,b, ports=[{"containerPort":80}])
//! pod p1        of=s1 terminating       (or: of=another; adoptable, tracked=s1)
//! service s1    of=s1 spec={}           (likewise; without spec= as the sandbox makes it)
//! volume a-s1   of=s1                   (likewise)
//! claim c1      pool=p age=9s records=s1 shows=s1 isready     (or: told=REASON@GENERATION, finished=AGE, spec=, labelled=s1,
//!                                        terminating)
//! absent sandbox s1                     (the server itself said so)
//! gone s1                               (a watch has shown that; or: gone s1 pod)
//! present s1                            (the server itself named it as the holder of its name)
//! edited c1     pool=q                  (the same claim, as it is by then)
//! asked c1                              (the server itself shows it as it is)
//! held s1                               (a write to it is not answered)
//! starting s1                           (the creation of its Pod is not answered; or: starting s1 former, that of the Pod of a
//!                                        sandbox that had the name before)
//! lost s1                               (that one may still land, and is not waited for)
//! leaving s1                            (its deletion is not answered)
//! refused c1    sandbox c1 age=1s why   (the server refuses to make it)
//! ```

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use crate::action::{Intent, Operation, Part, Propagation, Target};
use crate::agenda::Urgency;
use crate::config::Config;
use crate::id::{ActionId, Key, Kind, Text, Uid, Version};
use crate::ledger::{Hold, Purpose, Stage};
use crate::make;
use crate::names;
use crate::object::{
    Bound, Claim, Dependent, Json, Meta, Network, Object, Owner, OwnerKind, Phase, Pod, PodMetadata, Pool,
    PoolStatus, Sandbox, SandboxStatus, Shutdown, ShutdownPolicy, Template, Truth, Update,
};
use crate::parts::{self, Serving, Volumes};
use crate::patch::Change;
use crate::rules::{Run, Verdict};
use crate::state::State;
use crate::status::{Parts, sandbox_status};
use crate::time::{Mono, Now, Wall};
use crate::view::{Backing, View};

/// Runs a rule on every object of a kind, oldest first, and compares what it says.
#[track_caller]
pub(super) fn check(rule: Run, about: Kind, world: &str, expected: &[&str]) {
    assert_eq!(said(rule, about, world), expected);
}

/// Runs a rule on every object of a kind, oldest first, and returns what it says.
pub(super) fn said(rule: Run, about: Kind, world: &str) -> Vec<String> {
    let world = World::read(world);
    world.subjects(about).into_iter().filter_map(|uid| world.ask(rule, uid)).collect()
}

/// Compares the conditions that the oldest sandbox should show, and the parts of its status that name its Pod.
#[track_caller]
pub(crate) fn check_status(world: &str, expected: &[&str]) {
    let world = World::read(world);
    let (config, reached) = (Config::default(), Cell::new(0));
    let view = View::new(&world.state, &config, (1, 0), &reached);
    let uid = world.subjects(Kind::Sandbox)[0];
    let sandbox = &world.state.sandboxes[&uid].sandbox;
    let now = at(NOW).wall;
    let status = view.sandbox_status(sandbox, sandbox.is_over(now), now);
    let told = status
        .conditions
        .iter()
        .map(|it| format!("{}={} {}: {}", it.kind, it.status.as_str(), it.reason, it.message));
    let texts = [&status.node, &status.selector, &status.service, &status.service_fqdn];
    let place: Vec<String> =
        [status.pod_ips.join(",")].into_iter().chain(texts.map(|text| text.to_string())).collect();
    let place = Some(place.join(" ").trim().to_string()).filter(|place| !place.is_empty());
    assert_eq!(told.chain(place).collect::<Vec<_>>(), expected);
}

struct World {
    state: State,
    last: u64,
}

const NOW: Mono = Mono::from_micros(100_000_000);

/// Returns so many seconds before [`NOW`], as in `9s`. The clock that counts from the start has none before its start.
fn ago(seconds: &str) -> Now {
    let seconds: i64 = seconds.trim_end_matches('s').parse().unwrap();
    let wall = Wall::from_micros(NOW.micros() as i64 - seconds * 1_000_000);
    Now { mono: Mono::from_micros(wall.micros().max(0) as u64), wall }
}

fn at(mono: Mono) -> Now {
    Now { mono, wall: Wall::from_micros(mono.micros() as i64) }
}

impl World {
    fn read(text: &str) -> Self {
        let mut world = Self { state: State::default(), last: 0 };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            world.add(words[0], words[1], &words[2..]);
        }
        world
    }

    fn add(&mut self, what: &str, name: &str, words: &[&str]) {
        match what {
            "template" => self.observe(NOW, Object::Template(Arc::new(template(name, words)))),
            "policy" => self.add_policy(name, words),
            "pool" => {
                self.observe(NOW, Object::Pool(Arc::new(pool(name, words))));
                let entry = self.uid(name);
                let entry = self.state.pools.get_mut(&entry).unwrap();
                entry.told_blocked = words.contains(&"blocked");
                if let Some(ahead) = value(words, "held") {
                    entry.pace.hold(NOW + Duration::from_secs(ahead.trim_end_matches('s').parse().unwrap()));
                }
            }
            "claim" => self.observe(seen(words), Object::Claim(Arc::new(claim(name, words)))),
            "edited" => {
                let mut claim = claim(name, words);
                claim.meta.uid = self.uid(name);
                claim.meta.created = self.state.claims[&claim.meta.uid].claim.meta.created;
                self.last += 1;
                (claim.meta.version, claim.meta.generation) = (Version(self.last), 2);
                assert!(self.state.observe(&Object::Claim(Arc::new(claim)), at(NOW)));
            }
            "sandbox" => self.add_sandbox(name, words),
            "pod" => self.add_pod(name, words),
            "service" => self.add_service(name, words),
            "volume" => {
                let meta = self.part(name, words);
                self.observe(NOW, Object::VolumeClaim(Arc::new(Dependent { meta, spec: json(&[]) })));
            }
            "absent" => {
                let kind =
                    Kind::ALL.into_iter().find(|kind| kind.name().to_lowercase().ends_with(name)).unwrap();
                self.state.note_absence(kind, &key(words[0]));
            }
            "gone" => {
                let kind = if words == ["pod"] { Kind::Pod } else { Kind::Sandbox };
                let uid = self.state.names.get(kind, &key(name)).unwrap();
                self.last += 1;
                self.state.bury(kind, uid, Some(Version(self.last)));
            }
            "present" => {
                let uid = self.state.names.get(Kind::Sandbox, &key(name)).unwrap();
                self.state.note_presence(&key(name), uid);
            }
            "asked" => {
                let uid = self.uid(name);
                self.state.note_look(self.state.kind_of(uid).unwrap(), &key(name));
                self.state.suspect(&key(name));
                self.state.condemn(uid, true);
                self.state.console(uid);
            }
            other => self.add_write(other, name, words),
        }
    }

    /// Adds what is known of a write.
    fn add_write(&mut self, what: &str, name: &str, words: &[&str]) {
        match what {
            "held" => {
                let uid = self.uid(name);
                self.state.ledger.holds.insert(uid, Hold::Sent(ActionId(0)));
                self.state.hold_changed(self.state.kind_of(uid).unwrap(), uid);
            }
            "starting" => {
                let sandbox = &self.state.sandboxes[&self.uid(name)].sandbox;
                let operation = Operation::Create(Object::Pod(make::pod(sandbox).into())).into();
                let (intent, urgency) = (Intent::CreatePod, Urgency::Claim);
                let subject = if words.contains(&"former") { Uid::from_bits(999) } else { sandbox.meta.uid };
                self.state.ledger.send(Purpose { rule: None, subject, intent, operation, urgency }, 0);
                self.state.draft_changed(&(Kind::Pod, key(name)), subject);
            }
            "lost" => {
                let draft = self.state.ledger.drafts.get_mut(&(Kind::Pod, key(name))).unwrap();
                (draft.stage, draft.ghost_until) = (Stage::Ghost, Some(NOW + Duration::from_secs(9)));
            }
            "refused" => self.refuse(name, words),
            "leaving" => {
                let uid = self.uid(name);
                let target = Target { kind: Kind::Sandbox, key: key(name), uid: Some(uid) };
                let operation =
                    Operation::Delete { target, version: None, propagation: Propagation::default() }.into();
                let (intent, urgency) = (Intent::DeleteMember, Urgency::Background);
                let purpose = Purpose { rule: None, subject: uid, intent, operation, urgency };
                self.state.ledger.send(purpose, 0);
                self.state.hold_changed(Kind::Sandbox, uid);
            }
            other => panic!("no line begins with {other:?}"),
        }
    }

    fn refuse(&mut self, subject: &str, words: &[&str]) {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name().to_lowercase().ends_with(words[0])).unwrap();
        let (slot, why) = ((kind, key(words[1])), words[3..].join(" ").as_str().into());
        let since = ago(value(words, "age").unwrap()).mono;
        self.state.ledger.refuse(self.uid(subject), &slot, &why, since);
    }

    fn add_sandbox(&mut self, name: &str, words: &[&str]) {
        let mut sandbox = blank_sandbox(name, words);
        let owner = value(words, "pool").map(|pool| (Kind::Pool, pool));
        let owner = owner.or(value(words, "owner").map(|claim| (Kind::Claim, claim)));
        if let Some((kind, owner)) = owner {
            let uid = self.find(owner).unwrap_or(Uid::from_bits(999));
            let mut meta = meta(owner);
            meta.uid = uid;
            sandbox.meta.owner = Some(Owner::new(kind, &meta));
        }
        sandbox.meta.terminating = words.contains(&"terminating");
        sandbox.meta.uid = Uid::from_bits(u128::from(self.last) + 1);
        let pod = pod(&sandbox, words);
        let is_expired = words.contains(&"isexpired");
        if is_expired || (words.contains(&"ready") && !words.contains(&"untold")) {
            sandbox.meta.generation = 1;
            let parts = Parts {
                backing: pod.as_ref().map_or(Backing::None, Backing::Own),
                serving: Serving::None,
                volumes: Volumes::Fine,
                refused: [None; 3],
                domain: "cluster.local",
            };
            sandbox.status = sandbox_status(&sandbox, &parts, is_expired, Wall::default()).into_owned();
        }
        if let Some(created) = value(words, "created") {
            sandbox.meta.created = ago(created).wall;
        }
        if let Some(pod) = value(words, "notes") {
            sandbox.meta.annotations.insert(names::POD_NAME.into(), pod.into());
        }
        if let Some(since) = value(words, "unready") {
            let told = (Truth::False, "DependenciesNotReady".into(), "".into());
            make::set_condition(&mut sandbox.status.conditions, names::READY, told, 1, ago(since).wall);
        }
        for (key, value) in words.iter().filter_map(|word| word.strip_prefix("label:")?.split_once('=')) {
            sandbox.meta.labels.insert(format!("agents.x-k8s.io/{key}").into(), value.into());
        }
        for (key, value) in words.iter().filter_map(|word| word.strip_prefix("pod:")?.split_once('=')) {
            let domain = if key == "old" { "" } else { "agents.x-k8s.io/" };
            sandbox.pod.labels.insert(format!("{domain}{key}").into(), value.into());
        }
        if let Some(template) = value(words, "made-from") {
            sandbox.meta.annotations.insert(names::TEMPLATE_REF.into(), template.into());
        }
        if words.contains(&"edited") {
            sandbox.meta.generation += 1;
        }
        sandbox.suspended = words.contains(&"suspended");
        sandbox.service = value(words, "service").map(|service| service == "true");
        sandbox.volume_claims = value(words, "volumes").map(|names| {
            let claim = |name| serde_json::json!({ "metadata": { "name": name }, "spec": {} });
            Json::from(&names.split(',').map(claim).collect())
        });
        if let Some(ports) = value(words, "ports") {
            let ports: serde_json::Value = serde_json::from_str(ports).unwrap();
            sandbox.pod_spec = Json::from(&serde_json::json!({ "containers": [{ "ports": ports }] }));
        }
        if let Some(over) = value(words, "over") {
            let policy =
                if words.contains(&"delete") { ShutdownPolicy::Delete } else { ShutdownPolicy::Retain };
            let ahead: u64 = over.trim_end_matches('s').parse().unwrap_or(0);
            let at = at(NOW + Duration::from_secs(ahead)).wall;
            sandbox.shutdown = Some(Shutdown { at, policy });
        }
        self.observe(seen(words), Object::Sandbox(Arc::new(sandbox)));
        if let Some(pod) = pod {
            self.observe(NOW, Object::Pod(pod));
        }
    }

    fn add_pod(&mut self, name: &str, words: &[&str]) {
        let mut pod = make::pod(&blank_sandbox(name, &[]));
        pod.meta = self.part(name, words);
        self.observe(NOW, Object::Pod(Arc::new(pod)));
    }

    /// The Service that the sandbox of its name would make, or a headless one; `spec=` says otherwise.
    fn add_service(&mut self, name: &str, words: &[&str]) {
        let made = self.state.names.get(Kind::Sandbox, &key(name)).map(|uid| {
            let sandbox = &self.state.sandboxes[&uid].sandbox;
            parts::service(sandbox).as_dependent().unwrap().spec.clone()
        });
        let given = value(words, "spec").map(|spec| Json::from(&serde_json::from_str(spec).unwrap()));
        let spec = given.or(made).unwrap_or_else(|| json(&[]));
        let meta = self.part(name, words);
        self.observe(NOW, Object::Service(Arc::new(Dependent { meta, spec })));
    }

    /// Metadata of something that may belong to a sandbox.
    fn part(&self, name: &str, words: &[&str]) -> Meta {
        let mut meta = meta(name);
        meta.owner = value(words, "of").map(|owner| {
            let sandbox = self.state.names.get(Kind::Sandbox, &key(owner));
            let foreign = Owner {
                kind: OwnerKind::Foreign("ReplicaSet".into()),
                name: owner.into(),
                uid: Uid::from_bits(999),
            };
            sandbox.map_or(foreign, |uid| Owner::new(Kind::Sandbox, &self.state.sandboxes[&uid].sandbox.meta))
        });
        if words.contains(&"adoptable") {
            meta.labels.insert(names::ADOPTABLE.into(), "true".into());
        }
        if let Some(sandbox) = value(words, "tracked") {
            meta.labels.insert(names::SANDBOX_NAME_HASH.into(), names::name_hash(sandbox));
        }
        meta.terminating = words.contains(&"terminating");
        meta
    }

    /// The policy that its template would make, or one that lets everybody in.
    fn add_policy(&mut self, name: &str, words: &[&str]) {
        let mut meta = meta(name);
        let owner = value(words, "template").map(|template| self.uid(template));
        let template = owner.map(|uid| self.state.templates[&uid].clone());
        meta.owner = template.as_ref().map(|template| Owner::new(Kind::Template, &template.meta));
        if let Some(claim) = value(words, "claim").map(|claim| self.uid(claim)) {
            meta.owner = Some(Owner::new(Kind::Claim, &self.state.claims[&claim].claim.meta));
        }
        let made = template.and_then(|template| super::isolate_template::wanted(&template));
        let spec = made
            .filter(|_| !words.contains(&"open"))
            .unwrap_or_else(|| serde_json::json!({ "ingress": [{}] }));
        self.observe(NOW, Object::NetworkPolicy(Arc::new(Dependent { meta, spec: Json::from(&spec) })));
    }

    fn observe(&mut self, now: Mono, mut object: Object) {
        self.last += 1;
        let last = self.last;
        let meta = object.meta_mut();
        if meta.uid == Uid::UNSET {
            meta.uid = Uid::from_bits(last.into());
        }
        (meta.version, meta.generation) = (Version(last), meta.generation.max(1));
        if meta.created == Wall::default() {
            meta.created = Wall::from_micros(last as i64 * 1_000_000);
        }
        assert!(self.state.observe(&object, at(now)));
    }

    fn find(&self, name: &str) -> Option<Uid> {
        Kind::ALL.into_iter().find_map(|kind| self.state.names.get(kind, &key(name)))
    }

    #[track_caller]
    fn uid(&self, name: &str) -> Uid {
        self.find(name).unwrap()
    }

    fn subjects(&self, kind: Kind) -> Vec<Uid> {
        let mut uids: Vec<Uid> = self.state.names.of(kind).collect();
        uids.sort_unstable();
        uids
    }

    fn ask(&self, rule: Run, subject: Uid) -> Option<String> {
        let (config, reached) = (Config::default(), Cell::new(0));
        let view = View::new(&self.state, &config, (1, 0), &reached);
        match rule(&view, subject, at(NOW)) {
            Verdict::Quiet => None,
            Verdict::Until(when, reason) => Some(format!("until {:?} {reason:?}", when.since(NOW))),
            Verdict::Act(intent, operation) => {
                Some(format!("{intent:?} {}", describe(&operation)).trim().to_string())
            }
        }
    }
}

fn describe(operation: &Operation) -> String {
    let is_member = |object: &Object| object.meta().owner_of_kind(Kind::Pool).is_some();
    // A member's name is nobody's choice.
    let is_new_member = matches!(operation, Operation::Create(object) if is_member(object));
    let name = if is_new_member { "a member" } else { &operation.key().name };
    if let Operation::Notify(notice) = operation {
        let kind = if notice.warning { "Warning" } else { "Normal" };
        return format!("{kind} {} about {name}", notice.reason);
    }
    let Operation::Patch(patch) = operation else { return name.to_string() };
    let mut text = name.to_string();
    for change in &patch.changes {
        match change {
            Change::Annotation(key, value) if &**key == names::SANDBOX_NAME => {
                text += &format!(" records={}", value.as_deref().unwrap_or("nothing"));
            }
            Change::Owner(owner) => text += &format!(" owner={}", owner.name),
            Change::ClaimStatus(status) => text += &format!(" {}", told(&status.conditions)),
            Change::SandboxStatus(status) => text += &format!(" {}", told(&status.conditions)),
            Change::PoolStatus(status) => {
                text += &format!(" {} there, {} ready", status.replicas, status.ready)
            }
            Change::Label(key, value) => {
                text += &format!(" {}={}", short(key), value.as_deref().unwrap_or(""))
            }
            Change::Annotation(key, value) if &**key == names::POD_NAME && patch.changes.len() == 1 => {
                text += &format!(" notes={}", value.as_deref().unwrap_or("nothing"));
            }
            Change::PodLabel(key, value) | Change::PodAnnotation(key, value) => {
                text += &format!(" pod:{}={}", short(key), value.as_deref().unwrap_or(""))
            }
            Change::Spec(spec) if patch.target.kind == Kind::Service => {
                text += &format!(" spec={}", spec.text());
            }
            Change::Annotation(..) | Change::Spec(_) | Change::CoOwners(_) => {}
        }
    }
    assert!(patch.version.is_some() && patch.target.uid.is_some(), "every write is locked");
    let is_status = patch.changes.iter().any(|change| {
        matches!(change, Change::ClaimStatus(_) | Change::SandboxStatus(_) | Change::PoolStatus(_))
    });
    assert_eq!(is_status, patch.part == Part::Status);
    text
}

fn short(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn told(conditions: &[crate::object::Condition]) -> String {
    let ready = conditions.iter().find(|condition| &*condition.kind == names::READY);
    ready.map_or_else(String::new, |ready| format!("Ready={} {}", ready.status.as_str(), ready.reason))
}

fn value<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// Returns when an object was first seen.
fn seen(words: &[&str]) -> Mono {
    let age = value(words, "age").map_or(0, |age| age.trim_end_matches('s').parse().unwrap());
    Mono::from_micros(NOW.micros() - Duration::from_secs(age).as_micros() as u64)
}

fn key(name: &str) -> Key {
    Key::new("ns", name)
}

fn meta(name: &str) -> Meta {
    Meta::draft(key(name))
}

/// What is made: a Pod spec in which nothing but the make counts, or that of a plain template.
fn json(words: &[&str]) -> Json {
    match value(words, "make") {
        Some(make) => Json::from(&serde_json::json!({ "make": make })),
        None => template("tpl", &[]).blueprint.pod_spec.clone(),
    }
}

pub(crate) fn template(name: &str, words: &[&str]) -> Template {
    let spec = serde_json::json!({ "podTemplate": { "spec": { "containers": [{ "name": "main" }] } } });
    let Object::Template(template) = decoded(Kind::Template, name, spec, words) else { unreachable!() };
    let is_unmanaged = words.contains(&"unmanaged");
    let network = if is_unmanaged { Network::Unmanaged } else { Network::Secure };
    let mut template = Template { meta: meta(name), network, ..(*template).clone() };
    if let Some(make) = value(words, "make") {
        let blueprint = Arc::make_mut(&mut template.blueprint);
        (blueprint.pod_spec, blueprint.hash) = (json(words), format!("mark of {make}").into());
    }
    template.meta.terminating = words.contains(&"terminating");
    if words.contains(&"labelled") {
        template.meta.labels.insert(names::TEMPLATE_REF_HASH.into(), names::name_hash(name));
    }
    template
}

/// Reads an object as from the server, with what `spec=` says in place of what is given.
fn decoded(kind: Kind, name: &str, mut spec: serde_json::Value, words: &[&str]) -> Object {
    if let Some(given) = value(words, "spec") {
        let given: serde_json::Map<_, _> = serde_json::from_str(given).unwrap();
        spec.as_object_mut().unwrap().extend(given);
    }
    let metadata = serde_json::json!({ "name": name, "namespace": "ns", "uid": "", "resourceVersion": "0" });
    let text = serde_json::json!({ "metadata": metadata, "spec": spec }).to_string();
    crate::wire::decode(kind, &text).unwrap()
}

fn pool(name: &str, words: &[&str]) -> Pool {
    let mut pool = Pool {
        meta: meta(name),
        replicas: value(words, "replicas").map_or(1, |replicas| replicas.parse().unwrap()),
        template: value(words, "template").unwrap_or("tpl").into(),
        update: if words.contains(&"recreate") { Update::Recreate } else { Update::OnReplenish },
        status: PoolStatus { selector: "".into(), ..PoolStatus::default() },
    };
    pool.meta.terminating = words.contains(&"terminating");
    pool
}

fn claim(name: &str, words: &[&str]) -> Claim {
    let pool = value(words, "pool").unwrap_or("p");
    let spec = serde_json::json!({ "warmPoolRef": { "name": pool } });
    let Object::Claim(claim) = decoded(Kind::Claim, name, spec, words) else { unreachable!() };
    let mut claim = Claim { meta: meta(name), ..(*claim).clone() };
    claim.meta.terminating = words.contains(&"terminating");
    if let Some(recorded) = value(words, "records") {
        claim.meta.annotations.insert(names::SANDBOX_NAME.into(), recorded.into());
    }
    if let Some(recorded) = value(words, "labelled") {
        claim.meta.labels.insert(names::LEGACY_SANDBOX_NAME.into(), recorded.into());
    }
    if let Some(shown) = value(words, "shows") {
        claim.status.sandbox =
            Some(Bound { name: shown.into(), pod_ips: Vec::from([Text::from("10.0.0.1")]) });
    }
    if let Some(reason) = value(words, "told") {
        let (reason, observed) = reason.split_once('@').unwrap_or((reason, "1"));
        let told = (Truth::False, reason.into(), "".into());
        let observed = observed.parse().unwrap();
        make::set_condition(&mut claim.status.conditions, names::READY, told, observed, Wall::default());
    }
    if let Some(age) = value(words, "finished") {
        let age: u64 = age.trim_end_matches('s').parse().unwrap();
        let told = (Truth::True, "PodSucceeded".into(), "".into());
        let at = Wall::from_micros(NOW.micros() as i64 - age as i64 * 1_000_000);
        make::set_condition(&mut claim.status.conditions, names::FINISHED, told, 1, at);
    }
    if words.contains(&"isready") {
        let told = (Truth::True, "DependenciesReady".into(), "Pod is Ready".into());
        make::set_condition(&mut claim.status.conditions, names::READY, told, 1, Wall::default());
    }
    claim
}

fn blank_sandbox(name: &str, words: &[&str]) -> Sandbox {
    let mut meta = meta(name);
    let from = names::name_hash(value(words, "from").unwrap_or("tpl"));
    meta.labels.insert(names::TEMPLATE_REF_HASH.into(), from);
    if let Some(mark) = value(words, "mark") {
        meta.labels.insert(names::TEMPLATE_HASH.into(), mark.replace('-', " ").into());
    }
    Sandbox {
        meta,
        pod: PodMetadata::default(),
        pod_spec: json(words),
        volume_claims: None,
        service: None,
        suspended: false,
        shutdown: None,
        status: SandboxStatus { node: "".into(), selector: "".into(), ..SandboxStatus::default() },
    }
}

fn pod(sandbox: &Sandbox, words: &[&str]) -> Option<Arc<Pod>> {
    if words.contains(&"nopod") {
        return None;
    }
    let mut pod = make::pod(sandbox);
    if words.contains(&"ready") || words.contains(&"reachable") {
        (pod.phase, pod.node) = (Phase::Running, "node".into());
        pod.ips = value(words, "ip").unwrap_or("10.0.0.1").split(',').map(Text::from).collect();
    }
    pod.ready = words.contains(&"ready");
    if words.contains(&"ended") {
        pod.phase = Phase::Failed;
    }
    if words.contains(&"succeeded") {
        pod.phase = Phase::Succeeded;
    }
    if words.contains(&"scheduled") {
        pod.scheduled = Some((Truth::True, "".into(), "".into()));
    }
    if words.contains(&"unschedulable") {
        pod.scheduled = Some((Truth::False, names::UNSCHEDULABLE.into(), "0/3 nodes".into()));
    }
    if words.contains(&"noaddress") {
        pod.ips.clear();
    }
    pod.meta.terminating = words.contains(&"podgoing");
    if words.contains(&"unlabelled") {
        pod.meta.labels.clear();
    }
    Some(Arc::new(pod))
}
