"use strict";
// Clouds of points: which one, at which step, the word of the point under the pointer, those with some letters marked.
(() => {
  const SVG = "http://www.w3.org/2000/svg", NEAR = 24;
  for (const figure of document.querySelectorAll(".scatter")) {
    const data = JSON.parse(figure.dataset.clouds), bar = figure.querySelector(".choice"), told = figure.querySelector(".told");
    const select = bar.querySelector("select"), slider = bar.querySelector("input[type=range]"), search = bar.querySelector("input[type=search]");
    const output = bar.querySelector("output"), svg = figure.querySelector("svg"), grid = svg.querySelector(".grid");
    const caption = figure.querySelector("figcaption"), side = svg.viewBox.baseVal.width, hidden = new Set();
    let points = [];
    const cloud = () => data.clouds[select.value];
    const dots = (kind, chosen) => {
      const made = document.createElementNS(SVG, "path");
      made.setAttribute("class", kind);
      made.setAttribute("d", chosen.map(({ x, y }) => `M${x} ${y}h0`).join(""));
      return made;
    };
    const draw = () => {
      const { words, kinds, names, steps, frames, looks } = cloud(), look = looks[slider.value], letters = search.value.toLowerCase();
      const at = (place) => (look[place] === "-" ? NaN : parseInt(look.slice(place, place + 2), 36));
      points = words.map((word, n) => ({ word, kind: parseInt(kinds[n], 36), x: at(4 * n), y: at(4 * n + 2) }));
      points = points.filter(({ x, kind }) => Number.isFinite(x) && !hidden.has(kind));
      const found = letters ? points.filter(({ word }) => word.toLowerCase().includes(letters)) : [];
      svg.classList.toggle("sought", letters !== "");
      svg.replaceChildren(
        grid,
        ...names.map((_, kind) => dots(`dots c${kind}`, points.filter((point) => point.kind === kind))),
        ...names.map((_, kind) => dots(`dots found c${kind}`, found.filter((point) => point.kind === kind))),
      );
      output.textContent = `${data.x} ${steps[slider.value].toLocaleString("en")}${letters ? `, ${found.length} of ${points.length} points` : ""}${points.length ? "" : ", not finite"}`;
      const [least, most, x, y] = frames[slider.value];
      figure.querySelector(".least").textContent = least;
      figure.querySelector(".most").textContent = most;
      grid.setAttribute("d", `M0 ${y}H${side}M${x} 0V${side}`);
      told.hidden = true;
    };
    const choose = () => {
      const { names, kinds, steps } = cloud();
      hidden.clear();
      slider.max = steps.length - 1;
      slider.value = slider.max;
      slider.disabled = steps.length < 2;
      caption.replaceChildren(
        ...names.flatMap((name, kind) => {
          if (!kinds.includes(kind.toString(36))) return [];
          const made = document.createElement("button"), key = document.createElement("i");
          [made.type, made.className, key.className] = ["button", "key-button", `key dot c${kind}`];
          made.append(key, name);
          made.addEventListener("click", () => {
            if (!hidden.delete(kind)) hidden.add(kind);
            made.classList.toggle("off", hidden.has(kind));
            draw();
          });
          return [made];
        }),
      );
      draw();
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = side / box.width;
      const [left, top] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const far = ({ x, y }) => Math.hypot(x - left, y - top);
      const nearest = points.reduce((best, point) => (best && far(best) <= far(point) ? best : point), null);
      told.hidden = !nearest || far(nearest) > NEAR * scale;
      if (told.hidden) return;
      told.textContent = nearest.word;
      told.style.left = `${(100 * nearest.x) / side}%`;
      told.style.top = `${(100 * nearest.y) / side}%`;
      told.classList.toggle("left", nearest.x > 0.7 * side);
    });
    svg.addEventListener("pointerleave", () => (told.hidden = true));
    select.addEventListener("change", choose);
    slider.addEventListener("input", draw);
    search.addEventListener("input", draw);
    select.parentElement.hidden = data.clouds.length < 2;
    bar.hidden = false;
    choose();
  }
})();
