// What a sentence is worth: scores against the number of neurons for each text, and texts in units of neurons.

// Series of the texts: no text grey and dotted, the others coloured.
function textSeries(found) {
  const told = found.texts.filter((text) => text.key !== found.none);
  return found.texts.map((text) => ({ name: text.title, key: text.key, group: text.key === found.none ? "nulls" : "results", index: told.indexOf(text) }));
}

// Vertical bars of the intervals, side by side where several texts share a number of neurons.
function whiskers(plot, series, { x, y }) {
  series.forEach(({ points, colour }, place) => points.filter((point) => point.every(isNumber)).forEach(([across, mean, low, high]) => {
    const at = x(across) + (place - (series.length - 1) / 2) * 5;
    plot.append(svg("line", { class: "whisker thin", style: `--series:${colour}`, x1: at, x2: at, y1: y(low), y2: y(high) }));
    plot.append(svg("circle", { class: "point", cx: at, cy: y(mean), r: 2.6, style: `--series:${colour}` }));
  }));
}

function drawWordCurves(found, score, place) {
  const series = textSeries(found).map((text) => ({ ...text, ...paint(text), points: score.curves[text.key] }));
  const known = series.flatMap((text) => text.points);
  const width = Math.max(320, place.clientWidth), counts = known.map((point) => point[0]);
  const drawn = linePlot(series.map((text) => ({ ...text, points: text.points.map((point) => point.slice(0, 2)) })), {
    width, height: width < 600 ? 320 : 380, logX: true, inset: [44, 16], label: "neurons (log)",
    xDomain: [0.9 * Math.min(...counts), 1.1 * Math.max(...counts)], yDomain: spread(known.flatMap((point) => point.slice(1)), [0, 1]),
    title: `${score.title} against the number of neurons` });
  whiskers(drawn.plot, series, drawn);
  place.replaceChildren(drawn.plot);
}

const inNeurons = (value) => isNumber(value) ? minus(`${value > 0.5 ? "+" : ""}${Math.round(value) || 0}`) : (value || "–");

function worthCell({ worth, difference }) {
  const delta = difference.value === null ? "no difference" : `Δ\u00a0${signed(difference.value)}`;
  const ends = difference.interval ? `: ${signed(difference.interval[0])} to\u00a0${signed(difference.interval[1])}` : "";
  const change = html("small", { class: difference.sure ? "sure" : "" }, `${delta}${ends}`);
  if (!worth) return html("td", {}, "–", change);
  const known = worth[1] === null ? [] : [html("small", {}, `${inNeurons(worth[1])} to\u00a0${inNeurons(worth[2])}`)];
  return html("td", {}, html(difference.sure ? "b" : "span", {}, inNeurons(worth[0])), ...known, change);
}

function worthTable(found, score, table) {
  const title = (text) => html("th", { scope: "col" }, html("span", {}, text));
  const told = found.texts.filter((text) => text.key !== found.none);
  const head = html("tr", {}, title("Neurons"), title("No text"), ...told.map((text) => title(text.title)));
  const none = ([mean, low, high]) => isNumber(mean) ? html("td", {}, decimals(mean, score.digits),
    ...(isNumber(low) ? [html("small", {}, `${decimals(low, score.digits)} to\u00a0${decimals(high, score.digits)}`)] : [])) : html("td", {}, "–");
  const rows = score.rows.map((row) => html("tr", {}, html("th", { scope: "row" }, row.title), none(row.none), ...row.cells.map(worthCell)));
  table.replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
}

function drawWords(page) {
  const found = page.words;
  if (!section("words", Boolean(found))) return;
  const part = (name) => document.getElementById(`words-${name}`);
  part("warnings").hidden = !found.warnings.length;
  part("warnings").append(...found.warnings.map((text) => html("p", {}, html("strong", {}, "Warning. "), minus(text))));
  part("score").append(...found.scores.map((score) => html("option", { value: score.key }, score.title)));
  part("limit").textContent = `${found.most}`;
  document.querySelector("#words .legend").append(...legend(textSeries(found)));
  const chosen = () => found.scores.find((score) => score.key === part("score").value);
  const plot = () => drawWordCurves(found, chosen(), part("plot"));
  const draw = () => {
    const score = chosen(), item = (text) => html("li", {}, minus(text));
    part("sentences").replaceChildren(...score.sentences.map(item), ...score.harm.map(item));
    worthTable(found, score, part("table"));
    plot();
  };
  part("score").addEventListener("change", draw);
  window.addEventListener("resize", plot);
  draw();
}
