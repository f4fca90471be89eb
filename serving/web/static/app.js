// The page's way: choose a video, send it, follow its job, show the result. Several are a list,
// whose script is loaded when it is needed.

import { Problem, follow, forget, upload } from "./api.js";
import { counted, earlier, percent, size } from "./words.js";

const $ = (selector) => document.querySelector(selector);
// Of a server that ended, or is about to: what it did not get to may be sent once more.
const STOPPED = ["urn:dfdetect:problem:stopping", "urn:dfdetect:problem:interrupted"];
const PARTS = ["start", "problem", "work", "several", "result", "another", "not-taken", "earlier"];
const STAGES = ["upload", "queued", "decode", "faces", "model", "report"];

const LIST = "dfdetect-list"; // where this tab keeps its list
const limit = Number(document.body.dataset.maxBytes);
const input = $("#video");
const folder = $("#folder");
let work = null; // { stop: AbortController, id } of what is under way
let furthest = 0; // stage that has begun
let several = null; // { videos, skipped, unread } that were chosen, where it is not one file
let choosing = null; // a promise, until it is known what was chosen
let made = null; // the list, once it is needed
let again = location.hash === "#again"; // though the server has a result of it

function show(...names) {
  for (const id of PARTS) $(`#${id}`).hidden = !names.includes(id);
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

// Folders take a while to read: who says to check them meanwhile waits for that.
function choose(step) {
  input.required = false;
  choosing = guard(step);
}

// One file.
function chosen() {
  const [file] = input.files;
  const tooLarge = file?.size > limit;
  several = null;
  input.required = true;
  input.setCustomValidity(tooLarge ? "This file is too large." : "");
  const refused = tooLarge ? ": too large for this server" : "";
  tell(file ? `${file.name}, ${size(file.size)}${refused}.` : "", tooLarge);
  $("#check").textContent = "Check this video";
}

function tell(text, refused = false) {
  $("#chosen").classList.toggle("refused", refused);
  $("#chosen").textContent = text;
}

// files: [{ file, path }] of a folder, a drop, or a choice of several. unread: how many gave an
// error.
async function chooseSeveral(files, unread = 0) {
  const { videosOf } = await import("./files.js");
  const { videos, skipped } = videosOf(files, input.accept);
  if (!$("#several").hidden) {
    input.value = folder.value = ""; // or the same files could not be chosen again
    return (await list()).add(videos, skipped, unread);
  }
  several = videos.length ? { videos, skipped, unread } : null;
  input.required = !several;
  input.setCustomValidity(several ? "" : "Choose a video.");
  const number = counted(videos.length, "video");
  const bytes = videos.reduce((sum, { file }) => sum + file.size, 0);
  const others = skipped + unread ? ` ${counted(skipped + unread, "other file")} left out.` : "";
  if (several) tell(`${number}, ${size(bytes)}.${others}`);
  else if (files.length) tell(`No video among ${counted(files.length, "file")}.`, true);
  else tell("There is no file in it.", true);
  $("#check").textContent = several ? `Check ${number}` : "Check this video";
}

function list() {
  const { maxBytes, atATime } = document.body.dataset;
  const limits = { maxBytes: Number(maxBytes), atATime: Number(atATime) };
  made ??= import("./list.js").then(({ List }) => new List($("#several"), LIST, limits));
  return made;
}

async function checkSeveral() {
  const { videos, skipped, unread } = several;
  const shown = await list();
  shown.restore(); // a list that was there goes on
  history.pushState(null, "", "/#list");
  show("several");
  shown.add(videos, skipped, unread);
  $("#several h1").focus();
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
  const job = await staying(() => upload(file, told, stop.signal, again));
  if (stop.signal.aborted) return forget(job.id);
  again = false;
  const mark = job.from_history ? "#earlier" : "";
  history.pushState(null, "", `/jobs/${encodeURIComponent(job.id)}${mark}`);
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
  if (location.hash === "#earlier") tellEarlier(job, file);
  document.title = `${$("#result h1").textContent}: ${name} – dfdetect`;
  $("#result h1").focus();
}

function cancelled() {
  work = null;
  show("start");
  input.focus();
  $("#chosen").textContent = "Cancelled. Nothing of the video is kept.";
}

// The result was there before the file was sent; who has the file may have it analysed again.
function tellEarlier(job, file) {
  const [text, button] = $("#earlier").children;
  $("#earlier").hidden = false;
  text.textContent = earlier(job);
  button.onclick = () => {
    again = true;
    if (file) return guard(() => check(file));
    location.href = "/#again";
  };
}

async function cancel() {
  const { stop, id } = work;
  stop.abort();
  if (id) await forget(id);
  history.replaceState(null, "", "/");
  cancelled();
}

input.multiple = true; // the form without this script takes one
folder.parentElement.hidden = !("webkitdirectory" in folder);
input.addEventListener("change", () => {
  const files = [...input.files];
  if (files.length < 2 && $("#several").hidden) chosen();
  else choose(() => chooseSeveral(files.map((file) => ({ file, path: file.name }))));
});
folder.addEventListener("change", () => {
  const files = [...folder.files].map((file) => ({ file, path: file.webkitRelativePath }));
  choose(() => chooseSeveral(files));
});
$("#upload").addEventListener("submit", (event) => {
  event.preventDefault();
  guard(async () => {
    await choosing;
    if (several) await checkSeveral();
    else if (input.reportValidity()) await check(input.files[0]);
  });
});
$("#cancel").addEventListener("click", () => guard(cancel));
$("[data-resend]").addEventListener("click", () => guard(() => check(input.files[0])));
$("[data-again]").addEventListener("click", () => {
  history.replaceState(null, "", "/");
  show("start");
  input.focus();
});
addEventListener("popstate", () => location.reload());
// Its address would be another place in the history, for which the page is loaded again.
$(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("#main").focus();
});

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
  const given = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  if (!given.length) return;
  event.preventDefault();
  const items = given.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  if ($("#start").hidden && $("#several").hidden) return notTaken(items[0][1]);
  choose(() => take(items));
});

async function take(items) {
  const [[entry, file], ...more] = items;
  if (more.length || entry?.isDirectory || $("#start").hidden) {
    const { dropped } = await import("./files.js");
    const { files, unread } = await dropped(items);
    return chooseSeveral(files, unread);
  }
  const one = new DataTransfer();
  one.items.add(file);
  input.files = one.files;
  chosen();
}

function notTaken(file) {
  const why = "was not taken: this page is of one video. Drop it at the start.";
  $("#not-taken").textContent = `${file.name} ${why}`;
  $("#not-taken").hidden = false;
}

// A list that was made in this tab, before its page was loaded again or left.
async function showList() {
  const shown = await list();
  if (!shown.restore()) return history.replaceState(null, "", "/");
  show("several");
}

function keptList() {
  try {
    return sessionStorage.getItem(LIST);
  } catch {
    return null; // a browser may forbid it
  }
}

const { job } = document.body.dataset;
if (job) guard(() => watch(job));
else if (location.hash === "#list") guard(showList);
else {
  $("#anew").hidden = !again;
  $("#kept-list").hidden = !keptList();
}
