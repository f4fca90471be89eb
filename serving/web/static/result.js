// A result on the page: the player with the visitor's own copy, the timeline, deletion.

import { request } from "./api.js";
import { drawTimeline } from "./timeline.js";

// Puts the result of a job into a part of the page. file: the visitor's video, if it is at hand.
export async function showResult(part, id, file) {
  part.innerHTML = await (await request(`/jobs/${id}/result`)).text();
  const player = part.querySelector(".player");
  const video = file ? await playable(file) : null;
  const still = video ? null : stillOf(part);
  if (video) player.append(video);
  else if (still) player.append(note(file), still.figure);

  const figure = part.querySelector("[data-timeline]");
  const timeline = figure && (await drawTimeline(figure, seek));
  if (video && timeline) {
    const follow = () => timeline.moveTo(video.currentTime);
    for (const name of ["timeupdate", "seeking", "seeked"]) video.addEventListener(name, follow);
  }

  function seek(seconds) {
    if (video) video.currentTime = seconds;
    else still?.show(seconds);
    timeline?.moveTo(seconds);
  }
  for (const button of part.querySelectorAll("[data-seek]"))
    button.addEventListener("click", () => {
      seek(Number(button.dataset.seek));
      player.scrollIntoView({ block: "nearest" });
    });
  part.querySelector("[data-delete]").addEventListener("click", () => remove(part, id));
}

const PLAYABLE_MS = 5000; // by then a browser knows what is in a file on its own disk

// A player of the file, or null where this browser cannot play it.
function playable(file) {
  const video = document.createElement("video");
  video.controls = true;
  video.playsInline = true;
  video.preload = "auto";
  video.setAttribute("aria-label", "Your copy of the video");
  video.src = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const give = (found) => {
      if (!found) URL.revokeObjectURL(video.src);
      resolve(found);
    };
    const sized = () => give(video.videoWidth ? video : null);
    video.addEventListener("loadedmetadata", sized, { once: true });
    video.addEventListener("error", () => give(null), { once: true });
    setTimeout(() => video.readyState || give(null), PLAYABLE_MS);
  });
}

// The picture that was taken nearest to a moment, instead of a player; of two, that of a face.
function stillOf(part) {
  const stills = [".picture", ".frame"].flatMap((kind) => [
    ...part.querySelectorAll(`${kind} > [data-still]`),
  ]);
  if (!stills.length) return null;
  const figure = document.createElement("figure");
  figure.className = "still";
  const show = (seconds) => {
    const away = (image) => Math.abs(image.dataset.still - seconds);
    const nearest = stills.reduce((best, image) => (away(image) < away(best) ? image : best));
    const caption = document.createElement("figcaption");
    caption.textContent = `Nearest still: ${nearest.alt}`;
    figure.replaceChildren(nearest.parentElement.cloneNode(true), caption);
  };
  show(Number(stills[0].dataset.still));
  return { figure, show };
}

function note(file) {
  const text = document.createElement("p");
  text.className = "dim";
  text.textContent = file
    ? "This browser cannot play this file. Stills are shown instead."
    : "The video is no longer on the server. Stills are shown instead of it.";
  return text;
}

async function remove(part, id) {
  const said = part.querySelector("[data-deleted]");
  try {
    await request(`/api/v1/jobs/${id}`, { method: "DELETE" });
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
  message.textContent = "Deleted. Nothing of this video is left on the server.";
  part.replaceChildren(message);
  message.focus();
}
