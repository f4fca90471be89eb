// The timeline by uPlot, in place of the drawing that the server sent. A click seeks; so do the
// arrow keys, frame by frame.

const VENDOR = "/static/vendor/uplot";
const HEIGHT = 190;
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
const faceColour = (number) => colour(`face-${((number - 1) % 6) + 1}`);
const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4]];

export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const whole = Math.floor(tenths / 10);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${tenths % 10}`;
}

// Shading where there is no face, and the threshold; below the lines.
function background(plot, { noFace, fakeAbove }) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.globalAlpha = 0.28;
  ctx.fillStyle = colour("edge");
  for (const [start, end] of noFace) {
    const [from, to] = [start, end].map((time) => plot.valToPos(time, "x", true));
    ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colour("fake");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([5, 4].map((length) => length * devicePixelRatio));
  const y = plot.valToPos(fakeAbove, "y", true);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

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
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 9 } },
    scales: {
      x: { time: false, range: [0, shown.duration || 1] },
      y: { range: [0, 1] },
    },
    axes: [
      { ...axis, size: 28, space: 70, incrs: STEPS_S, values: (_, splits) => splits.map(clock) },
      {
        ...axis,
        size: 50,
        splits: () => [0, 0.5, 1],
        values: (_, splits) => splits.map((share) => `${100 * share} %`),
      },
    ],
    series: [
      {},
      ...shown.lines.map(({ number }) => ({
        label: `Face ${number}`,
        stroke: () => faceColour(number),
        width: 2.5,
        dash: DASHES[(number - 1) % 6],
        points: { show: true, size: 4, fill: () => faceColour(number) },
      })),
    ],
    hooks: { drawAxes: [(plot) => background(plot, shown)] },
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
  figure.querySelector(".chart").replaceWith(place, readout);

  const columns = uPlot.join(shown.lines.map(({ times, values }) => [times, values]));
  const width = () => Math.max(place.clientWidth, 200);
  // The part of the page may still be hidden: the observer sets the width once it shows.
  const plot = new uPlot(options(shown, width()), columns, place);
  new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());

  const { sampled } = shown;
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
      return typeof value === "number" ? [`Face ${number}: ${Math.round(100 * value)} %`] : [];
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
  plot.over.addEventListener("keydown", (event) => {
    const next = {
      ArrowRight: sampled.find((time) => time > now + 1e-3),
      ArrowLeft: sampled.findLast((time) => time < now - 1e-3),
      Home: sampled[0],
      End: sampled.at(-1),
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    seek(next);
  });
  plot.hooks.setSize = [() => moveTo(now)];
  moveTo(0);
  return { moveTo };
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
