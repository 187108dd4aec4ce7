// Small SVG plots. Text is inserted as text nodes only, so user input never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function html(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Text that may break inside words of more than 20 letters, after _ . / or - if there is one; shorter words stay whole.
function breakable(text) {
  const pieces = (word) => word.length > 20 ? word.match(/[^_./-]{1,20}[_./-]?|[_./-]/g).flatMap((piece) => [piece, html("wbr")]) : [word];
  return text.split(/(\s+)/).flatMap(pieces);
}

const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

// Colour and dash of a method: eight colours, then the same colours dashed; nulls are grey and dotted.
function paint(method) {
  if (method.group === "nulls") return { colour: "var(--null)", dash: "2 3" };
  const dash = method.group === "references" ? "7 3" : DASHES[Math.floor(method.index / 8) % DASHES.length];
  return { colour: `var(--c${method.index % 8})`, dash };
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  return String(+value.toPrecision(size >= 100 ? 4 : 3)).replace("-", "−");
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(+tick.toPrecision(12));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of high / low > 300 ? [1] : [1, 2, 5]) ticks.push(+(factor * 10 ** power).toPrecision(3));
  }
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

function scale(domain, range, logarithmic) {
  const bend = logarithmic ? Math.log : (value) => value;
  const [low, high] = domain.map(bend), width = high - low || 1;
  return (value) => range[0] + ((bend(value) - low) / width) * (range[1] - range[0]);
}

function path(points, x, y) {
  let text = "", pen = "M";
  for (const [across, up] of points) {
    if (isNumber(across) && isNumber(up)) {
      text += `${pen}${x(across).toFixed(1)} ${y(up).toFixed(1)}`;
      pen = "L";
    } else pen = "M";
  }
  return text;
}

function spread(values, fallback) {
  const finite = values.filter(isNumber);
  if (!finite.length) return fallback;
  const low = Math.min(...finite), high = Math.max(...finite), margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - margin, high + margin];
}

function hatch() {
  const line = svg("path", { d: "M-1 1l2-2M0 6l6-6M5 7l2-2", stroke: "var(--hatch)", "stroke-width": 1.4 });
  return svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, line));
}

// Lines: [{name, points: [[x, y] …], colour, dash}]. Options: width, height, logX, x and y domains, label, hatched, inset.
function linePlot(lines, options) {
  const { width = 560, height = 240, logX = false, label = "", inset = [34, 10] } = options;
  const across = lines.flatMap((line) => line.points.map((point) => point[0]).filter((v) => isNumber(v) && (!logX || v > 0)));
  const xDomain = options.xDomain || (across.length ? [Math.min(...across), Math.max(...across)] : [logX ? 0.1 : 0, 1]);
  if (logX && xDomain[0] === xDomain[1]) xDomain[1] = xDomain[0] * 10;
  const yDomain = options.yDomain || spread(lines.flatMap((line) => line.points.map((point) => point[1])), [0, 1]);
  const box = { left: inset[0], right: width - inset[1], top: 8, bottom: height - 34 };
  const x = scale(xDomain, [box.left, box.right], logX), y = scale(yDomain, [box.bottom, box.top]);
  const plot = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.title || label }, hatch());
  for (const [from, to] of options.hatched || []) {
    plot.append(svg("rect", { class: "hatched", x: x(from), width: Math.max(0, x(to) - x(from)), y: box.top, height: box.bottom - box.top }));
  }
  for (const tick of niceTicks(...yDomain, 4)) {
    plot.append(svg("line", { class: Math.abs(tick) < 1e-12 ? "zero" : "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }));
    plot.append(svg("text", { x: box.left - 5, y: y(tick) + 3.5, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of logX ? logTicks(...xDomain) : niceTicks(...xDomain, Math.max(3, width / 110))) {
    plot.append(svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: box.bottom, y2: box.bottom + 4 }));
    plot.append(svg("text", { x: x(tick), y: box.bottom + 16, "text-anchor": "middle" }, short(tick)));
  }
  if (label) plot.append(svg("text", { x: box.right, y: height - 3, "text-anchor": "end" }, label));
  const drawn = lines.map((line) => drawLine(plot, line, x, y, logX));
  if (options.readout !== false) hover(plot, drawn, { x, y, box });
  return { plot, x, y, box };
}

function drawLine(plot, line, x, y, logX) {
  const points = line.points.filter((point) => !logX || point[0] > 0);
  const style = `--series:${line.colour}`;
  plot.append(svg("path", { class: "curve", d: path(points, x, y), style, "stroke-dasharray": line.dash || "none" }));
  const last = points.filter((point) => point.every(isNumber)).at(-1);
  if (last && (line.ends || points.length === 1)) plot.append(svg("circle", { class: "point", cx: x(last[0]), cy: y(last[1]), r: 3.4, style }));
  return { ...line, points };
}

// Tooltip: the point nearest to the pointer, with its line's name and value.
function hover(plot, lines, { x, y, box }) {
  const mark = svg("circle", { r: 4.5, class: "point", visibility: "hidden" });
  const text = svg("text", { class: "readout", visibility: "hidden" });
  plot.append(mark, text);
  plot.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    let best = { distance: Infinity };
    for (const line of lines) for (const [across, up] of line.points) {
      if (!isNumber(across) || !isNumber(up)) continue;
      const distance = Math.hypot(x(across) - at.x, y(up) - at.y);
      if (distance < best.distance) best = { distance, line, across, up };
    }
    const shown = best.distance < 40 ? "visible" : "hidden";
    for (const node of [mark, text]) node.setAttribute("visibility", shown);
    if (shown === "hidden") return;
    const right = x(best.across) > (box.left + box.right) / 2;
    for (const [key, value] of Object.entries({ cx: x(best.across), cy: y(best.up), style: `--series:${best.line.colour}` })) mark.setAttribute(key, value);
    for (const [key, value] of Object.entries({ x: x(best.across) + (right ? -9 : 9), y: y(best.up) - 7, "text-anchor": right ? "end" : "start" })) text.setAttribute(key, value);
    text.textContent = `${best.line.name}: ${short(best.up)} at ${short(best.across)}`;
  });
  plot.addEventListener("pointerleave", () => [mark, text].forEach((node) => node.setAttribute("visibility", "hidden")));
}

function legend(methods) {
  return methods.map((method) => {
    const { colour, dash } = paint(method);
    const key = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" },
      svg("path", { class: "curve", d: "M0 4H26", style: `--series:${colour}`, "stroke-dasharray": dash || "none" }));
    return html("span", {}, key, method.name);
  });
}
