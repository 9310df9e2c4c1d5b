"use strict";
// Sliders of histograms: what another limit would take, of which source, which samples, and what to type for it.
const grouped = (n) => n.toLocaleString("en");
const sized = (bytes) => {
  const steps = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; bytes >= 1000 && at < steps.length - 1; at++) bytes /= 1000;
  return `${bytes.toFixed(at ? 1 : 0)} ${steps[at]}`;
};
const unpacked = (text) =>
  (text ? text.split(" ") : []).map((entry) => {
    const [place, documents, bytes, alone = documents] = entry.split(",").map((each) => parseInt(each, 36));
    return { place, documents, bytes, alone };
  });
for (const room of document.querySelectorAll(".explorers")) {
  const choice = room.querySelector("select"), all = room.querySelector(".typed.all");
  const moved = new Map(); // explorer -> what to type
  const shows = [];
  for (const box of room.querySelectorAll(".explorer")) {
    const data = JSON.parse(box.dataset.histogram);
    const sources = Object.entries(data.sources).map(([source, text]) => [source, unpacked(text)]);
    const slider = box.querySelector("input"), output = box.querySelector("output"), words = box.querySelector(".says b");
    const typed = box.querySelector(".typed"), bars = [...box.querySelectorAll("rect")];
    const samples = [...box.querySelectorAll("li[data-place]")], height = box.querySelector("svg").viewBox.baseVal.height;
    const hasLimit = box.querySelector("path") !== null, isLeast = data.end === "least";
    const goes = (place, at) => (isLeast ? place < at : place > at);
    const draw = (rows) => {
      const counts = bars.map(() => 0);
      for (const row of rows) counts[row.place] += row.documents;
      const most = Math.log1p(Math.max(...counts, 1));
      bars.forEach((bar, place) => {
        const tall = (height * Math.log1p(counts[place])) / most;
        bar.setAttribute("y", height - tall);
        bar.setAttribute("height", tall);
      });
    };
    const show = () => {
      const at = Number(slider.value), source = choice ? choice.value : "", edge = data.edges[at];
      const rows = sources.filter(([name]) => !source || name === source).flatMap(([, each]) => each);
      draw(rows);
      const sum = (column, chosen) => chosen.reduce((total, row) => total + row[column], 0);
      const gone = rows.filter((row) => goes(row.place, at)), documents = sum("documents", gone), of = sum("documents", rows);
      const isMoved = at !== data.start;
      words.textContent = isMoved || hasLimit ? (edge ? `at ${data.end} ${Number(edge).toLocaleString("en", { maximumSignificantDigits: 6 })}` : "no limit") : "no limit is set";
      output.textContent =
        `${grouped(documents)} of ${grouped(of)} document${of === 1 ? "" : "s"} ${isMoved ? "would go" : documents === 1 ? "goes" : "go"} ` +
        `(${(of ? (100 * documents) / of : 0).toFixed(2)}%), ${grouped(sum("alone", gone))} for this alone, ${sized(sum("bytes", gone))} of text`;
      bars.forEach((bar, place) => bar.classList.toggle("gone", goes(place, at)));
      for (const sample of samples) {
        const now = goes(Number(sample.dataset.place), at), before = sample.classList.contains("goes");
        sample.hidden = source !== "" && sample.dataset.source !== source;
        sample.classList.toggle("changed", now !== before);
        sample.querySelector("i").textContent = now !== before ? (now ? "would go" : sample.dataset.alone ? "would stay" : "would pass") : sample.className.split(" ")[0];
      }
      const line = isMoved && edge && data.setting ? data.setting.replace("{}", edge) : "";
      typed.hidden = !line;
      typed.querySelector("code").textContent = line;
      if (line) moved.set(box, line);
      else moved.delete(box);
      all.hidden = moved.size < 2;
      all.querySelector("code").textContent = [...moved.values()].join(" ");
    };
    slider.addEventListener("input", show);
    slider.disabled = false;
    shows.push(show);
    show();
  }
  if (choice) {
    choice.disabled = false;
    choice.addEventListener("change", () => shows.forEach((show) => show()));
  }
}
// who follows a link to a limit wants its samples
const unfold = () => {
  const named = location.hash.slice(1);
  let target = document.getElementById(named);
  try {
    target ||= document.getElementById(decodeURIComponent(named));
  } catch {
    // what somebody typed, such as `#%`, encodes no name
  }
  const samples = target && target.classList.contains("explorer") && target.querySelector("details");
  if (samples) samples.open = true;
};
window.addEventListener("hashchange", unfold);
unfold();
