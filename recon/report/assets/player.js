// The player. All movies of a clip are tiles of one muted video, so that they show the same frame.

const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const embedded = (id) => document.getElementById(id).textContent;

// The videos come last in the file: numbers are shown while they load.
const parsed = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
  else resolve();
});

function drawTile(context, video, clip, tile) {
  const [tall, wide] = clip.tile, across = tile % clip.columns, down = Math.floor(tile / clip.columns);
  context.drawImage(video, across * wide, down * tall, clip.width, clip.height, 0, 0, clip.width, clip.height);
}

// Half-widths of intervals, a tile of their own, as orange over the movie: opaque where nothing is known.
const UNSURE = [214, 102, 0], layer = html("canvas"), layerContext = layer.getContext("2d", { willReadFrequently: true });
function drawUnsure(context, video, clip, tile) {
  Object.assign(layer, { width: clip.width, height: clip.height });
  drawTile(layerContext, video, clip, tile);
  const width = layerContext.getImageData(0, 0, clip.width, clip.height).data, shown = context.getImageData(0, 0, clip.width, clip.height);
  for (let at = 0; at < width.length; at += 4) {
    const share = width[at] / 255;
    for (let channel = 0; channel < 3; channel += 1) shown.data[at + channel] += share * (UNSURE[channel] - shown.data[at + channel]);
  }
  context.putImageData(shown, 0, 0);
}

// Still frames in a row: for print, and for browsers that cannot decode the video.
function drawStills(context, sheet, clip, tile) {
  clip.stills.forEach((_, place) => context.drawImage(sheet, place * clip.width, tile * clip.height, clip.width, clip.height,
    place * (clip.width + 2), 0, clip.width, clip.height));
}

// Opens the video of a clip. `drawn(frame)` is called whenever another frame is there to be drawn.
function openVideo(video, clip, number, drawn) {
  const at = (seconds) => Math.max(0, Math.min(clip.frames - 1, Math.round(seconds * clip.frame_rate)));
  let wanted = null, sent = null;
  function seek(frame) {
    wanted = frame;
    if (video.seeking || !video.readyState) return;
    sent = frame;
    video.currentTime = (frame + 0.5) / clip.frame_rate;
  }
  function sought() {
    if (wanted === null) return;
    if (wanted !== sent) return void seek(wanted);
    wanted = null;
    drawn(sent);
  }
  // Calls back with the number of the next frame while the video plays.
  function following(frame) {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, about) => frame(at(about.mediaTime)));
    else requestAnimationFrame(() => frame(at(video.currentTime - 0.5 / clip.frame_rate)));
  }
  URL.revokeObjectURL(video.src);
  video.onseeked = sought;
  video.onloadeddata = () => { if (wanted !== null) seek(wanted); };
  video.src = URL.createObjectURL(new Blob([fromBase64(embedded(`movie-${number}`))], { type: "video/webm" }));
  return { seek, following };
}

function movieFigure(name, clip, tile, parts) {
  const canvas = html("canvas", { class: "moving", width: clip.width, height: clip.height, role: "img", "aria-label": `Movie: ${name}`, "data-name": name });
  const strip = html("canvas", { class: "stills", width: clip.stills.length * (clip.width + 2) - 2, height: clip.height, role: "img", "aria-label": `${clip.stills.length} still frames: ${name}` });
  const screen = html("div", { class: "screen" }, canvas, strip, html("span", { class: "badge" }, "NOT SCORED"));
  const figure = html("figure", { class: `movie ${parts.kind}` }, html("header", {}, ...parts.header), screen, parts.scores);
  return { figure, tile, width: parts.width, context: canvas.getContext("2d", { willReadFrequently: true }), strip: strip.getContext("2d") };
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
  const slider = by("frame"), button = by("play"), movies = by("movies"), video = by("video");
  const state = { clip: null, frame: 0, playing: false, shown: [], cursor: null, source: null };

  function label(frame) {
    state.frame = Math.max(0, Math.min(state.clip.frames - 1, Math.round(frame)));
    const scored = state.frame >= state.clip.warmup && state.frame < state.clip.frames - state.clip.tail;
    const seconds = (state.frame / state.clip.frame_rate).toFixed(2);
    movies.classList.toggle("unscored", !scored);
    slider.value = state.frame;
    slider.setAttribute("aria-valuetext", `frame ${state.frame} of ${state.clip.frames - 1}, ${seconds} s${scored ? "" : ", not scored"}`);
    by("clock").textContent = `frame ${state.frame} / ${state.clip.frames - 1} · ${seconds} s`;
    if (state.cursor) state.cursor(state.frame);
  }

  function show(frame) {
    label(frame);
    if (state.source) state.source.seek(state.frame);
  }

  function draw(frame) {
    for (const movie of state.shown) {
      drawTile(movie.context, video, state.clip, movie.tile);
      if (by("unsure").checked && movie.width) drawUnsure(movie.context, video, state.clip, movie.width);
    }
    movies.dataset.frame = frame;
  }

  function follow(source, frame) {
    if (source !== state.source || !state.playing) return;
    if (!video.seeking) {
      label(frame);
      draw(frame);
    }
    source.following((next) => follow(source, next));
  }

  function play(on) {
    state.playing = on;
    button.classList.toggle("on", on);
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    if (!state.source) return;
    if (on) {
      if (!video.loop && state.frame === state.clip.frames - 1) show(0);
      video.playbackRate = Number(by("speed").value);
      video.play().catch(() => play(false));
      state.source.following((frame) => follow(state.source, frame));
    } else {
      video.pause();
      show(state.frame);
    }
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
    const { plot, x, box } = linePlot(lines, { width: Math.max(320, by("perframe").clientWidth), height: 190, xDomain: [0, Math.max(1, frames - 1)], hatched, label: "frame", title: "Spatial correlation with the true movie, frame by frame" });
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
    const truth = movieFigure("true movie", clip, 0, { kind: "truth", header: [html("span", { class: "name" }, "true movie")], scores: html("p", {}, "what was shown") });
    const others = page.methods.filter((method) => method.movies[clip.trial]).map((method) => movieFigure(method.name, clip, method.movies[clip.trial],
      { kind: method.group, width: method.widths[clip.trial], header: [dot(method), html("span", { class: "name" }, ...breakable(method.name)), ...tags(method)], scores: scoreLine(method, clip.trial, page.columns) }));
    return [truth, ...others];
  }

  // Four movies per row (three or two on narrow screens): integer multiples of the stored pixels where that costs little room.
  function fit() {
    const room = movies.clientWidth, across = room < 560 ? 2 : room < 860 ? 3 : 4;
    const cell = (room - 14 * (across - 1)) / across, pixel = state.clip.width / (window.devicePixelRatio || 1);
    const whole = Math.floor(cell / pixel) * pixel;
    movies.style.setProperty("--cell", `${whole > 0.88 * cell ? whole : cell}px`);
  }

  function load(clip, number) {
    if (state.clip !== clip) return;
    state.source = openVideo(video, clip, number, draw);
    state.source.seek(state.frame);
    if (state.playing) play(true);
    const sheet = new Image();
    sheet.addEventListener("load", () => state.clip === clip && state.shown.forEach((movie) => drawStills(movie.strip, sheet, clip, movie.tile)));
    sheet.src = `data:image/png;base64,${embedded(`stills-${number}`)}`;
  }

  function choose(index) {
    const clip = state.clip = page.clips[index];
    by("clips").querySelectorAll("button").forEach((pill, each) => {
      pill.setAttribute("aria-checked", String(each === index));
      pill.tabIndex = each === index ? 0 : -1;
    });
    by("caption").replaceChildren(clip.caption || "No caption.", html("small", {}, `trial ${clip.trial}${clip.video_id ? ` · ${clip.video_id}` : ""} · ${clip.frame_rate} Hz${clip.total > clip.frames ? ` · first ${clip.frames} of ${clip.total} frames` : ""}`));
    slider.max = clip.frames - 1;
    state.shown = figures(clip);
    state.source = null;
    delete movies.dataset.frame;
    movies.replaceChildren(...state.shown.map((movie) => movie.figure));
    fit();
    bands();
    perFrame();
    label(clip.warmup);
    parsed.then(() => load(clip, index));
  }

  // Only the reader starts a movie; with reduced motion it plays once instead of in a loop.
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  video.loop = !calm.matches;
  calm.addEventListener("change", () => { video.loop = !calm.matches; });
  video.addEventListener("ended", () => play(false));
  video.addEventListener("error", () => {
    movies.classList.add("still");
    by("undecodable").hidden = false;
  });
  window.addEventListener("resize", () => { fit(); perFrame(); label(state.frame); });
  by("unsure-toggle").hidden = !page.methods.some((method) => Object.keys(method.widths).length);
  by("unsure").addEventListener("change", () => {
    by("unsure-key").hidden = !by("unsure").checked;
    if (state.source && !state.playing) draw(state.frame);
  });
  button.addEventListener("click", () => play(!state.playing));
  by("speed").addEventListener("change", () => { video.playbackRate = Number(by("speed").value); });
  slider.addEventListener("input", () => show(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("select, summary, input:not(#frame), button:not(#play), .scroll, a");
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
  by("clips").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], pills = [...by("clips").querySelectorAll("button")];
    if (!step) return;
    const next = (pills.indexOf(document.activeElement) + step + pills.length) % pills.length;
    choose(next);
    pills[next].focus();
    event.preventDefault();
  });
  const scored = Math.max(...page.methods.map((method) => method.clips));
  if (scored > page.clips.length) by("clips").append(html("small", {}, `of ${scored} scored clips`));
  choose(0);
}
