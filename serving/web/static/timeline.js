// The timeline by uPlot, on screens in place of the drawing that the server sent. A click seeks; so do the
// arrow keys, frame by frame, and PageUp and PageDown over what was not looked at.

const VENDOR = "/static/vendor/uplot";
const HEIGHT = 190;
const [LEFT, RIGHT] = [50, 20]; // as the rows above and below it have, in style.css
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

function load(tag, attributes) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${attributes.src ?? attributes.href} did not load.`));
    document.head.append(element);
  });
}

let library = null;
function uPlotLibrary() {
  library ??= Promise.all([
    load("script", { src: `${VENDOR}/uPlot.iife.min.js` }),
    load("link", { rel: "stylesheet", href: `${VENDOR}/uPlot.min.css` }),
  ]);
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const COLOURS = 8; // in style.css; the faces after them have the same, and hollow marks
const faceColour = (style) => colour(`face-${((style - 1) % COLOURS) + 1}`);

// A share in whole percent, and never certainty.
export function percent(share) {
  if (share >= 0.995) return "over 99 %";
  return share < 0.005 ? "under 1 %" : `${Math.round(100 * share)} %`;
}

export function clock(seconds, tenths = true) {
  const all = tenths ? Math.round(seconds * 10) : 10 * Math.round(seconds);
  const whole = Math.floor(all / 10);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  const start = hours ? `${hours}:${two(minutes)}` : `${minutes}`;
  return `${start}:${two(whole % 60)}${tenths ? `.${all % 10}` : ""}`;
}

// Below the lines: stripes where nothing was looked at, shading where there is no face and where
// one scores FAKE, the threshold.
function background(plot, { noFace, gaps, bands, fakeAbove }) {
  const { ctx, bbox } = plot;
  const place = (parts, least) =>
    parts.map((part) => {
      const [from, to] = part.map((time) => plot.valToPos(time, "x", true));
      return [from, Math.max(to, from + least)];
    });
  const fill = (parts, name, opacity) => {
    ctx.fillStyle = colour(name);
    ctx.globalAlpha = opacity;
    for (const [from, to] of place(parts, 2)) ctx.fillRect(from, bbox.top, to - from, bbox.height);
    ctx.globalAlpha = 1;
  };
  const dashed = (from, to, y, lengths) => {
    ctx.setLineDash(lengths.map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(from, y);
    ctx.lineTo(to, y);
    ctx.stroke();
  };
  ctx.save();
  ctx.strokeStyle = colour("edge");
  ctx.globalAlpha = 0.45;
  ctx.lineWidth = bbox.height;
  for (const [from, to] of place(gaps, 0)) dashed(from, to, bbox.top + bbox.height / 2, [1, 4]);
  fill(noFace, "edge", 0.28);
  fill(bands, "fake", 0.13);
  if (fakeAbove !== null) { // of a demo model FAKE begins nowhere
    ctx.strokeStyle = colour("fake");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    dashed(bbox.left, bbox.left + bbox.width, plot.valToPos(fakeAbove, "y", true), [5, 4]);
  }
  ctx.restore();
}

// Over the lines: a mark for each moment that is too short to be seen as one.
function marks(plot, { lines, shapes }) {
  const { ctx } = plot;
  for (const { style, marks } of lines.toReversed()) {
    const shape = new Path2D(shapes[(style - 1) % shapes.length]);
    for (const [time, value] of marks) {
      ctx.save();
      ctx.translate(plot.valToPos(time, "x", true), plot.valToPos(value, "y", true));
      ctx.scale(devicePixelRatio, devicePixelRatio);
      ctx.setLineDash([]); // the last line's is still set
      ctx.lineWidth = 1.5;
      ctx.strokeStyle = faceColour(style);
      ctx.fillStyle = style <= COLOURS ? ctx.strokeStyle : colour("card");
      ctx.fill(shape);
      ctx.stroke(shape);
      ctx.restore();
    }
  }
}

// Whether frames that follow each other are far enough apart for a point each.
const apart = (plot, { step }) => plot.valToPos(step, "x") - plot.valToPos(0, "x") > 10;

function options(shown, width) {
  const axis = {
    stroke: () => colour("dim"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: () => colour("line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, RIGHT, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 9 } },
    scales: {
      x: { time: false, range: [0, shown.duration || 1] },
      y: { range: [0, 1] },
    },
    axes: [
      { ...axis, size: 28, space: 70, incrs: STEPS_S, values: (_plot, splits, _axis, _space, step) =>
          splits.map((time) => clock(time, step < 1)) },
      {
        ...axis,
        size: LEFT,
        splits: () => [0, 0.5, 1],
        values: (_, splits) => splits.map((share) => `${100 * share} %`),
      },
    ],
    series: [
      {},
      ...shown.lines.map(({ number, style }) => ({
        label: `Face ${number}`,
        stroke: () => faceColour(style),
        width: 2.5,
        dash: shown.dashes[style - 1],
        points: { show: (plot) => apart(plot, shown), size: 4, fill: () => faceColour(style) },
      })),
    ],
    hooks: {
      drawAxes: [(plot) => background(plot, shown)],
      draw: [(plot) => marks(plot, shown)],
    },
  };
}

// Draws what a figure's data-timeline holds. seek gets the seconds that were clicked.
export async function drawTimeline(figure, seek) {
  const shown = JSON.parse(figure.dataset.timeline);
  await uPlotLibrary();
  const place = document.createElement("div");
  place.className = "live";
  const readout = document.createElement("output");
  readout.className = "readout";
  const drawn = figure.querySelector(".chart");
  drawn.classList.add("for-print"); // fits any width of paper
  drawn.before(place);
  figure.querySelector("figcaption").before(readout);

  const columns = [shown.times, ...shown.lines.map(({ values }) => values)];
  const width = () => Math.max(place.clientWidth, 200);
  // The part of the page may still be hidden: the observer sets the width once it shows.
  const plot = new uPlot(options(shown, width()), columns, place);
  new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());

  const { sampled } = shown;
  const starts = sampled.filter((time, index) => !index || time - sampled[index - 1] > shown.step);
  const indexOf = new Map(columns[0].map((time, index) => [time, index]));
  let now = 0;
  const playhead = document.createElement("div");
  playhead.className = "playhead";
  plot.over.append(playhead);
  slider(plot.over, shown.duration);

  // What the frame nearest to a moment says.
  function said(seconds) {
    const away = (time) => Math.abs(time - seconds);
    const nearest = sampled.reduce((best, time) => (away(time) < away(best) ? time : best));
    if (away(nearest) > shown.step) return `${clock(seconds)}  no frame was looked at`;
    const faces = shown.lines.flatMap(({ number }, line) => {
      const value = columns[line + 1][indexOf.get(nearest)];
      return typeof value === "number" ? [`Face ${number}: ${percent(value)}`] : [];
    });
    return `${clock(nearest)}  ${faces.join(", ") || "no face"}`;
  }
  function moveTo(seconds) {
    now = seconds;
    playhead.style.left = `${plot.valToPos(seconds, "x")}px`;
    readout.textContent = said(seconds);
    plot.over.setAttribute("aria-valuenow", seconds.toFixed(2));
    plot.over.setAttribute("aria-valuetext", readout.textContent);
  }
  plot.over.addEventListener("click", (event) => {
    seek(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x"));
  });
  // The frame after now, or before it, of those that were looked at.
  const frameAfter = (by) =>
    by > 0 ? sampled.find((time) => time > now + 1e-3) : sampled.findLast((time) => time < now - 1e-3);
  plot.over.addEventListener("keydown", (event) => {
    const next = {
      ArrowRight: frameAfter(1),
      ArrowLeft: frameAfter(-1),
      PageDown: starts.find((time) => time > now + 1e-3),
      PageUp: starts.findLast((time) => time < now - 1e-3),
      Home: sampled[0],
      End: sampled.at(-1),
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    seek(next);
  });
  plot.hooks.setSize = [() => moveTo(now)];
  moveTo(0);
  return { shown, moveTo, frameAfter, now: () => now };
}

function slider(element, duration) {
  element.tabIndex = 0;
  for (const [name, value] of Object.entries({
    role: "slider",
    "aria-label": "Position in the video",
    "aria-valuemin": 0,
    "aria-valuemax": duration.toFixed(2),
  }))
    element.setAttribute(name, value);
}
