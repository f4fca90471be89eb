// A face picture in large, beside it the same with the heat map.

// Shows what a button holds in a dialog of the result.
export function openLarge(dialog, button) {
  const [plain, heat] = button.querySelectorAll("img");
  dialog.querySelector("h2").textContent = button.dataset.large;
  dialog.querySelector("[data-plain]").replaceChildren(plain.cloneNode());
  const heated = dialog.querySelector("[data-heated]");
  heated.hidden = dialog.querySelector(".heat-legend").hidden = !heat;
  if (heat) heated.querySelector(".picture").replaceChildren(plain.cloneNode(), heat.cloneNode());
  dialog.showModal();
}
