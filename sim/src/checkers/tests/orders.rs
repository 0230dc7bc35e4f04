//! What is made is judged by what was asked for.

use agent_sandbox_core::action::{Part, Patch};
use agent_sandbox_core::object::{Dependent, Json, Meta};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::wishes::{Variable, Wishes};
use serde_json::{Value, json};

use super::*;

/// META-013.
#[test]
fn a_pod_without_a_volume_that_its_sandbox_claims_is_noticed() {
    let pod = |spec: Value| {
        let mut pod = pod("s", 4, 3);
        if let Object::Pod(pod) = &mut pod {
            Arc::make_mut(pod).spec = Some(Json::from(&spec));
        }
        made(pod)
    };
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-s" } });
    let with = |volumes: &[&Value]| {
        let mut spec = sandbox().pod_spec.value();
        spec["volumes"] = json!(volumes);
        spec
    };
    let other = json!({ "name": "tmp", "emptyDir": {} });
    assert_eq!(pod(with(&[&other, &volume])), Ok(()));
    assert_eq!(pod(with(&[&other])), Err("made-to-order"));
    assert_eq!(pod(with(&[&volume])), Err("made-to-order"));
    let twice = json!({ "name": "data", "emptyDir": {} });
    assert_eq!(pod(with(&[&other, &twice, &volume])), Err("made-to-order"));
    let mut changed = with(&[&other, &volume]);
    changed["containers"][0]["image"] = "another".into();
    assert_eq!(pod(changed), Err("made-to-order"));
}

/// SBX-043.
#[test]
fn a_volume_claim_that_is_not_as_its_template_is_noticed() {
    let claim = |name: &str, class: &str, tier: &str| {
        let mut meta = part_of(name);
        meta.labels.insert("tier".into(), tier.into());
        meta.annotations.insert("owner".into(), "team".into());
        let spec = Json::from(&json!({ "storageClassName": class }));
        made(Object::VolumeClaim(Arc::new(Dependent { meta, spec })))
    };
    assert_eq!(claim("data-s", "slow", "slow"), Ok(()));
    assert_eq!(claim("data-s", "fast", "slow"), Err("made-to-order"));
    assert_eq!(claim("data-s", "slow", "fast"), Err("made-to-order"));
    assert_eq!(claim("other-s", "slow", "slow"), Err("made-to-order"));
}

/// SBX-090: each port at which something listens for good, and the first has its name. GAP-020: under a name that there can be.
#[test]
fn a_service_with_other_ports_than_its_sandbox_is_noticed() {
    let named = |name: &str, ports: Value| {
        let spec = Json::from(&json!({ "clusterIP": "None", "ports": ports }));
        made(Object::Service(Arc::new(Dependent { meta: part_of(name), spec })))
    };
    let service = |ports: Value| named("s", ports);
    let port = |name: &str, protocol: &str, number: u32, target: u32| json!({ "name": name, "protocol": protocol, "port": number, "targetPort": target });
    let [web, proxy, datagrams] = [
        port("http", "TCP", 8080, 8080),
        port("p-8081-tcp", "TCP", 8081, 8081),
        port("p-9000-udp", "UDP", 9000, 9000),
    ];
    assert_eq!(service(json!([web, proxy, datagrams])), Ok(()));
    assert_eq!(service(json!([web, proxy, port("p-9000-udp-2", "UDP", 9000, 9000)])), Ok(()));
    assert_eq!(service(json!([web, proxy, port("p-9000-tcp", "UDP", 9000, 9000)])), Err("made-to-order"));
    for name in ["s.1", &*"s".repeat(64)] {
        assert_eq!(named(name, json!([web, proxy, datagrams])), Err("made-to-order"));
    }
    assert_eq!(service(json!([web, datagrams])), Err("made-to-order"));
    assert_eq!(service(json!([web, proxy, datagrams, port("s", "TCP", 7000, 7000)])), Err("made-to-order"));
    assert_eq!(service(json!([web, port("p-8081-tcp", "TCP", 8081, 80), datagrams])), Err("made-to-order"));
    assert_eq!(service(json!([web, port("http", "TCP", 8081, 8081), datagrams])), Err("made-to-order"));
    let renamed = [port("web", "TCP", 8080, 8080), port("http", "TCP", 8081, 8081), datagrams.clone()];
    assert_eq!(service(json!(renamed)), Err("made-to-order"));
}

/// KEY-011, INV-26: a member is marked for autoscalers, and nothing is made for a claim that asks for what it cannot have.
#[test]
fn a_sandbox_that_is_made_otherwise_than_asked_for_is_noticed() {
    let container = r#""image":"sandbox","env":[{"name":"A","value":"0"}]"#;
    let template = |policy| scene::template_that(scene::TEMPLATE, container, [policy; 2], scene::CACHED);
    let is_made = |template: Object, of: Owner, change: fn(&mut Sandbox)| {
        let Object::Template(inner) = &template else { panic!("no template") };
        let (mut sandbox, hash) = (scene::sandbox("n"), names::name_hash(scene::TEMPLATE));
        let blueprint = inner.blueprint.clone();
        (sandbox.pod_spec, sandbox.volume_claims) =
            (blueprint.pod_spec.clone(), blueprint.volume_claims.clone());
        (sandbox.meta.owner, sandbox.service) = (Some(of), None);
        sandbox.meta.annotations.insert(names::TEMPLATE_REF.into(), scene::TEMPLATE.into());
        for labels in [&mut sandbox.meta.labels, &mut sandbox.pod.labels] {
            labels.insert(names::TEMPLATE_REF_HASH.into(), hash.clone());
        }
        for (key, hash) in
            [(names::TEMPLATE_HASH, &blueprint.hash), (names::POD_TEMPLATE_HASH, &blueprint.pod_hash)]
        {
            sandbox.meta.labels.insert(key.into(), hash.clone());
        }
        change(&mut sandbox);
        decided(template, Object::Sandbox(Arc::new(sandbox)))
    };
    let owner = |kind, name: &str, uid| {
        let mut meta = Meta::draft(scene::key(name));
        meta.uid = Uid::from_bits(uid);
        Owner::new(kind, &meta)
    };
    let marked = |sandbox: &mut Sandbox| {
        sandbox.pod.annotations.insert(names::SAFE_TO_EVICT.into(), "true".into());
    };
    let (of_pool, of_claim) = (owner(Kind::Pool, "p", 9), owner(Kind::Claim, "a", 1));
    let mismarked = |sandbox: &mut Sandbox| {
        sandbox.pod.annotations.insert(names::SAFE_TO_EVICT.into(), "true".into());
        sandbox.meta.labels.insert(names::POD_TEMPLATE_HASH.into(), "another".into());
    };
    assert_eq!(is_made(template("Overrides"), of_pool.clone(), marked), Ok(()));
    assert_eq!(is_made(template("Overrides"), of_pool.clone(), |_| {}), Err("made-to-order"));
    assert_eq!(is_made(template("Overrides"), of_pool, mismarked), Err("made-to-order"));
    let of_claim = |policy, change| is_made(template(policy), of_claim.clone(), change);
    assert_eq!(of_claim("Overrides", |it| give(it, &["main"])), Ok(()));
    assert_eq!(of_claim("Allowed", |it| give(it, &["main"])), Err("made-to-order"));
    let bare: fn(&mut Sandbox) = |it| {
        give(it, &["main"]);
        it.volume_claims = None;
    };
    assert_eq!(of_claim("Overrides", bare), Err("made-to-order"));
    assert_eq!(of_claim("Overrides", |_| {}), Err("made-to-order"), "without its variable");
    assert_eq!(of_claim("Overrides", |it| give(it, &["main", "log"])), Err("made-to-order"));
    let other: fn(&mut Sandbox) = |it| {
        give(it, &["main"]);
        let mut spec = it.pod_spec.value();
        spec["containers"][1]["image"] = "another".into();
        it.pod_spec = Json::from(&spec);
    };
    assert_eq!(of_claim("Overrides", other), Err("made-to-order"));
}

/// PMD-004: what its Pods had they keep, whatever else its claim asks for that they may not have.
#[test]
fn other_metadata_for_a_claim_that_asks_for_what_it_cannot_have_is_noticed() {
    let labels = |asked: u32, seen| {
        let Object::Sandbox(mut sandbox) = owned("s", 3, 'c', 1) else { panic!("no sandbox") };
        let notes = &mut Arc::make_mut(&mut sandbox).meta.annotations;
        notes.insert(names::TEMPLATE_REF.into(), scene::TEMPLATE.into());
        let wishes = Wishes { pod: scene::metadata(asked), ..Wishes::default() };
        let mut claim = scene::claim_that_wishes("a", "p", Some(wishes));
        claim.meta_mut().uid = Uid::from_bits(1);
        let mut checkers = Checkers::new(Vec::new()).and_of_orders(Promises::default());
        let mut store = Store::default();
        for seen in numbered([scene::template(), Object::Sandbox(sandbox), claim]) {
            store.put(seen.object().clone());
        }
        for kind in Kind::ALL {
            let fact = Fact::Relisted { process: 0, term: 1, kind, at: Version(seen), objects: [].into() };
            checkers.on_fact(&fact, &store).expect("a list breaks nothing");
        }
        let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let changes = vec![Change::PodLabel("sandbox.users.io/team".into(), None)];
        let patch = Patch { target, version: Some(Version(2)), part: Part::Main, changes };
        let operation = Arc::new(Operation::Patch(patch));
        let action = Action { id: ActionId(2), intent: Intent::LabelSandbox, operation };
        let sent = Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(2), action });
        checkers.on_fact(&sent, &store).map_err(|violation| violation.property.name)
    };
    assert_eq!(labels(5, 9), Ok(()));
    assert_eq!(labels(2, 9), Err("made-to-order"));
    assert_eq!(labels(2, 2), Ok(()), "it has not seen what the claim asks for by now");
}

/// Gives these containers the variable that the claim asks for, and the sandbox its volume.
fn give(sandbox: &mut Sandbox, containers: &[&str]) {
    let mut spec = sandbox.pod_spec.value();
    let all = spec["containers"].as_array_mut().into_iter().flatten();
    for container in all.filter(|it| it["name"].as_str().is_some_and(|name| containers.contains(&name))) {
        container["env"] = json!([{ "name": "A", "value": "1" }]);
    }
    sandbox.pod_spec = Json::from(&spec);
    let items = |json: &Json| json.value().as_array().cloned().unwrap_or_default();
    let given = sandbox.volume_claims.as_ref().map(items).unwrap_or_default();
    let volumes = given.into_iter().chain(items(&scene::volume_claims())).collect();
    sandbox.volume_claims = Some(Json::from(&Value::Array(volumes)));
}

/// Returns which property is broken when a process that knows a template, a pool of it, and a claim with a variable and a
/// volume makes this sandbox.
fn decided(template: Object, made: Object) -> Result<(), &'static str> {
    let mut wishes = Wishes { volume_claims: Some(scene::volume_claims()), ..Wishes::default() };
    wishes.env.push(Variable { name: "A".into(), value: "1".into(), container: "main".into() });
    let mut claim = scene::claim_that_wishes("a", "p", Some(wishes));
    claim.meta_mut().uid = Uid::from_bits(1);
    let mut pool = scene::pool("p", 1);
    pool.meta_mut().uid = Uid::from_bits(9);
    let promises = Promises { evicts_members: Some(true), ..Promises::default() };
    let (mut checkers, mut store) = (Checkers::new(Vec::new()).and_of_orders(promises), Store::default());
    for seen in numbered([template, pool, claim]) {
        store.put(seen.object().clone());
    }
    for kind in Kind::ALL {
        let fact = Fact::Relisted { process: 0, term: 1, kind, at: Version(9), objects: [].into() };
        checkers.on_fact(&fact, &store).expect("a list breaks nothing");
    }
    let operation = Arc::new(Operation::Create(made));
    let action = Action { id: ActionId(2), intent: Intent::CreateMember, operation };
    let sent = Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(2), action });
    checkers.on_fact(&sent, &store).map_err(|violation| violation.property.name)
}

/// A sandbox that wants a Service, and the volumes that a user may ask for.
fn sandbox() -> Sandbox {
    let mut sandbox = scene::sandbox("s");
    sandbox.meta.uid = Uid::from_bits(3);
    (sandbox.service, sandbox.volume_claims) = (Some(true), Some(scene::volume_claims()));
    sandbox
}

fn part_of(name: &str) -> Meta {
    let mut meta = Meta::draft(scene::key(name));
    meta.owner = Some(Owner::new(Kind::Sandbox, &sandbox().meta));
    meta
}

/// Returns which property is broken when a process makes something for that sandbox.
fn made(part: Object) -> Result<(), &'static str> {
    let mut store = Store::default();
    store.put(Object::Sandbox(Arc::new(sandbox())));
    let operation = Arc::new(Operation::Create(part));
    let action = Action { id: ActionId(2), intent: Intent::CreatePod, operation };
    let sent = Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(2), action });
    let mut checkers = Checkers::new(Vec::new()).and_of_orders(Promises::default());
    checkers.on_fact(&sent, &store).map_err(|violation| violation.property.name)
}
