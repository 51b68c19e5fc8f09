"use strict";
// One video holds all pictures of a frame. Each of its frames is copied once, and everything shown is drawn from that
// copy, so that before and after cannot be of different frames, whatever the player is doing meanwhile.

const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const times = data.times;
const [width, height] = data.size;
const shape = (width * data.aspect) / height;

const video = document.createElement("video");
Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto", tabIndex: -1 });
video.setAttribute("aria-hidden", "true");

const copy = document.createElement("canvas");
const state = { frame: -1, side: false, left: 0, right: 1, divider: 0.5, zoom: null, x: 0.5, y: 0.5, chosen: [] };
const views = [];
let wanted = null;  // the frame to stand at; null while it plays

// ---- frames -------------------------------------------------------------------------------------------------------

function frameAt(time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + 0.0005) low = middle;
    else high = middle - 1;
  }
  return low;
}

function take(time) {
  if (!video.videoWidth) return;
  if (copy.width !== video.videoWidth) Object.assign(copy, { width: video.videoWidth, height: video.videoHeight });
  copy.getContext("2d").drawImage(video, 0, 0);
  state.frame = frameAt(time);
  tellFrame();
  draw();
}

function listen() {
  if ("requestVideoFrameCallback" in video) {
    const shown = (now, told) => { take(told.mediaTime); video.requestVideoFrameCallback(shown); };
    video.requestVideoFrameCallback(shown);
  } else {
    for (const event of ["loadeddata", "seeked", "timeupdate"]) video.addEventListener(event, () => take(video.currentTime));
  }
}

function go(frame) {
  video.pause();
  wanted = Math.max(0, Math.min(times.length - 1, frame));
  if (!video.seeking) seek();
}

function seek() {
  if (wanted === null) return;
  const end = wanted + 1 < times.length ? times[wanted + 1] : data.end;
  video.currentTime = (times[wanted] + end) / 2;
}

const step = (by) => go((wanted === null ? Math.max(0, state.frame) : wanted) + by);

function toggle() {
  if (!video.paused) return video.pause();
  wanted = null;
  video.play().catch(() => {});  // a pause that comes before it has begun
}

video.addEventListener("seeked", () => {
  if (wanted !== null && frameAt(video.currentTime) !== wanted) seek();
});
for (const event of ["play", "pause"]) {
  video.addEventListener(event, () => {
    get("play").textContent = video.paused ? "Play" : "Pause";
    get("frame").setAttribute("aria-live", video.paused ? "polite" : "off");
  });
}
video.addEventListener("error", () => { get("failed").hidden = false; });

function tellFrame() {
  const seconds = data.start + times[state.frame];
  get("frame").textContent = `Frame ${data.first + state.frame}, ${seconds.toFixed(3)} s`;
  get("views").dataset.frame = data.first + state.frame;
  get("seek").value = state.frame;
  get("seek").setAttribute("aria-valuetext", `frame ${data.first + state.frame}`);
}

// ---- pictures -----------------------------------------------------------------------------------------------------

function element(tag, values = {}, ...inner) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...inner);
  return made;
}

function build() {
  const box = get("views");
  box.textContent = "";
  views.length = 0;
  box.classList.toggle("side", state.side);
  const shown = state.side ? data.cells.map((_, n) => [n]) : [[state.left, state.right]];
  box.dataset.count = shown.length;
  for (const cells of shown) {
    const canvas = element("canvas");
    const picture = element("div", { className: "picture" }, canvas);
    const names = cells.map((n) => element("span", { textContent: data.cells[n].label }));
    if (cells.length === 2) names.forEach((name, n) => name.prepend(n ? "right: " : "left: "));
    canvas.setAttribute("role", "img");
    box.append(element("figure", { className: "view" }, element("figcaption", {}, ...names), picture));
    views.push({ cells, canvas, picture });
    handle(canvas);
  }
  if (!state.side) views[0].picture.append(divider);
  for (const end of document.querySelectorAll(".ends")) end.hidden = state.side;
  fitAll();
}

function fitAll() {
  for (const view of views) {
    const across = view.picture.clientWidth;
    const tall = Math.min(across / shape, window.innerHeight * (state.side ? 0.6 : 0.72));
    const dots = window.devicePixelRatio || 1;
    view.width = across;
    view.height = tall;
    view.canvas.style.height = `${tall}px`;
    Object.assign(view.canvas, { width: Math.round(across * dots), height: Math.round(tall * dots) });
  }
  draw();
}

// Where a view's picture lies: its scale, CSS pixels a pixel, and the place of its corner.
function place(view) {
  const fit = Math.min(view.width / (width * data.aspect), view.height / height);
  const scale = state.zoom === null ? fit : state.zoom;
  const size = [width * data.aspect * scale, height * scale];
  const corner = [view.width, view.height].map((room, n) => {
    if (size[n] <= room) return (room - size[n]) / 2;
    return Math.min(0, Math.max(room - size[n], room / 2 - size[n] * (n ? state.y : state.x)));
  });
  return { scale, size, corner };
}

function draw() {
  for (const view of views) drawView(view);
  const at = `${(100 * state.divider).toFixed(1)}%`;
  divider.style.left = at;
  divider.setAttribute("aria-valuenow", Math.round(100 * state.divider));
  divider.setAttribute("aria-valuetext",
    `${Math.round(100 * state.divider)} % ${data.cells[state.left].label}, the rest ${data.cells[state.right].label}`);
  drawMarks();
}

function drawView(view) {
  const brush = view.canvas.getContext("2d");
  const dots = view.canvas.width / view.width;
  const { scale, size, corner } = place(view);
  brush.setTransform(1, 0, 0, 1, 0, 0);
  brush.clearRect(0, 0, view.canvas.width, view.canvas.height);
  if (state.frame < 0) return;
  brush.imageSmoothingEnabled = state.zoom === null || scale * dots < 1;
  brush.imageSmoothingQuality = "high";
  const edge = Math.round(view.canvas.width * state.divider);
  view.cells.forEach((cell, n) => {
    const both = view.cells.length === 2;
    brush.save();
    brush.beginPath();
    brush.rect(both && n ? edge : 0, 0, both && !n ? edge : view.canvas.width, view.canvas.height);
    brush.clip();
    const unit = copy.width / data.video[0], down = copy.height / data.video[1];
    const from = data.cells[cell];
    brush.drawImage(copy, from.x * unit, from.y * down, width * unit, height * down,
      corner[0] * dots, corner[1] * dots, size[0] * dots, size[1] * dots);
    brush.restore();
  });
  const what = view.cells.map((n) => data.cells[n].label).join(" on the left, right of the divider ");
  view.canvas.setAttribute("aria-label", `Frame ${data.first + state.frame}: ${what}`);
}

// ---- divider ------------------------------------------------------------------------------------------------------

const divider = element("div", { id: "divider", tabIndex: 0 });
for (const [name, value] of Object.entries({
  role: "slider", "aria-label": "Divider between left and right", "aria-orientation": "horizontal",
  "aria-valuemin": 0, "aria-valuemax": 100,
})) divider.setAttribute(name, value);

function divide(share) {
  state.divider = Math.max(0, Math.min(1, share));
  draw();
}

function divideAt(event) {
  const box = views[0].picture.getBoundingClientRect();
  divide((event.clientX - box.left) / box.width);
}

divider.addEventListener("pointerdown", (event) => {
  divider.setPointerCapture(event.pointerId);
  event.preventDefault();
  divider.focus({ preventScroll: true });
});
divider.addEventListener("pointermove", (event) => {
  if (divider.hasPointerCapture(event.pointerId)) divideAt(event);
});
divider.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1,
    Home: -1, End: 1 };
  if (!(event.key in steps) || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  divide(state.divider + steps[event.key]);
  event.preventDefault();
  event.stopPropagation();
});

// ---- zoom and move ------------------------------------------------------------------------------------------------

function zoom(to) {
  const smallest = Math.min(...views.map((view) => Math.min(view.width / (width * data.aspect), view.height / height)));
  if (to !== null) to = Math.min(16, to);
  state.zoom = to === null || to <= smallest ? null : to;
  get("views").classList.toggle("zoomed", state.zoom !== null);
  get("fit").setAttribute("aria-pressed", state.zoom === null);
  get("full").setAttribute("aria-pressed", state.zoom === 1);
  get("zoom").textContent = state.zoom === null ? "fit" : `${state.zoom.toFixed(2).replace(/\.?0+$/, "")}×`;
  draw();
}

function closer() {
  const scale = place(views[0]).scale;
  zoom(state.zoom === null ? 2 ** Math.floor(Math.log2(scale) + 1.001) : scale * 2);
}

function move(dx, dy) {
  const { size } = place(views[0]);
  const keep = (room, all, value) => {
    const half = Math.min(0.5, room / all / 2);
    return Math.max(half, Math.min(1 - half, value));
  };
  state.x = keep(views[0].width, size[0], state.x - dx / size[0]);
  state.y = keep(views[0].height, size[1], state.y - dy / size[1]);
  draw();
}

function handle(canvas) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
    if (state.zoom === null && !state.side && event.pointerType === "mouse") divideAt(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    if (state.zoom !== null) move(event.clientX - last[0], event.clientY - last[1]);
    else if (!state.side) divideAt(event);
    last = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    if (event.deltaY < 0) closer();
    else zoom(place(views[0]).scale / 2);
  }, { passive: false });
}

// ---- faces --------------------------------------------------------------------------------------------------------

const boxOf = (face) => data.faces[face].boxes[state.frame - data.faces[face].from];

function drawMarks() {
  for (const old of document.querySelectorAll(".mark")) old.hidden = true;
  if (!get("marks").checked || state.frame < 0) return;
  const view = views[0];
  const { scale, corner } = place(view);
  data.faces.forEach((face, n) => {
    const box = boxOf(n);
    if (!box) return;
    let mark = view.picture.querySelector(`.mark[data-face="${n}"]`);
    if (!mark) {
      mark = element("button", { type: "button", className: "mark" }, element("span", { textContent: face.id }));
      mark.dataset.face = n;
      mark.setAttribute("aria-label", `Face ${face.id}`);
      mark.addEventListener("click", () => choose(n));
      view.picture.append(mark);
    }
    const [x0, y0, x1, y1] = box;
    const across = scale * data.aspect;
    Object.assign(mark.style, {
      left: `${corner[0] + x0 * across}px`, top: `${corner[1] + y0 * scale}px`,
      width: `${(x1 - x0) * across}px`, height: `${(y1 - y0) * scale}px`,
    });
    mark.setAttribute("aria-pressed", state.chosen.includes(n));
    mark.hidden = false;
  });
}

function option() {
  return `--faces ${state.chosen.map((n) => data.faces[n].option).join(",")}`;
}

function choose(face) {
  const at = state.chosen.indexOf(face);
  if (at < 0) state.chosen.push(face);
  else state.chosen.splice(at, 1);
  for (const button of document.querySelectorAll(".choose")) {
    button.setAttribute("aria-pressed", state.chosen.includes(Number(button.dataset.face)));
  }
  get("command").textContent = state.chosen.length ? `${data.command} ${option()}` : data.command;
  if (state.chosen.length) toClipboard(option());
  else get("told").textContent = "No face is chosen: all are restored.";
  drawMarks();
}

// Enlarge a face, with the divider across it.
function lookAt(face, frame = data.faces[face].from + (data.faces[face].boxes.length >> 1)) {
  const { from, boxes } = data.faces[face];
  const [x0, y0, x1, y1] = boxes[frame - from];
  state.x = (x0 + x1) / 2 / width;
  state.y = (y0 + y1) / 2 / height;
  const room = Math.min(views[0].width / data.aspect, views[0].height);
  zoom(2 ** Math.round(Math.log2((0.5 * room) / (y1 - y0))));
  const { size, corner } = place(views[0]);
  divide((corner[0] + state.x * size[0]) / views[0].width);
  go(frame);
}

function begin() {
  if (data.opening) lookAt(data.opening.face, data.opening.frame);
  else go(0);
}

function toClipboard(text) {
  const done = () => { get("told").textContent = `Copied: ${text}`; };
  const byHand = () => {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (copied) done();
    else get("told").textContent = `Copy this: ${text}`;
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand);
  else byHand();
}

// ---- controls -----------------------------------------------------------------------------------------------------

const actions = {
  back: () => step(-1), on: () => step(1), play: toggle, in: closer, out: () => zoom(place(views[0]).scale / 2),
  fit: () => zoom(null), full: () => zoom(1),
};
for (const [id, action] of Object.entries(actions)) get(id).addEventListener("click", action);
get("seek").addEventListener("input", () => go(Number(get("seek").value)));
get("speed").addEventListener("change", () => { video.playbackRate = Number(get("speed").value); });
get("marks").addEventListener("change", draw);
for (const end of ["left", "right"]) {
  get(end).addEventListener("change", () => { state[end] = Number(get(end).value); build(); });
}
for (const radio of document.querySelectorAll("input[name=view]")) {
  radio.addEventListener("change", () => { state.side = radio.value === "side" && radio.checked; build(); });
}
for (const button of document.querySelectorAll(".choose")) {
  button.addEventListener("click", () => choose(Number(button.dataset.face)));
}
for (const button of document.querySelectorAll(".find")) {
  button.addEventListener("click", () => {
    lookAt(Number(button.dataset.face));
    get("views").scrollIntoView({ block: "nearest" });
  });
}
if (get("copy")) get("copy").addEventListener("click", () => toClipboard(get("command").textContent));

const keys = {
  " ": toggle, ",": () => step(-1), ".": () => step(1), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  Home: () => go(0), End: () => go(times.length - 1), "[": () => divide(state.divider - 0.02),
  "]": () => divide(state.divider + 0.02), "+": closer, "=": closer, "-": actions.out, 0: actions.fit, 1: actions.full,
  f: () => get("marks").click(),
};
const shifted = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  // Fields and buttons keep the keys that they use themselves.
  const on = event.target.closest("select, input, button, summary, textarea");
  const taken = on && (/^(Arrow|Home|End|Page)/.test(event.key) ? /^(SELECT|INPUT)$/.test(on.tagName) : event.key === " ");
  if (taken || (on && on.tagName === "SELECT")) return;
  if (event.shiftKey && event.key in shifted) move(...shifted[event.key]);
  else if (event.key in keys) keys[event.key]();
  else return;
  event.preventDefault();
});

// ---- start --------------------------------------------------------------------------------------------------------

function source() {
  if (!data.film.startsWith("data:")) return data.film;
  const bytes = Uint8Array.from(atob(data.film.slice(data.film.indexOf(",") + 1)), (c) => c.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
}

document.body.append(video);
build();
listen();
window.addEventListener("resize", fitAll);
video.addEventListener("loadeddata", begin, { once: true });
video.src = source();
