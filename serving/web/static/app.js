// The page's way: choose a video, send it, follow its job, show the result.

import { Problem, follow, request, upload } from "./api.js";

const $ = (selector) => document.querySelector(selector);
const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const percent = (share) => `${Math.floor(100 * share)} %`;
// Of a server that ended, or is about to: what it did not get to may be sent once more.
const STOPPED = ["urn:dfdetect:problem:stopping", "urn:dfdetect:problem:interrupted"];
const STAGES = ["upload", "queued", "decode", "faces", "model", "report"];

const limit = Number(document.body.dataset.maxBytes);
const input = $("#video");
let work = null; // { stop: AbortController, id } of what is under way
let furthest = 0; // stage that has begun

function show(...names) {
  for (const id of ["start", "problem", "work", "result", "another", "not-taken"])
    $(`#${id}`).hidden = !names.includes(id);
}

function showProblem(error) {
  const [title, detail] = $("#problem").querySelectorAll("h1, p");
  title.textContent = error.title ?? "Something went wrong";
  detail.textContent = error.detail ?? error.message;
  $("[data-resend]").hidden = !(STOPPED.includes(error.type) && input.files.length);
  show("problem");
  $("#problem").focus();
}

// Faces and model take turns, batch by batch: what was begun and goes on stays marked.
function progress({ stage, position, done, detail, stopping }) {
  const now = STAGES.indexOf(stage);
  if (now > furthest) $("#spoken").textContent = $(`[data-stage=${stage}]`).textContent;
  furthest = stage === "upload" ? 0 : Math.max(furthest, now);
  for (const [index, item] of [...$(".stages").children].entries()) {
    const active = index >= now && index <= furthest;
    item.classList.toggle("now", active);
    item.classList.toggle("done", index < now);
    if (active) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  const bar = $("#work progress");
  const unknown = done === null || done === undefined;
  if (!unknown) bar.value = done;
  else if (stage !== "model" || bar.value === 1) bar.removeAttribute("value");
  const queue = stage === "queued" && position ? `Place ${position} in the queue. ` : "";
  const last = stopping ? "The server is about to stop, and finishes this video first. " : "";
  $("#detail").textContent = last + queue + (detail ?? "");
}

// What the server says of a job that has not ended.
function waiting(told, job) {
  if (job) working(job.name);
  progress(told);
}

function working(name) {
  $("#work .file-name").textContent = name;
  document.title = `Checking ${name} – dfdetect`;
  show("work");
}

// left: how many more files were dropped.
function chosen(left = 0) {
  const [file] = input.files;
  const tooLarge = file?.size > limit;
  input.setCustomValidity(tooLarge ? "This file is too large." : "");
  $("#chosen").classList.toggle("refused", tooLarge);
  const more = left ? ` One video at a time: ${left} more file${left > 1 ? "s were" : " was"} not taken.` : "";
  $("#chosen").textContent = file
    ? `${file.name}, ${size(file.size)}${tooLarge ? ": too large for this server" : ""}.${more}`
    : "";
}

async function guard(step) {
  try {
    await step();
  } catch (error) {
    work = null;
    if (error.name === "AbortError") return;
    showProblem(error);
  }
}

async function check(file) {
  const stop = new AbortController();
  work = { stop };
  working(file.name);
  $("#work h1").focus();
  progress({ stage: "upload", done: 0 });
  const told = (share) => progress({ stage: "upload", done: share, detail: percent(share) });
  const job = await staying(() => upload(file, told, stop.signal));
  if (stop.signal.aborted) return forget(job.id);
  history.pushState(null, "", `/jobs/${encodeURIComponent(job.id)}`);
  await watch(job.id, file);
}

// Meanwhile who leaves the page is asked first: what was sent so far would be lost.
async function staying(step) {
  const ask = (event) => event.preventDefault();
  addEventListener("beforeunload", ask);
  try {
    return await step();
  } finally {
    removeEventListener("beforeunload", ask);
  }
}

async function watch(id, file) {
  work ??= { stop: new AbortController() };
  work.id = id;
  const job = await follow(id, waiting, work.stop.signal);
  work = null;
  if (job.state !== "done") throw new Problem(job.problem);
  const { showResult } = await import("./result.js");
  const name = await showResult($("#result"), id, file);
  show("result", "another");
  document.title = `${$("#result h1").textContent}: ${name} – dfdetect`;
  $("#result h1").focus();
}

function cancelled() {
  work = null;
  show("start");
  input.focus();
  $("#chosen").textContent = "Cancelled. Nothing of the video is kept.";
}

// 202: it is cancelled, and its name kept for who asks; once more, and that is gone too.
async function forget(id) {
  const job = `/api/v1/jobs/${encodeURIComponent(id)}`;
  while ((await request(job, { method: "DELETE" })).status === 202);
}

async function cancel() {
  const { stop, id } = work;
  stop.abort();
  if (id) await forget(id);
  history.replaceState(null, "", "/");
  cancelled();
}

input.addEventListener("change", () => chosen());
$("#upload").addEventListener("submit", (event) => {
  event.preventDefault();
  const [file] = input.files;
  guard(() => check(file));
});
$("#cancel").addEventListener("click", () => guard(cancel));
$("[data-resend]").addEventListener("click", () => guard(() => check(input.files[0])));
$("[data-again]").addEventListener("click", () => {
  history.replaceState(null, "", "/");
  show("start");
  input.focus();
});
addEventListener("popstate", () => location.reload());

// A file may be dropped anywhere: beside the zone, the browser would leave the page for it.
const over = (is) => $("#drop").classList.toggle("over", is);
for (const name of ["dragenter", "dragover"])
  addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
addEventListener("dragleave", (event) => event.relatedTarget || over(false));
addEventListener("drop", (event) => {
  over(false);
  const [file, ...more] = event.dataTransfer.files;
  if (!file) return;
  event.preventDefault();
  if ($("#start").hidden) return notTaken(file);
  const one = new DataTransfer();
  one.items.add(file);
  input.files = one.files;
  chosen(more.length);
});

function notTaken(file) {
  $("#not-taken").textContent = `${file.name} was not taken: one video is checked at a time.`;
  $("#not-taken").hidden = false;
}

const { job } = document.body.dataset;
if (job) guard(() => watch(job));
