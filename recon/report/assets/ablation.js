// Contribution of a learnt prior: three numbers, controls, differences, and similarity against fidelity.

const minus = (text) => text.replace(/-(?=\d)/g, "−");

function numberCell(number) {
  if (number.value === null) return html("td", {}, "–", html("small", { class: "reason" }, minus(number.reason)));
  const ends = number.interval ? `${signed(number.interval[0])} to\u00a0${signed(number.interval[1])}` : number.reason;
  return html("td", {}, html(number.sure ? "b" : "span", {}, signed(number.value)), html("small", {}, `${ends} · ${number.clips} clips`));
}

function numberTable(table, metrics, lead, rows) {
  const title = (text) => html("th", { scope: "col" }, html("span", {}, text));
  const head = html("tr", {}, title(lead), ...metrics.map((metric) => title(metric.title)));
  table.replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
}

// Labels next to points, shifted vertically to avoid overlaps.
function labelPoints(plot, points, box) {
  const taken = points.map((point) => ({ left: point.x - 5, right: point.x + 5, top: point.y - 5, bottom: point.y + 5 }));
  const clear = (area) => taken.every((other) => area.right < other.left || area.left > other.right || area.bottom < other.top || area.top > other.bottom);
  for (const point of [...points].sort((one, other) => one.y - other.y)) {
    const wide = 6.1 * point.text.length, places = [];
    for (let shift = 0; shift < 16; shift += 1) {
      for (const down of shift ? [12 * shift, -12 * shift] : [0]) {
        for (const left of [point.x + 9, point.x - 9 - wide]) places.push({ left, right: left + wide, top: point.y + down - 6, bottom: point.y + down + 6 });
      }
    }
    const inside = places.filter((area) => area.left > box.left && area.right < box.right + 4 && area.top > box.top && area.bottom < box.bottom);
    const area = inside.find(clear) || inside[0] || places[0];
    taken.push(area);
    const right = area.left > point.x, middle = (area.top + area.bottom) / 2;
    if (Math.abs(middle - point.y) > 6) plot.append(svg("line", { class: "leader", x1: point.x, y1: point.y, x2: right ? area.left - 2 : area.right + 2, y2: middle }));
    plot.append(svg("text", { class: "label", x: right ? area.left : area.right, y: middle + 4, "text-anchor": right ? "start" : "end" }, point.text));
  }
}

function drawTradeOff(page, metric, place) {
  const { points, curves, fidelity } = page.ablation;
  const at = (label) => [points[label][fidelity.key], points[label][metric]];
  const colour = (label) => paint(page.methods.find((method) => method.label === label)).colour;
  const names = Object.keys(points).filter((label) => at(label).every(isNumber));
  if (!names.length) {
    place.replaceChildren(html("p", { class: "hint" }, "No judge correlation: name an encoder as `judge` in the configuration."));
    return;
  }
  const swept = (label) => Object.entries(curves).some(([knob, labels]) => labels.includes(label) && label.startsWith(`${knob} `));
  const lines = Object.entries(curves).map(([knob, labels], index) => (
    { name: knob, colour: "var(--soft)", dash: DASHES[(index + 1) % DASHES.length], points: labels.map(at) }));
  const single = names.map((label) => ({ name: label, colour: swept(label) ? "var(--soft)" : colour(label), points: [at(label)] }));
  const span = (axis) => spread(names.map((label) => at(label)[axis]), [0, 1]);
  const width = Math.max(320, place.clientWidth);
  const { plot, x, y, box } = linePlot([...lines, ...single], { width, height: width < 600 ? 460 : 420, xDomain: span(0), yDomain: span(1), inset: [44, 16], label: fidelity.title, title: "Similarity to the true movie against fidelity to the activity" });
  labelPoints(plot, names.map((label) => ({ x: x(at(label)[0]), y: y(at(label)[1]), text: label.length > 40 ? `${label.slice(0, 39)}…` : label })), box);
  const left = Object.keys(points).filter((label) => !names.includes(label));
  const note = left.length ? [html("p", { class: "hint" }, `Not shown, score undefined (as is ${fidelity.title} of a still movie): ${left.join("; ")}.`)] : [];
  place.replaceChildren(plot, ...note);
}

function drawAblation(page) {
  const found = page.ablation;
  if (!section("ablation", Boolean(found))) return;
  const part = (name) => document.getElementById(`ablation-${name}`);
  part("warnings").hidden = !found.warnings.length;
  part("warnings").append(...found.warnings.map(([metric, text]) => html("p", {}, html("strong", {}, `Warning, by ${metric}. `), minus(text))));
  part("verdicts").append(...found.verdicts.map(([metric, text]) => html("li", {}, html("b", {}, metric), ` · ${minus(text)}`)));
  numberTable(part("numbers"), found.metrics, "Number", found.numbers.map(({ title, meaning, values }) => html("tr", {},
    html("th", { scope: "row" }, title, html("small", {}, meaning)), ...values.map(numberCell))));
  numberTable(part("differences"), found.metrics.map((metric) => ({ title: `Δ ${metric.title}` })), "Condition", Object.entries(found.differences).map(([label, values]) => html("tr", { "data-label": label },
    html("th", { scope: "row" }, label), ...values.map(numberCell))));
  const knobs = Object.keys(found.curves);
  part("swept").textContent = knobs.length ? `Dashed: the full method with other values of ${knobs.join(" and of ")}.` : "";
  part("metric").append(...found.metrics.map((metric) => html("option", { value: metric.key }, metric.title)));
  const draw = () => drawTradeOff(page, part("metric").value, part("plot"));
  part("metric").addEventListener("change", draw);
  window.addEventListener("resize", draw);
  draw();
}
