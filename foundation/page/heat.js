"use strict";
// What a cell of a heat map stands for, under the pointer.
for (const figure of document.querySelectorAll(".heat")) {
  const data = JSON.parse(figure.dataset.heat), picture = figure.querySelector("img"), told = figure.querySelector("output");
  const values = data.values.map((row) => row.split(" "));
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = (place, size, count) => Math.min(count - 1, Math.max(0, Math.floor((place / size) * count)));
    const row = at(event.clientY - box.top, box.height, data.rows.length);
    const column = at(event.clientX - box.left, box.width, data.xs.length);
    told.textContent = `${data.rows[row]}, ${data.x} ${data.xs[column].toLocaleString("en")}: ${values[row][column] || "–"}`;
  });
  picture.addEventListener("pointerleave", () => (told.textContent = ""));
}
