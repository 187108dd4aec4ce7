// Builds the page from its embedded data.

function section(id, shown) {
  document.getElementById(id).hidden = !shown;
  return shown;
}

function drawCurves(page) {
  const kinds = { spatial: ["spatial_frequency", "cycles per degree"], temporal: ["temporal_frequency", "Hz"] };
  const methods = page.methods.filter((method) => Object.keys(method.curves).length);
  if (!section("frequency", methods.length > 0)) return;
  document.querySelector("#frequency .legend").append(...legend(methods));
  for (const [id, [key, unit]] of Object.entries(kinds)) {
    const lines = methods.filter((method) => method.curves[key]).map((method) => {
      const curve = method.curves[key];
      return { ...paint(method), name: method.name, points: curve.axis.map((at, index) => [at, curve.correlation[index]]) };
    });
    const low = Math.min(0, ...lines.flatMap((line) => line.points.map((point) => point[1] ?? 0)));
    document.getElementById(id).append(linePlot(lines, { height: 280, logX: id === "spatial", yDomain: [low - 0.02, 1], label: unit, title: `Correlation by ${id} frequency` }).plot);
  }
}

function drawInformation(page) {
  const found = page.information;
  if (!section("information", Boolean(found))) return;
  const map = document.getElementById("information-map");
  map.style.aspectRatio = `${found.width} / ${found.height}`;
  map.style.backgroundImage = `url(${found.picture})`;
  document.getElementById("information-encoder").textContent = found.encoder;
  document.getElementById("information-within").textContent = `${Math.round(100 * found.within)} %`;
}

function drawOracle(methods, axis, metric) {
  const lines = methods.filter((method) => method.trace.metrics[metric]).map((method) => (
    { ...paint(method), name: method.name, ends: true, points: method.trace[axis].map((at, index) => [at, method.trace.metrics[metric][index]]).filter((point) => isNumber(point[1])) }));
  document.getElementById("oracle").replaceChildren(linePlot(lines, { width: Math.max(320, document.getElementById("oracle").clientWidth), height: 300, logX: true, label: `${axis} (log)`, title: `${metric} while running` }).plot);
}

function energyPanel(method, axis) {
  const terms = Object.entries(method.trace.terms);
  const lines = terms.map(([name, values], index) => (
    { name, colour: `var(--c${index % 8})`, ends: true, points: method.trace[axis].map((at, step) => [at, values[step]]) }));
  const keys = terms.map(([name], index) => html("span", {}, html("span", { class: "dot", style: `--series:var(--c${index % 8})` }), name));
  const { plot } = linePlot(lines, { width: 320, height: 190, logX: true, inset: [44, 8], label: axis, title: `Energies of ${method.name}` });
  return html("figure", {}, html("figcaption", {}, html("b", {}, method.name)), html("div", { class: "legend" }, ...keys), plot);
}

function drawTraces(page) {
  const methods = page.methods.filter((method) => method.trace && method.trace.step.length);
  if (!section("traces", methods.length > 0)) return;
  const axis = document.getElementById("axis"), metric = document.getElementById("oracle-metric");
  const names = [...new Set(methods.flatMap((method) => Object.keys(method.trace.metrics)))];
  const scored = methods.filter((method) => Object.keys(method.trace.metrics).length);
  document.querySelector("#traces .legend").append(...legend(scored));
  metric.append(...names.map((name) => html("option", { value: name }, name.replaceAll("_", " "))));
  const iterative = methods.filter((method) => method.trace.step.length > 1);
  const draw = () => {
    if (names.length) drawOracle(methods, axis.value, metric.value);
    document.getElementById("energies").replaceChildren(...iterative.map((method) => energyPanel(method, axis.value)));
  };
  for (const control of [axis, metric]) control.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  draw();
}

function nameMethods(methods) {
  const several = (key) => new Set(methods.map((method) => method[key])).size > 1;
  methods.forEach((method, index) => {
    const twins = methods.filter((other) => other.label === method.label);
    const differ = (key) => several(key) && new Set(twins.map((twin) => twin[key])).size > 1;
    const more = ["encoder", "condition", "recording"].filter(differ).map((key) => method[key].replaceAll("_", " "));
    Object.assign(method, { index, name: [method.label, ...more].join(" · ") });
  });
}

// Everything folded is printed; afterwards it is folded as before.
function readyForPaper() {
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
  });
  window.addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
}

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  nameMethods(page.methods);
  drawSummary(page, document.getElementById("summary"));
  createPlayer(page);
  buildTable(page, document.getElementById("table"));
  drawAblation(page);
  drawWords(page);
  drawComparisons(page);
  drawInformation(page);
  drawCurves(page);
  drawTraces(page);
  document.getElementById("failures").append(...page.methods.flatMap((method) => method.failures.map((text) => html("li", {}, `${method.name}, ${text}`))), ...page.given_up.map((text) => html("li", {}, text)));
  readyForPaper();
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.style.colorScheme || (dark ? "dark" : "light");
    root.style.colorScheme = now === "dark" ? "light" : "dark";
  });
}

start();
