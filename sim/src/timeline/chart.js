// What a scenario was like over time: claims that are not Ready, and how claims were served.

function chart(figure, over) {
  const { intervals } = over;
  const length = over.interval_seconds * intervals.length;
  const panel = (title, values) => {
    const sums = values.map(parts => parts.reduce((sum, part) => sum + part[0], 0));
    const most = Math.max(1e-9, ...sums);
    const bars = values.map((parts, index) => {
      let base = 40;
      return parts.map(([part, colour]) => {
        const tall = part / most * 40;
        base -= tall;
        return `<rect x="${index + 0.06}" y="${base.toFixed(2)}" width="0.88" height="${tall.toFixed(2)}" style="fill:var(--${colour})"/>`;
      }).join("");
    });
    return `<div><figcaption>${title}, at most ${most.toFixed(most < 10 ? 1 : 0)}</figcaption>
      <svg viewBox="0 0 ${intervals.length} 40" preserveAspectRatio="none" aria-hidden="true">${bars.join("")}</svg>
      <p><span>0 s</span><span>${span(length * 5e5)}</span><span>${span(length * 1e6)}</span></p></div>`;
  };
  const key = '<b style="color:var(--write)">warm</b> (a member of the pool) or <b style="color:var(--ask)">cold</b>';
  figure.innerHTML = panel("Claims that are not Ready", intervals.map(it => [[it.waiting_most, "vain"]]))
    + panel(`Claims served ${key} in an interval`, intervals.map(it => [[it.warm, "write"], [it.cold, "ask"]]))
    + panel("Members that are ready", intervals.map(it => [[it.ready, "plain"]]));
  figure.hidden = false;
}
