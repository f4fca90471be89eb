// A list of several videos: they are sent one after the other, each row tells how far its own is.

import { Problem, follow, forget, upload } from "./api.js";
import { offerExport } from "./export.js";
import { counted } from "./words.js";
import { Row } from "./row.js";

const WAIT_S = 5; // where the server does not say for how long
const LONGEST_WAIT_S = 300; // a list that would wait longer stops, and says why
const MOST_WAITS = 20; // in a row
const URN = "urn:dfdetect:problem:";
// These are the server's state and not the file's: later the same file may be taken.
const LATER = [
  "busy",
  "quota-exceeded",
  "stopping",
  "too-many-requests",
  "unauthorized",
  "too-many-tries",
];

const later = (problem) =>
  problem.status === 0 || LATER.some((name) => problem.type === URN + name);

export class List {
  // part: of the page. key: where the tab keeps the list. maxBytes: of a file. atATime: how many
  // videos of a list may be on the server, so that its workers are busy and others find a place.
  constructor(part, key, { maxBytes, atATime }) {
    Object.assign(this, { part, key, maxBytes, atATime });
    this.rows = [];
    this.skipped = this.unread = 0;
    this.going = false;
    this.waits = 0; // since a video was taken last
    this.stopped = new AbortController();
    const find = (selector) => part.querySelector(selector);
    this.body = find("tbody");
    this.hold = find("#hold");
    find("[data-more]").addEventListener("click", () => document.querySelector("#video").click());
    find("[data-cancel-all]").addEventListener("click", () => this.cancel());
    find("[data-new-list]").addEventListener("click", () => this.clear());
    this.hold.querySelector("button").addEventListener("click", () => this.goOn());
    addEventListener("beforeunload", (event) => {
      if (this.rows.some((row) => row.unsent)) event.preventDefault();
    });
    const ended = () => this.rows.filter((row) => row.ended).map((row) => row.id);
    offerExport(part, ended, "There is no result to download yet.");
  }

  // videos: [{ file, path }]; the others were left out.
  add(videos, skipped, unread) {
    this.skipped += skipped;
    this.unread += unread;
    for (const { file, path } of videos) {
      const same = (row) => row.path === path && row.size === file.size;
      const lost = this.rows.find((row) => row.is("lost") && same(row));
      const row = lost ?? this.append({ path, size: file.size });
      row.file = file;
      if (file.size > this.maxBytes) row.set("too-large", { limit: this.maxBytes });
      else row.set("waiting");
    }
    this.tell();
    this.send();
  }

  append(what) {
    const row = new Row(this.part.querySelector("#row"), what, {
      remove: () => this.remove(row),
      retry: (again) => this.retry(row, again),
    });
    this.rows.push(row);
    this.body.append(row.element);
    return row;
  }

  // What was sent before the page was loaded anew; whether there is a list.
  restore() {
    if (this.rows.length) return true;
    const kept = JSON.parse(sessionStorage.getItem(this.key));
    if (!kept) return false;
    this.skipped = kept.skipped;
    for (const what of kept.rows) {
      const row = this.append(what);
      if (row.id) row.set("sent");
      else if (row.size > this.maxBytes) row.set("too-large", { limit: this.maxBytes });
      else row.set("lost");
    }
    this.tell();
    this.followKept(this.rows.filter((row) => row.id));
    return true;
  }

  // A few at a time: a long list asks for each once.
  async followKept(rows) {
    const next = async () => {
      for (let row = rows.shift(); row; row = rows.shift()) await this.followed(row);
    };
    await Promise.all(Array.from({ length: 4 }, next));
  }

  async send() {
    if (this.going) return;
    this.going = true;
    for (;;) {
      const onServer = this.rows.filter((row) => row.following);
      const row = this.rows.find((row) => row.is("waiting"));
      if (!row) break;
      if (onServer.length < this.atATime) await this.sendOne(row);
      else await Promise.race(onServer.map((row) => row.following));
    }
    this.going = false;
  }

  async sendOne(row) {
    const stop = (row.stop = new AbortController());
    row.set("uploading", { done: 0 });
    try {
      const told = (done) => row.is("uploading") && row.set("uploading", { done });
      const job = await upload(row.file, told, stop.signal, row.again);
      if (stop.signal.aborted) return await forget(job.id);
      Object.assign(row, { id: job.id, again: false, earlier: job.from_history });
      this.waits = 0;
      row.set("sent");
      this.keep();
      this.followed(row);
    } catch (problem) {
      if (stop.signal.aborted) return;
      if (!(problem instanceof Problem) || !later(problem)) return this.end(row, problem);
      row.set("waiting");
      await this.wait(problem);
    }
  }

  followed(row) {
    row.following = this.follow(row).finally(() => (row.following = null));
    return row.following;
  }

  async follow(row) {
    row.stop = new AbortController();
    try {
      const job = await follow(row.id, (told) => row.set("sent", told), row.stop.signal);
      row.job = job;
      if (job.state === "done") this.end(row);
      else this.end(row, new Problem(job.problem));
    } catch (error) {
      if (!row.stop.signal.aborted) this.end(row, error);
    }
  }

  end(row, problem) {
    if (!problem) row.set("done");
    else if (problem.status === 404) row.set("gone");
    else row.set("failed", problem);
    this.tell();
  }

  // Until the server takes videos again, or somebody says to go on.
  async wait(problem) {
    const seconds = problem.retryAfterS ?? WAIT_S;
    const stops = seconds > LONGEST_WAIT_S || ++this.waits > MOST_WAITS || problem.status === 401;
    const why = `${problem.title}. ${problem.detail}`;
    this.hold.hidden = false; // before its words: they are announced
    this.hold.querySelector("p").textContent = stops
      ? `Stopped. ${why}`
      : `Waiting. ${why} The list goes on by itself.`;
    this.stopped = new AbortController();
    await new Promise((resolve) => {
      this.stopped.signal.addEventListener("abort", resolve);
      if (!stops) setTimeout(resolve, Math.max(1, seconds) * 1000);
    });
    this.hold.hidden = true;
  }

  goOn() {
    this.waits = 0;
    this.stopped.abort();
    this.part.querySelector("h1").focus();
  }

  retry(row, again) {
    row.again = again;
    row.id = null;
    row.set("waiting");
    this.tell();
    this.send();
  }

  // Takes a row off the list, and what is not done yet off the server; a result stays there.
  async remove(row) {
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    this.rows.splice(this.rows.indexOf(row), 1);
    row.element.remove();
    (neighbour?.querySelector("[data-remove]") ?? this.part.querySelector("h1")).focus();
    if (!this.rows.some((one) => one.is("waiting"))) this.stopped.abort(); // nothing to wait for
    this.tell();
    await this.discard(row);
  }

  async discard(row) {
    const ended = row.ended;
    row.set("gone");
    row.stop?.abort();
    if (row.id && !ended) await forget(row.id).catch(() => {});
  }

  async cancel() {
    const open = this.rows.filter((row) => row.open);
    this.rows = this.rows.filter((row) => !row.open);
    for (const row of open) row.element.remove();
    this.stopped.abort();
    this.tell();
    this.part.querySelector("h1").focus();
    await Promise.all(open.map((row) => this.discard(row)));
  }

  async clear() {
    await this.cancel();
    sessionStorage.removeItem(this.key);
    location.href = "/";
  }

  keep() {
    const rows = this.rows.map(({ id, path, size, earlier }) => ({ id, path, size, earlier }));
    const kept = JSON.stringify({ rows, skipped: this.skipped });
    try {
      if (rows.length) sessionStorage.setItem(this.key, kept);
      else sessionStorage.removeItem(this.key);
    } catch {
      // A browser may forbid it: the list then ends with the page.
    }
  }

  // What is said once for each video that has ended, and not for each step of one.
  tell() {
    const closed = this.rows.filter((row) => !row.open);
    const counts = {};
    for (const { outcome } of closed) counts[outcome] = (counts[outcome] ?? 0) + 1;
    const parts = Object.entries(counts).map(([outcome, number]) => `${number} ${outcome}`);
    const rest = parts.length ? `: ${parts.join(", ")}` : "";
    const text = `${closed.length} of ${counted(this.rows.length, "video")} done${rest}.`;
    this.part.querySelector("#summary").textContent = text;
    document.title = `${closed.length} of ${this.rows.length} done – dfdetect`;
    const left = [];
    if (this.skipped) left.push(`${counted(this.skipped, "file")} skipped: by name no video.`);
    if (this.unread) left.push(`${counted(this.unread, "file")} could not be read.`);
    this.part.querySelector("#skipped").textContent = left.join(" ");
    this.part.querySelector("#skipped").hidden = !left.length;
    this.part.querySelector("[data-cancel-all]").hidden = closed.length === this.rows.length;
    const some = this.rows.some((row) => row.ended);
    for (const button of this.part.querySelectorAll("[data-export]")) button.disabled = !some;
    this.keep();
  }
}
