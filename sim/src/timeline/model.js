// The data as objects: events with their causes and effects, lanes, and what leads to what.

const TONES = ["plain", "ask", "write", "vain", "trouble"];

function load(data) {
  let at = 0;
  const events = data.events.map((row, index) => {
    at += row[0];
    const [, lane, tone, text, object, state, version, kind, step] = row;
    const causes = row.slice(9).map(before => index - before);
    return {
      index, at, lane, tone: TONES[tone], text: data.texts[text], object: data.texts[object],
      state: data.texts[state], version, kind: kind < 0 ? "" : data.kinds[kind], step, causes, effects: [],
    };
  });
  if (data.broken) {
    events.push({
      index: events.length, at: data.broken.at, lane: -1, tone: "trouble", text: `${data.broken.name} broke: ${data.broken.what}`,
      object: "", state: `promised: ${data.broken.promised}`, version: 0, kind: "", step: data.broken.step,
      causes: led(data.broken, events), effects: [],
    });
  }
  for (const event of events) for (const cause of event.causes) events[cause].effects.push(event.index);
  return events;
}

// What led to the violation: what happened last, if that was at the same moment; else it is about how things stand, and that
// follows from what happened last to each object that it names.
function led(broken, events) {
  const last = events.length - 1;
  const words = new Set(broken.what.split(/[ ,:;"()/]+/));
  const latest = new Map();
  for (const event of events) if (words.has(event.object.split(" ").at(-1))) latest.set(event.object, event.index);
  if (last < 0 || (latest.size > 0 && events[last].at !== broken.at)) return [...latest.values()];
  return [last];
}

// Lanes as drawn: those of caches may stand for all kinds together, or for one each.
function lanes(data, events, split) {
  const drawn = [];
  const places = new Map();
  data.lanes.forEach((lane, number) => {
    if (!split || lane.group !== "cache") {
      places.set(`${number}`, drawn.length);
      drawn.push(lane);
      return;
    }
    const kinds = new Set(events.filter(event => event.lane === number).map(event => event.kind));
    for (const kind of data.kinds.filter(kind => kinds.has(kind))) {
      places.set(`${number} ${kind}`, drawn.length);
      drawn.push({ name: `${kind}s, ${lane.name}`, group: lane.group });
    }
  });
  const place = event => places.get(`${event.lane} ${event.kind}`) ?? places.get(`${event.lane}`) ?? -1;
  for (const event of events) event.place = place(event);
  return drawn;
}

// All that led to an event, itself included.
function history(events, index) {
  const found = new Set();
  const open = [index];
  while (open.length > 0) {
    const next = open.pop();
    if (found.has(next)) continue;
    found.add(next);
    open.push(...events[next].causes);
  }
  return found;
}

function label(event) {
  return event.text.replace("{}", event.object).replace("  ", " ");
}

function moment(micros) {
  return `${(micros / 1e6).toFixed(micros % 1000 ? 6 : 3)} s`;
}

function span(micros) {
  if (micros < 1000) return `${micros} µs`;
  if (micros < 1e6) return `${(micros / 1000).toFixed(1)} ms`;
  return `${(micros / 1e6).toFixed(2)} s`;
}
