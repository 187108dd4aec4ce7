// The player: all movies of a clip share one frame number; frames come from embedded sprite sheets.

function drawFrame(context, sheet, clip, frame) {
  const column = frame % clip.columns, row = Math.floor(frame / clip.columns);
  context.drawImage(sheet, column * clip.width, row * clip.height, clip.width, clip.height, 0, 0, clip.width, clip.height);
}

function loadSheet(address) {
  const sheet = new Image();
  sheet.src = address;
  return sheet;
}

function movieFigure(name, clip, address, parts) {
  const canvas = html("canvas", { width: clip.width, height: clip.height, role: "img", "aria-label": `Movie: ${name}`, "data-name": name });
  const screen = html("div", { class: "screen" }, canvas, html("span", { class: "badge" }, "NOT SCORED"));
  const figure = html("figure", { class: `movie ${parts.kind}` }, html("header", {}, ...parts.header), screen, parts.scores);
  return { figure, sheet: loadSheet(address), context: canvas.getContext("2d", { willReadFrequently: true }) };
}

function scoreLine(method, trial, columns) {
  const line = html("p"), names = { video_correlation: "r", ssim: "SSIM", judge_correlation: "judge r" };
  for (const column of columns.filter((each) => names[each.key])) {
    const score = method.scores[column.key], value = score && score.values[trial];
    if (isNumber(value)) line.append(html("span", { title: column.meaning }, `${names[column.key]} `, html("b", {}, decimals(value, column.digits))));
  }
  return line;
}

function createPlayer(page) {
  const by = (id) => document.getElementById(id);
  const slider = by("frame"), button = by("play"), movies = by("movies");
  const state = { clip: null, frame: 0, playing: false, shown: [], cursor: null, last: 0, owed: 0 };

  function show(frame) {
    state.frame = Math.max(0, Math.min(state.clip.frames - 1, Math.round(frame)));
    for (const movie of state.shown) if (movie.sheet.complete && movie.sheet.naturalWidth) drawFrame(movie.context, movie.sheet, state.clip, state.frame);
    const scored = state.frame >= state.clip.warmup && state.frame < state.clip.frames - state.clip.tail;
    movies.classList.toggle("unscored", !scored);
    slider.value = state.frame;
    by("clock").textContent = `frame ${state.frame} / ${state.clip.frames - 1} · ${(state.frame / state.clip.frame_rate).toFixed(2)} s`;
    if (state.cursor) state.cursor(state.frame);
  }

  function tick(now) {
    if (!state.playing) return;
    state.owed += Math.min(0.25, (now - state.last) / 1000) * state.clip.frame_rate * Number(by("speed").value);
    state.last = now;
    const steps = Math.floor(state.owed);
    state.owed -= steps;
    if (steps) show((state.frame + steps) % state.clip.frames);
    requestAnimationFrame(tick);
  }

  function play(on) {
    state.playing = on;
    button.classList.toggle("on", on);
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    if (!on) return;
    state.last = performance.now();
    requestAnimationFrame(tick);
  }

  function bands() {
    const { frames, warmup, tail } = state.clip, part = (count) => `${(100 * count) / Math.max(1, frames - 1)}%`;
    const start = html("i", { style: `left:0;width:${part(warmup)}` }), end = html("i", { style: `right:0;width:${part(tail)}` });
    by("bands").replaceChildren(start, end);
  }

  function perFrame() {
    const { frames, warmup, tail, trial } = state.clip;
    const lines = page.methods.filter((method) => method.frame_correlation[trial]).map((method) => {
      const { colour, dash } = paint(method);
      return { name: method.name, colour, dash, points: method.frame_correlation[trial].map((value, frame) => [frame, value]) };
    });
    const hatched = [[0, warmup], [frames - 1 - tail, frames - 1]].filter(([from, to]) => to > from);
    const { plot, x, box } = linePlot(lines, { width: Math.max(320, by("perframe").clientWidth), height: 190, xDomain: [0, Math.max(1, frames - 1)], hatched, label: "frame", title: "Correlation per frame" });
    const line = svg("line", { class: "cursor", y1: box.top, y2: box.bottom });
    plot.append(line);
    plot.addEventListener("click", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      show(((at.x - box.left) / (box.right - box.left)) * (frames - 1));
    });
    state.cursor = (frame) => ["x1", "x2"].forEach((end) => line.setAttribute(end, x(frame)));
    by("perframe").replaceChildren(plot);
  }

  function figures(clip) {
    const truth = movieFigure("true movie", clip, clip.sprite, { kind: "truth", header: [html("span", { class: "name" }, "true movie")], scores: html("p", {}, "what was shown") });
    const others = page.methods.filter((method) => method.movies[clip.trial]).map((method) => movieFigure(method.name, clip, method.movies[clip.trial],
      { kind: method.group, header: [dot(method), html("span", { class: "name" }, method.name), ...tags(method)], scores: scoreLine(method, clip.trial, page.columns) }));
    return [truth, ...others];
  }

  // Integer multiples of the stored pixels, as large as four movies per row allow (three or two on narrow screens).
  function fit() {
    const room = movies.clientWidth, across = room < 560 ? 2 : room < 860 ? 3 : 4;
    const cell = (room - 14 * (across - 1)) / across, pixel = state.clip.width / (window.devicePixelRatio || 1);
    movies.style.setProperty("--cell", `${cell < pixel ? cell : Math.floor(cell / pixel) * pixel}px`);
  }

  function choose(index) {
    const clip = state.clip = page.clips[index];
    by("clips").querySelectorAll("button").forEach((pill, each) => pill.setAttribute("aria-checked", String(each === index)));
    by("caption").replaceChildren(clip.caption || "No caption.", html("small", {}, `trial ${clip.trial}${clip.video_id ? ` · ${clip.video_id}` : ""} · ${clip.frame_rate} Hz${clip.total > clip.frames ? ` · first ${clip.frames} of ${clip.total} frames` : ""}`));
    slider.max = clip.frames - 1;
    state.shown = figures(clip);
    movies.replaceChildren(...state.shown.map((movie) => movie.figure));
    for (const movie of state.shown) movie.sheet.addEventListener("load", () => state.clip === clip && show(state.frame));
    fit();
    bands();
    perFrame();
    show(clip.warmup);
  }

  window.addEventListener("resize", () => { fit(); perFrame(); show(state.frame); });
  button.addEventListener("click", () => play(!state.playing));
  slider.addEventListener("input", () => show(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("select, summary, input:not(#frame), button:not(#play)");
    if (event.metaKey || event.ctrlKey || event.altKey || busy) return;
    if (event.key === " ") play(!state.playing);
    else if (event.key === "ArrowLeft") show(state.frame - 1);
    else if (event.key === "ArrowRight") show(state.frame + 1);
    else return;
    event.preventDefault();
  });
  by("clips").append(...page.clips.map((clip, index) => {
    const pill = html("button", { type: "button", role: "radio", title: clip.caption }, clip.standing ? `${clip.standing} clip` : `clip ${index + 1}`);
    pill.addEventListener("click", () => choose(index));
    return pill;
  }));
  const scored = Math.max(...page.methods.map((method) => method.clips));
  if (scored > page.clips.length) by("clips").append(html("small", {}, `of ${scored} scored clips`));
  choose(0);
}
