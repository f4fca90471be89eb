// Results of several jobs as files: CSV, JSON, or a ZIP of reports.

import { request } from "./api.js";

const MOST = 500; // that the server puts into one file

// Makes the buttons of a part of the page work. idsOf: gives the jobs that are wanted.
// none: what to say where that is none.
export function offerExport(part, idsOf, none) {
  const said = part.querySelector("[data-exported]");
  for (const button of part.querySelectorAll("[data-export]"))
    button.addEventListener("click", async () => {
      const ids = idsOf();
      if (!ids.length) {
        said.textContent = none;
        return;
      }
      said.textContent = "Being made…";
      try {
        await save(ids, button.dataset.export);
        said.textContent = `${ids.length} result${ids.length === 1 ? "" : "s"} downloaded.`;
      } catch (problem) {
        said.textContent = `Not downloaded. ${problem.detail || problem.title || problem.message}`;
      }
    });
}

async function save(ids, format) {
  const parts = Math.ceil(ids.length / MOST);
  for (let part = 0; part < parts; part++) {
    const body = JSON.stringify({ ids: ids.slice(part * MOST, (part + 1) * MOST), format });
    const headers = { "Content-Type": "application/json" };
    const answer = await request("/api/v1/jobs/export", { method: "POST", headers, body });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `dfdetect-results${parts > 1 ? `-${part + 1}` : ""}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may still be asking where
  }
}
