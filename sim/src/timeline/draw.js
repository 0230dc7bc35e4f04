// The picture: lanes are columns, events are rows. A row has one event, so its words may run on over the lanes to
// its right and never meet others.

const GUTTER = 104;
const HEAD = 30;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "ink", "soft", "line", "band", "accent", "plain", "ask", "write", "vain", "trouble", "wrong"];
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// Cuts a text to a width; the width of a letter is measured once.
function cut(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let most = text.length;
  while (most > 1 && pen.measureText(`${text.slice(0, most)}…`).width > width) most -= Math.max(1, most >> 4);
  return most > 1 ? `${text.slice(0, most)}…` : "";
}

function draw(canvas, view) {
  const { pen, width, height } = fit(canvas);
  const { events, shown, rowOf, drawn, row, top, selected, trail, hits, colour } = view;
  // The last lane's words need room of their own.
  const step = (width - GUTTER - 20) / (drawn.length + 0.6);
  const x = event => GUTTER + 12 + (event.place < 0 ? 0 : event.place * step + 8);
  const y = index => HEAD + (rowOf[index] + 0.5) * row - top;
  const from = Math.max(0, Math.floor(top / row) - 1);
  const to = Math.min(shown.length - 1, Math.ceil((top + height) / row) + 1);
  const seen = shown.slice(from, to + 1);
  const words = row >= 13;
  pen.font = `${Math.min(13, Math.max(10, row * 0.55))}px system-ui, sans-serif`;
  pen.textBaseline = "middle";

  pen.fillStyle = colour.band;
  drawn.forEach((_, place) => {
    if (place % 2 === 0) pen.fillRect(GUTTER + 12 + place * step - 4, HEAD, step, height);
  });
  const faded = index => trail && !trail.has(index) || hits && !hits.has(index);

  for (const index of seen) {
    const event = events[index];
    if (event.place < 0) {
      pen.fillStyle = colour.wrong;
      pen.fillRect(0, y(index) - row / 2, width, row);
    }
    if (index === selected) {
      pen.fillStyle = colour.accent;
      pen.globalAlpha = 0.13;
      pen.fillRect(0, y(index) - row / 2, width, row);
      pen.globalAlpha = 1;
    }
  }

  const arrow = (cause, effect, strong) => {
    const [x1, y1, x2, y2] = [x(events[cause]), y(cause), x(events[effect]), y(effect)];
    pen.strokeStyle = pen.fillStyle = strong ? colour.accent : colour.soft;
    pen.globalAlpha = strong ? 0.95 : 0.3;
    pen.lineWidth = strong ? 1.6 : 1;
    const side = Math.sign(x2 - x1);
    pen.beginPath();
    pen.moveTo(x1, y1);
    if (side > 0) {
      pen.bezierCurveTo(x1 + (x2 - x1) * 0.15, y1 + (y2 - y1) * 0.65, x2 - 22, y2, x2 - 5, y2);
    } else if (side === 0) {
      // Within a lane an arrow bends to the left, where no words are.
      pen.bezierCurveTo(x1 - 16, y1 + 4, x2 - 16, y2 - 4, x2 - 5, y2);
    } else {
      // To the left it comes from above, since the words are on the right.
      pen.bezierCurveTo(x1 - (x1 - x2) * 0.3, y1 + row * 0.7, x2, y1 + row * 0.3, x2, y2 - 5);
    }
    pen.stroke();
    if (row >= 9) {
      const [tipX, tipY, dx, dy] = side < 0 ? [x2, y2 - 4, 3, -6] : [x2 - 4, y2, -6, 3];
      pen.beginPath();
      pen.moveTo(tipX, tipY);
      pen.lineTo(tipX + dx, tipY + dy);
      pen.lineTo(side < 0 ? tipX - dx : tipX + dx, side < 0 ? tipY + dy : tipY - dy);
      pen.fill();
    }
    pen.globalAlpha = 1;
  };
  if (row >= 4) {
    for (const index of seen) {
      // Only the first cause: further ones say what was there before, and are drawn with the event that is selected.
      const [cause] = events[index].causes;
      if (cause >= 0 && events[index].place >= 0 && rowOf[cause] >= 0) arrow(cause, index, false);
      for (const effect of events[index].effects) {
        if (rowOf[effect] > to && events[effect].place >= 0 && events[effect].causes[0] === index) arrow(index, effect, false);
      }
    }
  }
  if (trail) {
    for (const index of trail) {
      for (const cause of events[index].causes) {
        if (events[index].place >= 0 && rowOf[index] >= from && rowOf[cause] <= to) arrow(cause, index, true);
      }
    }
  }

  let told = -1;
  for (const index of seen) {
    const event = events[index];
    const line = y(index);
    pen.globalAlpha = faded(index) ? 0.28 : 1;
    if (event.place >= 0) {
      pen.fillStyle = colour[event.tone];
      pen.beginPath();
      pen.arc(x(event), line, Math.max(1, Math.min(4.5, row * 0.28)), 0, 7);
      pen.fill();
    }
    if (words) {
      const strong = event.tone === "trouble" || event.tone === "vain";
      const left = x(event) + 9;
      const text = cut(pen, label(event), width - left - 10);
      pen.lineWidth = 3;
      pen.strokeStyle = index === selected || event.place < 0 ? "transparent" : colour.paper;
      pen.strokeText(text, left, line);
      pen.fillStyle = strong ? colour[event.tone] : colour.ink;
      pen.fillText(text, left, line);
      if (event.at !== told) {
        pen.fillStyle = colour.soft;
        pen.textAlign = "right";
        pen.fillText(moment(event.at), GUTTER - 4, line);
        pen.textAlign = "left";
        told = event.at;
      }
    }
    pen.globalAlpha = 1;
  }

  pen.fillStyle = colour.paper;
  pen.fillRect(0, 0, width, HEAD);
  pen.font = "600 12px system-ui, sans-serif";
  pen.fillStyle = colour.soft;
  pen.textAlign = "right";
  pen.fillText("time", GUTTER - 4, HEAD / 2);
  pen.textAlign = "left";
  pen.fillStyle = colour.ink;
  drawn.forEach((lane, place) => pen.fillText(cut(pen, lane.name, step - 8), GUTTER + 12 + place * step + 4, HEAD / 2));
  pen.fillStyle = colour.line;
  pen.fillRect(0, HEAD - 1, width, 1);
  view.hit = (px, py) => {
    const place = Math.floor((py - HEAD + top) / row);
    return py > HEAD ? shown[place] ?? -1 : -1;
  };
}

// The whole run in a narrow strip: where trouble is, where something was found, and what is seen now.
function drawMap(canvas, view, page) {
  const { pen, width, height } = fit(canvas);
  const { events, shown, rowOf, colour, hits, selected, row, top } = view;
  const y = place => place / shown.length * height;
  for (const index of shown) {
    const event = events[index];
    const marked = hits ? hits.has(event.index) : event.tone === "trouble" || event.tone === "vain";
    if (!marked) continue;
    pen.fillStyle = hits ? colour.accent : colour[event.tone];
    pen.fillRect(4, y(rowOf[index]), width - 8, Math.max(1, Math.min(6, height / shown.length)));
  }
  if (events.length > 0 && events.at(-1).place < 0) {
    pen.fillStyle = colour.trouble;
    pen.fillRect(0, height - 4, width, 4);
  }
  if (selected >= 0) {
    pen.fillStyle = colour.accent;
    pen.fillRect(0, y(rowOf[selected]) - 1, width, 3);
  }
  pen.strokeStyle = colour.soft;
  pen.strokeRect(1, y(top / row), width - 2, Math.max(6, y(page / row)));
}
