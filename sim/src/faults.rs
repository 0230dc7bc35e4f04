//! What can go wrong, each kind with a switch of its own, and how much of it a run has.

use std::time::Duration;

use crate::choices::Choices;
use crate::fuzz;
use crate::plan::Plan;

/// Makes the kinds of trouble of a table: what each does, its variant, and its name.
macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $variant:ident $name:literal,)+) => {
        /// One kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Fault {
            /// Every kind, in the order of [`Fault::index`].
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the name used on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns what it does, in one sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($about),+).trim_start(),)+
                }
            }
        }
    };
}

kinds! {
    /// A request never reaches the server.
    LostRequest "lost-request",
    /// A write takes effect and its answer is lost.
    LostAnswer "lost-answer",
    /// The answer is lost first, and the write takes effect later, often just after another of the same object.
    LateCommit "late-commit",
    /// The server fails (5xx) before it has done anything.
    ServerError "server-error",
    /// The server asks to wait (429).
    Throttled "throttled",
    /// The server takes seconds, so that requests overtake each other.
    SlowServer "slow-server",
    /// The process dies, at any point, and starts again.
    Crash "crash",
    /// A process is told to stop leading, and another takes over.
    Failover "failover",
    /// Two processes lead at once, and neither knows.
    TwoLeaders "two-leaders",
    /// Watches lag, each for itself.
    WatchLag "watch-lag",
    /// A watch breaks, and the process lists again.
    WatchLoss "watch-loss",
    /// The server forgets history that a slow watch still needs.
    Compaction "compaction",
    /// The controller's calendar is off by seconds.
    ClockSkew "clock-skew",
    /// Pods take long to start and to stop.
    SlowKubelet "slow-kubelet",
    /// A Pod runs, or is ready, before it has an address.
    LateAddress "late-address",
    /// A ready Pod is not ready for a while.
    ReadinessFlap "readiness-flap",
    /// The garbage collector takes its time.
    SlowCollector "slow-collector",
    /// Somebody deletes a Pod.
    PodDeleted "pod-deleted",
    /// Somebody deletes a sandbox.
    SandboxDeleted "sandbox-deleted",
    /// A user deletes a claim before it is served.
    ClaimDeleted "claim-deleted",
    /// A claim is created again under the same name, just after it was deleted.
    ClaimRecreated "claim-recreated",
    /// A pool is scaled up and down.
    PoolScaled "pool-scaled",
    /// A pool is deleted, and created again under the same name.
    PoolRecreated "pool-recreated",
    /// Somebody deletes a sandbox in the foreground: it is there, terminating, until its Pod is gone.
    SandboxTerminated "sandbox-terminated",
    /// The template is deleted, and created again under the same name.
    TemplateRecreated "template-recreated",
    /// Sandboxes are suspended, and run again or not.
    SandboxSuspended "sandbox-suspended",
    /// Sandboxes end at a time, which may be moved.
    SandboxExpired "sandbox-expired",
    /// A Pod is there, of the sandbox's name or noted by it, before the sandbox is.
    PodPrepared "pod-prepared",
    /// Somebody gives a sandbox one more Pod.
    PodAdded "pod-added",
    /// The Pod of a sandbox that is nobody's ends, well or badly.
    PodEnded "pod-ended",
    /// The template is edited, there and back.
    TemplateEdited "template-edited",
    /// A pool's members follow its template or do not, and it is given another template.
    PoolEdited "pool-edited",
    /// No node has room for a Pod for a while.
    NoRoom "no-room",
    /// A Pod takes minutes to get ready.
    StuckPod "stuck-pod",
    /// The Pod of a member ends.
    MemberEnded "member-ended",
    /// The controller is set up with other limits.
    Tuned "tuned",
    /// Users let claims refer to another pool, at any time, or to one that is not there.
    ClaimMoved "claim-moved",
    /// What a template allows claims to add is changed, and who may talk to its sandboxes.
    PolicyEdited "policy-edited",
    /// The Pod of a claim's sandbox ends, well or badly; some claims end some time after that.
    SessionEnded "session-ended",
    /// Users change and delete what controllers have made for them: labels of Pods, Services, volumes, policies.
    PartEdited "part-edited",
    /// An older original has been at work before: its marks, records and half-done adoptions are there.
    Inherited "inherited",
    /// The server refuses creates, or records on claims (403), as for a quota or a policy.
    Refused "refused",
    /// Somebody else writes an object just before a request about it is handled, or lets it live on that was to end.
    Touched "touched",
    /// The API server restarts: every watch breaks, and no request under way is answered.
    ServerRestart "server-restart",
    /// The server fails on everything (5xx) for a while.
    Outage "outage",
    /// The server puts everything off (429) for a while.
    Overload "overload",
    /// A list travels for seconds, so that it is older than what is known already.
    SlowList "slow-list",
    /// A list expires between two of its pages (410), and begins again.
    ListExpired "list-expired",
    /// Watches send no bookmarks.
    NoBookmarks "no-bookmarks",
    /// All watches of a process fall behind together, as at an API server that lags.
    LaggingServer "lagging-server",
    /// A process stands still for a while, and goes on with what it knew.
    Pause "pause",
    /// A process stands still, another takes its Lease, and then both lead for a moment.
    LeaseStolen "lease-stolen",
    /// A process dies while it lists, just after it has begun to lead.
    CrashAtStart "crash-at-start",
    /// A process takes long to start again.
    SlowStart "slow-start",
    /// A node is gone: its Pods are not ready, and after a while they are removed by force.
    NodeLost "node-lost",
    /// A node is drained: its Pods are evicted, which is a graceful deletion.
    NodeDrained "node-drained",
    /// A node runs out of memory or disk, and its kubelet ends its Pods, which fail.
    NodePressure "node-pressure",
    /// A node does not report for a moment: none of its Pods is ready.
    NodeFlap "node-flap",
    /// Somebody deletes a Pod by force, with no grace.
    PodForced "pod-forced",
    /// No image can be pulled for a while: Pods that start wait, and start together.
    RegistryDown "registry-down",
    /// A Pod takes half a minute and more to stop.
    SlowStop "slow-stop",
    /// The calendar of a controller is set anew while it runs, forward or back.
    ClockJump "clock-jump",
    /// A Pod that runs gets another address.
    AddressChanged "address-changed",
    /// A user clears the status of a claim, a pool or a sandbox.
    StatusCleared "status-cleared",
    /// Somebody puts a finalizer on an object: deleted, it stays until that is taken off.
    Finalizer "finalizer",
    /// The server refuses creates, or records on claims, as invalid (422).
    Invalid "invalid",
    /// A namespace is deleted while claims live in it: creates are refused, and all that is in it goes.
    NamespaceEnded "namespace-ended",
    /// A user takes labels off an object, or makes it look like another.
    Relabelled "relabelled",
    /// A user has a sandbox of the name that a claim gives to one of its own.
    NameTaken "name-taken",
    /// Creates meet others that count against the same quota: the server answers with a conflict (409).
    Contention "contention",
}

impl Fault {
    /// Returns the position of this kind in [`Fault::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the kind with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// A set of kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults(u128);

impl Faults {
    /// No trouble at all.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << Fault::ALL.len()) - 1);
    /// What makes processes disagree: they follow each other, are late to see and to hear, and somebody meddles meanwhile.
    ///
    /// Where nothing else goes wrong more claims are served, and a run is shorter. How much sooner a race is found depends on
    /// the first seed: `mutants --only adopt-without-lock --engines swarm,races --seed N` compares the two.
    pub const RACES: Self = Self::of(&[
        Fault::TwoLeaders,
        Fault::Failover,
        Fault::LeaseStolen,
        Fault::Pause,
        Fault::Crash,
        Fault::WatchLag,
        Fault::WatchLoss,
        Fault::LaggingServer,
        Fault::SlowList,
        Fault::SlowServer,
        Fault::LateCommit,
        Fault::LostAnswer,
        Fault::LostRequest,
        Fault::Touched,
        Fault::ClockSkew,
        Fault::ClaimDeleted,
        Fault::ClaimRecreated,
        Fault::SandboxDeleted,
        Fault::PodDeleted,
        Fault::Relabelled,
        Fault::Finalizer,
    ]);

    /// Returns whether the set has a kind.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 >> fault.index() & 1 == 1
    }

    /// Returns the set with one more kind.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault.index())
    }

    /// Returns a set of these kinds.
    pub const fn of(list: &[Fault]) -> Self {
        let (mut set, mut place) = (Self::NONE, 0);
        while place < list.len() {
            set = set.with(list[place]);
            place += 1;
        }
        set
    }

    /// Returns the kinds that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the kinds that are in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the kinds that are in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }

    /// Reads `all`, `races`, `none`, or names with commas between them.
    ///
    /// # Errors
    /// The name that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::ALL),
            "races" => return Ok(Self::RACES),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |faults, name| {
            Fault::named(name).map(|fault| faults.with(fault)).ok_or_else(|| name.to_owned())
        })
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self::RACES => f.write_str("races"),
            Self::NONE => f.write_str("none"),
            _ => f.write_str(&self.iter().map(Fault::name).collect::<Vec<_>>().join(",")),
        }
    }
}

/// What a run simulates. Together with the seed this is the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the choices come from.
    pub seed: u64,
    /// How many claims users create.
    pub claims: u32,
    /// `spec.replicas` of the pool.
    pub pool: u32,
    /// How long users and faults are at work, in virtual time.
    pub duration: Duration,
    /// What may go wrong. Each run has a random part of it.
    pub faults: Faults,
    /// What is done on purpose.
    pub plan: Plan,
}

impl Options {
    /// Returns the small world that a campaign tries with a seed: many of them find more than few large ones.
    ///
    /// Source: most known bugs of such controllers need two or three claims and one or two members.
    pub fn of_campaign(seed: u64) -> Self {
        let mut choices = Choices::from_seed(seed ^ 0x6f70_7469_6f6e_7321);
        let claims = [3, 2, 4, 6, 8, 12, 20, 30][choices.below(8) as usize];
        let pool = [2, 1, 1, 3, 4, 6][choices.below(6) as usize];
        let duration = Duration::from_secs([60, 20, 40, 120][choices.below(4) as usize]);
        Self { seed, claims, pool, duration, faults: Faults::ALL, plan: Plan::None }
    }

    /// Returns the choices of the run.
    pub fn choices(&self) -> Choices {
        match self.plan {
            Plan::Bytes(input) => Choices::from_bytes(fuzz::choices(input, self.seed)),
            Plan::None | Plan::Blows(..) | Plan::Priorities(_) => Choices::from_seed(self.seed),
        }
    }

    /// Returns whether nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        self.faults == Faults::NONE && self.plan == Plan::None
    }
}

/// How much of each kind of trouble one run has, drawn at its beginning ("swarm": some kinds not at all).
///
/// **Unit**: per mille of the occasions on which that kind can strike.
///
/// Source: Groce et al., "Swarm Testing", ISSTA 2012: leaving kinds out finds more than having all in every
/// run.
#[derive(Clone, Debug)]
pub struct Rates([u32; Fault::ALL.len()]);

impl Rates {
    /// Draws the rates for a run. A tape names what strikes, so with a tape anything may.
    pub fn draw(faults: Faults, choices: &mut Choices) -> Self {
        if choices.is_played() {
            return Self([1; Fault::ALL.len()]);
        }
        let mut rates = [0; Fault::ALL.len()];
        for fault in faults.iter() {
            // The harmless choice is "not in this run"; two runs of three have it a little, or a lot.
            let rate = choices.unnoted(|choices| choices.below(6));
            rates[fault.index()] = [0, 0, 10, 30, 100, 300][rate as usize];
        }
        Self(rates)
    }

    /// Returns how often a kind strikes.
    pub const fn of(&self, fault: Fault) -> u32 {
        self.0[fault.index()]
    }

    /// Returns whether the run has a kind at all.
    pub const fn has(&self, fault: Fault) -> bool {
        self.of(fault) > 0
    }

    /// Ends all trouble.
    pub fn heal(&mut self) {
        self.0 = [0; Fault::ALL.len()];
    }

    /// Draws whether one of several kinds strikes, and which; at most one does.
    pub fn strike(&self, faults: &[Fault], choices: &mut Choices) -> Option<Fault> {
        let total: u32 = faults.iter().map(|fault| self.of(*fault)).sum();
        if total == 0 {
            return None;
        }
        let place = choices.number(|choices| {
            // Where the sum exceeds one thousand, something always strikes; else the lower draws are harmless.
            let harmless = 1000_u32.saturating_sub(total);
            let Some(mut draw) = choices.below(harmless + total).checked_sub(harmless) else { return 0 };
            let struck = faults.iter().find(|fault| {
                let hit = draw < self.of(**fault);
                draw = draw.saturating_sub(self.of(**fault));
                hit
            });
            struck.map_or(0, |fault| fault.index() as u64 + 1)
        });
        let place = usize::try_from(place).ok()?.checked_sub(1)?;
        let fault = Fault::ALL.get(place).copied()?;
        (faults.contains(&fault) && self.has(fault)).then_some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;

    #[test]
    fn every_kind_has_its_place_and_a_name_of_its_own() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.index(), place);
            assert_eq!(Fault::named(fault.name()), Some(fault));
            assert!(fault.about().ends_with('.'), "{}", fault.name());
        }
    }

    #[test]
    fn the_documentation_has_every_kind() {
        let rows = |fault: Fault| format!("| `{}` | {} |\n", fault.name(), fault.about());
        let table: String = Fault::ALL.into_iter().map(rows).collect();
        assert!(
            include_str!("../../docs/sim.md").contains(&table),
            "docs/sim.md should have these rows:\n{table}"
        );
    }

    #[test]
    fn a_set_survives_being_written_and_read() {
        let some = Faults::NONE.with(Fault::Crash).with(Fault::WatchLag);
        for faults in [Faults::ALL, Faults::RACES, Faults::NONE, some] {
            assert_eq!(Faults::parse(&faults.to_string()), Ok(faults));
        }
        assert_eq!(Faults::parse("crash,bug"), Err("bug".to_owned()));
    }

    #[test]
    fn an_empty_tape_means_no_fault() {
        let mut choices = Choices::from_tape(Tape::default());
        let mut all = Rates([300; Fault::ALL.len()]);
        assert_eq!(all.strike(&[Fault::Crash, Fault::LostAnswer], &mut choices), None);
        all.heal();
        assert!(!all.has(Fault::Crash));
    }

    #[test]
    fn each_kind_strikes_as_often_as_its_rate_says() {
        let mut choices = Choices::from_seed(1);
        let rates = Rates([100; Fault::ALL.len()]);
        let mut hits = [0; 2];
        for _ in 0..10_000 {
            match rates.strike(&[Fault::Crash, Fault::LostAnswer], &mut choices) {
                Some(Fault::Crash) => hits[0] += 1,
                Some(_) => hits[1] += 1,
                None => {}
            }
        }
        assert!(hits.iter().all(|hits| (900..1100).contains(hits)), "{hits:?}");
    }
}
