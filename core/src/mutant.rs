//! Known bugs of such controllers, as switches: each is what somebody once shipped, or nearly did.
//!
//! Only a build with the feature `mutants` can turn one on; in any other
//! [`Config::has`](crate::config::Config::has) is the constant `false`, and nothing is left of them. Those that bend what
//! leaves or enters the machine are in `machine/mutants.rs`; the others stand where the bug would be.

macro_rules! mutants {
    ($($name:ident = $text:literal, $about:literal;)*) => {
        /// One defect. The simulator must find each; a normal build contains none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant { $(#[doc = $about] $name,)* }

        impl Mutant {
            /// Every mutant.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns one sentence: what it does, and whose bug it is like.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

mutants! {
    // ----- Locks -----
    DeleteWithoutPreconditions = "delete-without-preconditions",
        "a pool deletes a member by name although a claim has just adopted it (BUG-23)";
    AdoptWithoutLock = "adopt-without-lock",
        "the later of two adopters takes the sandbox from the earlier (BUG-04)";
    RecordWithoutLock = "record-without-lock",
        "the later of two leaders writes its record over that of the earlier (BUG-03)";
    ClearWithoutLock = "clear-without-lock",
        "a record is taken off a claim whatever it says by then (BUG-05)";
    StatusWithoutLock = "status-without-lock",
        "an older status is written over a newer one (BUG-79)";
    ClaimEndWithoutLock = "claim-end-without-lock",
        "a claim that its user has just given more time is deleted (BUG-89)";

    // ----- Own writes, and answers -----
    LostAnswerIsFailure = "lost-answer-is-failure",
        "a create whose answer is lost is forgotten and done again under another name (BUG-46)";
    OwnWriteInvisible = "own-write-invisible",
        "own writes are decided on again before the watch shows them (BUG-03)";
    AbandonOnConflict = "abandon-on-conflict",
        "a claim drops the member that it has recorded because a write met a conflict (BUG-05)";
    ConflictIsGone = "conflict-is-gone",
        "a conflict counts as proof that the object is gone (BUG-86)";
    ThrottledIsGone = "throttled-is-gone",
        "a server that is busy counts as proof that the object is gone (BUG-64)";
    LostAnswerIsSuccess = "lost-answer-is-success",
        "a write that was given up counts as done (BUG-12)";
    FailedLookIsAbsence = "failed-look-is-absence",
        "a read that fails counts as proof that nothing is there (BUG-64)";

    // ----- What a process sees -----
    WritesBeforeListed = "writes-before-listed",
        "a new leader decides before it has seen everything (BUG-37)";
    IgnoresStandby = "ignores-standby",
        "a process that was deposed goes on (BUG-120)";
    MissesSandboxDeletes = "misses-sandbox-deletes",
        "the end of a sandbox is not noticed (BUG-45)";
    MissesPodDeletes = "misses-pod-deletes",
        "the end of a Pod is not noticed (BUG-59)";
    MissesClaimDeletes = "misses-claim-deletes",
        "what was known of a claim that is gone is kept (BUG-26)";
    MissesMetadataChanges = "misses-metadata-changes",
        "a change of labels or owners alone is filtered out (BUG-36)";
    ListKeepsTheAbsent = "list-keeps-the-absent",
        "what a new list lacks is not taken for gone (BUG-45)";

    // ----- Wake-ups -----
    DeafToSandboxes = "deaf-to-sandboxes",
        "a change of a sandbox wakes nobody who waits for it (BUG-32)";
    DeafToPods = "deaf-to-pods",
        "a change of a Pod wakes nobody whose Pod it is (BUG-59)";
    DeafToPools = "deaf-to-pools",
        "a pool that appears wakes none of its claims (BUG-34)";
    DeafToTemplates = "deaf-to-templates",
        "a template that appears wakes nobody who waits for it (BUG-34)";
    DeafToServices = "deaf-to-services",
        "a Service that was changed wakes nobody (BUG-71)";
    NoExpiryTimer = "no-expiry-timer",
        "an end waits until something else happens (BUG-88)";
    NoStuckTimer = "no-stuck-timer",
        "a member in trouble is looked at only when something else happens (BUG-40)";
    NoStatusTimer = "no-status-timer",
        "a status that came too soon after another is never written (BUG-55)";
    RemembersTheGone = "remembers-the-gone",
        "what was made from a template is remembered when it is gone (BUG-132)";
    OneMoreInFlight = "one-more-in-flight",
        "one request more is under way than the operator allows (BUG-130)";
    NeverBacksOff = "never-backs-off",
        "what fails is tried again at a flat rate, however often it has failed (BUG-10)";
    NoBackoffTimer = "no-backoff-timer",
        "what failed is not tried again until something else happens (BUG-11)";
    NoRepeatTimer = "no-repeat-timer",
        "a write whose answer was lost is never settled (BUG-45)";
    NoRefillTimer = "no-refill-timer",
        "a pool that is refilled at a pace stops until something else happens (BUG-49)";

    // ----- Adoption -----
    TransferFirst = "transfer-first",
        "the member changes hands before the claim records it (BUG-03)";
    OwnerNotWritten = "owner-not-written",
        "an adoption writes its labels and not the owner (BUG-68)";
    ColdBesideReady = "cold-beside-ready",
        "a claim that has others before it starts cold, although members are left (BUG-33)";
    StartingUncounted = "starting-uncounted",
        "a claim starts cold beside members that are about to be usable (BUG-27)";
    TakesTheUnready = "takes-the-unready",
        "a claim gets a member that is starting while another is ready (BUG-18)";
    GivesAwayStale = "gives-away-stale",
        "a claim gets a member of an older template that is about to be replaced (BUG-21)";
    YoungestFirst = "youngest-first",
        "later claims overtake earlier ones (BUG-32)";
    RefusedWait = "refused-wait",
        "a claim that can never be served takes a member before anybody checks it (BUG-31)";
    GivesUpUnseen = "gives-up-unseen",
        "a record is dropped because the watch has not shown the member (BUG-05)";
    NeverGivesUp = "never-gives-up",
        "a claim waits for ever for a member that is gone (BUG-126)";
    NeverMigrates = "never-migrates",
        "the record of an older release is not read (BUG-118)";
    ColdUnrecorded = "cold-unrecorded",
        "a sandbox is made for a claim that has recorded nothing (BUG-03)";
    ColdWithoutWishes = "cold-without-wishes",
        "a claim gets a sandbox without the variables that it asks for (BUG-96)";
    VolumesForgotten = "volumes-forgotten",
        "a claim gets a sandbox without the volumes that it asks for (BUG-76)";
    PoolMarksStay = "pool-marks-stay",
        "an adopted sandbox still counts as its pool's (BUG-124)";
    NeverSyncsMetadata = "never-syncs-metadata",
        "what a claim asks for after it was served does not reach its Pod (BUG-77)";

    // ----- What claims say -----
    SilentRebind = "silent-rebind",
        "a claim that is Ready is given another Pod or sandbox without a word (BUG-123)";
    PublishesRecorded = "publishes-recorded",
        "a claim shows the sandbox that it has recorded, whoever has it by then (BUG-67)";
    ForgetsNameOnConflict = "forgets-name-on-conflict",
        "a passing conflict wipes the name of a claim's sandbox from its status (BUG-08)";
    VanishesUnseen = "vanishes-unseen",
        "a claim says that its sandbox is gone because the watch does not show it (BUG-08)";
    TellsNoEvent = "tells-no-event",
        "no Event says which sandbox a claim was given (BUG-131)";
    GoingIsReady = "going-is-ready",
        "a claim says Ready of a sandbox that is being deleted (BUG-63)";
    ReadyWithoutAddress = "ready-without-address",
        "a claim is Ready before it says where (BUG-67)";
    OldAddressStays = "old-address-stays",
        "a claim goes on to name the address of a Pod that is gone (BUG-107)";
    GenerationOfAnother = "generation-of-another",
        "a claim's condition carries the generation of its sandbox (BUG-94)";
    FinishNotTold = "finish-not-told",
        "a claim does not say that its Pod has ended (BUG-66)";
    MissingPoolUntold = "missing-pool-untold",
        "a claim whose pool does not exist says nothing (BUG-56)";
    MissingTemplateUntold = "missing-template-untold",
        "a claim whose template does not exist says nothing (BUG-34)";
    RefusalUntold = "refusal-untold",
        "a claim that asks for what it cannot have is left without an answer (BUG-95)";

    // ----- Ends -----
    NeverMarksExpired = "never-marks-expired",
        "a claim outlives its time (BUG-88)";
    NeverEndsClaims = "never-ends-claims",
        "a claim that has expired keeps its sandbox (BUG-85)";
    EndByName = "end-by-name",
        "the sandbox of a claim that has expired is looked for under the claim's name (BUG-85)";
    NeverEndsSandboxes = "never-ends-sandboxes",
        "a sandbox outlives its time (BUG-83)";
    RetainedIsDeleted = "retained-is-deleted",
        "a sandbox that is to stay as a record is deleted (BUG-84)";
    AnyClockRevives = "any-clock-revives",
        "a process whose calendar is behind brings back a sandbox that has expired (BUG-127)";
    StatusOutlivesPod = "status-outlives-pod",
        "a sandbox that has expired still shows its Pod (BUG-81)";

    // ----- Pools -----
    CreatesUncounted = "creates-uncounted",
        "members that are under way are not counted (BUG-37)";
    LeavingUncounted = "leaving-uncounted",
        "members that are going make room before they are gone (BUG-37)";
    OneTooMany = "one-too-many",
        "a pool makes one member more than it was asked for (BUG-37)";
    OneTooFew = "one-too-few",
        "a pool is content with one member too few (BUG-47)";
    NeverTrims = "never-trims",
        "a pool that was made smaller keeps its members (BUG-125)";
    NeverReplacesStale = "never-replaces-stale",
        "members of an older template stay (BUG-21)";
    OldestGoFirst = "oldest-go-first",
        "a pool that was made smaller lets go of its oldest members, which are ready (BUG-128)";
    RolloutAtOnce = "rollout-at-once",
        "a new template empties the pool at once (BUG-52)";
    NeverReplacesEnded = "never-replaces-ended",
        "a member whose Pod has ended stays for ever (BUG-66)";
    NoRoomIsStuck = "no-room-is-stuck",
        "a member for which no node has room is replaced again and again (BUG-38)";
    AgeCounts = "age-counts",
        "a member that has just stopped being ready is replaced because it is old (BUG-41)";
    RefillsAtOnce = "refills-at-once",
        "a pool does not wait after a loss, although it is set up to (BUG-49)";
    RefillUncounted = "refill-uncounted",
        "what a pool has just made does not count for the rate at which it may go on (BUG-49)";
    MemberUnmarked = "member-unmarked",
        "a pool's own selector does not match its members (BUG-74)";
    AllCountAsReady = "all-count-as-ready",
        "a pool counts members as ready that are not (BUG-55)";
    ZeroUntold = "zero-untold",
        "a pool's status leaves out what is zero (BUG-54)";
    PoolStatusOnce = "pool-status-once",
        "a pool's figures are not written again for the same spec (BUG-55)";

    // ----- Sandboxes and what they consist of -----
    SecondPod = "second-pod",
        "a sandbox gets another Pod, of another name, while its own is still going (BUG-61)";
    AnyPodWillDo = "any-pod-will-do",
        "a sandbox takes whatever Pod has the right name (BUG-69)";
    NeverAdoptsPods = "never-adopts-pods",
        "a Pod that was prepared for a sandbox is left alone (BUG-70)";
    NeverStopsPods = "never-stops-pods",
        "a sandbox that is suspended keeps its Pod (BUG-64)";
    LostPodIsError = "lost-pod-is-error",
        "a sandbox that notes a Pod which is gone never gets another (BUG-60)";
    AdoptedUnmarked = "adopted-unmarked",
        "a sandbox that was adopted cannot be found by its claim's uid (BUG-74)";
    PodLabelLost = "pod-label-lost",
        "a Pod lacks the label by which its network policy finds it (BUG-74)";
    NeverLabelsPods = "never-labels-pods",
        "a Pod whose labels were changed keeps them (BUG-73)";
    ForeignLabelsDropped = "foreign-labels-dropped",
        "labels that others put on a Pod are taken off again (BUG-75)";
    TellsEachStep = "tells-each-step",
        "each step of a start is told at once, though the next one follows it (BUG-113)";
    TimesMove = "times-move",
        "each change of a sandbox's status moves the time of all that it says (BUG-129)";
    SandboxStatusOnce = "sandbox-status-once",
        "a sandbox that was Ready says so when its Pod is gone (BUG-59)";
    NoVolumes = "no-volumes",
        "a sandbox does not get its volumes (BUG-70)";
    VolumesNotMounted = "volumes-not-mounted",
        "a Pod does not get the volumes that its sandbox claims (BUG-76)";
    NoServices = "no-services",
        "a sandbox does not get its Service (BUG-116)";
    ServiceDriftStays = "service-drift-stays",
        "a Service whose selector was changed keeps it (BUG-71)";
    SpecLostOnWire = "spec-lost-on-wire",
        "a patch of a spec is written with an empty one behind it, which is all that the server reads (BUG-71)";

    // ----- Templates -----
    NeverIsolates = "never-isolates",
        "a template gets no network policy (BUG-97)";
    PolicyDriftStays = "policy-drift-stays",
        "a network policy that was changed keeps its rules (BUG-97)";
    ClaimPoliciesStay = "claim-policies-stay",
        "the network policies of an older release stay (BUG-97)";
    TemplateUnlabelled = "template-unlabelled",
        "a template's sandboxes cannot be found by its label (BUG-74)";

    // ----- Cost -----
    DeletesAgain = "deletes-again",
        "a delete whose answer was lost is repeated, whether or not anything is still to go";
    BackgroundStarves = "background-starves",
        "what nobody waits for is done when there is nothing else, and a busy controller never does it (BUG-133)";
    StampsAgain = "stamps-again",
        "a claim is stamped again and again with when it was first ready (BUG-100)";
}
