//! People who do to objects what their controllers do not expect.

use std::time::Duration;

use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

use super::{POOL, Workload};
use crate::choices::Choices;
use crate::faults::{Fault, Options, Rates};
use crate::scene::{self, Act};
use crate::tape::Site;

/// What is done to the n-th object of a kind.
type Deed = fn(Kind, u32) -> Act;

impl Workload {
    /// Draws what they do to objects that are there.
    pub(super) fn draw_strangers(
        &mut self,
        options: &Options,
        rates: &Rates,
        choices: &mut Choices,
        end: Mono,
    ) {
        use Kind::{Claim, NetworkPolicy, Pod, Pool, Sandbox, Service, Template};
        let deeds: [(Fault, &[Kind], Deed); 3] = [
            (Fault::StatusCleared, &[Claim, Sandbox, Pool], Act::ClearStatus),
            (Fault::Finalizer, &[Sandbox, Pod, Claim, Pool, Template, Service], Act::Finalize),
            (Fault::Relabelled, &[Sandbox, Pod, Template, Pool, Service, NetworkPolicy, Claim], Act::Relabel),
        ];
        for (fault, kinds, act) in deeds {
            let site = Site::deed(fault.name());
            let often = self.often((fault, u32::MAX), &site, (options, rates), choices);
            for number in &often {
                choices.about(|| site.clone().number(*number));
                let at = self.moment(choices, end);
                let kind = *choices.pick(kinds);
                self.add(at, act(kind, choices.below(1 << 16)));
            }
            self.trouble.push((fault, often.len() as u32));
        }
        self.draw_namesakes((options, rates), choices, end);
    }

    /// Draws who else has a sandbox of a claim's name, and whether it goes again.
    fn draw_namesakes(&mut self, drawn: (&Options, &Rates), choices: &mut Choices, end: Mono) {
        let site = Site::deed("namesake");
        let often = self.often((Fault::NameTaken, 4), &site, drawn, choices);
        for number in &often {
            choices.about(|| site.clone().number(*number));
            let name: Text = format!("claim-{}", choices.below(drawn.0.claims.max(1))).into();
            let at = self.moment(choices, end);
            self.add(at, Act::Create(Object::Sandbox(scene::sandbox(name.clone()).into())));
            if choices.chance(500) {
                let gone = at + choices.around(Duration::from_secs(5));
                self.add(gone.min(end), Act::Delete(Kind::Sandbox, scene::key(name)));
            }
        }
        self.trouble.push((Fault::NameTaken, often.len() as u32));
    }

    /// Draws another namespace, with a pool and its claims, and when somebody deletes it.
    pub(super) fn draw_namespace(
        &mut self,
        options: &Options,
        rates: &Rates,
        choices: &mut Choices,
        end: Mono,
    ) {
        let site = Site::deed("namespace");
        let often = self.often((Fault::NamespaceEnded, 1), &site, (options, rates), choices);
        for number in &often {
            choices.about(|| Site::deed("guests-served").number(*number));
            let parts = if choices.chance(500) { scene::SERVED } else { "" };
            let template =
                scene::template_that(scene::TEMPLATE, r#""image":"sandbox""#, ["Allowed"; 2], parts);
            self.add(Mono::default(), Act::Create(guest(template)));
            choices.about(|| site.clone().number(*number));
            let pool = scene::pool(POOL, 1 + choices.below(2));
            self.add(Mono::from_micros(1), Act::Create(guest(pool)));
            let ends = self.moment(choices, end);
            self.add(ends, Act::EndNamespace(scene::GUESTS.into()));
            let site = Site::deed("guest");
            for claim in choices.each(&site, |choices| 1 + choices.below(3)) {
                choices.about(|| site.clone().number(claim));
                let at = self.moment(choices, end);
                let name: Text = format!("guest-{claim}").into();
                self.add(at, Act::Create(guest(scene::claim(name, POOL))));
            }
        }
        self.trouble.push((Fault::NamespaceEnded, often.len() as u32));
    }
}

/// Returns the same object in the other namespace.
fn guest(mut object: Object) -> Object {
    let meta = object.meta_mut();
    meta.key = Key::new(scene::GUESTS, meta.key.name.clone());
    object
}
