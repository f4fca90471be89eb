// A video of a list, and its row in the table.

import { earlier, estimate, percent, size } from "./words.js";

const OPEN = ["waiting", "uploading", "sent"];

export class Row {
  // template: of the row. what: { path, size }, and { id, earlier } of one that was sent before.
  // actions: { remove(), retry(again) }.
  constructor(template, what, actions) {
    Object.assign(this, { id: null, earlier: false, again: false, file: null, job: null }, what);
    this.state = "waiting";
    this.following = null; // a promise, while the server has the video and no result
    this.actions = actions;
    this.element = template.content.firstElementChild.cloneNode(true);
    const [name, bytes] = this.element.querySelectorAll("span");
    name.textContent = this.path;
    bytes.textContent = size(this.size);
  }

  is(state) {
    return this.state === state;
  }

  // Neither done nor failed.
  get open() {
    return OPEN.includes(this.state);
  }

  get unsent() {
    return this.is("waiting") || this.is("uploading");
  }

  // Whether the server knows how it ended.
  get ended() {
    return Boolean(this.id) && (this.is("done") || this.is("failed"));
  }

  // As the summary counts it.
  get outcome() {
    if (this.is("done")) return this.chip(this.job.verdict).textContent.trim();
    return { failed: "failed", lost: "not sent", gone: "gone" }[this.state] ?? "too large";
  }

  // told: what `shown` needs for the state.
  set(state, told = {}) {
    const drawn = JSON.stringify([state, told]);
    if (drawn === this.drawn) return; // what moves in it goes on
    Object.assign(this, { state, drawn });
    this.element.querySelector(".state").replaceChildren(...this.shown(told));
    const hash = this.job ? `SHA-256 ${this.job.sha256}` : "";
    this.element.querySelector(".hash").textContent = hash;
    this.offer();
  }

  shown(told) {
    switch (this.state) {
      case "waiting":
        return [text("Waiting")];
      case "uploading":
        return [text(`Uploading, ${percent(told.done)}`), bar(told.done)];
      case "sent":
        return [text(stage(told)), bar(told.stage === "queued" ? 0 : told.done)];
      case "done":
        return this.result();
      case "too-large":
        return failure("Too large", `Not sent: this server takes ${size(told.limit)} at most.`);
      case "lost":
        return failure("Not sent", "The page was loaded again: choose the file once more.");
      case "gone":
        return failure("Gone", "The server has it no longer.");
      default:
        return failure("Failed", `${told.title ?? "Something went wrong"}. ${told.detail ?? ""}`);
    }
  }

  result() {
    const { verdict, probability_fake: score } = this.job;
    const link = document.createElement("a");
    link.href = `/jobs/${encodeURIComponent(this.id)}${this.earlier ? "#earlier" : ""}`;
    link.target = "_blank"; // to leave the page would end the uploads of the rest
    const chip = this.chip(verdict);
    const kind = verdict === "DEMO" ? "score " : "";
    if (score !== null) chip.lastElementChild.append(`, ${kind}${estimate(score)}`);
    const beside = document.createElement("span");
    beside.className = "unseen";
    beside.textContent = `: result of ${this.path}, in a new tab`;
    link.append(chip, beside);
    const beneath = [];
    if (this.job.models_disagree) beneath.push(text("The models disagree"));
    if (this.earlier) beneath.push(text(earlier(this.job)));
    return [link, ...beneath];
  }

  chip(verdict) {
    const template = document.querySelector(`template[data-verdict="${verdict}"]`);
    return template.content.firstElementChild.cloneNode(true);
  }

  offer() {
    const cell = this.element.lastElementChild;
    const wanted = [];
    if (this.is("failed") && this.file)
      wanted.push(["Try again", () => this.actions.retry(false), "retry"]);
    if (this.is("done") && this.earlier && this.file)
      wanted.push(["Analyse again", () => this.actions.retry(true), "again"]);
    wanted.push([this.open ? "Cancel" : "Remove", this.actions.remove, "remove"]);
    const names = wanted.map(([name]) => name).join();
    if (cell.dataset.offered === names) return; // a button that has the focus keeps it
    cell.dataset.offered = names;
    cell.replaceChildren(...wanted.map((one) => this.button(...one)));
  }

  button(name, action, kind) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = name;
    button.dataset[kind] = "";
    button.setAttribute("aria-label", `${name}: ${this.path}`);
    button.addEventListener("click", () => action());
    return button;
  }
}

// What the server does with a video, in the words that the page has for its steps.
function stage({ stage: name = "queued", position, detail }) {
  if (name === "queued" && position) return `In the queue, place ${position}`;
  const words = document.querySelector(`[data-stage="${name}"]`).textContent;
  return detail ? `${words}: ${detail}` : words;
}

function text(words) {
  const span = document.createElement("span");
  span.className = "said";
  span.textContent = words;
  return span;
}

function failure(name, why) {
  const strong = document.createElement("strong");
  strong.textContent = name;
  return [strong, text(why)];
}

// The words beside it say the same.
function bar(done) {
  const made = document.createElement("progress");
  made.setAttribute("aria-hidden", "true");
  if (done !== null && done !== undefined) made.value = done;
  return made;
}
