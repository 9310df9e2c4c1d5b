"use strict";
// One slider for each histogram of a page: how much another limit would take. The numbers lie beside it, as JSON.
for (const box of document.querySelectorAll(".explorer")) {
  const data = JSON.parse(box.dataset.histogram);
  const slider = box.querySelector("input"), says = box.querySelector("output"), bars = box.querySelectorAll("rect");
  const sum = (column, from, to) => data[column].slice(from, to).reduce((a, b) => a + b, 0);
  const all = sum("documents", 0, data.documents.length);
  const share = (n) => (all ? (100 * n) / all : 0).toFixed(2) + "%";
  const show = () => {
    const at = Number(slider.value);
    // below a least limit goes what lies before its edge; above a greatest one what lies behind it
    const [from, to] = data.side === "least" ? [0, at] : [at, data.documents.length];
    const gone = sum("documents", from, to), alone = sum("alone", from, to), bytes = sum("utf8_bytes", from, to);
    const edge = at < data.labels.length ? data.labels[at] : "all";
    says.textContent =
      `${data.side === "least" ? "below" : "from"} ${edge}: ${gone.toLocaleString("en")} document${gone === 1 ? " goes" : "s go"} (${share(gone)}), ` +
      `${alone.toLocaleString("en")} of them for this alone; ${(bytes / 1e6).toFixed(1)} MB of text`;
    bars.forEach((bar, place) => {
      const first = place * data.per_bar;
      bar.classList.toggle("gone", first >= from && first < to);
    });
  };
  slider.addEventListener("input", show);
  slider.disabled = false;
  show();
}
