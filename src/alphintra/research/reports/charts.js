// The charts of a report: lines and candles over time, drawn as SVG from the numbers in the page.
// All charts of time share one view; whoever moves one moves all. No library, no network.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MINUTE = 60e3, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
  const LEFT = 8, RIGHT = 74, TOP = 10, BOTTOM = 26;
  const MOST_TRADES = 500, FEW_TRADES = 150; // all of so many are drawn, else the largest few

  const data = JSON.parse(document.getElementById("report-data").textContent);
  const full = data.view;
  const view = { from: full[0], to: full[1] };
  const charts = [];

  // ---- numbers as people read them -------------------------------------------------------------

  const grouped = (digits) => {
    const format = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" });
    return (value) => format.format(value).replace("-", "−");
  };
  const plain = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(grouped);
  const digitsFor = (step) => Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9)));

  const units = {
    money: { tick: (value, step) => Math.abs(value) >= 1e6 && step >= 1e4
        ? plain[step >= 1e6 ? 0 : step >= 1e5 ? 1 : 2](value / 1e6) + "M" : plain[Math.min(2, digitsFor(step))](value),
      tip: (value) => plain[2](value) },
    price: { tick: (value, step) => plain[digitsFor(step)](value),
      tip: (value) => plain[Math.abs(value) >= 100 ? 2 : 5](value) },
    percent: { tick: (value, step) => plain[digitsFor(step * 100)](value * 100) + " %",
      tip: (value) => plain[2](value * 100) + " %" },
    ratio: { tick: (value, step) => plain[Math.min(3, digitsFor(step))](value), tip: (value) => plain[2](value) },
  };

  const two = (number) => String(number).padStart(2, "0");
  const dateText = (at) => at.getUTCFullYear() + "-" + two(at.getUTCMonth() + 1) + "-" + two(at.getUTCDate());
  const clockText = (at) => two(at.getUTCHours()) + ":" + two(at.getUTCMinutes());
  const momentText = (ms) => {
    const at = new Date(ms);
    return ms % DAY === 0 ? dateText(at) : dateText(at) + " " + clockText(at);
  };

  // ---- scales ----------------------------------------------------------------------------------

  function niceStep(span, count) {
    const raw = span / count, power = Math.pow(10, Math.floor(Math.log10(raw)));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
  }

  function valueTicks(low, high, log, count) {
    if (log && high / low > 4) {
      const ticks = [];
      for (let power = Math.pow(10, Math.floor(Math.log10(low))); power <= high; power *= 10) {
        for (const factor of high / low > 100 ? [1] : [1, 2, 5]) {
          const value = factor * power;
          if (value >= low && value <= high) ticks.push([value, value]);
        }
      }
      return ticks;
    }
    const step = niceStep(high - low || Math.abs(high) || 1, count), ticks = [];
    for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number++) {
      ticks.push([number * step, step]);
    }
    return ticks;
  }

  const MONTH_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

  function timeTicks(from, to, count) {
    const span = (to - from) / count, ticks = [];
    if (span > 20 * DAY) {
      const months = [1, 2, 3, 6, 12, 24, 60, 120].find((number) => number * 30.5 * DAY >= span) || 240;
      const first = new Date(from), start = first.getUTCFullYear() * 12 + first.getUTCMonth();
      for (let month = Math.ceil(start / months) * months; ; month += months) {
        const ms = Date.UTC(Math.floor(month / 12), month % 12, 1);
        if (ms > to) return ticks;
        const january = month % 12 === 0;
        if (ms >= from) ticks.push([ms, january ? String(month / 12) : MONTH_NAMES[month % 12], january]);
      }
    }
    const step = [1, 2, 5, 10, 15, 30].map((n) => n * MINUTE)
      .concat([1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7, 14, 28].map((n) => n * DAY))
      .find((length) => length >= span) || 28 * DAY;
    const origin = step % (7 * DAY) === 0 ? 4 * DAY : 0; // weeks begin on a Monday
    for (let ms = Math.ceil((from - origin) / step) * step + origin; ms <= to; ms += step) {
      const at = new Date(ms), midnight = ms % DAY === 0;
      ticks.push([ms, midnight ? at.getUTCDate() + " " + MONTH_NAMES[at.getUTCMonth()] : clockText(at), midnight && step < DAY]);
    }
    return ticks;
  }

  /** The first place in an ascending array whose value is not below `value`. */
  function lowerBound(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  }

  function element(name, attributes, parent, text) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  }

  const short = (number) => number.toFixed(1);

  // ---- one chart -------------------------------------------------------------------------------

  class Chart {
    constructor(figure, spec) {
      this.spec = spec;
      this.figure = figure;
      this.width = this.height = 0; // known when drawn
      this.log = false;
      this.hidden = new Set();
      this.at = null; // the time under the pointer
      this.plot = figure.querySelector(".plot");
      this.tip = figure.querySelector(".tip");
      this.svg = element("svg", { "aria-hidden": "true" }, this.plot);
      this.unit = units[spec.unit];
      this.listen();
    }

    listen() {
      const toggle = this.figure.querySelector("[data-log]");
      if (toggle) toggle.addEventListener("click", () => {
        this.log = !this.log;
        toggle.setAttribute("aria-pressed", String(this.log));
        this.draw();
      });
      for (const button of this.figure.querySelectorAll("[data-series]")) {
        button.addEventListener("click", () => {
          const name = button.dataset.series, shown = this.hidden.has(name);
          if (shown) this.hidden.delete(name); else this.hidden.add(name);
          button.setAttribute("aria-pressed", String(shown));
          this.draw();
        });
      }
      let drag = null;
      this.plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        drag = { x: event.clientX, from: view.from, to: view.to };
        this.plot.setPointerCapture(event.pointerId);
      });
      this.plot.addEventListener("pointermove", (event) => {
        if (drag && event.buttons) {
          const moved = (drag.x - event.clientX) * (drag.to - drag.from) / this.pixels();
          if (Math.abs(drag.x - event.clientX) > 3) show(drag.from + moved, drag.to + moved);
        } else this.point(this.timeAt(event.clientX));
      });
      this.plot.addEventListener("pointerup", () => { drag = null; });
      this.plot.addEventListener("pointerleave", () => this.point(null));
      this.plot.addEventListener("dblclick", () => show(full[0], full[1]));
      this.plot.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey && !event.shiftKey && document.activeElement !== this.plot) return;
        event.preventDefault(); // a page still scrolls with the wheel until a chart has the focus
        zoom(Math.exp((event.deltaY || event.deltaX) * 0.002), this.timeAt(event.clientX));
      }, { passive: false });
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.plot.addEventListener("blur", () => this.point(null));
    }

    key(event) {
      const span = view.to - view.from;
      const acts = {
        "+": () => zoom(0.7, this.at), "=": () => zoom(0.7, this.at), "-": () => zoom(1 / 0.7, this.at),
        Home: () => show(full[0], full[1]), Escape: () => this.point(null),
        ArrowLeft: () => this.step(-1, event.shiftKey, span), ArrowRight: () => this.step(1, event.shiftKey, span),
      };
      if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      acts[event.key]();
    }

    /** Arrows move the crosshair by a hundredth of the view; with shift they move the view. */
    step(direction, wide, span) {
      if (wide) show(view.from + direction * span / 8, view.to + direction * span / 8);
      else this.point(Math.max(view.from, Math.min(view.to, (this.at ?? (view.from + view.to) / 2) + direction * span / 100)));
    }

    pixels() { return this.svg.getBoundingClientRect().width * (this.width - LEFT - RIGHT) / this.width; }

    timeAt(clientX) {
      const box = this.svg.getBoundingClientRect();
      const x = (clientX - box.left) / box.width * this.width;
      return view.from + (x - LEFT) / (this.width - LEFT - RIGHT) * (view.to - view.from);
    }

    x(ms) { return LEFT + (ms - view.from) / (view.to - view.from) * (this.width - LEFT - RIGHT); }

    y(value) {
      const scale = this.scaleLog ? Math.log : (number) => number;
      const part = (scale(value) - scale(this.low)) / (scale(this.high) - scale(this.low) || 1);
      return this.height - BOTTOM - part * (this.height - TOP - BOTTOM);
    }

    series() { return this.spec.series.filter((line) => !this.hidden.has(line.name)); }

    /** The rows of a series in the view, with one beyond each edge so that lines reach it. */
    rows(times) { return [Math.max(0, lowerBound(times, view.from) - 1), Math.min(times.length, lowerBound(times, view.to) + 1)]; }

    range() {
      let low = Infinity, high = -Infinity;
      for (const line of this.series()) {
        const times = data.times[line.times], [first, last] = this.rows(times);
        for (let row = first; row < last; row++) {
          const value = line.values[row];
          if (value === null) continue;
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
      return [low, high];
    }

    /** Draw in the size that the page gives; flatter on a narrow screen. */
    draw() {
      this.width = this.plot.clientWidth;
      if (!this.width) return; // another symbol is shown
      this.height = Math.round(this.spec.height * Math.max(0.6, Math.min(1, this.width / 1080)));
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.svg.style.aspectRatio = `${this.width} / ${this.height}`;
      let [low, high] = this.range();
      if (!(low <= high)) [low, high] = [0, 1];
      this.scaleLog = this.log && low > 0;
      if (this.spec.zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
      const margin = this.scaleLog ? 0 : (high - low || Math.abs(high) || 1) * 0.05;
      this.low = this.spec.zero && low === 0 ? 0 : low - margin;
      this.high = this.spec.zero && high === 0 ? 0 : high + margin;
      if (this.scaleLog) { this.low = low / 1.02; this.high = high * 1.02; }
      this.svg.replaceChildren();
      this.grid();
      const clip = `clip-${this.spec.id}`;
      element("rect", { x: LEFT, y: 0, width: this.width - LEFT - RIGHT, height: this.height - BOTTOM + 1 },
        element("clipPath", { id: clip }, this.svg));
      const marks = element("g", { "clip-path": `url(#${clip})` }, this.svg);
      this.marks(marks);
      this.cursor = element("g", {}, this.svg);
      this.point(this.at);
    }

    grid() {
      const right = this.width - RIGHT, bottom = this.height - BOTTOM;
      for (const [value, step] of valueTicks(this.low, this.high, this.scaleLog, this.height / 45 + 1)) {
        const y = short(this.y(value));
        element("line", { class: value === 0 ? "axis" : "grid", x1: LEFT, x2: right, y1: y, y2: y }, this.svg);
        element("text", { class: "tick", x: right + 8, y: Number(y) + 4 }, this.svg, this.unit.tick(value, step));
      }
      for (const [ms, text, strong] of timeTicks(view.from, view.to, Math.max(3, this.width / 115))) {
        const x = short(this.x(ms));
        if (x > right - 4) continue;
        element("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: bottom }, this.svg);
        element("text", { class: strong ? "tick strong" : "tick", x, y: bottom + 18, "text-anchor": x < LEFT + 20 ? "start" : "middle" }, this.svg, text);
      }
    }

    marks(parent) {
      const base = short(this.y(Math.max(this.low, Math.min(this.high, 0))));
      for (const line of this.series()) {
        const times = data.times[line.times], [first, last] = this.rows(times);
        let path = "", area = "", begun = null, x = 0;
        const close = () => { if (begun !== null) area += `L${short(x)},${base}L${begun},${base}Z`; begun = null; };
        for (let row = first; row < last; row++) {
          if (line.values[row] === null) { close(); continue; }
          x = this.x(times[row]);
          const point = `${short(x)},${short(this.y(line.values[row]))}`;
          path += (begun === null ? "M" : "L") + point;
          area += (begun === null ? "M" : "L") + point;
          if (begun === null) begun = short(x);
        }
        close();
        if (line.area) element("path", { class: `area ${line.style}`, d: area }, parent);
        element("path", { class: `line ${line.style}`, d: path }, parent);
      }
    }

    point(ms) {
      this.at = ms;
      this.cursor.replaceChildren();
      const known = ms !== null && ms >= view.from && ms <= view.to ? this.read(ms) : null;
      this.tip.hidden = !known;
      if (!known) return;
      const x = this.x(known.ms);
      element("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }, this.cursor);
      for (const [style, value] of known.dots) {
        element("circle", { class: `dot ${style}`, cx: x, cy: this.y(value), r: 3.5 }, this.cursor);
      }
      this.tip.replaceChildren(...known.lines.map(([style, name, text]) => {
        const row = document.createElement("div");
        const parts = [["name", name], ["value", text]];
        if (style) parts.unshift([`swatch ${style}`, ""]);
        for (const [kind, content] of parts) {
          const part = document.createElement("span");
          part.className = kind;
          part.textContent = content;
          row.appendChild(part);
        }
        return row;
      }));
      const right = x > this.width * 0.6;
      this.tip.style.left = right ? "auto" : `${x / this.width * 100 + 1.2}%`;
      this.tip.style.right = right ? `${100 - x / this.width * 100 + 1.2}%` : "auto";
    }

    read(ms) {
      const lines = [], dots = [];
      let moment = null;
      for (const line of this.series()) {
        const times = data.times[line.times];
        const row = Math.min(times.length - 1, lowerBound(times, ms));
        const before = row > 0 && ms - times[row - 1] < times[row] - ms ? row - 1 : row;
        if (moment === null) moment = times[before];
        const value = line.values[before];
        if (value === null || value === undefined) continue;
        dots.push([line.style, value]);
        lines.push([line.style, line.name, this.unit.tip(value)]);
      }
      return lines.length ? { ms: moment, dots, lines: [["", momentText(moment), ""], ...lines] } : null;
    }
  }

  // ---- candles and trades ----------------------------------------------------------------------

  class PriceChart extends Chart {
    /** As many candles as have room: neighbours are put together. */
    visible() {
      const candles = this.spec.candles, times = candles.times;
      const first = Math.max(0, lowerBound(times, view.from) - 1), last = Math.min(times.length, lowerBound(times, view.to) + 1);
      const group = Math.max(1, Math.ceil((last - first) / (this.width / 3.2)));
      const bars = [];
      for (let row = first; row < last; row += group) {
        const end = Math.min(row + group, last);
        let high = -Infinity, low = Infinity;
        for (let inner = row; inner < end; inner++) {
          if (candles.high[inner] > high) high = candles.high[inner];
          if (candles.low[inner] < low) low = candles.low[inner];
        }
        bars.push({ from: times[row], to: times[end - 1] + candles.length, open: candles.open[row], high, low, close: candles.close[end - 1] });
      }
      return bars;
    }

    range() {
      this.bars = this.visible();
      return [Math.min(...this.bars.map((bar) => bar.low)), Math.max(...this.bars.map((bar) => bar.high))];
    }

    marks(parent) {
      const paths = { up: "", down: "" };
      for (const bar of this.bars) {
        const left = this.x(bar.from), width = Math.max(0.8, (this.x(bar.to) - left) * 0.66);
        const x = this.x((bar.from + bar.to) / 2), top = this.y(Math.max(bar.open, bar.close)), foot = this.y(Math.min(bar.open, bar.close));
        const kind = bar.close >= bar.open ? "up" : "down";
        paths[kind] += `M${short(x)},${short(this.y(bar.high))}V${short(this.y(bar.low))}` +
          `M${short(x - width / 2)},${short(top)}h${short(width)}V${short(Math.max(foot, top + 0.6))}h${short(-width)}Z`;
      }
      for (const kind in paths) element("path", { class: `candle ${kind}`, d: paths[kind] }, parent);
      this.trades(parent);
    }

    trades(parent) {
      if (this.hidden.has("trades")) return;
      let shown = this.spec.trades.filter((trade) => trade.exit >= view.from && trade.entry <= view.to);
      const note = this.figure.querySelector(".hint"), all = shown.length;
      if (all > MOST_TRADES) shown = shown.sort((a, b) => Math.abs(b.pnl) - Math.abs(a.pnl)).slice(0, FEW_TRADES);
      note.textContent = all > MOST_TRADES ? `The ${FEW_TRADES} largest of ${plain[0](all)} trades in view; zoom in for all.` : "";
      this.shown = shown;
      for (const trade of shown) {
        const style = trade.pnl >= 0 ? "gain" : "loss";
        const [x1, x2, y1, y2] = [this.x(trade.entry), this.x(trade.exit), this.y(trade.entryPrice), this.y(trade.exitPrice)];
        element("line", { class: `trade ${style}`, x1: short(x1), x2: short(x2), y1: short(y1), y2: short(y2) }, parent);
        const up = trade.side > 0 ? 1 : -1;
        element("path", { class: "entry", d: `M${short(x1)},${short(y1)}l-4.5,${8 * up}h9Z` }, parent);
        element("circle", { class: `exit ${style}`, cx: short(x2), cy: short(y2), r: 3 }, parent);
      }
    }

    read(ms) {
      const bar = this.bars.find((candidate) => ms >= candidate.from && ms < candidate.to) ||
        this.bars[Math.min(this.bars.length - 1, lowerBound(this.bars.map((candidate) => candidate.from), ms))];
      if (!bar) return null;
      const lines = [["", momentText(bar.from), ""]];
      for (const name of ["open", "high", "low", "close"]) lines.push(["", name, this.unit.tip(bar[name])]);
      const near = 6 * (view.to - view.from) / (this.width - LEFT - RIGHT);
      const trades = (this.shown || []).filter((trade) => Math.abs(trade.entry - ms) < near || Math.abs(trade.exit - ms) < near);
      for (const trade of trades.slice(0, 4)) {
        const signed = (trade.pnl >= 0 ? "+" : "") + units.money.tip(trade.pnl);
        lines.push([trade.pnl >= 0 ? "gain" : "loss", `${trade.side > 0 ? "long" : "short"} ${trade.label}`, signed]);
      }
      return { ms: (bar.from + bar.to) / 2, dots: [], lines };
    }
  }

  // ---- the shared view -------------------------------------------------------------------------

  let waiting = false;
  function show(from, to) {
    const least = Math.max((full[1] - full[0]) / 5000, MINUTE);
    const span = Math.max(least, Math.min(full[1] - full[0], to - from));
    view.from = Math.max(full[0], Math.min(full[1] - span, from));
    view.to = view.from + span;
    for (const button of document.querySelectorAll("[data-span]")) {
      const length = Number(button.dataset.span) || full[1] - full[0];
      button.setAttribute("aria-pressed", String(Math.abs(length - span) < span * 0.01 && view.to >= full[1] - 1));
    }
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; charts.forEach((chart) => chart.draw()); });
  }

  function zoom(factor, centre) {
    const at = centre ?? (view.from + view.to) / 2;
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  }

  // ---- the page --------------------------------------------------------------------------------

  function sortTable(header, column) {
    const table = header.closest("table"), body = table.tBodies[0];
    const descending = header.getAttribute("aria-sort") !== "descending";
    const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
    const rows = [...body.rows].map((row) => [key(row), row]);
    const numeric = rows.every(([text]) => text === "" || !Number.isNaN(Number(text)));
    rows.sort(([a], [b]) => (numeric ? Number(a) - Number(b) : a.localeCompare(b)) * (descending ? -1 : 1));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  }

  for (const spec of data.charts) {
    const figure = document.getElementById(spec.id);
    charts.push(spec.candles ? new PriceChart(figure, spec) : new Chart(figure, spec));
  }
  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => show(full[1] - (Number(button.dataset.span) || full[1] - full[0]), full[1]));
  }
  for (const header of document.querySelectorAll("table.sortable th")) {
    header.querySelector("button").addEventListener("click", () => sortTable(header, header.cellIndex));
  }
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement.dataset;
    const dark = root.theme ? root.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.theme = dark ? "light" : "dark";
  });
  const picker = document.getElementById("symbol");
  if (picker) picker.addEventListener("change", () => {
    for (const figure of document.querySelectorAll("figure[data-symbol]")) figure.hidden = figure.dataset.symbol !== picker.value;
    show(view.from, view.to);
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) show(view.from, view.to);
    width = innerWidth;
  });
  show(full[0], full[1]);
  document.documentElement.dataset.ready = "yes";
})();
