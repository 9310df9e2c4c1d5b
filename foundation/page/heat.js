"use strict";
// Heat maps: what a cell stands for, under the pointer; of several, which one is shown.
(() => {
  // tells the cell under the pointer: `tell(row, column)` of a picture with so many rows and columns
  const listen = (figure, size, tell) => {
    const picture = figure.querySelector("img"), told = figure.querySelector("output");
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect(), [rows, columns] = size();
      const at = (place, length, count) => Math.min(count - 1, Math.max(0, Math.floor((place / length) * count)));
      told.textContent = tell(at(event.clientY - box.top, box.height, rows), at(event.clientX - box.left, box.width, columns));
    });
    picture.addEventListener("pointerleave", () => (told.textContent = ""));
  };
  for (const figure of document.querySelectorAll(".heat[data-heat]")) {
    const data = JSON.parse(figure.dataset.heat), values = data.values.map((row) => row.split(" "));
    listen(
      figure,
      () => [data.rows.length, data.xs.length],
      (row, column) => `${data.rows[row]}, ${data.x} ${data.xs[column].toLocaleString("en")}: ${values[row][column] || "–"}`,
    );
  }
  for (const figure of document.querySelectorAll(".heat[data-heats]")) {
    const data = JSON.parse(figure.dataset.heats), picture = figure.querySelector("img"), select = figure.querySelector("select");
    const names = figure.querySelector(".names"), unit = figure.querySelector(".unit"), colors = new Map();
    for (let place = 0; place * 6 < data.palette.length; place++) colors.set(parseInt(data.palette.slice(place * 6, place * 6 + 6), 16), place);
    let pixels = null;
    const group = () => data.groups[data.maps[select.value][0]];
    // the colours of the picture, read when they are first asked for
    const read = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height).data;
    };
    const share = (row, column) => {
      if (!picture.complete) return "–"; // the one that was chosen last is still being read
      pixels ||= read();
      const [red, green, blue, seen] = pixels.slice(4 * (row * data.xs.length + column));
      if (!seen) return "none";
      const place = colors.get((red << 16) | (green << 8) | blue), high = group().high;
      return `about ${Number((100 * data.low * (high / data.low) ** (place / (data.palette.length / 6 - 1))).toPrecision(2))}%`;
    };
    const show = () => {
      const { rows, scale } = group(), every = Math.ceil(rows.length / data.labels);
      pixels = null;
      picture.src = `data:image/png;base64,${data.maps[select.value][1]}`;
      figure.querySelector(".cells").style.setProperty("--rows", rows.length);
      names.replaceChildren(
        ...rows.map((name, place) => {
          const made = document.createElement("span");
          if (place % every === 0) made.textContent = name;
          return made;
        }),
      );
      unit.replaceChildren(scale[0], document.createElement("i"), `${scale[1]}, logarithmic`);
    };
    select.addEventListener("change", show);
    select.parentElement.hidden = false;
    listen(
      figure,
      () => [group().rows.length, data.xs.length],
      (row, column) => `${group().rows[row]}, ${data.x} ${data.xs[column].toLocaleString("en")}: ${share(row, column)}`,
    );
    show();
  }
})();
