// Paired comparisons of methods over clips, and quality against cost.

const signed = (value) => (value < 0 ? "" : "+") + decimals(value, 3);

function differenceCells(entry) {
  if (!entry) return [html("td", {}, "–"), html("td", {}, "–")];
  const [difference, low, high, p] = entry;
  const sure = low > 0 || high < 0;
  const cell = html("td", {}, html(sure ? "b" : "span", {}, signed(difference)), html("small", {}, `${signed(low)} to\u00a0${signed(high)}`));
  return [cell, html("td", {}, p < 0.001 ? "< .001" : decimals(p, 3))];
}

function drawDifferences(page, table, baseline) {
  const keys = Object.keys(page.compared).filter((key) => page.comparisons[baseline] && page.comparisons[baseline][key]);
  const methods = page.methods.filter((method, index) => index !== baseline && keys.some((key) => page.comparisons[baseline][key][index]));
  const lead = keys[0], over = (method) => { const entry = page.comparisons[baseline][lead][method.index]; return entry ? entry[0] : -Infinity; };
  methods.sort((one, other) => over(other) - over(one));
  const title = (text) => html("th", { scope: "col" }, html("span", {}, text));
  const head = html("tr", {}, title("Method"), ...keys.flatMap((key) => [title(`Δ ${page.compared[key]}`), title("p, corrected")]));
  const rows = methods.map((method) => html("tr", { "data-method": method.label },
    html("th", { scope: "row" }, html("span", { class: "who" }, dot(method), html("span", { class: "name" }, ...breakable(method.name)), ...tags(method))),
    ...keys.flatMap((key) => differenceCells(page.comparisons[baseline][key][method.index]))));
  table.replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
}

function drawPareto(page, axis, key) {
  const cost = (method) => axis === "all" ? [method.scores.seconds, method.scores.learning_seconds].reduce((sum, part) => sum + (part ? part.mean : 0), 0)
    : method.scores[axis] && method.scores[axis].mean;
  const lines = page.methods.filter((method) => method.scores[key] && cost(method) > 0).map((method) => (
    { ...paint(method), name: method.name, points: [[cost(method), method.scores[key].mean]] }));
  const place = document.getElementById("pareto");
  place.replaceChildren(linePlot(lines, { width: Math.max(320, place.clientWidth), height: 320, logX: true, label: axis === "evaluations" ? "encoder evaluations (log)" : "seconds (log)", title: "Quality against cost" }).plot);
}

function drawComparisons(page) {
  if (!section("compare", page.methods.length > 1)) return;
  const baseline = document.getElementById("baseline"), axis = document.getElementById("cost"), key = document.getElementById("quality");
  baseline.append(...page.methods.map((method) => html("option", { value: method.index }, method.name)));
  key.append(...Object.entries(page.compared).map(([name, title]) => html("option", { value: name }, title)));
  document.querySelector("#compare .legend").append(...legend(page.methods));
  const draw = () => drawDifferences(page, document.getElementById("differences"), Number(baseline.value));
  const plot = () => drawPareto(page, axis.value, key.value);
  baseline.addEventListener("change", draw);
  for (const control of [axis, key]) control.addEventListener("change", plot);
  window.addEventListener("resize", plot);
  draw();
  plot();
}
