// A result on the page: the player with the visitor's own copy, the timeline, pictures, deletion.

import { request } from "./api.js";
import { openLarge } from "./enlarge.js";
import { drawBoxes } from "./overlay.js";
import { firstFrame, playable, stillsOf, videoPlayer } from "./player.js";
import { drawTimeline } from "./timeline.js";

// Puts the result of a job into a part of the page. file: the visitor's video, if it is at hand.
// Gives the name of the video.
export async function showResult(part, id, file) {
  const job = encodeURIComponent(id);
  const own = file && playable(file);
  const start = own?.then((video) => video && firstFrame(video));
  // Where the faces are, which only a player shows.
  const places = own?.then((video) => video && request(`/api/v1/jobs/${job}/report.json`));
  places?.catch(() => {}); // told of where it is awaited
  part.innerHTML = await (await request(`/jobs/${job}/result`)).text();
  const { name, running } = part.querySelector("[data-running]").dataset;
  document.documentElement.style.setProperty("--running", running); // at the foot of printed pages
  const place = part.querySelector(".player");
  const figure = part.querySelector("[data-timeline]");
  const timeline = figure && (await drawTimeline(figure, (seconds) => seek(seconds)));
  const video = await own;
  const report = await (await places)?.json();
  const player = video ? playerOf(part, place, video, await start, report, timeline) : stillsOf(part);
  if (!video) place.append(note(file, player), ...(player ? [player.figure] : []));

  function seek(seconds) {
    player?.seek(seconds);
    timeline?.moveTo(seconds);
  }
  if (timeline) steps(part, player, timeline, seek);
  for (const button of part.querySelectorAll("[data-seek]"))
    button.addEventListener("click", () => {
      seek(Number(button.dataset.seek));
      place.scrollIntoView({ block: "nearest" });
    });
  for (const button of part.querySelectorAll("[data-large]"))
    button.addEventListener("click", () => openLarge(part.querySelector("dialog"), button));
  part.querySelector("[data-delete]").addEventListener("click", () => remove(part, job));
  const share = part.querySelector("[data-share]");
  import("./share.js").then(({ offerShare }) => offerShare(share));
  const review = part.querySelector("[data-review]");
  if (review) (await import("./review.js")).offerReview(review, file);
  return name;
}

// The player with boxes over it.
function playerOf(part, place, video, start, report, timeline) {
  const screen = document.createElement("div");
  screen.className = "screen";
  screen.append(video);
  place.append(screen);
  if (!timeline) return videoPlayer(video, start, report.file.fps || 25, () => {});
  const boxes = drawBoxes(video, report, timeline.shown);
  const full = part.querySelector("[data-full]");
  full.hidden = !document.fullscreenEnabled;
  full.addEventListener("click", () => screen.requestFullscreen());
  // The player's own would leave the boxes behind.
  if (!full.hidden) video.setAttribute("controlslist", "nofullscreen");
  const choice = part.querySelector("#boxes-switch");
  choice.parentElement.hidden = !boxes;
  choice.addEventListener("change", () => boxes.visible(choice.checked));
  const show = (seconds) => boxes?.show(seconds);
  const player = videoPlayer(video, start, report.file.fps || 25, show);
  const follow = () => timeline.moveTo(player.now());
  for (const name of ["timeupdate", "seeking", "seeked"]) video.addEventListener(name, follow);
  return player;
}

const KEYS = { ",": ["step", -1], ".": ["step", 1], p: ["jump", -1], n: ["jump", 1] };

// Buttons and keys for the frame and the part before and after.
function steps(part, player, timeline, seek) {
  const starts = JSON.parse(part.querySelector("[data-jumps]").dataset.jumps);
  const now = () => player?.aim?.() ?? timeline.now();
  const move = {
    step(by) {
      if (player?.step) return player.step(by);
      const next = timeline.frameAfter(by);
      if (next !== undefined) seek(next);
    },
    jump(by) {
      const next =
        by > 0 ? starts.find((t) => t > now() + 0.05) : starts.findLast((t) => t < now() - 0.05);
      if (next !== undefined) seek(next);
    },
  };
  for (const kind of ["step", "jump"])
    for (const button of part.querySelectorAll(`[data-${kind}]`))
      button.addEventListener("click", () => move[kind](Number(button.dataset[kind])));
  const keys = part.querySelector("#keys-switch");
  document.addEventListener("keydown", (event) => {
    const [kind, by] = KEYS[event.key] ?? [];
    if (!kind || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!keys.isConnected || !keys.checked || part.querySelector("dialog[open]")) return;
    event.preventDefault();
    move[kind](by);
  });
}

// Why there is no video. stills: what is shown in its place, if there are any.
function note(file, stills) {
  const text = document.createElement("p");
  text.className = "dim";
  const why = file ? "This browser cannot play this file." : "The video is no longer on the server.";
  text.textContent = `${why} ${stills ? "Stills are shown instead." : "No picture of it was kept."}`;
  return text;
}

async function remove(part, job) {
  const said = part.querySelector("[data-deleted]");
  try {
    await request(`/api/v1/jobs/${job}`, { method: "DELETE" });
  } catch (problem) {
    if (problem.status === 404) return gone(part); // its time was over, or it was deleted before
    said.textContent = `Not deleted. ${problem.detail || problem.title}`;
    return;
  }
  gone(part);
}

function gone(part) {
  const message = document.createElement("p");
  message.className = "notice";
  message.setAttribute("role", "status");
  message.tabIndex = -1;
  message.textContent = part.querySelector("[data-withdraw]:not([hidden])")
    ? "Deleted. The server still has the review, and the video if it was left for training."
    : "Deleted. Nothing of this video is left on the server.";
  part.replaceChildren(message);
  message.focus();
}
