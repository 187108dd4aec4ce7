// The table of methods, sorted within results, references and nulls, never across them.

const GROUPS = [
  ["results", ""],
  ["references", "Upper references · fitted to a noise-free prediction, or with information about the true movie (oracle)"],
  ["nulls", "Null · another clip's whole measurement"],
];

const decimals = (value, digits) => {
  const text = value.toFixed(digits).replace("-", "−");
  return digits > 1 ? text.replace(/^(−?)0\./, "$1.") : text;
};

function scoreCell(score, column) {
  if (!score) return html("td", {}, "–");
  const cell = html("td", {}, html("b", {}, decimals(score.mean, column.digits)));
  if (score.interval && !column.cost) {
    cell.append(html("small", {}, `${decimals(score.interval[0], column.digits)} to\u00a0${decimals(score.interval[1], column.digits)}`));
  }
  if (isNumber(score.true)) cell.append(html("small", {}, `true\u00a0${decimals(score.true, column.digits)}`));
  return cell;
}

function tags(method) {
  const found = [];
  if (method.oracle) found.push(html("span", { class: "tag oracle" }, "oracle"));
  if (method.group === "nulls") found.push(html("span", { class: "tag" }, "null"));
  if (method.group === "references" && !method.oracle) found.push(html("span", { class: "tag" }, "reference"));
  return found;
}

function dot(method) {
  const hollow = method.group === "results" ? "" : " hollow";
  return html("span", { class: `dot${hollow}`, style: `--series:${paint(method).colour}`, "aria-hidden": "true" });
}

function methodCell(method) {
  const who = html("span", { class: "who" }, dot(method), html("span", { class: "name" }, ...breakable(method.label)), ...tags(method));
  const seeds = method.seeds > 1 ? ` · ${method.seeds} seeds` : "";
  const behavior = { true: " · saw behavior", false: " · no behavior" }[String(method.behavior)] || "";
  const encoder = [method.encoder, method.fidelity].filter(Boolean).map((word) => `${word} · `).join("");
  return html("th", { scope: "row" }, who, html("small", {}, `${encoder}${method.clips} clips${seeds}${behavior}`));
}

// Dots: clips; bar: interval; ring: mean. All rows share one axis.
function forest(method, column, domain) {
  const width = 230, middle = 17, score = method.scores[column.key];
  const x = scale(domain, [8, width - 8]);
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${width} 34`, style: `--series:${paint(method).colour}`, "aria-hidden": "true" });
  for (const tick of niceTicks(...domain, 4)) plot.append(svg("line", { class: tick === 0 ? "zero" : "grid", x1: x(tick), x2: x(tick), y1: -60, y2: 94 }));
  if (!score) return plot;
  Object.values(score.values).forEach((value, index) => plot.append(svg("circle", { class: "clip", cx: x(value), cy: middle + ((index * 7) % 11) - 5, r: 2.6 })));
  if (score.interval) plot.append(svg("line", { class: "whisker", x1: x(score.interval[0]), x2: x(score.interval[1]), y1: middle, y2: middle }));
  plot.append(svg("circle", { class: "mean", cx: x(score.mean), cy: middle, r: 5 }));
  return plot;
}

function forestAxis(domain) {
  const plot = svg("svg", { class: "plot", viewBox: "0 0 230 16" }), x = scale(domain, [8, 222]);
  for (const tick of niceTicks(...domain, 4)) plot.append(svg("text", { x: x(tick), y: 11, "text-anchor": "middle" }, short(tick)));
  return plot;
}

function buildTable(page, table) {
  const state = { key: page.columns[0].key, down: page.columns[0].higher };
  const value = (method) => method.scores[state.key] ? method.scores[state.key].mean : (state.down ? -Infinity : Infinity);

  function heading(column) {
    const button = html("button", { type: "button", title: column.meaning }, column.title);
    button.addEventListener("click", () => {
      state.down = state.key === column.key ? !state.down : column.higher;
      state.key = column.key;
      draw();
      table.querySelector(`th[data-key="${column.key}"] button`).focus();
    });
    const cell = html("th", { scope: "col", "data-key": column.key }, button);
    if (column.key === state.key) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    return cell;
  }

  function body([group, title], column, domain) {
    const methods = page.methods.filter((method) => method.group === group);
    if (!methods.length) return [];
    methods.sort((a, b) => (state.down ? value(b) - value(a) : value(a) - value(b)) || 0);
    const rows = methods.map((method) => html("tr", { "data-method": method.name }, methodCell(method),
      html("td", { class: "forest" }, html("div", {}, forest(method, column, domain))),
      ...page.columns.map((each) => scoreCell(method.scores[each.key], each))));
    if (title) rows.unshift(html("tr", { class: "group" }, html("th", { scope: "rowgroup", colspan: page.columns.length + 2 }, html("span", {}, title))));
    return [html("tbody", { class: group }, ...rows)];
  }

  function draw() {
    const column = page.columns.find((each) => each.key === state.key);
    const scores = page.methods.map((method) => method.scores[column.key]).filter(Boolean);
    const domain = spread([0, ...scores.flatMap((score) => Object.values(score.values))], [0, 1]);
    const over = html("th", { scope: "col", class: "forest" }, html("span", {}, `${column.title}, clip by clip`), forestAxis(domain));
    const head = html("thead", {}, html("tr", {}, html("th", { scope: "col" }, html("span", {}, "Method")), over, ...page.columns.map(heading)));
    table.replaceChildren(head, ...GROUPS.flatMap((group) => body(group, column, domain)));
  }
  draw();
}

// The main score of a few methods, for narrow screens: the table is far below the movies there.
function drawSummary(page, place) {
  const column = page.columns[0], scored = page.methods.filter((method) => method.scores[column.key]);
  const shown = ["results", "references", "nulls"].flatMap((group) => scored.filter((method) => method.group === group).slice(0, group === "results" ? 6 : 1));
  const lines = shown.map((method) => {
    const { mean, interval } = method.scores[column.key];
    const ends = interval ? html("small", {}, `${decimals(interval[0], column.digits)} to\u00a0${decimals(interval[1], column.digits)}`) : "";
    return html("li", {}, dot(method), html("span", { class: "name" }, ...breakable(method.name)), ...tags(method), html("b", {}, decimals(mean, column.digits)), ends);
  });
  const more = scored.length > shown.length ? `All ${scored.length} rows and all scores` : "All scores";
  place.replaceChildren(html("h2", { id: "summary-title" }, `${column.title}, mean over clips`), html("ol", {}, ...lines), html("a", { href: "#scores" }, more));
  section(place.id, lines.length > 0);
}
