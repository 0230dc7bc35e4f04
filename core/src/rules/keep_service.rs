use alloc::vec::Vec;

use super::{Verdict, make, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::object::{Dependent, Json, Owner, Sandbox};
use crate::parts::{Serving, service, service_drift, tracking};
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Backing, View};

/// Keeps the Service of a sandbox that wants one: headless, of its name, for its Pod.
///
/// `spec.service` has three values. True makes a Service, or adopts one that was prepared and marked; false takes the
/// sandbox's own away; absent keeps its own in order and makes none.
///
/// Reads: the sandbox; who holds the Service's name; whether it has several Pods.
/// Emits: [`Intent::CreateService`]; [`Intent::SetService`] with what differs, and the owner where it is adopted;
/// [`Intent::DeleteService`], by uid and version. Arms [`TimeoutReason::Expiry`] where the status was written by a clock
/// that is ahead of ours.
/// Never: touches the Service of another; takes ports, labels or fields away that others put there and nobody asked
/// about; acts while it is not clear which Pod counts.
/// Source: SBX-023, SBX-053, SBX-080 to SBX-088, SBX-090; GAP-002, GAP-018, GAP-020, INV-05, INV-07.
pub(super) fn keep_service(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    if sandbox.meta.terminating || view.is_being_deleted(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    let serving = view.serving(sandbox);
    if view.is_over(sandbox, now.wall) || sandbox.status.is_expired() {
        return end(view, sandbox, &serving, now);
    }
    if let Backing::Many(_) = view.backing(sandbox) {
        return Verdict::Quiet;
    }
    match serving {
        Serving::None if sandbox.service == Some(true) => {
            if view.is_drafted(Kind::Service, &sandbox.meta.key) {
                return Verdict::Quiet;
            }
            make(view, (Kind::Sandbox, &sandbox.meta), Intent::CreateService, service(sandbox))
        }
        Serving::Own(own) if sandbox.service == Some(false) => delete(view, own),
        Serving::Own(own) => set(view, sandbox, own, None),
        Serving::Free(free) => set(view, sandbox, free, Some(Owner::new(Kind::Sandbox, &sandbox.meta))),
        Serving::None | Serving::Leaving | Serving::Barred(_) => Verdict::Quiet,
    }
}

/// A sandbox that has expired has no Service, once its status says so.
fn end(view: &View<'_>, sandbox: &Sandbox, serving: &Serving<'_>, now: Now) -> Verdict {
    let Serving::Own(own) = serving else { return Verdict::Quiet };
    match sandbox.shutdown.filter(|_| sandbox.status.is_expired()) {
        Some(shutdown) if shutdown.at > now.wall => {
            Verdict::Until(now.mono_at(shutdown.at), TimeoutReason::Expiry)
        }
        Some(_) => delete(view, own),
        None => Verdict::Quiet,
    }
}

fn delete(view: &View<'_>, own: &Dependent) -> Verdict {
    if own.meta.terminating || view.is_held(own.meta.uid) {
        return Verdict::Quiet;
    }
    super::delete(Intent::DeleteService, Kind::Service, &own.meta)
}

fn set(view: &View<'_>, sandbox: &Sandbox, service: &Dependent, owner: Option<Owner>) -> Verdict {
    if service.meta.terminating || view.is_held(service.meta.uid) {
        return Verdict::Quiet;
    }
    let mut changes = Vec::new();
    let (key, hash) = tracking(sandbox);
    if service.meta.labels.get(&key) != Some(&hash) {
        changes.push(Change::Label(key, Some(hash)));
    }
    let drift = service_drift(sandbox, service).filter(|_| !view.config.has(Mutant::ServiceDriftStays));
    changes.extend(drift.map(|drift| Change::Spec(Json::from(&drift))));
    changes.extend(owner.into_iter().flat_map(|owner| Change::owned(&service.meta, owner)));
    if changes.is_empty() {
        return Verdict::Quiet;
    }
    patch(Intent::SetService, Kind::Service, &service.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    #[track_caller]
    fn kept(world: &str, expected: &[&str]) {
        check(keep_service, Kind::Sandbox, world, expected);
    }

    /// META-011.
    /// SBX-080; SACC-040, SACC-041, SACC-111, SACC-127.
    #[test]
    fn a_sandbox_that_asks_for_a_service_gets_one() {
        kept("sandbox s1 ready service=true", &["CreateService s1"]);
        kept("sandbox s1 ready", &[]);
        kept("sandbox s1 ready service=false", &[]);
    }

    /// SBX-028.
    /// SBX-064: also while it is suspended.
    #[test]
    fn a_service_outlives_the_pod() {
        kept("sandbox s1 nopod suspended service=true", &["CreateService s1"]);
        kept("sandbox s1 nopod suspended service=true\nservice s1 of=s1 tracked=s1", &[]);
    }

    /// SBX-085; SACC-117, SACC-118, SACC-128.
    #[test]
    fn a_service_of_its_own_is_kept_in_order() {
        kept("sandbox s1 ready service=true\nservice s1 of=s1 tracked=s1", &[]);
        let lost = "SetService s1 sandbox-name-hash=0851b8c9";
        kept("sandbox s1 ready\nservice s1 of=s1", &[lost]);
        let world = "
            sandbox s1 ready
            service s1 of=s1 tracked=s1 spec={\"selector\":{\"app\":\"other\"}}
        ";
        let selector =
            r#"SetService s1 spec={"selector":{"agents.x-k8s.io/sandbox-name-hash":"0851b8c9","app":null}}"#;
        kept(world, &[selector]);
    }

    /// SBX-085, SBX-086; SACC-119, SACC-120: ports are seen to only where a Service is asked for, and fields of others stay.
    #[test]
    fn ports_follow_the_containers() {
        let selector = r#""selector":{"agents.x-k8s.io/sandbox-name-hash":"0851b8c9"}"#;
        let world = |service: &str, port: &str| {
            let ports = r#"ports=[{"containerPort":80}]"#;
            alloc::format!(
                "sandbox s1 ready {service} {ports}\nservice s1 of=s1 tracked=s1 spec={{{selector},\"ports\":[{port}]}}"
            )
        };
        let same = r#"{"name":"p-80-tcp","port":80,"targetPort":80,"nodePort":3}"#;
        kept(&world("service=true", same), &[]);
        let other = r#"{"name":"p-80-tcp","port":81,"targetPort":80}"#;
        let right = r#"SetService s1 spec={"ports":[{"name":"p-80-tcp","port":80,"protocol":"TCP","targetPort":80}]}"#;
        kept(&world("service=true", other), &[right]);
        kept(&world("", other), &[]);
    }

    /// SBX-081; SACC-130, SACC-131.
    #[test]
    fn a_service_that_is_not_wanted_any_more_goes() {
        kept("sandbox s1 ready service=false\nservice s1 of=s1 tracked=s1", &["DeleteService s1"]);
        kept("sandbox s1 ready service=false\nservice s1 of=s1 tracked=s1 terminating", &[]);
        kept("sandbox s1 ready service=false\nservice s1 tracked=s1", &[]);
    }

    /// SBX-084; SACC-122, SACC-125, SACC-126. The write is locked, as `check` makes sure.
    #[test]
    fn a_service_that_was_prepared_is_adopted() {
        let world = "
            sandbox s1 ready service=true
            service s1 adoptable spec={\"clusterIP\":\"None\"}
        ";
        let adopted = r#"SetService s1 sandbox-name-hash=0851b8c9 spec={"selector":{"agents.x-k8s.io/sandbox-name-hash":"0851b8c9"}} owner=s1"#;
        kept(world, &[adopted]);
        kept("sandbox s1 ready service=true\nservice s1 tracked=s1", &["SetService s1 owner=s1"]);
    }

    /// SACC-140.
    /// SBX-082, SBX-083; SACC-121, SACC-124, SACC-129, SACC-132.
    #[test]
    fn the_service_of_another_is_left_alone() {
        for service in
            ["service s1", "service s1 of=another", "service s1 adoptable spec={\"clusterIP\":\"10.0.0.9\"}"]
        {
            for wish in ["service=true", "service=false", ""] {
                kept(&alloc::format!("sandbox s1 ready {wish}\n{service}"), &[]);
            }
        }
    }

    /// GAP-020: the original asks the server again and again for what it will never do.
    #[test]
    fn a_name_that_no_service_can_have_is_not_tried() {
        kept("sandbox s.1 ready service=true", &[]);
    }

    /// SBX-053, SHAZ-002.
    #[test]
    fn nothing_is_done_while_several_pods_are_there() {
        kept("sandbox s1 ready service=true\npod p2 of=s1", &[]);
    }

    /// SBX-023; GAP-007.
    #[test]
    fn a_sandbox_that_has_expired_loses_its_service_once_its_status_says_so() {
        let world = |words: &str| {
            alloc::format!("sandbox s1 nopod service=true {words}\nservice s1 of=s1 tracked=s1")
        };
        kept(&world("over=now"), &[]);
        kept(&world("over=now isexpired"), &["DeleteService s1"]);
        kept(&world("over=2s isexpired"), &["until 2s Expiry"]);
        kept("sandbox s1 nopod service=true over=now isexpired\nservice s1 tracked=s1", &[]);
    }
}
