// Links to a result: made, copied, listed and revoked.

import { request } from "./api.js";
import { date } from "./words.js";

const HOUR_MS = 3600e3;

export async function offerShare(section) {
  const address = section.dataset.share;
  const [length, make, copy] = section.querySelectorAll("select, [data-make], [data-copy]");
  const said = section.querySelector("[role=status]");
  const made = section.querySelector(".made");
  const field = made.querySelector("input");
  let shown = null; // the id of the link in the field

  make.addEventListener("click", () =>
    guarded(async () => {
      const hours = Number(length.value);
      const headers = { "Content-Type": "application/json" };
      const share = await ask({ method: "POST", headers, body: JSON.stringify({ hours }) });
      const { id, url, expires } = await share.json();
      shown = id;
      field.value = new URL(url, location.href).href;
      made.hidden = false;
      await list();
      const early = Date.parse(expires) < Date.now() + (hours - 0.1) * HOUR_MS;
      const why = early ? ", when the result itself is deleted" : "";
      said.textContent = `The link works until ${date(expires)}${why}. It is shown only now.`;
    }),
  );
  copy.addEventListener("click", () =>
    guarded(async () => {
      field.select();
      // A page over plain HTTP has no clipboard of its own.
      if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
      else if (!document.execCommand("copy")) throw new Error("Copy the marked link yourself.");
      said.textContent = "Copied.";
    }),
  );
  await guarded(list);

  async function list() {
    const { shares } = await (await ask({})).json();
    section.querySelector(".links").hidden = !shares.length;
    section.querySelector(".links ul").replaceChildren(...shares.map(item));
  }

  function item({ id, created, expires }, n) {
    const made = document.createElement("li");
    const revoke = document.createElement("button");
    revoke.type = "button";
    revoke.className = "button small";
    revoke.textContent = "Revoke";
    revoke.setAttribute("aria-label", `Revoke link ${n + 1}, made ${date(created)}`);
    revoke.addEventListener("click", () => guarded(() => take(id)));
    made.append(`Made ${date(created)}, works until ${date(expires)} `, revoke);
    return made;
  }

  async function take(id) {
    await ask({ method: "DELETE" }, `/${encodeURIComponent(id)}`);
    if (id === shown) made.hidden = true;
    await list();
    make.focus(); // the button that had it is gone
    said.textContent = "Revoked. The link leads nowhere from now on.";
  }

  function ask(options, below = "") {
    return request(address + below, options);
  }

  async function guarded(step) {
    try {
      await step();
    } catch (problem) {
      said.textContent = `This did not work. ${problem.detail || problem.title || problem.message}`;
    }
  }
}
