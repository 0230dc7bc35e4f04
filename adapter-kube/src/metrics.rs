//! Figures for `/metrics`, named after the core's own words.

use std::fmt::Write;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Wall;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{built, process};

/// Bounds of the histogram of requests. Source: an answer takes milliseconds, and the time limit is some ten seconds.
const ACTION_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Bounds of the histogram of machine calls: from one event to a relist of many thousands.
const STEP_SECONDS: [f64; 9] = [0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.1, 1.0];

/// Bounds of the histogram of claims: a warm one takes milliseconds, a cold one what its Pod takes.
const CLAIM_SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// All figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    actions: Family<IntentLabel, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    in_flight: Gauge,
    action_seconds: Family<IntentLabel, Histogram>,
    step_seconds: Histogram,
    claim_seconds: Histogram,
    leading: Family<LeaseLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntentLabel {
    intent: Word<Intent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    intent: Word<Intent>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabel {
    name: &'static str,
}

/// A label whose value is the word that the code uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word<T>(T);

impl<T: std::fmt::Debug> EncodeLabelValue for Word<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        write!(encoder, "{:?}", self.0)
    }
}

fn histogram(bounds: &'static [f64]) -> Histogram {
    Histogram::new(bounds.iter().copied())
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Returns figures that start at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let (events, actions, outcomes) = (Family::default(), Family::default(), Family::default());
        let (in_flight, leading) = (Gauge::default(), Family::default());
        let action_seconds =
            Family::new_with_constructor((|| histogram(&ACTION_SECONDS)) as fn() -> Histogram);
        let (step_seconds, claim_seconds) = (histogram(&STEP_SECONDS), histogram(&CLAIM_SECONDS));
        describe_build(&mut registry);
        registry.register_collector(Box::new(process::Collector));
        registry.register(
            "leader_election_master_status",
            "Whether this process leads",
            Family::clone(&leading),
        );
        let ours = registry.sub_registry_with_prefix("agent_sandbox_controller");
        ours.register("events", "Facts given to the core", Family::clone(&events));
        ours.register("actions", "Actions that the core asked for", Family::clone(&actions));
        ours.register("outcomes", "What became of the actions", Family::clone(&outcomes));
        ours.register("actions_in_flight", "Actions not answered yet", in_flight.clone());
        ours.register(
            "action_duration_seconds",
            "From the start of an action to its answer",
            Family::clone(&action_seconds),
        );
        ours.register("step_duration_seconds", "Time in the core for one fact", step_seconds.clone());
        ours.register(
            "claim_ready_seconds",
            "From a claim's first sight to its first readiness",
            claim_seconds.clone(),
        );
        Self {
            registry,
            events,
            actions,
            outcomes,
            in_flight,
            action_seconds,
            step_seconds,
            claim_seconds,
            leading,
        }
    }

    /// Counts a call of the machine; `None` stands for a timeout.
    pub fn stepped(&self, event: Option<EventName>, took: Duration) {
        let EventName { event, kind } = event.unwrap_or(EventName { event: "Timeout", kind: None });
        let kind = kind.map_or("", Kind::name);
        self.events.get_or_create(&EventLabels { event, kind }).inc();
        self.step_seconds.observe(took.as_secs_f64());
    }

    /// Counts an action that starts.
    pub fn started(&self, intent: Intent) {
        self.actions.get_or_create(&IntentLabel { intent: Word(intent) }).inc();
        self.in_flight.inc();
    }

    /// Counts an answer.
    pub fn answered(&self, action: &Action, outcome: &Outcome, took: Duration) {
        let intent = Word(action.intent);
        self.in_flight.dec();
        self.outcomes.get_or_create(&OutcomeLabels { intent, outcome: outcome_name(outcome) }).inc();
        self.action_seconds.get_or_create(&IntentLabel { intent }).observe(took.as_secs_f64());
        if let (Intent::StampFirstReady, Outcome::Done(claim)) = (action.intent, outcome)
            && let Some(waited) = time_to_ready(claim)
        {
            self.claim_seconds.observe(waited.as_secs_f64());
        }
    }

    /// Shows whether this process leads.
    pub fn lead(&self, lease: &'static str, leads: bool) {
        self.leading.get_or_create(&LeaseLabel { name: lease }).set(leads.into());
    }

    /// Returns the text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What an event is called in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventName {
    event: &'static str,
    kind: Option<Kind>,
}

impl From<&Event> for EventName {
    fn from(event: &Event) -> Self {
        let (event, kind) = match event {
            Event::Applied(object) => ("Applied", Some(object.kind())),
            Event::Deleted(object) => ("Deleted", Some(object.kind())),
            Event::Relisted { kind, .. } => ("Relisted", Some(*kind)),
            Event::Progress { kind, .. } => ("Progress", Some(*kind)),
            Event::WatchLost { kind } => ("WatchLost", Some(*kind)),
            Event::ActionDone { .. } => ("ActionDone", None),
            Event::Leading { .. } => ("Leading", None),
            Event::Standby => ("Standby", None),
        };
        Self { event, kind }
    }
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "Done",
        Outcome::Accepted => "Accepted",
        Outcome::Conflict => "Conflict",
        Outcome::AlreadyExists => "AlreadyExists",
        Outcome::NotFound => "NotFound",
        Outcome::Throttled(_) => "Throttled",
        Outcome::Refused(Refusal::Forbidden(_)) => "Forbidden",
        Outcome::Refused(Refusal::Invalid(_)) => "Invalid",
        Outcome::Refused(Refusal::NamespaceEnding(_)) => "NamespaceEnding",
        Outcome::Unknown => "Unknown",
    }
}

/// From the claim's own stamps; `None` when one of them is missing.
fn time_to_ready(claim: &Object) -> Option<Duration> {
    let stamp = |key| claim.meta().annotation(key).and_then(|text| Wall::parse(text));
    Some(stamp(names::FIRST_READY_AT)? - stamp(names::FIRST_OBSERVED_AT)?)
}

/// MET-002, without the labels that say something about Go.
fn describe_build(registry: &mut Registry) {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Build {
        git_version: String,
        git_commit: &'static str,
        compiler: &'static str,
        platform: String,
    }
    let build = Family::<Build, Gauge>::default();
    let labels = Build {
        git_version: format!("v{}", built::VERSION),
        git_commit: built::commit().unwrap_or("unknown"),
        compiler: "rustc",
        platform: built::platform(),
    };
    build.get_or_create(&labels).set(1);
    let help = "Agent sandbox controller build metadata exposed as labels with a constant value of 1";
    registry.register("agent_sandbox_build_info", help, build);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_named_after_events_and_intents() {
        let metrics = Metrics::new();
        metrics.stepped(Some((&Event::WatchLost { kind: Kind::Pod }).into()), Duration::ZERO);
        metrics.started(Intent::AdoptSandbox);
        let text = metrics.text();
        for line in [
            r#"agent_sandbox_controller_events_total{event="WatchLost",kind="Pod"} 1"#,
            r#"agent_sandbox_controller_actions_total{intent="AdoptSandbox"} 1"#,
            "agent_sandbox_controller_actions_in_flight 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
