// Boxes with numbers and scores of the faces over the visitor's own copy of the video.

import { percent } from "./timeline.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN_S = 0.002; // times in the report are rounded to milliseconds
const TEXT_PX = 14;
const ASPECT_OFF = 0.02; // a browser that shows the picture otherwise would show boxes elsewhere

function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Index of the last time that is not after a moment; -1 before the first. times ascend.
function indexAt(times, seconds) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= seconds + MARGIN_S) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Where a face is at a moment and how it scores, or null: between two frames with it, on the way
// from one to the other. step: seconds that frames which follow each other are at most apart.
function faceAt({ times_s: times, boxes, frame_probability: scores }, seconds, step) {
  const before = indexAt(times, seconds);
  const after = before + 1;
  const near = [before, after].filter((i) => boxes[i] && Math.abs(times[i] - seconds) <= step / 2);
  if (boxes[before] && boxes[after] && times[after] - times[before] <= step) {
    const share = Math.max(0, (seconds - times[before]) / (times[after] - times[before]));
    const box = boxes[before].map((edge, i) => edge + share * (boxes[after][i] - edge));
    return { box, score: scores[share < 0.5 ? before : after] };
  }
  return near.length ? { box: boxes[near[0]], score: scores[near[0]] } : null;
}

// Puts the boxes of a report over a video. lines, dashes, step: as in a timeline's data. Gives
// show(seconds), or null where there are no boxes that fit what the browser shows.
export function drawBoxes(video, { picture, tracks }, { lines, dashes, step }) {
  if (!picture) return null;
  const { width, height } = picture;
  if (Math.abs((video.videoWidth / video.videoHeight) * (height / width) - 1) > ASPECT_OFF) return null;
  const over = svg("svg", { class: "boxes", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const notSeen = svg("text", { class: "label", x: 0, y: 0 });
  notSeen.textContent = "not looked at";
  const faces = tracks.map((track, index) => {
    const { number, style } = lines[index];
    const group = svg("g");
    const [casing, line] = ["casing", `line face-${style}`].map((name) => svg("rect", { class: name }));
    if (dashes[style - 1].length) line.setAttribute("stroke-dasharray", dashes[style - 1].join(" "));
    const label = svg("text", { class: "label" });
    group.append(casing, line, label);
    over.append(group);
    return { track, number, group, rects: [casing, line], label };
  });
  over.append(notSeen);
  video.after(over);

  let now = 0;
  const { times_s: times } = tracks[0]; // the same of all
  function show(seconds) {
    now = seconds;
    const px = Math.max(width / (over.clientWidth || width), height / (over.clientHeight || height));
    for (const { track, number, group, rects, label } of faces) {
      const face = faceAt(track, seconds, step);
      group.toggleAttribute("hidden", !face);
      if (!face) continue;
      const [left, top, right, bottom] = face.box;
      const sizes = { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
      for (const rect of rects)
        for (const [name, value] of Object.entries(sizes)) rect.setAttribute(name, value.toFixed(1));
      label.textContent = `Face ${number}: ${percent(face.score)}`;
      label.setAttribute("x", Math.max(0, left).toFixed(1));
      label.setAttribute("y", Math.max(TEXT_PX * px, top - 6 * px).toFixed(1));
      label.style.fontSize = `${TEXT_PX * px}px`;
    }
    const before = indexAt(times, seconds);
    const away = (index) => Math.abs((times[index] ?? Infinity) - seconds);
    notSeen.toggleAttribute("hidden", Math.min(away(before), away(before + 1)) <= step / 2);
    notSeen.style.fontSize = `${TEXT_PX * px}px`;
    notSeen.setAttribute("x", (8 * px).toFixed(1));
    notSeen.setAttribute("y", (1.6 * TEXT_PX * px).toFixed(1));
  }
  new ResizeObserver(() => show(now)).observe(over);
  show(0);
  return { show, visible: (on) => over.toggleAttribute("hidden", !on) };
}
