// What the history can do with a script: choose results, and save them as one file.

import { offerExport } from "./export.js";

const rows = [...document.querySelectorAll(".list [type=checkbox]")];
const all = document.querySelector("#all");

if (all) {
  for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;
  all.addEventListener("change", () => {
    for (const row of rows) row.checked = all.checked;
  });
  for (const row of rows)
    row.addEventListener("change", () => {
      const chosen = rows.filter((one) => one.checked).length;
      all.checked = chosen === rows.length;
      all.indeterminate = chosen > 0 && !all.checked;
    });
  const chosen = () => rows.filter((row) => row.checked).map((row) => row.value);
  offerExport(document, chosen, "Select the results first, by the boxes beside their names.");
}
