"use strict";
// Curves: drag to zoom, a logarithm, a running mean, the values under the pointer, steps or what they are worth as x.
(() => {
  const SIDE = 1000, COLUMNS = 1200, NEAR = 7, SVG = "http://www.w3.org/2000/svg";
  const bar = document.querySelector(".curve-bar");
  if (!bar) return;
  const numbers = (text) => (text ? text.split(" ").map((each) => (each === "-" ? NaN : Number(each))) : []);
  const steps = (text) => {
    const found = [];
    let at = 0;
    for (const each of text ? text.split(" ") : []) {
      const [delta, times = 1] = each.split("*").map(Number);
      for (let n = 0; n < times; n++) found.push((at += delta));
    }
    return found;
  };
  // the first place whose value is not below x, of rising values
  const place = (values, x) => {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const nearest = (values, x) => {
    const right = Math.min(place(values, x), values.length - 1);
    return right > 0 && x - values[right - 1] < values[right] - x ? right - 1 : right;
  };
  const given = JSON.parse(bar.dataset.clocks);
  const clocks = given.clocks.map(([at, ...values]) => [steps(at), ...values.map(numbers)]);
  const [axis, slider] = [bar.querySelector("select"), bar.querySelector("input")];
  const whole = bar.querySelector("button"), width = bar.querySelector("output");
  const view = { axis: 0, frac: 0, span: null };
  // what steps of a run are worth on the chosen axis, between two known ones in a straight line
  const worth = (run, xs) => {
    if (!view.axis || !clocks[run]) return xs;
    const [known, values] = [clocks[run][0], clocks[run][view.axis]];
    return xs.map((x) => {
      const right = place(known, x);
      if (right === 0 || right === known.length) return values.length ? values[Math.min(right, values.length - 1)] : NaN;
      const share = (x - known[right - 1]) / (known[right] - known[right - 1]);
      return values[right - 1] + share * (values[right] - values[right - 1]);
    });
  };
  const few = (value, digits = 4) => {
    for (const [limit, suffix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(value) >= limit) return `${Number((value / limit).toPrecision(digits))}${suffix}`;
    if (value && Math.abs(value) < 1e-3) return value.toExponential(digits - 1).replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(digits)));
  };
  // labels of neighbours that differ, however near they are to each other
  const labelled = (values) => {
    const gap = values.length > 1 ? Math.abs(values[1] - values[0]) : 0, most = Math.max(...values.map(Math.abs));
    const digits = gap ? Math.min(12, Math.max(4, Math.ceil(Math.log10(most / gap)) + 2)) : 4;
    return values.map((value) => few(Math.abs(value) < 1e-9 * gap ? 0 : value, digits));
  };
  const exact = (value) =>
    Number.isInteger(value) || Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(5)));
  const ticks = (low, high, most = 6) => {
    const rough = (high - low) / most, decade = 10 ** Math.floor(Math.log10(rough));
    const step = decade * [1, 2, 2.5, 5, 10].find((each) => each * decade >= rough * 0.999);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(n * step);
    return found;
  };
  const logTicks = (low, high) => {
    const found = [];
    for (const marks of [[1, 2, 5], [1]]) {
      found.length = 0;
      for (let d = Math.floor(Math.log10(low)); d <= Math.ceil(Math.log10(high)); d++)
        for (const mark of marks) if (mark * 10 ** d >= low && mark * 10 ** d <= high) found.push(mark * 10 ** d);
      if (found.length <= 8) break;
    }
    if (found.length < 3) return ticks(low, high).filter((each) => each > 0);
    return found.filter((_, n) => n % Math.ceil(found.length / 8) === 0);
  };
  const make = (name, kind = "", text = "") => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text) made.textContent = text;
    return made;
  };
  const stroke = (kind, d) => {
    const made = document.createElementNS(SVG, "path");
    made.setAttribute("class", kind);
    made.setAttribute("d", d);
    return made;
  };
  // the mean of the means of each stretch within a width, weighed by how many values each is of
  const smoothed = (curve) => {
    if (!curve.means) return null;
    const half = Math.floor((view.frac * curve.means.length) / 2);
    if (half < 1) return { xs: curve.centers, ys: curve.means, half };
    const sums = [0], counts = [0];
    curve.means.forEach((mean, n) => {
      const count = curve.counts[n];
      sums.push(sums[n] + (count ? mean * count : 0));
      counts.push(counts[n] + count);
    });
    const ys = curve.means.map((_, n) => {
      const low = Math.max(0, n - half), high = Math.min(curve.means.length, n + half + 1), count = counts[high] - counts[low];
      return count ? (sums[high] - sums[low]) / count : NaN;
    });
    return { xs: curve.centers, ys, half };
  };
  const charts = [];
  const redraw = () => charts.forEach((chart) => chart.draw());
  const zoom = (span) => {
    view.span = span;
    whole.disabled = !span;
    redraw();
  };

  class Chart {
    constructor(room) {
      const data = JSON.parse(room.dataset.curves);
      this.log = data.log;
      this.kinds = data.kinds;
      this.hidden = new Set();
      this.marks = data.marks.map(([step, run, kind, text]) => ({ step, run, kind, text }));
      this.curves = data.curves.map((each) => ({ ...each, steps: steps(each.x), ys: numbers(each.values) }));
      for (const curve of this.curves.filter((each) => each.means)) {
        curve.centers = steps(curve.centers);
        curve.means = numbers(curve.means);
        const sums = steps(curve.counts);
        curve.counts = sums.map((sum, n) => sum - (n ? sums[n - 1] : 0));
      }
      room.querySelector("figure").hidden = true;
      this.build(room, data.y);
    }

    build(room, label) {
      const figure = make("figure", "chart live"), caption = make("figcaption");
      const keys = make("span", "keys");
      for (const [n, curve] of this.curves.entries())
        keys.append(this.toggle(n, `key c${curve.color}${curve.dots ? " dot" : ""}`, curve.name));
      for (const kind of Object.keys(this.kinds))
        if (this.marks.some((mark) => mark.kind === kind)) keys.append(this.toggle(kind, `key ${kind}`, this.kinds[kind]));
      const log = this.button("log", (pressed) => (this.log = pressed), this.log);
      const all = this.button("outliers", (pressed) => (this.outliers = pressed), false);
      all.title = "widen the axis to every value";
      log.title = "logarithmic axis";
      const switches = make("span", "switches");
      switches.append(log, all);
      caption.append(make("span", "unit", label), keys, switches);
      this.plot = make("div", "plot");
      this.svg = document.createElementNS(SVG, "svg");
      this.svg.setAttribute("viewBox", `0 0 ${SIDE} ${SIDE}`);
      this.svg.setAttribute("preserveAspectRatio", "none");
      this.over = document.createElementNS(SVG, "g");
      this.labels = make("div");
      this.told = make("div", "told");
      this.told.hidden = true;
      this.unit = make("div", "unit right");
      this.plot.append(this.labels, this.svg, this.told);
      figure.append(caption, this.plot, this.unit);
      room.append(figure);
      this.listen();
    }

    button(text, act, pressed) {
      const made = make("button", "switch", text);
      made.type = "button";
      made.setAttribute("aria-pressed", pressed);
      made.addEventListener("click", () => {
        const now = made.getAttribute("aria-pressed") !== "true";
        made.setAttribute("aria-pressed", now);
        act(now);
        this.draw();
      });
      return made;
    }

    toggle(key, kind, text) {
      const made = make("button", "key-button");
      made.type = "button";
      made.append(make("i", kind), text);
      made.addEventListener("click", () => {
        if (!this.hidden.delete(key)) this.hidden.add(key);
        made.classList.toggle("off", this.hidden.has(key));
        this.draw();
      });
      return made;
    }

    listen() {
      let from = null;
      const at = (event) => {
        const box = this.plot.getBoundingClientRect();
        return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      };
      this.plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        from = at(event);
        if (event.isTrusted) this.plot.setPointerCapture(event.pointerId);
      });
      this.plot.addEventListener("pointermove", (event) => {
        this.tell(at(event));
        if (from === null) return;
        const [low, high] = [Math.min(from, at(event)), Math.max(from, at(event))];
        this.over.append(stroke("area", `M${low * SIDE} 0H${high * SIDE}V${SIDE}H${low * SIDE}Z`));
      });
      this.plot.addEventListener("pointerup", (event) => {
        const to = at(event), [low, high] = [Math.min(from, to), Math.max(from, to)];
        const dragged = from !== null && (high - low) * this.plot.clientWidth > 5;
        from = null;
        if (dragged) zoom([this.x(low), this.x(high)]);
      });
      this.plot.addEventListener("pointercancel", () => (from = null));
      this.plot.addEventListener("pointerleave", () => {
        this.told.hidden = true;
        this.over.replaceChildren();
      });
      this.plot.addEventListener("dblclick", () => zoom(null));
    }

    x(share) {
      return this.span[0] + share * (this.span[1] - this.span[0]);
    }

    // what is drawn, on the axes of now
    lines() {
      const found = [];
      for (const [n, curve] of this.curves.entries()) {
        if (this.hidden.has(n)) continue;
        const raw = { name: curve.name, color: curve.color, dots: curve.dots, xs: worth(curve.run, curve.steps), ys: curve.ys };
        const mean = smoothed(curve);
        if (!mean || mean.half < 1) found.push({ ...raw, kind: "line" });
        else {
          found.push({ ...raw, kind: "thin" });
          found.push({ name: curve.name, color: curve.color, xs: worth(curve.run, mean.xs), ys: mean.ys, kind: "line", raw });
        }
      }
      return found;
    }

    draw() {
      this.drawn = this.lines();
      const ends = clocks.flatMap((clock) => [clock[view.axis][0], clock[view.axis].at(-1)]).filter(Number.isFinite);
      this.span = view.span || (ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1]);
      if (this.span[0] === this.span[1]) this.span = [this.span[0] - 0.5, this.span[1] + 0.5];
      const [bottom, top] = this.range();
      const scale = this.log ? Math.log : (y) => y;
      const [low, high] = [scale(bottom), scale(top)];
      this.height = (y) => SIDE * (1 - Math.min(1, Math.max(0, (scale(y) - low) / (high - low))));
      this.left = (x) => (SIDE * (x - this.span[0])) / (this.span[1] - this.span[0]);
      const yTicks = (this.log ? logTicks : ticks)(bottom, top);
      const across = Math.max(2, Math.min(6, Math.floor(this.plot.clientWidth / 70)));
      const xTicks = ticks(this.span[0], this.span[1], across);
      this.svg.replaceChildren(
        ...yTicks.map((tick) => stroke("grid", `M0 ${this.height(tick).toFixed(1)}H${SIDE}`)),
        ...this.happened(),
        ...this.drawn.filter((line) => line.kind === "thin").map((line) => this.path(line)),
        ...this.drawn.filter((line) => line.kind !== "thin").map((line) => this.path(line)),
        ...this.drawn.filter((line) => line.dots).map((line) => this.dots(line)),
        this.over,
      );
      this.label(yTicks, xTicks);
      this.unit.textContent = given.axes[view.axis];
    }

    label(yTicks, xTicks) {
      const [ySaid, xSaid] = [labelled(yTicks), labelled(xTicks)];
      this.labels.replaceChildren(
        ...yTicks.map((tick, n) => {
          const made = make("span", "y", ySaid[n]);
          made.style.top = `${this.height(tick) / (SIDE / 100)}%`;
          return made;
        }),
        ...xTicks.map((tick, n) => {
          const share = this.left(tick) / SIDE, made = make("span", share > 0.97 ? "x last" : "x", xSaid[n]);
          made.style.left = `${100 * share}%`;
          return made;
        }),
      );
    }

    // lowest and highest of what is seen; single outliers of raw values stop at the edge unless they are asked for
    range() {
      const seen = [];
      for (const line of this.drawn) {
        const from = Math.max(0, place(line.xs, this.span[0]) - 1), to = place(line.xs, this.span[1]) + 1;
        let ys = line.ys.slice(from, to).filter((y) => Number.isFinite(y) && (!this.log || y > 0));
        if (line.kind === "thin" && !this.outliers && ys.length >= 20) {
          ys.sort((one, other) => one - other);
          const cut = Math.floor(ys.length * 0.01);
          ys = ys.slice(cut, ys.length - cut);
        }
        for (const y of ys) seen.push(y);
      }
      if (!seen.length) return this.log ? [0.1, 1] : [0, 1];
      let low = seen[0], high = seen[0];
      for (const y of seen) [low, high] = [Math.min(low, y), Math.max(high, y)];
      if (high - low <= 1e-9 * Math.abs(high)) [low, high] = this.log ? [low / 2, high * 2] : [low - (Math.abs(low) * 0.05 || 0.5), high + (Math.abs(high) * 0.05 || 0.5)];
      if (this.log) return [low / (high / low) ** 0.03, high * (high / low) ** 0.03];
      const margin = 0.04 * (high - low);
      return [low >= 0 && low < 0.2 * high ? 0 : low - margin, high + margin];
    }

    // the points within sight and one beyond each end; of many in a column the lowest and the highest
    path(line) {
      const from = Math.max(0, place(line.xs, this.span[0]) - 1), to = Math.min(line.xs.length, place(line.xs, this.span[1]) + 1);
      const kept = [], thin = to - from > 4 * COLUMNS;
      let column = null, low = 0, high = 0;
      const flush = () => {
        if (column !== null) kept.push(...(low === high ? [low] : [Math.min(low, high), Math.max(low, high)]));
      };
      for (let n = from; n < to; n++) {
        if (!thin || !Number.isFinite(line.ys[n])) {
          flush();
          column = null;
          kept.push(n);
          continue;
        }
        const now = Math.floor((this.left(line.xs[n]) * COLUMNS) / SIDE);
        if (now !== column) {
          flush();
          [column, low, high] = [now, n, n];
        } else {
          if (line.ys[n] < line.ys[low]) low = n;
          if (line.ys[n] > line.ys[high]) high = n;
        }
      }
      flush();
      let d = "", pen = "M";
      for (const n of kept) {
        const y = line.ys[n];
        if (!Number.isFinite(y) || !Number.isFinite(line.xs[n]) || (this.log && y <= 0)) {
          pen = "M";
          continue;
        }
        d += `${pen}${this.left(line.xs[n]).toFixed(1)} ${this.height(y).toFixed(1)}`;
        pen = "L";
      }
      return stroke(`${line.kind} c${line.color}`, d);
    }

    dots(line) {
      const places = line.xs.map((x, n) => [x, line.ys[n]]).filter(([x, y]) => x >= this.span[0] && x <= this.span[1] && Number.isFinite(y) && (!this.log || y > 0));
      return stroke(`dots c${line.color}`, places.map(([x, y]) => `M${this.left(x).toFixed(1)} ${this.height(y).toFixed(1)}h0`).join(""));
    }

    happened() {
      this.seen = this.marks
        .filter((mark) => !this.hidden.has(mark.kind))
        .map((mark) => ({ ...mark, x: worth(mark.run, [mark.step])[0] }))
        .filter((mark) => mark.x >= this.span[0] && mark.x <= this.span[1]);
      return Object.keys(this.kinds).map((kind) => {
        const foot = kind === "skip" || kind === "level" ? `${SIDE}v-50` : `0V${SIDE}`;
        return stroke(kind, this.seen.filter((mark) => mark.kind === kind).map((mark) => `M${this.left(mark.x).toFixed(1)} ${foot}`).join(""));
      });
    }

    tell(share) {
      const x = this.x(share), across = this.plot.clientWidth, rows = [];
      for (const line of this.drawn) {
        if (line.kind === "thin") continue;
        const known = nearest(line.xs, x), beside = 0.02 * (this.span[1] - this.span[0]);
        if (!line.xs.length || x < line.xs[0] - beside || x > line.xs[line.xs.length - 1] + beside) continue;
        const value = Number.isFinite(line.ys[known]) ? exact(line.ys[known]) : "NaN";
        const raw = line.raw ? line.raw.ys[nearest(line.raw.xs, x)] : NaN;
        rows.push([`key c${line.color}`, line.name, line.raw ? `${value} (${Number.isFinite(raw) ? exact(raw) : "NaN"})` : value]);
      }
      for (const mark of this.seen.filter((each) => Math.abs((this.left(each.x) / SIDE - share) * across) < NEAR).slice(0, 4))
        rows.push([`key ${mark.kind}`, mark.text, ""]);
      this.over.replaceChildren(stroke("at", `M${share * SIDE} 0V${SIDE}`));
      this.told.replaceChildren(make("b", "", `${given.axes[view.axis]} ${view.axis ? few(x) : exact(Math.round(x))}`));
      for (const [kind, name, value] of rows) {
        const row = make("div");
        row.append(make("i", kind), make("span", "", name), make("span", "", value));
        this.told.append(row);
      }
      this.told.hidden = false;
      this.told.style.left = share < 0.5 ? `calc(${100 * share}% + 0.8rem)` : "auto";
      this.told.style.right = share < 0.5 ? "auto" : `calc(${100 * (1 - share)}% + 0.8rem)`;
    }
  }

  const setWidth = () => {
    const at = Number(slider.value);
    view.frac = at ? 0.0002 * 1000 ** (at / 100) : 0;
    width.textContent = at ? `${Number((100 * view.frac).toPrecision(2))}% of the run` : "none";
    redraw();
  };
  for (const room of document.querySelectorAll(".curves")) charts.push(new Chart(room));
  slider.addEventListener("input", setWidth);
  axis.addEventListener("change", () => {
    view.axis = Number(axis.value);
    zoom(null);
  });
  whole.addEventListener("click", () => zoom(null));
  let asked = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(redraw);
  });
  bar.hidden = false;
  setWidth();
})();
