//! What was recorded → one HTML file.

use std::collections::BTreeSet;

use agent_sandbox_core::id::Kind;
use serde_json::{Value, json};

use super::{Event, Lane, Recorder, Tone};
use crate::process;
use crate::run::Broken;
use crate::scenario::outcome::OverTime;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 4] =
    [include_str!("model.js"), include_str!("draw.js"), include_str!("chart.js"), include_str!("page.js")];

/// What stands above the lanes.
#[derive(Clone, Debug, Default)]
pub struct Heading<'a> {
    /// What was run, in one line.
    pub title: &'a str,
    /// The command that tells the same again.
    pub command: &'a str,
    /// What broke, if anything did.
    pub broken: Option<&'a Broken>,
    /// The short story of what broke: its sentences.
    pub story: &'a [String],
    /// What was seen over time, if a scenario was played.
    pub over_time: Option<&'a OverTime>,
}

/// Returns the page: one file, which asks nothing of any network.
///
/// # Panics
/// Never: the numbers of a run can be written as JSON.
pub fn page(recorder: &Recorder, heading: &Heading<'_>) -> String {
    // In a script, only this could end it too early.
    let data = data(recorder, heading).to_string().replace('<', "\\u003c");
    let title = heading.title.replace('&', "&amp;").replace('<', "&lt;");
    HTML.replace("{{title}}", &title)
        .replace("{{style}}", STYLE)
        .replace("{{script}}", &SCRIPTS.concat())
        .replace("{{data}}", &data)
}

fn data(recorder: &Recorder, heading: &Heading<'_>) -> Value {
    let (begin, events) = recorder.events(heading.broken.is_some());
    let lanes: BTreeSet<Lane> = events.iter().map(|event| event.lane).collect();
    let mut lanes: Vec<Lane> = lanes.into_iter().collect();
    lanes.sort_by_key(|lane| place(*lane));
    let mut texts = super::Texts::default();
    let mut last = 0;
    let mut rows = Vec::with_capacity(events.len());
    for (number, event) in (begin..).zip(&events) {
        let mut of = |number: u32| texts.number(recorder.texts().text(number));
        let (text, object, state) = (of(event.text), of(event.object), of(event.state));
        let lane = lanes.iter().position(|lane| *lane == event.lane);
        let kind = event.kind.map_or(-1, |kind| kind.index() as i64);
        let at = event.at.micros();
        let mut row = vec![
            json!(at - last),
            json!(lane),
            json!(tone(event.tone)),
            json!(text),
            json!(object),
            json!(state),
            json!(event.version),
            json!(kind),
            json!(event.step),
        ];
        last = at;
        // How many events before: small numbers, and none for what is not on the page.
        row.extend(causes(event, number, begin).map(|before| json!(before)));
        rows.push(Value::Array(row));
    }
    let list: Vec<&str> = (0..texts.len() as u32).map(|number| texts.text(number)).collect();
    json!({
        "title": heading.title,
        "command": heading.command,
        "begin": begin,
        "total": recorder.total(),
        "broken": heading.broken.map(|broken| json!({
            "name": broken.violation.property.name,
            "what": broken.violation.what,
            "promised": broken.violation.property.about,
            "story": heading.story,
            "step": broken.step,
            "at": broken.at.micros(),
        })),
        "chart": heading.over_time,
        "lanes": lanes.iter().map(|lane| json!({"name": name(*lane), "group": group(*lane)})).collect::<Vec<_>>(),
        "kinds": Kind::ALL.map(|kind| kind.to_string()),
        "texts": list,
        "events": rows,
    })
}

fn causes(event: &Event, number: u64, begin: u64) -> impl Iterator<Item = u64> {
    event.causes.iter().filter(move |cause| **cause >= begin).map(move |cause| number - cause)
}

/// Returns where a lane stands, from left to right: each process beside what it sees.
const fn place(lane: Lane) -> (u8, u8, u8) {
    match lane {
        Lane::Users => (0, 0, 0),
        Lane::Server => (1, 0, 0),
        Lane::Cache(process) => (2, process, 0),
        Lane::Process(process) => (2, process, 1),
        Lane::Nodes => (3, 0, 0),
        Lane::Collector => (4, 0, 0),
    }
}

fn name(lane: Lane) -> String {
    match lane {
        Lane::Users => "users".to_owned(),
        Lane::Server => "API server".to_owned(),
        Lane::Cache(process) => format!("caches of {}", process::letter(process)),
        Lane::Process(process) => process::name(process),
        Lane::Nodes => "nodes".to_owned(),
        Lane::Collector => "garbage collector".to_owned(),
    }
}

const fn group(lane: Lane) -> &'static str {
    match lane {
        Lane::Users => "users",
        Lane::Server => "server",
        Lane::Cache(_) => "cache",
        Lane::Process(_) => "process",
        Lane::Nodes => "nodes",
        Lane::Collector => "collector",
    }
}

const fn tone(tone: Tone) -> u8 {
    match tone {
        Tone::Plain => 0,
        Tone::Ask => 1,
        Tone::Write => 2,
        Tone::Vain => 3,
        Tone::Trouble => 4,
    }
}
