// The page: what is selected, found and seen, and what keys and clicks do about it.

addEventListener("error", error => { document.body.dataset.error = error.message; });
const element = id => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const events = load(data);
const canvas = element("canvas");
const map = element("map");
const ROWS = [1, 2, 3, 5, 8, 12, 16, 22, 28, 36];
const view = { events, row: 22, top: 0, selected: -1, trail: null, hits: null, split: false, only: false, hit: () => -1 };

let waiting = false;
function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const most = Math.max(0, view.shown.length * view.row + 40 + HEAD - canvas.clientHeight);
    view.top = Math.min(most, Math.max(0, view.top));
    draw(canvas, view);
    drawMap(map, view, canvas.clientHeight);
  });
}

function arrange() {
  view.drawn = lanes(data, events, view.split);
  element("split").setAttribute("aria-pressed", view.split);
  refresh();
}

// Which events have a row: all, or those that led to one.
function choose(only) {
  view.only = Boolean(only);
  const place = view.selected >= 0 ? rowOfSelected() - view.top : 0;
  view.shown = only ? [...only].sort((a, b) => a - b) : events.map(event => event.index);
  view.rowOf = new Int32Array(events.length).fill(-1);
  view.shown.forEach((index, row) => { view.rowOf[index] = row; });
  if (view.selected >= 0) view.top = rowOfSelected() - place;
  element("only").setAttribute("aria-pressed", view.only);
  refresh();
}

function rowOfSelected() {
  return view.rowOf[view.selected] * view.row;
}

function select(index) {
  if (index < -1 || index >= events.length) return;
  view.selected = index;
  view.trail = index >= 0 ? history(events, index) : null;
  if (view.only && (index < 0 || view.rowOf[index] < 0)) choose(null);
  element("only").disabled = index < 0;
  if (index >= 0) show(index);
  tell();
  refresh();
}

function show(index) {
  const place = view.rowOf[index] * view.row;
  const page = canvas.clientHeight - HEAD;
  if (place < view.top + view.row || place > view.top + page - 3 * view.row) view.top = place - page / 2;
}

function add(parent, name, text) {
  const child = document.createElement(name);
  child.textContent = text;
  parent.append(child);
  return child;
}

function list(parent, title, indexes) {
  if (indexes.length === 0) return;
  add(parent, "h3", title);
  const ol = add(parent, "ol", "");
  for (const index of indexes.slice(0, 40)) {
    const item = add(add(ol, "li", ""), "a", label(events[index]));
    item.tabIndex = 0;
    item.onclick = () => select(index);
    item.onkeydown = key => key.key === "Enter" && select(index);
    add(item, "small", `${moment(events[index].at)}, ${where(events[index])}`);
  }
  if (indexes.length > 40) add(parent, "small", `and ${indexes.length - 40} more`);
}

function where(event) {
  return event.lane < 0 ? "what must hold" : data.lanes[event.lane].name;
}

function tell() {
  const details = element("details");
  details.replaceChildren();
  const event = events[view.selected];
  if (!event) {
    add(details, "h2", "Nothing is selected");
    add(details, "p", "Click an event, or press the down key. All that led to it stays bright, with its arrows; the rest fades.");
    return;
  }
  add(details, "h2", label(event));
  const dl = add(details, "dl", "");
  const facts = [["where", where(event)], ["when", moment(event.at)], ["step", event.step], ["kind", event.kind],
    ["version", event.version || ""], ["state", event.state]];
  for (const [name, value] of facts) {
    if (value === "") continue;
    add(dl, "dt", name);
    add(dl, "dd", value);
  }
  const cause = events[event.causes[0]];
  if (cause && event.lane >= 0) {
    add(dl, "dt", "after");
    add(dl, "dd", `${span(event.at - cause.at)} from its cause`);
  }
  if (event.lane < 0 && data.broken.story.length > 0) {
    add(details, "h3", "The story");
    const story = add(details, "ol", "");
    for (const sentence of data.broken.story) add(story, "li", sentence.trim());
  }
  list(details, event.lane < 0 ? "Broken by" : "Because", event.causes);
  list(details, "So", event.effects);
  list(details, "All that led to it", [...view.trail].filter(index => index !== event.index).sort((a, b) => b - a));
}

function find(text) {
  const word = text.trim().toLowerCase();
  const found = word ? events.filter(event => `${label(event)} ${event.state}`.toLowerCase().includes(word)) : [];
  view.hits = word ? new Set(found.map(event => event.index)) : null;
  element("hits").textContent = word ? `${found.length} found` : "";
  refresh();
}

function next(direction) {
  const { shown, hits } = view;
  let row = view.selected >= 0 ? view.rowOf[view.selected] : -1;
  do row += direction; while (row >= 0 && row < shown.length && hits && !hits.has(shown[row]));
  if (row >= 0 && row < shown.length) select(shown[row]);
}

function zoom(direction, around = canvas.clientHeight / 2) {
  const place = ROWS.findIndex(row => row >= view.row);
  const row = ROWS[Math.min(ROWS.length - 1, Math.max(0, place + direction))];
  view.top = (view.top + around - HEAD) / view.row * row - around + HEAD;
  view.row = row;
  refresh();
}

const KEYS = {
  ArrowDown: () => next(1), j: () => next(1), ArrowUp: () => next(-1), k: () => next(-1),
  ArrowLeft: () => select(events[view.selected]?.causes[0] ?? view.selected),
  ArrowRight: () => select(events[view.selected]?.effects[0] ?? view.selected),
  PageDown: () => { view.top += canvas.clientHeight * 0.9; refresh(); },
  PageUp: () => { view.top -= canvas.clientHeight * 0.9; refresh(); },
  Home: () => { view.top = 0; refresh(); }, End: () => { view.top = Infinity; refresh(); },
  "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1),
  o: () => view.selected >= 0 && choose(view.only ? null : view.trail),
  v: () => data.broken && select(events.length - 1),
  c: () => { view.split = !view.split; arrange(); },
  "/": () => element("search").focus(), Escape: () => { element("search").value = ""; find(""); select(-1); },
};

addEventListener("keydown", key => {
  const typing = document.activeElement === element("search");
  if (typing && key.key === "Enter") { canvas.focus(); next(1); return; }
  if (key.ctrlKey || key.metaKey || key.altKey || typing && key.key !== "Escape") return;
  const act = KEYS[key.key];
  if (!act) return;
  key.preventDefault();
  if (typing) canvas.focus();
  act();
});
canvas.addEventListener("wheel", wheel => {
  wheel.preventDefault();
  if (wheel.ctrlKey) zoom(wheel.deltaY < 0 ? 1 : -1, wheel.offsetY);
  else { view.top += wheel.deltaY; refresh(); }
}, { passive: false });
let drag = null;
canvas.addEventListener("pointerdown", at => { drag = { y: at.clientY, top: view.top, moved: false }; });
addEventListener("pointermove", at => {
  if (!drag) return;
  if (Math.abs(at.clientY - drag.y) > 4) drag.moved = true;
  if (drag.moved) { view.top = drag.top - (at.clientY - drag.y); refresh(); }
});
addEventListener("pointerup", at => {
  if (drag && !drag.moved && at.target === canvas) select(view.hit(at.offsetX, at.offsetY));
  drag = null;
});
const jump = at => {
  view.top = at.offsetY / map.clientHeight * view.shown.length * view.row - canvas.clientHeight / 2;
  refresh();
};
map.addEventListener("pointerdown", jump);
map.addEventListener("pointermove", at => at.buttons && jump(at));
element("search").addEventListener("input", input => find(input.target.value));
element("bad").onclick = KEYS.v;
element("split").onclick = KEYS.c;
element("only").onclick = KEYS.o;
element("in").onclick = () => zoom(1);
element("out").onclick = () => zoom(-1);

element("title").textContent = data.title;
element("verdict").textContent = data.broken
  ? `${data.broken.name} broke: ${data.broken.what}. Promised: ${data.broken.promised}.` : "Every property held.";
element("verdict").classList.toggle("bad", Boolean(data.broken));
const shown = data.events.length < data.total
  ? `${data.events.length} of ${data.total} events, from number ${data.begin + 1} on` : `${data.total} events`;
element("about").textContent = data.command ? `${shown}. Told again by: ${data.command}` : shown;
element("bad").hidden = !data.broken;
for (const [tone, name] of [["ask", "request"], ["write", "change of the store"], ["plain", "news, start, answer"],
  ["vain", "in vain"], ["trouble", "fault"]]) {
  const item = add(element("legend"), "span", "");
  add(item, "i", "").style.background = `var(--${tone})`;
  item.append(name);
}
function dress() { view.colour = colours(); refresh(); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
new ResizeObserver(refresh).observe(element("view"));
if (data.chart) chart(element("chart"), data.chart);
view.colour = colours();
choose(null);
arrange();
select(data.broken ? events.length - 1 : -1);
// A violation is told by what led to it; the rest is one key away.
if (data.broken && events.length > 60) choose(view.trail);
document.body.dataset.ready = "yes";
