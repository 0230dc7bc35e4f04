//! Who claims what, when: bursts of claims that exhaust the pool, and the trouble that users make.

use std::time::Duration;

use agent_sandbox_core::id::{Key, Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Owner, OwnerKind, Sandbox, Shutdown, ShutdownPolicy, Update};
use agent_sandbox_core::time::{Mono, Wall};
use agent_sandbox_core::wishes::{self, Lifecycle, Variable, Wishes};

use crate::choices::Choices;
use crate::faults::{Fault, Options, Rates};
use crate::scene::{self, Act, Deed};
use crate::tape::Site;

mod details;
mod inherited;
mod strangers;

/// The name of the pool.
pub const POOL: &str = "pool";

/// The name of another pool, which some claims are moved to.
pub const OTHER_POOL: &str = "other-pool";

/// The name of a template that nobody makes.
const NO_TEMPLATE: &str = "nothing";

/// What a template notes on its Pods: no autoscaler may move them, whoever keeps them; or what claims would note otherwise.
const NOTES: [&str; 2] =
    [r#""cluster-autoscaler.kubernetes.io/safe-to-evict":"false""#, r#""note":"of the template""#];

/// The name of a pool that nobody makes.
const NO_POOL: &str = "nowhere";

/// What users do, and when.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// What.
    pub script: Vec<Deed>,
    /// When, for each line of the script.
    pub times: Vec<Mono>,
    /// When bursts begin: trouble is likeliest to matter then.
    pub bursts: Vec<Mono>,
    /// How often each kind of trouble is in the script.
    pub trouble: Vec<(Fault, u32)>,
}

/// When the first claim may come.
const FIRST_CLAIM: Duration = Duration::from_millis(1);

/// How often each kind of trouble with claims was drawn.
#[derive(Default)]
struct Fates {
    deleted: u32,
    recreated: u32,
    moved: u32,
}

/// How often each kind of trouble with users' own sandboxes was drawn.
#[derive(Default)]
struct Meddling {
    prepared: u32,
    expired: u32,
    added: u32,
    suspended: u32,
}

/// What is deleted, given a number that says which one.
type Deletion = fn(u32) -> Act;

impl Workload {
    /// Draws the workload of a run.
    pub fn draw(options: &Options, rates: &Rates, choices: &mut Choices) -> Self {
        let mut workload = Self::default();
        let end = Mono::default() + options.duration;
        for _ in choices.each(&Site::deed("template"), |_| 1) {
            workload.add(Mono::default(), Act::Create(scene::template()));
        }
        for _ in choices.each(&Site::deed("pool"), |_| 1) {
            let pool = draw_pool(options, "pool", 0, choices);
            workload.add(Mono::from_micros(1), Act::Create(pool));
        }
        workload.draw_inherited(options, rates, choices, end);
        workload.draw_claims(options, rates, choices, end);
        workload.draw_pool_edits(options, rates, choices, end);
        workload.draw_template_edits(options, rates, choices, end);
        workload.draw_sandboxes(options, rates, choices, end);
        workload.draw_rollouts(options, rates, choices, end);
        workload.draw_policies(options, rates, choices, end);
        workload.draw_meddling(options, rates, choices, end);
        workload.draw_strangers(options, rates, choices, end);
        workload.draw_namespace(options, rates, choices, end);
        let deletions: [(Fault, Deletion); 3] = [
            (Fault::PodDeleted, |number| Act::DeleteAny(Kind::Pod, number)),
            (Fault::SandboxDeleted, |number| Act::DeleteAny(Kind::Sandbox, number)),
            (Fault::SandboxTerminated, Act::TerminateAny),
        ];
        for (fault, act) in deletions {
            let site = Site::deed(fault.name());
            let often = workload.often((fault, u32::MAX), &site, (options, rates), choices);
            for number in &often {
                choices.about(|| site.clone().number(*number));
                let at = workload.moment(choices, end);
                workload.add(at, act(choices.below(1 << 16)));
            }
            workload.trouble.push((fault, often.len() as u32));
        }
        workload
    }

    fn add(&mut self, at: Mono, act: Act) {
        self.script.push(Deed::new(act));
        self.times.push(at);
    }

    /// Claims come in bursts of up to three times the pool; each is used for a while and deleted, or kept.
    fn draw_claims(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let mut count = Fates::default();
        for _ in choices.each(&Site::deed("other-pool"), |_| u32::from(rates.has(Fault::ClaimMoved))) {
            choices.about(|| Site::deed("other-pool"));
            let replicas = choices.below(3);
            let template = *choices.pick(&[scene::TEMPLATE, scene::TEMPLATE, NO_TEMPLATE]);
            let pool = scene::pool_of(OTHER_POOL, replicas, template, Update::OnReplenish);
            self.add(Mono::from_micros(1), Act::Create(pool));
        }
        let site = Site::deed("claim");
        let mut left_of_burst = 0;
        for number in choices.each(&site, |_| options.claims) {
            choices.about(|| site.clone().number(number));
            let at = choices.span(|choices| {
                if left_of_burst == 0 {
                    left_of_burst = 1 + choices.below((options.pool * 3).max(4));
                    // The pool is filling during the first seconds: that is a good time for a burst, too.
                    let start = choices.between(FIRST_CLAIM, options.duration * 3 / 4);
                    self.bursts.push(Mono::default() + start);
                }
                left_of_burst -= 1;
                let start = self.bursts.last().map_or(FIRST_CLAIM, |start| start.since(Mono::default()));
                (start + choices.around(Duration::from_millis(20))).saturating_sub(FIRST_CLAIM)
            });
            let at = Mono::default() + FIRST_CLAIM + at;
            self.draw_claim((number, at, end), (options, rates), &mut count, choices);
        }
        self.trouble.extend([
            (Fault::ClaimDeleted, count.deleted),
            (Fault::ClaimRecreated, count.recreated),
            (Fault::ClaimMoved, count.moved),
        ]);
    }

    /// Draws what one claim asks for, and what becomes of it.
    fn draw_claim(
        &mut self,
        (number, at, end): (u32, Mono, Mono),
        (options, rates): (&Options, &Rates),
        count: &mut Fates,
        choices: &mut Choices,
    ) {
        let key = scene::key(format!("claim-{number}"));
        choices.about(|| Site::deed("wishes").number(number));
        let mut wishes = draw_wishes(choices);
        if let Some(volumes) = wishes.as_mut().and_then(|wishes| wishes.volume_claims.as_mut()) {
            choices.about(|| Site::deed("same-volume").number(number));
            if choices.chance(500) {
                *volumes = scene::other_cache();
            }
            choices.about(|| Site::deed("dashed-volume").number(number));
            if choices.chance(300) {
                *volumes = scene::dashed_volume_claims();
            }
        }
        if let Some(wishes) = &mut wishes {
            details::draw_second_variable(wishes, number, choices);
            details::draw_odd_volume(wishes, number, choices);
            details::draw_system_wish(wishes, number, choices);
        }
        choices.about(|| Site::deed("end").number(number));
        if wishes.is_none() && choices.chance_of(7, 8) {
            wishes = Some(self.draw_end(&key, at, end, choices));
        }
        choices.about(|| Site::deed("ttl").number(number));
        if rates.has(Fault::SessionEnded) && choices.chance_of(2, 3) {
            draw_ttl(&mut wishes, choices);
        }
        self.draw_odd_end((&key, &mut wishes), (number, at, end), rates, choices);
        choices.about(|| Site::deed("moves").number(number));
        count.moved += self.draw_moves(&key, at, rates, choices);
        self.draw_odd_pool(&key, (number, at), rates, choices);
        self.add(at, create_claim(&key, wishes.clone()));
        choices.about(|| Site::deed("deletion").number(number));
        let mut early = false;
        let gone = choices.moment(|choices| {
            early = choices.chance(rates.of(Fault::ClaimDeleted));
            let gone = at + lifetime(early, options, choices);
            // The beginning stands for never.
            if gone < end { gone } else { Mono::default() }
        });
        count.deleted += u32::from(early);
        choices.about(|| Site::deed("labels").number(number));
        if wishes.is_none() && choices.chance_of(15, 16) {
            // Somebody gives the Pod a label while it is used, and may take it away again.
            let mut edited = at + choices.around(Duration::from_secs(5));
            let often = 1 + choices.below(2) as usize;
            // Some ask for what they cannot have.
            let first = *choices.pick(&[0, 0, 2, 3, 4, 6, 7, 8, 9, 10]);
            let first = details::draw_system_note(first, number, choices);
            let first = details::draw_rare_note(first, number, choices);
            let second = details::draw_second_note(number, choices);
            for what in [first, second].into_iter().take(often) {
                self.add(edited, Act::Label(key.clone(), scene::metadata(what)));
                edited = edited + choices.around(Duration::from_secs(5));
            }
        }
        if gone == Mono::default() {
            return;
        }
        self.add(gone, Act::Delete(Kind::Claim, key.clone()));
        choices.about(|| Site::deed("recreation").number(number));
        if choices.chance(rates.of(Fault::ClaimRecreated)) {
            count.recreated += 1;
            let again = gone + choices.around(Duration::from_millis(100));
            self.add(again, create_claim(&key, wishes));
        }
    }

    /// Draws when a claim's user thinks of another pool, and how often: before it is served, while it is, or after.
    fn draw_moves(&mut self, key: &Key, at: Mono, rates: &Rates, choices: &mut Choices) -> u32 {
        let often = choices.number(|choices| {
            let moves = choices.chance(rates.of(Fault::ClaimMoved) * 2);
            if moves { 1 + u64::from(choices.below(2)) } else { 0 }
        });
        let often = often.min(2) as u32;
        let mut moved = at;
        for _ in 0..often {
            let after = choices.span(|choices| {
                let mean = *choices.pick(&[5, 50, 2000]);
                choices.around(Duration::from_millis(mean))
            });
            moved = moved + after;
            let pool = *choices.pick(&[OTHER_POOL, OTHER_POOL, NO_POOL, POOL]);
            self.add(moved, Act::Refer(key.clone(), pool.into()));
        }
        often
    }

    /// Draws when and how a claim ends by itself; sometimes its user thinks better of it, just before or just after.
    fn draw_end(&mut self, key: &Key, at: Mono, end: Mono, choices: &mut Choices) -> Wishes {
        // Some end long after their sandbox may have ended, or before what counts from that.
        let is_late = key.name.as_bytes().last().is_some_and(|digit| digit % 2 == 1);
        let mean = Duration::from_secs(if is_late { 30 } else { 5 });
        let over = (at + choices.around(mean)).min(end);
        use wishes::ClaimShutdownPolicy::{Delete, DeleteForeground, Retain};
        let policies = [Retain, Delete, DeleteForeground];
        let policy = *choices.pick(&policies);
        if choices.chance_of(3, 4) {
            let moment = around(over, end, choices);
            let later = choices.moment(|choices| {
                let later = (over + choices.around(Duration::from_secs(20))).min(end);
                // The beginning stands for no end at all.
                if choices.chance(500) { later } else { Mono::default() }
            });
            let later = (later != Mono::default()).then(|| wall(later));
            self.add(moment, Act::Extend(key.clone(), later));
        }
        let lifecycle = Lifecycle { shutdown: Some(wall(over)), ttl: None, policy };
        Wishes { lifecycle: Some(lifecycle), ..Wishes::default() }
    }

    fn draw_pool_edits(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let pool = scene::key(POOL);
        let site = Site::deed("scaling");
        let scaled = self.often((Fault::PoolScaled, u32::MAX), &site, (options, rates), choices);
        for number in &scaled {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            let replicas = choices.below(options.pool * 2 + 1);
            self.add(at, Act::Scale(pool.clone(), replicas));
        }
        let site = Site::deed("pool-recreation");
        let recreated = self.often((Fault::PoolRecreated, 3), &site, (options, rates), choices);
        for number in &recreated {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            self.add(at, Act::Delete(Kind::Pool, pool.clone()));
            let gap = choices.around(Duration::from_secs(1));
            choices.about(|| Site::deed("next-pool-soon").number(*number));
            // So soon that what the former one has left is there yet, and what was promised of it.
            let at = at + if choices.chance(500) { gap / 50 } else { gap };
            let pool = draw_pool(options, "next-pool", *number, choices);
            self.add(at, Act::Create(pool));
        }
        let counts = [scaled.len() as u32, recreated.len() as u32];
        self.trouble.extend([(Fault::PoolScaled, counts[0]), (Fault::PoolRecreated, counts[1])]);
    }

    fn draw_template_edits(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let site = Site::deed("template-recreation");
        let recreated = self.often((Fault::TemplateRecreated, 3), &site, (options, rates), choices);
        let template = scene::template();
        for number in &recreated {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            self.add(at, Act::Delete(Kind::Template, template.key().clone()));
            let at = at + choices.around(Duration::from_secs(1));
            self.add(at, Act::Create(template.clone()));
        }
        self.trouble.push((Fault::TemplateRecreated, recreated.len() as u32));
    }

    /// New images and other parts, there and back, and pools that follow their template or do not, or follow another one.
    fn draw_rollouts(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let site = Site::deed("rollout");
        let edited = self.often((Fault::TemplateEdited, u32::MAX), &site, (options, rates), choices);
        for number in &edited {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            let makes = [
                ("sandbox", ""),
                ("sandbox:2", ""),
                ("sandbox:3", ""),
                ("sandbox", scene::SERVED),
                ("sandbox", scene::CACHED),
            ];
            let (image, parts) = *choices.pick(&makes);
            let container = format!(r#""image":"{image}""#);
            choices.about(|| Site::deed("template-notes").number(*number));
            let notes = if choices.chance(350) { *choices.pick(&NOTES) } else { "" };
            choices.about(|| Site::deed("template-reserved").number(*number));
            let notes = if choices.chance(150) { scene::RESERVED } else { notes };
            let notes = details::draw_own_ways(notes, *number, choices);
            let template =
                scene::template_noted((scene::TEMPLATE, &notes), &container, ["Allowed"; 2], parts);
            self.add(at, Act::Edit(template));
            choices.about(|| Site::deed("grows-before").number(*number));
            if rates.has(Fault::PoolScaled) && choices.chance(250) {
                // So some members are ready and others start when all of them become outdated.
                let before = choices.around(Duration::from_millis(200));
                let at = Mono::default() + at.since(Mono::default()).saturating_sub(before);
                self.add(at, Act::Scale(scene::key(POOL), options.pool + 1 + choices.below(2)));
            }
        }
        let site = Site::deed("pool-edit");
        let changed = self.often((Fault::PoolEdited, u32::MAX), &site, (options, rates), choices);
        for _ in choices.each(&Site::deed("other-template"), |_| u32::from(!changed.is_empty())) {
            choices.about(|| Site::deed("same-make"));
            let is_same = choices.chance(300);
            let other = if is_same {
                scene::template_of(scene::OTHER_TEMPLATE, "sandbox")
            } else {
                scene::other_template()
            };
            self.add(Mono::default(), Act::Create(other));
        }
        for number in &changed {
            choices.about(|| site.clone().number(*number));
            // The first strategy counts from the beginning, so that whole runs have it.
            let at = self.moment_after_first(*number, choices, end);
            let update = *choices.pick(&[Update::OnReplenish, Update::Recreate, Update::Recreate]);
            let template = *choices.pick(&[scene::TEMPLATE, scene::TEMPLATE, scene::OTHER_TEMPLATE]);
            self.add(at, Act::Edit(scene::pool_of(POOL, options.pool, template, update)));
        }
        let counts = [edited.len() as u32, changed.len() as u32];
        self.trouble.extend([(Fault::TemplateEdited, counts[0]), (Fault::PoolEdited, counts[1])]);
    }

    /// What claims may add, there and back, what the template says already, and who may talk to its sandboxes.
    fn draw_policies(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let site = Site::deed("policy-edit");
        let edited = self.often((Fault::PolicyEdited, u32::MAX), &site, (options, rates), choices);
        for number in &edited {
            choices.about(|| site.clone().number(*number));
            // The first counts from the beginning, so that whole runs have it.
            let at = self.moment_after_first(*number, choices, end);
            let policies = ["Allowed", "Disallowed", "Overrides"];
            let policies = [*choices.pick(&policies), *choices.pick(&policies)];
            let plain = r#""image":"sandbox""#;
            let named = r#""image":"sandbox","env":[{"name":"A","value":"0"},{"name":"B","value":"0"}]"#;
            let container = *choices.pick(&[plain, named]);
            let network = match choices.below(3) {
                0 => String::new(),
                1 => details::draw_rules(*number, choices),
                _ => r#""networkPolicyManagement":"Unmanaged","#.to_owned(),
            };
            choices.about(|| Site::deed("policy-volumes").number(*number));
            let cached = if choices.chance(250) { scene::CACHED } else { "" };
            let parts = format!("{network}{cached}");
            self.add(at, Act::Edit(scene::template_that(scene::TEMPLATE, container, policies, &parts)));
        }
        self.trouble.push((Fault::PolicyEdited, edited.len() as u32));
    }

    /// Users who take what controllers have made for their own.
    fn draw_meddling(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let site = Site::deed("meddling");
        let edited = self.often((Fault::PartEdited, u32::MAX), &site, (options, rates), choices);
        for number in &edited {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            let kinds = [Kind::Pod, Kind::Service, Kind::NetworkPolicy, Kind::VolumeClaim];
            let (kind, number) = (*choices.pick(&kinds), choices.below(1 << 16));
            let spoils = kind == Kind::Pod || choices.chance(500) && kind != Kind::VolumeClaim;
            self.add(at, if spoils { Act::Spoil(kind, number) } else { Act::DeleteAny(kind, number) });
        }
        self.trouble.push((Fault::PartEdited, edited.len() as u32));
    }

    /// Sandboxes that users make for themselves, without a pool or a claim.
    fn draw_sandboxes(&mut self, options: &Options, rates: &Rates, choices: &mut Choices, end: Mono) {
        let mut count = Meddling::default();
        let site = Site::deed("sandbox");
        for number in choices.each(&site, |choices| choices.below(1 + (options.claims / 2).min(4))) {
            self.draw_sandbox((number, end), (options, rates), &mut count, choices);
        }
        let site = Site::deed("suspension");
        let suspended = self.often((Fault::SandboxSuspended, u32::MAX), &site, (options, rates), choices);
        for number in &suspended {
            choices.about(|| site.clone().number(*number));
            let at = self.moment(choices, end);
            self.add(at, Act::SuspendAny(choices.below(1 << 16)));
        }
        if !suspended.is_empty() {
            // Claims and pools are to be served in the end.
            self.add(end, Act::ResumeOwned);
        }
        self.trouble.extend([
            (Fault::PodPrepared, count.prepared),
            (Fault::SandboxExpired, count.expired),
            (Fault::PodAdded, count.added),
            (Fault::SandboxSuspended, count.suspended + suspended.len() as u32),
        ]);
    }

    /// Draws one of them, and what its user does with it.
    fn draw_sandbox(
        &mut self,
        (number, end): (u32, Mono),
        (options, rates): (&Options, &Rates),
        count: &mut Meddling,
        choices: &mut Choices,
    ) {
        let name = details::draw_name(number, choices);
        let mut sandbox = scene::sandbox(name.clone());
        let about = |choices: &mut Choices, what| {
            choices.about(|| Site::deed(what).number(number));
        };
        about(choices, "sandbox");
        let at = Mono::default() + choices.between(Duration::from_millis(1), options.duration / 2);
        sandbox.service = [None, Some(true), None, Some(false)][choices.below(4) as usize];
        about(choices, "service-edit");
        if choices.chance(300) {
            let service = [None, Some(true), Some(false)][choices.below(3) as usize];
            self.add(self.moment(choices, end), Act::Serve(sandbox.meta.key.clone(), service));
        }
        about(choices, "volumes");
        if choices.chance(300) {
            sandbox.volume_claims = Some(scene::volume_claims());
        }
        details::draw_odd_parts(&mut sandbox, number, choices);
        about(choices, "prepared-Pod");
        let prepared = choices.chance(rates.of(Fault::PodPrepared) * 3).then(|| {
            count.prepared += 1;
            self.prepare_pod(&mut sandbox, at, choices)
        });
        count.prepared += self.prepare_parts(&mut sandbox, (number, at), rates, choices);
        self.draw_spoiled_service(&sandbox, (number, at, end), rates, choices);
        about(choices, "expiry");
        if choices.chance(rates.of(Fault::SandboxExpired) * 3) {
            count.expired += 1;
            self.draw_expiry(&mut sandbox, end, choices);
        }
        about(choices, "born-suspended");
        if choices.chance(rates.of(Fault::SandboxSuspended) * 3) {
            sandbox.suspended = true;
            if let Some(pod) = prepared {
                self.draw_late_resume((&sandbox.meta.key, pod), (number, at), choices);
            }
        }
        count.added += self.draw_more_pods(&sandbox, (number, end), rates, choices);
        let site = Site::deed("toggle").named(Some(name.clone()));
        let toggles = if rates.has(Fault::SandboxSuspended) {
            choices.each(&site, |choices| choices.below(4))
        } else {
            Vec::new()
        };
        count.suspended += toggles.len() as u32;
        for toggle in toggles {
            choices.about(|| site.clone().number(toggle));
            let suspends = choices.chance(500);
            let toggled = self.moment(choices, end);
            self.add(toggled, Act::Suspend(sandbox.meta.key.clone(), suspends));
        }
        self.draw_renewal(&sandbox, (number, at, end), choices);
        self.add(at, Act::Create(Object::Sandbox(sandbox.into())));
    }

    /// When a sandbox ends by itself; its user may think better of it, just before or just after.
    fn draw_expiry(&mut self, sandbox: &mut Sandbox, end: Mono, choices: &mut Choices) {
        let over = self.moment(choices, end);
        sandbox.shutdown = Some(shutdown(over, choices));
        if choices.chance_of(3, 4) {
            let moved = match choices.below(4) {
                0 => Some(self.moment(choices, end)),
                1 => None,
                _ => Some((over + choices.around(Duration::from_secs(20))).min(end)),
            };
            let moved = moved.map(|over| shutdown(over, choices));
            let at = around(over, end, choices);
            self.add(at, Act::ShutDown(sandbox.meta.key.clone(), moved));
        }
        choices.about(|| Site::deed("second-life").named(Some(sandbox.meta.key.name.clone())));
        if choices.chance(250) {
            // What has come to its end is to go on for a while, and to be gone then.
            let at = (over + choices.around(Duration::from_secs(5))).min(end);
            let over = wall((at + choices.around(Duration::from_secs(20))).min(end));
            let until = Shutdown { at: over, policy: ShutdownPolicy::Delete };
            self.add(at, Act::ShutDown(sandbox.meta.key.clone(), Some(until)));
        }
    }

    /// A Pod of the sandbox's name or noted by it, which may be its, or not. Returns its name.
    fn prepare_pod(&mut self, sandbox: &mut Sandbox, at: Mono, choices: &mut Choices) -> Text {
        let name = sandbox.meta.key.name.clone();
        let noted: Text = match choices.below(3) {
            0 => name.clone(),
            _ => format!("{name}-noted").into(),
        };
        let pod = if choices.chance(200) { format!("{noted}-not") } else { noted.to_string() };
        self.prepare_part((Kind::Pod, &pod), &name, at, choices);
        sandbox.meta.annotations.insert(names::POD_NAME.into(), noted);
        pod.into()
    }

    /// A Service and a volume claim under the names of a sandbox's own. Returns how many there are.
    fn prepare_parts(
        &mut self,
        sandbox: &mut Sandbox,
        (number, at): (u32, Mono),
        rates: &Rates,
        choices: &mut Choices,
    ) -> u32 {
        let (name, mut count) = (sandbox.meta.key.name.clone(), 0);
        let volume = details::draw_volume_prefix(sandbox, number, choices);
        for (kind, prefix, what, wanted) in [
            (Kind::Service, "", "prepared-Service", "wanted-Service"),
            (Kind::VolumeClaim, volume, "prepared-volume", "wanted-volume"),
        ] {
            choices.about(|| Site::deed(what).number(number));
            if !choices.chance(rates.of(Fault::PodPrepared)) {
                continue;
            }
            count += 1;
            self.prepare_part((kind, &format!("{prefix}{name}")), &name, at, choices);
            choices.about(|| Site::deed(wanted).number(number));
            if choices.chance(500) {
                // Only who wants such a thing looks whose it is.
                details::want(sandbox, kind);
            }
        }
        count
    }

    /// Something that a sandbox may take for its own, or not, and that may go again.
    fn prepare_part(&mut self, (kind, name): (Kind, &str), sandbox: &str, at: Mono, choices: &mut Choices) {
        let tracked = (names::SANDBOX_NAME_HASH, names::name_hash(sandbox));
        let adoptable = (names::ADOPTABLE, Text::from("true"));
        let foreign =
            Owner { kind: OwnerKind::Foreign("Job".into()), name: "job".into(), uid: Uid::from_bits(77) };
        let (owner, labels) = match choices.below(4) {
            0 => (None, vec![adoptable]),
            1 => (None, vec![tracked]),
            2 => {
                let refused = choices.chance(500).then(|| (names::ADOPTABLE, Text::from("false")));
                (None, refused.into_iter().collect())
            }
            _ => (Some(foreign), vec![adoptable]),
        };
        let before = Mono::from_micros(at.micros().saturating_sub(choices.below(20_000).into()));
        let mut part = scene::part(kind, name, owner, &labels);
        details::draw_beside(&mut part, choices);
        details::draw_likeness(&mut part, sandbox, choices);
        part.meta_mut().labels.insert("app".into(), "db".into());
        part.meta_mut().annotations.insert("example.com/backup".into(), "daily".into());
        self.add(before, Act::Create(part));
        if choices.chance(300) {
            let gone = at + choices.around(Duration::from_secs(5));
            self.add(gone, Act::Delete(kind, scene::key(name)));
        }
    }

    /// Draws how often a kind of trouble happens in a run, at most so often: about once in so many claims as its rate
    /// says.
    fn often(
        &self,
        (fault, most): (Fault, u32),
        site: &Site,
        (options, rates): (&Options, &Rates),
        choices: &mut Choices,
    ) -> Vec<u32> {
        if !rates.has(fault) {
            return Vec::new();
        }
        let bound = 1 + options.claims * rates.of(fault) / 500;
        choices.each(site, |choices| (1 + choices.below(bound)).min(most))
    }

    /// Draws a moment soon after a burst has begun.
    pub(crate) fn moment(&self, choices: &mut Choices, end: Mono) -> Mono {
        let moment = choices.moment(|choices| {
            let burst = self.burst(choices);
            let mean = [20, 200, 2000, 10_000][choices.below(4) as usize];
            (burst + choices.around(Duration::from_millis(mean))).min(end)
        });
        // A tape may be of a run that took longer. What heals comes at the end, and nothing after it.
        moment.min(end)
    }

    /// Draws such a moment, but for the first of several: that is the beginning.
    fn moment_after_first(&self, number: u32, choices: &mut Choices, end: Mono) -> Mono {
        if choices.is_played() || number > 0 {
            return self.moment(choices, end);
        }
        choices.moment(|_| Mono::from_micros(2))
    }

    /// Draws a moment just before many claims come, or while they do.
    pub(crate) fn rush(&self, choices: &mut Choices, end: Mono) -> Mono {
        let rush = choices.moment(|choices| {
            let burst = self.burst(choices);
            if choices.chance(500) {
                return burst + choices.around(Duration::from_millis(20));
            }
            let early = choices.around(Duration::from_millis(200));
            Mono::default() + burst.since(Mono::default()).saturating_sub(early)
        });
        rush.min(end)
    }

    /// Draws when one of the bursts of claims begins.
    fn burst(&self, choices: &mut Choices) -> Mono {
        if self.bursts.is_empty() { Mono::default() } else { *choices.pick(&self.bursts) }
    }
}

/// Draws when a sandbox is to end, and how.
fn shutdown(over: Mono, choices: &mut Choices) -> Shutdown {
    let policy = if choices.chance(500) { ShutdownPolicy::Delete } else { ShutdownPolicy::Retain };
    Shutdown { at: wall(over), policy }
}

/// Draws a moment just before something ends, or just after it. Users write whole seconds.
fn around(over: Mono, end: Mono, choices: &mut Choices) -> Mono {
    choices.moment(|choices| {
        let mean = Duration::from_millis(*choices.pick(&[1000, 20, 5]));
        let over = Mono::from_micros(over.micros() / 1_000_000 * 1_000_000);
        let early = over.since(Mono::default()).saturating_sub(choices.around(mean));
        let late = choices.around(mean);
        (Mono::default() + early + late).min(end)
    })
}

/// Returns a moment of the run as users write it.
fn wall(at: Mono) -> Wall {
    (scene::epoch() + at.since(Mono::default())).whole_seconds()
}

/// Draws how many members a pool is to have.
fn draw_pool(options: &Options, what: &'static str, number: u32, choices: &mut Choices) -> Object {
    choices.about(|| Site::deed(what).number(number));
    let replicas = choices.number(|_| options.pool.into());
    scene::pool(POOL, replicas.try_into().unwrap_or(u32::MAX))
}

/// Some claims are made by a client that says who it is, and some by one that nobody knows.
fn create_claim(key: &Key, wishes: Option<Wishes>) -> Act {
    let claim = scene::claim_that_wishes(key.name.clone(), POOL, wishes);
    Act::Create(match key.name.as_bytes().last() {
        Some(b'1' | b'6') => scene::claim_by("python-client", claim),
        Some(b'3') => scene::claim_by("somebody", claim),
        _ => claim,
    })
}

/// Draws what a claim asks for beyond a sandbox: most ask for nothing, some for what they cannot have.
fn draw_wishes(choices: &mut Choices) -> Option<Wishes> {
    let variable =
        |container: &str| Variable { name: "A".into(), value: "1".into(), container: container.into() };
    let mut wishes = Wishes::default();
    match choices.below(16) {
        10 => wishes.env.push(variable("")),
        13 => wishes.env.push(variable(["main", "proxy", "log"][choices.below(3) as usize])),
        14 => wishes.volume_claims = Some(scene::volume_claims()),
        15 => wishes.env.push(variable("nobody")),
        11 | 12 => wishes.pod = scene::metadata(choices.below(11)),
        _ => return None,
    }
    Some(wishes)
}

/// Draws how long a claim lives on after its sandbox has finished.
fn draw_ttl(wishes: &mut Option<Wishes>, choices: &mut Choices) {
    let ttl = Some(Duration::from_secs(*choices.pick(&[0, 1, 5, 60])));
    let policies = [wishes::ClaimShutdownPolicy::Retain, wishes::ClaimShutdownPolicy::Delete];
    let policy = *choices.pick(&policies);
    let wishes = wishes.get_or_insert_default();
    wishes.lifecycle.get_or_insert(Lifecycle { shutdown: None, ttl, policy }).ttl = ttl;
}

/// Draws how long a claim is used: some are given up at once, some outlive the run.
fn lifetime(early: bool, options: &Options, choices: &mut Choices) -> Duration {
    if early {
        return choices.around(Duration::from_millis(100));
    }
    match choices.below(4) {
        0 => options.duration,
        1 => choices.around(Duration::from_secs(3)),
        2 => choices.around(options.duration / 20),
        _ => choices.around(options.duration / 5),
    }
}
