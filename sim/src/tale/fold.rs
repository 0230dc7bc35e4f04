//! Sentences of events: what belongs together is one, what is done again is told once, and so is what goes round in a circle.

use std::collections::BTreeMap;

use agent_sandbox_core::action::Intent;

use super::{Event, Sentence, Sort};
use crate::story::moment;

/// How many sentences a circle may have.
///
/// Source: two controllers that undo what the other does need two, with what each is told in between up to six.
const CIRCLE_MAX: usize = 6;

/// How often it is told as often as it happens.
const TOLD_OUT: usize = 2;

/// Up to how many sentences a story has everything twice that does not go round in a circle.
///
/// Source: what fits on a screen.
pub(super) const SCREEN: usize = 30;

/// Makes sentences of the events that are kept.
pub(super) fn fold(events: &[Event], kept: &[bool]) -> Vec<Sentence> {
    let mut told: Vec<Sentence> = Vec::new();
    let mut writes: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, event) in events.iter().enumerate().filter(|(place, _)| kept[*place]) {
        if let Some(last) = told.last_mut()
            && let Some(before) = last.events.last().map(|before| &events[*before])
            && let Some(text) = join(before, event, &last.text)
        {
            last.text = text;
            last.events.push(place);
            continue;
        }
        if matches!(event.sort, Sort::Write(_)) {
            if let Some(first) = writes.get(&*event.text) {
                told[*first].events.push(place);
                continue;
            }
            writes.insert(&event.text, told.len());
        }
        // A clause about what was not seen yet ends with a comma, in case that something follows.
        let text = event.text.trim_end_matches(',').to_owned();
        told.push(Sentence { at: event.at, text, events: vec![place] });
    }
    for sentence in &mut told {
        let is_same = |place: &usize| events[*place].text == events[sentence.events[0]].text;
        let (again, last) = (sentence.events.len(), sentence.events.last().map_or(0, |last| *last));
        let is_write = matches!(events[sentence.events[0]].sort, Sort::Write(_));
        if again > 1 && is_write && sentence.events.iter().all(is_same) {
            sentence.text += &format!(" ({again} times, the last at {})", moment(events[last].at));
        }
    }
    let closed = close_circles(&told, events);
    if closed.len() <= SCREEN { closed } else { leave_out_alike(told, events) }
}

/// Tells twice what is the same but for its numbers, and with the second how often it comes again. The end stays.
fn leave_out_alike(told: Vec<Sentence>, events: &[Event]) -> Vec<Sentence> {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut short: Vec<Sentence> = Vec::new();
    let mut more: BTreeMap<usize, usize> = BTreeMap::new();
    let count = told.len();
    for (number, sentence) in (1..).zip(told) {
        let places = alike.entry(shape(&sentence.text)).or_default();
        if places.len() < TOLD_OUT || number == count {
            places.push(short.len());
            short.push(sentence);
        } else {
            short[places[TOLD_OUT - 1]].events.extend(sentence.events);
            *more.entry(places[TOLD_OUT - 1]).or_default() += 1;
        }
    }
    for (place, more) in more {
        let until = short[place].events.last().map_or(0, |last| *last);
        let often = if more == 1 { "once".to_owned() } else { format!("{more} times") };
        short[place].text += &format!(", and so {often} more until {}", moment(events[until].at));
    }
    short
}

/// Tells a circle once, with how often it goes round. Sentences are the same but for the numbers of changes.
fn close_circles(told: &[Sentence], events: &[Event]) -> Vec<Sentence> {
    let shapes: Vec<String> = told.iter().map(|sentence| shape(&sentence.text)).collect();
    let mut short = Vec::new();
    let mut place = 0;
    while place < told.len() {
        let rounds = |size: usize| {
            let first = shapes.get(place..place + size);
            let round = |number: usize| shapes.get(place + number * size..place + (number + 1) * size);
            first.map_or(0, |_| 1 + (1..).take_while(|number| round(*number) == first).count())
        };
        let circle = (1..=CIRCLE_MAX).map(|size| (size, rounds(size))).find(|(_, rounds)| *rounds > TOLD_OUT);
        let Some((size, rounds)) = circle else {
            short.push(told[place].clone());
            place += 1;
            continue;
        };
        let mut circle = told[place..place + size].to_vec();
        for (number, sentence) in told[place + size..place + size * rounds].iter().enumerate() {
            circle[number % size].events.extend(&sentence.events);
        }
        let last = told[place + size * rounds - 1].events.last().map_or(0, |last| *last);
        let (more, until) = (rounds - 1, moment(events[last].at));
        if let Some(end) = circle.last_mut() {
            end.text += &match size {
                1 => format!(", and {more} times more until {until}"),
                _ => format!(", and these {size} sentences {more} times more until {until}"),
            };
        }
        short.extend(circle);
        place += size * rounds;
    }
    short
}

/// Returns a sentence without its numbers; names, which may have digits, stay.
fn shape(text: &str) -> String {
    let is_number = |word: &str| {
        let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    let words = text.split(' ').map(|word| if is_number(word) { "*" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Joins an event to the sentence before it, if they are parts of one thing.
fn join(before: &Event, event: &Event, text: &str) -> Option<String> {
    let is_soon = event.at.since(before.at).as_millis() < 1000;
    // What takes two changes of the store at a time is one thing: a Pod is marked as deleted, and is gone.
    if (before.at, before.who, &before.subject, before.sort)
        == (event.at, event.who, &event.subject, Sort::Ends)
        && event.sort == Sort::Ends
    {
        return Some(text.to_owned());
    }
    match (before.sort, event.sort) {
        (Sort::Creation, Sort::Creation) if is_soon => {
            let rest = event.text.strip_prefix("a user creates ")?;
            Some(format!("{text}, {rest}").replacen("a user creates", "users create", 1))
        }
        (Sort::Rise, Sort::Rise) if before.who == event.who => {
            let rest = event.text.split_once(' ').and_then(|(_, rest)| rest.split_once(' '))?.1;
            Some(format!("{text}, {rest}"))
        }
        (Sort::Write(Intent::CreatePod), Sort::PodRises) if before.subject == event.subject => {
            let rest = event.text.split_once(' ').and_then(|(_, rest)| rest.split_once(' '))?.1;
            Some(format!("{text}, which {rest}"))
        }
        (Sort::PodRises, Sort::PodRises) if before.subject == event.subject => {
            let rest = event.text.split_once(' ').and_then(|(_, rest)| rest.split_once(' '))?.1;
            Some(format!("{text}, {rest}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::time::Mono;

    use super::super::Who;
    use super::*;

    #[test]
    fn a_circle_is_told_once_with_how_often_it_goes_round() {
        let round = |number: u64| {
            [
                format!("controller A says no (change {number}: a)"),
                format!("controller B says yes (change {number})"),
            ]
        };
        let texts = ["a user comes".to_owned()].into_iter().chain((2..7).flat_map(round));
        let end = ["controller A says no (change 7: b)".to_owned()];
        assert_eq!(
            told(texts.chain(end)),
            [
                "a user comes",
                "controller A says no (change 2: a)",
                "controller B says yes (change 2), and these 2 sentences 4 times more until 0.000010s",
                "controller A says no (change 7: b)",
            ]
        );
    }

    #[test]
    fn what_happens_twice_is_told_twice() {
        assert_eq!(told(["a 1", "a 2"].map(str::to_owned)), ["a 1", "a 2"]);
        let three = ["a 1", "a 2", "a 3"].map(str::to_owned);
        assert_eq!(told(three), ["a 1, and 2 times more until 0.000002s"]);
    }

    #[test]
    fn a_long_story_tells_twice_what_is_alike() {
        // No circle: the rounds differ in length.
        let rounds = (0..200).flat_map(|number: u64| {
            let a = (0..=number % 3).map(move |_| format!("a makes it (change {number})"));
            a.chain([format!("b takes it away (change {number})")])
        });
        let told = told(rounds.chain(["it breaks".to_owned()]));
        assert_eq!(
            told,
            [
                "a makes it (change 0)",
                "b takes it away (change 0)",
                "a makes it (change 1), and so 397 times more until 0.000597s",
                "b takes it away (change 1), and so 198 times more until 0.000598s",
                "it breaks",
            ]
        );
    }

    #[test]
    fn what_ends_in_two_changes_ends_once() {
        let ends = |text: &str| Event { sort: Sort::Ends, ..event(7, text.to_owned()) };
        let events = [ends("a user begins to delete a"), ends("a user deletes a")];
        let told: Vec<String> = fold(&events, &[true; 2]).into_iter().map(|sentence| sentence.text).collect();
        assert_eq!(told, ["a user begins to delete a"]);
    }

    #[test]
    fn a_write_that_has_no_effect_is_told_once_whoever_hinders_it() {
        let write = |at: u64, text: &str| Event {
            disturbs: true,
            sort: Sort::Write(Intent::CreatePod),
            ..event(at, text.to_owned())
        };
        let events = [write(0, "a; lost"), event(1, "b".to_owned()), write(2, "a; lost")];
        let told: Vec<String> = fold(&events, &[true; 3]).into_iter().map(|sentence| sentence.text).collect();
        assert_eq!(told, ["a; lost (2 times, the last at 0.000002s)", "b"]);
    }

    fn told(texts: impl IntoIterator<Item = String>) -> Vec<String> {
        let events: Vec<Event> = (0..).zip(texts).map(|(at, text)| event(at, text)).collect();
        let kept = vec![true; events.len()];
        fold(&events, &kept).into_iter().map(|sentence| sentence.text).collect()
    }

    fn event(at: u64, text: String) -> Event {
        let (at, who, causes) = (Mono::from_micros(at), Who::Users, Vec::new());
        Event { at, who, text, causes, subject: None, disturbs: false, sort: Sort::Other }
    }
}
