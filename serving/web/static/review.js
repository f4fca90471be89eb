// A review of a result: what the video really is, and the visitor's own copy if they leave it.

import { request } from "./api.js";

// file: the visitor's video, if it is at hand.
export function offerReview(section, file) {
  const address = section.dataset.review;
  const keep = section.querySelector("#review-keep");
  const labels = section.querySelectorAll("[data-label]");
  const back = section.querySelector("[data-withdraw]");
  const said = section.querySelector("[role=status]");
  let busy = false;
  keep.parentElement.hidden = !file;

  for (const button of labels)
    button.addEventListener("click", () =>
      ask(async () => {
        const body = new FormData();
        body.append("label", button.dataset.label);
        if (file && keep.checked) body.append("video", file);
        const review = await (await request(address, { method: "POST", body })).json();
        back.hidden = false;
        return review.detail;
      }),
    );
  back.addEventListener("click", () =>
    ask(async () => {
      await request(address, { method: "DELETE" });
      labels[0].focus(); // the button that had it goes
      back.hidden = true;
      return "Taken back. The video is not kept.";
    }),
  );

  async function ask(work) {
    if (busy) return;
    busy = true;
    said.textContent = "Sending…";
    try {
      said.textContent = await work();
    } catch (problem) {
      said.textContent = `This did not work. ${problem.detail || problem.title || problem.message}`;
    }
    busy = false;
  }
}
