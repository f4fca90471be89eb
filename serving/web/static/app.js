// The page's way: choose a video, send it, follow its job, show the result.

import { Problem, events, request, token, upload } from "./api.js";

const $ = (selector) => document.querySelector(selector);
const STAGES = ["upload", "queued", "decode", "faces", "model", "report"];
const RETRIES = 5; // of a lost connection to a running job

const limit = Number(document.body.dataset.maxBytes);
const input = $("#video");
let work = null; // { stop: AbortController, id } of what is under way
let afterToken = null; // what was refused for want of a token

function show(...names) {
  for (const id of ["start", "token", "problem", "work", "result", "another"])
    $(`#${id}`).hidden = !names.includes(id);
}

function showProblem(error) {
  const [title, detail] = $("#problem").querySelectorAll("h2, p");
  title.textContent = error.title ?? "Something went wrong";
  detail.textContent = error.detail ?? error.message;
  show("problem");
  $("#problem").focus();
}

function progress({ stage, position, done, detail }) {
  const now = STAGES.indexOf(stage);
  for (const [index, item] of [...$(".stages").children].entries()) {
    const changed = index === now && !item.classList.contains("now");
    item.classList.toggle("now", index === now);
    item.classList.toggle("done", index < now);
    if (index === now) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
    if (changed) $("#spoken").textContent = item.textContent;
  }
  const bar = $("#work progress");
  if (done === null || done === undefined) bar.removeAttribute("value");
  else bar.value = done;
  const queue = stage === "queued" && position ? `Place ${position} in the queue. ` : "";
  $("#detail").textContent = queue + (detail ?? "");
}

function chosen() {
  const [file] = input.files;
  const tooLarge = file && file.size > limit;
  input.setCustomValidity(tooLarge ? "This file is too large." : "");
  $("#chosen").textContent = file
    ? `${file.name}, ${(file.size / 1e6).toFixed(1)} MB${tooLarge ? ": too large for this server" : ""}`
    : "";
}

async function guard(step) {
  try {
    await step();
  } catch (error) {
    work = null;
    if (error.name === "AbortError") return;
    if (error.status === 401) {
      const refused = token.get() !== "";
      afterToken = step;
      show("token");
      $("#token h2").textContent = refused
        ? "The server does not accept this token"
        : "This server asks for a token";
      $("#token-field").focus();
    } else showProblem(error);
  }
}

async function check(file) {
  work = { stop: new AbortController() };
  $("#work .file-name").textContent = file.name;
  show("work");
  $("#work h2").focus();
  progress({ stage: "upload", done: 0 });
  const told = (share) => progress({ stage: "upload", done: share, detail: percent(share) });
  const job = await upload(file, told, work.stop.signal);
  history.pushState(null, "", `${document.body.dataset.root}/jobs/${job.id}`);
  await follow(job.id, file);
}

const percent = (share) => `${Math.floor(100 * share)} %`;

async function follow(id, file) {
  work ??= { stop: new AbortController() };
  work.id = id;
  const job = await ended(id, work.stop.signal);
  work = null;
  if (job.state === "cancelled") return cancelled();
  if (job.state === "failed") throw new Problem(job.problem);
  const { showResult } = await import("./result.js");
  await showResult($("#result"), id, file);
  show("result", "another");
  $("#result h2").focus();
}

// The job once it has ended. The stream of events may break off; the job is asked then.
async function ended(id, signal) {
  for (let failures = 0; ; failures++) {
    const job = await (await request(`/api/v1/jobs/${id}`, { signal })).json();
    if (job.state !== "queued" && job.state !== "running") return job;
    if ($("#work").hidden) show("work");
    try {
      for await (const { name, data } of events(`/api/v1/jobs/${id}/events`, signal)) {
        if (name === "progress") progress(data);
        if (name === "end") break;
      }
    } catch (error) {
      if (error.name === "AbortError" || failures >= RETRIES) throw error;
    }
    if (failures) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function cancelled() {
  work = null;
  show("start");
  $("#chosen").textContent = "Cancelled. Nothing of the video is left on the server.";
}

async function cancel() {
  const { stop, id } = work;
  stop.abort();
  if (id) await request(`/api/v1/jobs/${id}`, { method: "DELETE" });
  history.replaceState(null, "", `${document.body.dataset.root}/`);
  cancelled();
}

input.addEventListener("change", chosen);
$("#upload").addEventListener("submit", (event) => {
  event.preventDefault();
  const [file] = input.files;
  guard(() => check(file));
});
$("#cancel").addEventListener("click", () => guard(cancel));
$("#token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set($("#token-field").value);
  $("#token-field").value = "";
  guard(afterToken);
});
$("[data-again]").addEventListener("click", () => {
  history.replaceState(null, "", `${document.body.dataset.root}/`);
  show("start");
  input.focus();
});
addEventListener("popstate", () => location.reload());

const drop = $("#drop");
for (const name of ["dragenter", "dragover"])
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
for (const name of ["dragleave", "drop"])
  drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  chosen();
});

const { job } = document.body.dataset;
if (job) guard(() => follow(job));
