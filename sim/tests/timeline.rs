//! The page of `--timeline`: how large it is, that it needs nothing else, and that a browser opens it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use agent_sandbox_sim::saved::Saved;
use agent_sandbox_sim::tale::tell;
use serde_json::Value;

/// A run with more events than a page holds.
const LONG: &[&str] = &["run", "--seed", "7", "--claims", "300"];

/// A run that breaks a promise: what `hunt --mutant record-without-lock` has saved, because to look for it and to shrink
/// it again takes minutes without optimisation.
const BROKEN: &[&str] = &["run", "--tape", TAPE];

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tapes/record-without-lock.tape");

#[test]
fn ten_thousand_events_fit_a_megabyte() {
    let page = Page::of("long", LONG, 0);
    let data = page.data();
    assert_eq!(data["events"].as_array().unwrap().len(), 10_000, "the run is long enough for a full page");
    assert!(page.text.len() <= 1_000_000, "{} bytes", page.text.len());
}

#[test]
fn a_page_asks_for_nothing_else() {
    let page = Page::of("alone", BROKEN, 11);
    let text = &page.text;
    for part in [
        "http:",
        "https:",
        "//cdn",
        " src=",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "<link",
        "import(",
    ] {
        assert!(!text.contains(part), "{part} is in the page");
    }
    assert!(!text.contains("{{"), "a place was not filled");
}

#[test]
fn every_event_has_a_lane_a_text_and_earlier_causes() {
    let data = Page::of("broken", BROKEN, 11).data();
    let (lanes, texts) = (data["lanes"].as_array().unwrap(), data["texts"].as_array().unwrap());
    let events = data["events"].as_array().unwrap();
    let mut with_cause = 0;
    for (place, event) in events.iter().enumerate() {
        let row: Vec<i64> = event.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect();
        let [_, lane, tone, text, object, state, _, _, _, causes @ ..] = &*row else { panic!("{event}") };
        assert!((0..lanes.len() as i64).contains(lane) && (0..5).contains(tone), "{event}");
        assert!(
            [text, object, state].iter().all(|number| (0..texts.len() as i64).contains(number)),
            "{event}"
        );
        assert!(causes.iter().all(|before| (1..=place as i64).contains(before)), "{event}");
        with_cause += usize::from(!causes.is_empty());
    }
    assert!(with_cause * 2 > events.len(), "only {with_cause} of {} events have a cause", events.len());
    assert_eq!(data["broken"]["name"], "recorded-first");
}

#[test]
fn a_page_tells_the_story_and_names_controllers_as_it_does() {
    let saved: Saved = fs::read_to_string(TAPE).expect("it is there").parse().expect("it is a tape");
    let story: Vec<String> = tell(&saved.case(), &saved.tape).iter().map(ToString::to_string).collect();
    let data = Page::of("names", BROKEN, 11).data();
    assert_eq!(data["broken"]["story"], serde_json::json!(story));
    let lanes = data["lanes"].as_array().unwrap().iter().map(|lane| lane["name"].as_str().unwrap());
    let controllers: Vec<&str> = lanes.filter(|lane| lane.starts_with("controller ")).collect();
    assert_eq!(controllers.len(), 2, "{controllers:?}");
    for controller in controllers {
        let is_told = story.iter().any(|sentence| sentence.contains(&format!(" {controller} ")));
        assert!(is_told, "{controller} is not in the story: {story:#?}");
    }
}

#[test]
fn a_scenario_has_its_chart() {
    let data = Page::of("herd", &["run", "--scenario", "thundering-herd", "--runs", "1"], 0).data();
    assert!(
        data["chart"]["intervals"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["waiting_most"].as_f64() > Some(100.0))
    );
}

#[test]
fn a_browser_opens_it_without_an_error() {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found = names.iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(browser) = found else {
        eprintln!("skipped: a_browser_opens_it_without_an_error: no Chromium in PATH");
        return;
    };
    for page in [Page::of("open-long", LONG, 0), Page::of("open-broken", BROKEN, 11)] {
        let flags =
            ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"];
        let address = format!("file://{}", page.path.display());
        let output = Command::new(browser).args(flags).arg(address).output().unwrap();
        let dom = String::from_utf8_lossy(&output.stdout);
        let from = dom.find("<body").unwrap_or_else(|| panic!("no page: {output:?}"));
        let body = &dom[from..from + dom[from..].find('>').unwrap()];
        assert_eq!(body, "<body data-ready=\"yes\"", "an error would stand there");
        // The heading was written by the scripts.
        assert!(dom.contains("Told again by: agent-sandbox-sim run --"));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_a_mistake() {
    for command in ["run --for 1s", "run --scenario steady", "hunt --seeds 0..1"] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.extend(["--timeline", "/no/such/place.html"]);
        let output = Command::new(env!("CARGO_BIN_EXE_agent-sandbox-sim")).args(arguments).output().unwrap();
        let why = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), why.lines().count()), (Some(2), 1), "{why}");
        assert!(why.contains("cannot write the timeline /no/such/place.html"), "{why}");
    }
}

/// A page, gone with its file.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    #[track_caller]
    fn of(name: &str, arguments: &[&str], code: i32) -> Self {
        let path = std::env::temp_dir().join(format!("agent-sandbox-sim-{name}-{}.html", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-sandbox-sim"));
        let output = command
            .args(arguments)
            .arg("--timeline")
            .arg(&path)
            .output()
            .expect("it was built for this test");
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(&path).expect("the page was written");
        Self { path, text }
    }

    fn data(&self) -> Value {
        let begin = "<script type=\"application/json\" id=\"data\">";
        let from = self.text.find(begin).expect("the page has data") + begin.len();
        let to = from + self.text[from..].find("</script>").expect("the data end");
        serde_json::from_str(&self.text[from..to]).expect("the data are JSON")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
