//! What a search does not tell apart, so that its space stays small.
//!
//! Each shortcut is asked for where it is taken, and named in the report of every search that takes it.

use agent_sandbox_core::action::Intent;

use super::Scope;

/// Something that a search leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Writes that nobody contests.
    AtOnce,
    /// The life of a Pod.
    PodInOneStep,
    /// Watches that lag behind those who are not controllers.
    ShownAtOnce,
    /// Claims and members that differ in nothing but their names.
    InOrder,
    /// Answers that nothing overtakes.
    OvertakenAnswers,
    /// Lists of a process that starts.
    ListsTogether,
    /// The garbage collector.
    PatientCollector,
    /// Bookmarks.
    EarlyBookmarks,
    /// Timers that hold back what is no news.
    QuietTimers,
    /// The clock.
    TimeStandsStill,
    /// The calendar.
    OneSecond,
    /// Time limits of requests.
    InTime,
    /// Endless circles.
    RestOnly,
}

/// What is written at once, and answered at once.
pub(super) const UNCONTESTED: [Intent; 5] = [
    Intent::CreatePod,
    Intent::LabelPod,
    Intent::StampFirstReady,
    Intent::SetPoolStatus,
    Intent::SetSandboxStatus,
];

impl Shortcut {
    const ALL: [Self; 13] = [
        Self::AtOnce,
        Self::PodInOneStep,
        Self::ShownAtOnce,
        Self::InOrder,
        Self::OvertakenAnswers,
        Self::ListsTogether,
        Self::PatientCollector,
        Self::EarlyBookmarks,
        Self::QuietTimers,
        Self::TimeStandsStill,
        Self::OneSecond,
        Self::InTime,
        Self::RestOnly,
    ];

    /// Returns what is left out, in one sentence.
    pub fn about(self, scope: &Scope) -> String {
        match self {
            Self::AtOnce => {
                let names: Vec<String> = UNCONTESTED.iter().map(|intent| format!("{intent:?}")).collect();
                format!(
                    "these take effect as soon as they are sent, and are never lost: {}",
                    names.join(", ")
                )
            }
            Self::PodInOneStep => "a Pod starts in one step, and ends in one".to_owned(),
            Self::ShownAtOnce => {
                "the only process sees new claims, Pods and the pool's spec as soon as they change".to_owned()
            }
            Self::InOrder => {
                "claims and members that differ in nothing but their names are created in the order of these, and Pods of such members start in it: any other order is this one with other names".to_owned()
            }
            Self::OvertakenAnswers => {
                let count = scope.late_answers;
                format!("a watch overtakes at most {count} answers at a time; the others arrive at once")
            }
            Self::ListsTogether => "a process that starts lists all kinds at one moment".to_owned(),
            Self::PatientCollector => {
                "the garbage collector waits until every process knows that an owner is gone".to_owned()
            }
            Self::EarlyBookmarks => "a bookmark comes as soon as it says anything".to_owned(),
            Self::QuietTimers => {
                "status that is held back is told when nothing else happens, and not before".to_owned()
            }
            Self::TimeStandsStill if scope.lost_answers > 0 => {
                "time passes only until a timer is due, or until just before".to_owned()
            }
            Self::TimeStandsStill => "time passes only until a timer is due".to_owned(),
            Self::OneSecond => {
                "everything happens within one second of the calendar: among equals the name decides"
                    .to_owned()
            }
            Self::InTime => {
                "the server takes up within its time limit whatever somebody waits for".to_owned()
            }
            Self::RestOnly => {
                "endless circles: what must happen in the end is judged where all is quiet".to_owned()
            }
        }
    }

    /// Returns whether a search takes it.
    pub(super) const fn is_taken(self, scope: &Scope) -> bool {
        match self {
            Self::AtOnce | Self::PodInOneStep => !scope.no_shortcuts,
            Self::ShownAtOnce => !scope.no_shortcuts && scope.leaders == 1,
            Self::InOrder => !scope.no_shortcuts && !scope.any_order,
            Self::OvertakenAnswers
            | Self::ListsTogether
            | Self::PatientCollector
            | Self::EarlyBookmarks
            | Self::QuietTimers
            | Self::TimeStandsStill
            | Self::OneSecond
            | Self::InTime
            | Self::RestOnly => true,
        }
    }
}

impl Scope {
    /// Returns the shortcuts that this search takes.
    pub fn shortcuts(&self) -> impl Iterator<Item = Shortcut> {
        Shortcut::ALL.into_iter().filter(|shortcut| shortcut.is_taken(self))
    }
}
