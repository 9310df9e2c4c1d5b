"use strict";
// One text at a time, chosen or found by its words; what lies under the pointer is marked in every cut of the text.
for (const room of document.querySelectorAll(".cuts")) {
  const choice = room.querySelector(".choice"), select = choice.querySelector("select"), search = choice.querySelector("input");
  const output = choice.querySelector("output"), told = room.querySelector(".told"), texts = [...room.querySelectorAll(".cut")];
  const options = [...select.options], held = texts.map((text) => text.querySelector(".pieces").textContent.toLowerCase());
  const show = () => {
    texts.forEach((text, place) => (text.hidden = String(place) !== select.value));
    told.textContent = "\u00a0";
  };
  const find = () => {
    const words = search.value.toLowerCase();
    const found = options.filter((option) => held[Number(option.value)].includes(words));
    for (const option of options) option.hidden = option.disabled = !found.includes(option);
    output.textContent = words ? `${found.length} of ${options.length} texts` : "";
    if (found.length && !found.includes(select.selectedOptions[0])) select.value = found[0].value;
    show();
  };
  const next = () => {
    const open = options.filter((option) => !option.disabled);
    if (open.length) select.value = open[(open.indexOf(select.selectedOptions[0]) + 1) % open.length].value;
    show();
  };
  const spans = (pieces) => {
    let end = 0;
    return [...pieces.children].map((piece) => ({ piece, start: end, end: (end += piece.textContent.length) }));
  };
  const mark = (event) => {
    const piece = event.target.closest(".pieces i");
    if (!piece) return;
    for (const other of room.querySelectorAll(".here")) other.classList.remove("here");
    const text = piece.closest(".cut"), all = [...text.querySelectorAll(".pieces")].map(spans);
    const at = all.flat().find((span) => span.piece === piece);
    for (const span of all.flat()) span.piece.classList.toggle("here", span.start < at.end && span.end > at.start);
    const names = [...text.querySelectorAll(".by h4")].map((each) => each.firstChild.textContent.trim());
    told.textContent = all
      .map((each, place) => {
        const under = each.filter((span) => span.start < at.end && span.end > at.start);
        const ids = under.flatMap((span) => span.piece.title.split(" "));
        return `${names[place]}: ${ids.length} token${ids.length === 1 ? "" : "s"} (${ids.join(", ")})`;
      })
      .join("   ");
  };
  select.addEventListener("change", show);
  search.addEventListener("input", find);
  choice.querySelector("button").addEventListener("click", next);
  room.addEventListener("pointerover", mark);
  room.addEventListener("click", mark);
  choice.hidden = told.hidden = false;
  find();
}
