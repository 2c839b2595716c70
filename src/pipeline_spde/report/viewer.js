"use strict";
// The map viewers of the page. What packing.py packs is unpacked here; nothing is fetched.

const mapStore = JSON.parse(document.getElementById("maps-json").textContent);
const unpackedArrays = new Map();

/** Return the values of a packed array (a promise): Float32Array on (time, lat, lon), NaN: none. */
function unpack(header) {
  if (!unpackedArrays.has(header.id)) unpackedArrays.set(header.id, unpackNow(header));
  return unpackedArrays.get(header.id);
}

async function unpackNow({ id, shape, offset, step }) {
  const text = atob(document.getElementById(`data-${id}`).textContent);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const [days, rows, columns] = shape;
  const size = days * rows * columns;
  const bits = Math.ceil(size / 8);
  const codes = new Uint16Array(size); // sums wrap at 2^16, as the differences did
  for (let k = 0; k < size; k++) codes[k] = raw[bits + k] | (raw[bits + size + k] << 8);
  for (let day = 0; day < days; day++) {
    const first = day * rows * columns;
    for (let k = first + columns; k < first + rows * columns; k++) codes[k] += codes[k - columns];
    for (let row = 0; row < rows; row++) {
      const start = first + row * columns;
      for (let k = start + 1; k < start + columns; k++) codes[k] += codes[k - 1];
    }
  }
  const values = new Float32Array(size);
  for (let k = 0; k < size; k++) {
    values[k] = (raw[k >> 3] >> (7 - (k & 7))) & 1 ? NaN : offset + step * codes[k];
  }
  return values;
}

const minus = (text) => text.replace("-", "\u2212");
const fixed = (value, decimals) => minus(value.toFixed(decimals)).replace(/^\u2212(0(\.0+)?)$/, "$1");
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function degrees(value, letters) {
  const wrapped = letters === "EW" ? ((((value + 180) % 360) + 360) % 360) - 180 : value;
  const number = Math.abs(wrapped).toFixed(2).replace(/\.?0+$/, "");
  return `${number}°${wrapped === 0 ? "" : ` ${letters[wrapped > 0 ? 0 : 1]}`}`;
}

function ticks(low, high, most) {
  const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 90, 180];
  const step = steps.find((candidate) => (high - low) / candidate <= most) ?? 180;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++) found.push(k * step);
  return found;
}

/** Numbers on a scale: as many decimals as tell its ends apart. */
function scaleText(value, low, high) {
  const decimals = Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(high - low || 1))));
  return fixed(value, decimals);
}

/** One map on a canvas, with degrees, colour bar and a cross where the reader points. */
class Panel {
  constructor(title, grid, onPoint) {
    this.grid = grid;
    this.figure = document.createElement("figure");
    this.figure.className = "panel";
    const caption = document.createElement("figcaption");
    const name = document.createElement("b");
    name.textContent = this.title = title;
    this.note = document.createElement("span");
    caption.append(name, this.note);
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "map");
    this.figure.append(caption, this.canvas);
    const point = (event) => {
      const place = this.placeAt(event.offsetX, event.offsetY);
      if (place) onPoint(place);
    };
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") point(event);
    });
    this.canvas.addEventListener("pointerdown", point);
    this.canvas.addEventListener("click", point);
  }

  /** Lay out for the width there is: margins for labels, the true aspect at the middle latitude. */
  layOut() {
    const { lat, lon } = this.grid;
    const half = (axis) => Math.abs(axis[1] - axis[0]) / 2 || 0.5;
    this.west = lon[0] - half(lon);
    this.east = lon[lon.length - 1] + half(lon);
    this.south = Math.min(lat[0], lat[lat.length - 1]) - half(lat);
    this.north = Math.max(lat[0], lat[lat.length - 1]) + half(lat);
    const middle = Math.max(-60, Math.min(60, (this.south + this.north) / 2));
    const aspect = (this.north - this.south) / (this.east - this.west) / Math.cos((middle * Math.PI) / 180);
    const width = this.canvas.clientWidth || 260;
    this.box = { x: 46, y: 6, w: width - 54 };
    this.box.h = Math.round(Math.min(this.box.w * aspect, 560));
    const height = this.box.h + 66;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const brush = this.canvas.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    return brush;
  }

  xOf(lon) { return this.box.x + ((lon - this.west) / (this.east - this.west)) * this.box.w; }
  yOf(lat) { return this.box.y + ((this.north - lat) / (this.north - this.south)) * this.box.h; }

  placeAt(x, y) {
    const { lat, lon } = this.grid;
    const column = Math.floor(((x - this.box.x) / this.box.w) * lon.length);
    const down = Math.floor(((y - this.box.y) / this.box.h) * lat.length);
    if (column < 0 || down < 0 || column >= lon.length || down >= lat.length) return null;
    return { row: lat[1] > lat[0] ? lat.length - 1 - down : down, column };
  }

  /** Draw values on (lat, lon); `scale` holds colours, low, high, unit and factor of its numbers. */
  draw(values, scale, land, place) {
    Object.assign(this, { values, scale, land });
    const brush = this.layOut();
    const { lat, lon } = this.grid;
    const picture = new OffscreenCanvas(lon.length, lat.length);
    const table = mapStore.colours[scale.colours];
    const image = new ImageData(lon.length, lat.length);
    for (let row = 0; row < lat.length; row++) {
      const down = lat[1] > lat[0] ? lat.length - 1 - row : row;
      for (let column = 0; column < lon.length; column++) {
        const k = row * lon.length + column;
        const pixel = 4 * (down * lon.length + column);
        let colour = [255, 255, 255];
        if (land && land[k] > 0.5) colour = [184, 184, 184];
        else if (!Number.isNaN(values[k])) {
          const share = (values[k] - scale.low) / (scale.high - scale.low);
          const entry = 3 * Math.max(0, Math.min(255, Math.floor(256 * share)));
          colour = [table[entry], table[entry + 1], table[entry + 2]];
        }
        image.data.set([...colour, 255], pixel);
      }
    }
    picture.getContext("2d").putImageData(image, 0, 0);
    brush.imageSmoothingEnabled = false;
    const { x, y, w, h } = this.box;
    brush.drawImage(picture, x, y, w, h);
    this.drawFrame(brush);
    this.drawBar(brush, table);
    if (place) this.drawCross(brush, place);
  }

  drawFrame(brush) {
    const { x, y, w, h } = this.box;
    brush.strokeStyle = brush.fillStyle = colourOf("--soft");
    brush.lineWidth = 1;
    brush.font = "11px system-ui, sans-serif";
    brush.strokeRect(x, y, w, h);
    brush.textAlign = "center";
    for (const value of ticks(this.west, this.east, Math.max(2, w / 70))) {
      brush.fillRect(this.xOf(value), y + h, 1, 4);
      const label = degrees(value, "EW");
      const room = brush.measureText(label).width / 2;
      brush.fillText(label, Math.min(this.xOf(value), x + w + 8 - room), y + h + 15);
    }
    brush.textAlign = "right";
    for (const value of ticks(this.south, this.north, Math.max(2, h / 45))) {
      brush.fillRect(x - 4, this.yOf(value), 4, 1);
      brush.fillText(degrees(value, "NS"), x - 6, Math.min(Math.max(this.yOf(value) + 4, y + 9), y + h));
    }
    const inner = this.grid.scored;
    if (inner) {
      brush.setLineDash([5, 4]);
      brush.strokeStyle = "#000";
      const left = this.xOf(inner.west);
      const top = this.yOf(inner.north);
      brush.strokeRect(left, top, this.xOf(inner.east) - left, this.yOf(inner.south) - top);
      brush.setLineDash([]);
    }
  }

  drawBar(brush, table) {
    const { x, w, h } = this.box;
    const y = this.box.y + h + 24;
    for (let k = 0; k < w; k++) {
      const entry = 3 * Math.min(255, Math.floor((256 * k) / w));
      brush.fillStyle = `rgb(${table[entry]},${table[entry + 1]},${table[entry + 2]})`;
      brush.fillRect(x + k, y, 1.5, 9);
    }
    brush.strokeStyle = brush.fillStyle = colourOf("--soft");
    brush.strokeRect(x, y, w, 9);
    const { low, high, factor, unit } = this.scale;
    const text = (value) => scaleText(factor * value, factor * low, factor * high);
    brush.textAlign = "left";
    brush.fillText(text(low), x, y + 22);
    brush.textAlign = "center";
    brush.fillText(`${text((low + high) / 2)} ${unit}`, x + w / 2, y + 22);
    brush.textAlign = "right";
    brush.fillText(text(high), x + w, y + 22);
  }

  drawCross(brush, { row, column }) {
    const x = this.xOf(this.grid.lon[column]);
    const y = this.yOf(this.grid.lat[row]);
    for (const [colour, width] of [["#fff", 4], ["#000", 1.5]]) {
      brush.strokeStyle = colour;
      brush.lineWidth = width;
      brush.beginPath();
      brush.arc(x, y, 6, 0, 2 * Math.PI);
      brush.stroke();
    }
  }

  valueAt({ row, column }) { return this.values[row * this.grid.lon.length + column]; }

  textAt(place) {
    const value = this.valueAt(place);
    const decimals = this.scale.decimals ?? 3;
    return Number.isNaN(value) ? "–" : `${fixed(value * this.scale.factor, decimals)} ${this.scale.unit}`;
  }
}

/** What both viewers share: a row of panels, the place pointed at, the read-out. */
class Viewer {
  constructor(root) {
    this.root = root;
    this.panels = [];
    this.place = null;
    this.read = root.querySelector(".read");
    this.row = root.querySelector(".panels");
    this.row.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.redraw()).observe(this.row);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  control(name) { return this.root.querySelector(`[name="${name}"]`); }

  /** Fill a list of choices, keeping what was chosen where it is still there. */
  choices(name, pairs) {
    const list = this.control(name);
    const before = list.value;
    list.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
    if (pairs.some(([value]) => String(value) === before)) list.value = before;
    list.closest("label").hidden = pairs.length === 0;
  }

  onKey(event) {
    const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === " " && this.toggle) this.toggle();
    else if (moves[event.key]) {
      const { lat, lon } = this.grid;
      const up = lat[1] > lat[0] ? 1 : -1;
      const old = this.place ?? { row: lat.length >> 1, column: lon.length >> 1 };
      const within = (value, size) => Math.max(0, Math.min(size - 1, value));
      this.point({
        row: within(old.row + up * moves[event.key][0], lat.length),
        column: within(old.column + moves[event.key][1], lon.length),
      });
    } else return;
    event.preventDefault();
  }

  point(place) {
    if (this.place && place.row === this.place.row && place.column === this.place.column) return;
    this.place = place;
    this.redraw();
  }

  /** Replace the panels when their titles or their grid change. */
  setPanels(titles) {
    const same = this.panels.length === titles.length
      && this.panels.every((panel, k) => panel.title === titles[k] && panel.grid === this.grid);
    if (same) return;
    this.panels = titles.map((title) => new Panel(title, this.grid, (place) => this.point(place)));
    for (const old of this.row.querySelectorAll(".panel")) old.remove();
    this.row.prepend(...this.panels.map((panel) => panel.figure));
  }

  redraw() {
    for (const panel of this.panels) {
      if (panel.values) panel.draw(panel.values, panel.scale, panel.land, this.place);
    }
    this.tell();
  }

  tell() {
    if (!this.place || !this.panels.length || !this.panels[0].values) {
      this.read.textContent = "Point at a map to read its values.";
      return;
    }
    const { row, column } = this.place;
    const where = `${degrees(this.grid.lat[row], "NS")}, ${degrees(this.grid.lon[column], "EW")}`;
    const land = this.panels[0].land;
    if (land && land[row * this.grid.lon.length + column] > 0.5) {
      this.read.textContent = `${where}: land`;
      return;
    }
    const values = this.panels.map((panel) => `${panel.title} ${panel.textAt(this.place)}`);
    this.read.textContent = `${where}: ${values.join(" · ")}`;
  }
}

const HEIGHT = { unit: "m", factor: 1, decimals: 3 };
const CENTIMETRES = { unit: "cm", factor: 100, decimals: 1 };

/** Maps of a domain: truth, observations, map, error, deviation and members, day by day. */
class MapViewer extends Viewer {
  constructor(root) {
    super(root);
    this.slider = this.control("day");
    this.button = root.querySelector(".play");
    this.canvas = root.querySelector(".series");
    this.choices("domain", Object.keys(mapStore.domains).map((name) => [name, name]));
    root.querySelector(".controls").addEventListener("change", () => this.choose());
    root.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
    this.slider.addEventListener("input", () => this.show());
    this.button.addEventListener("click", () => this.toggle());
    for (const step of root.querySelectorAll(".step")) {
      step.addEventListener("click", () => this.move(Number(step.dataset.step)));
    }
    this.choose();
  }

  /** Read the lists; fill those that depend on others. */
  choose() {
    this.domain = mapStore.domains[this.control("domain").value];
    const tasks = mapStore.tasks.filter((task) => this.domain.tasks[task]);
    this.choices("task", tasks.map((task) => [task, task]));
    this.methods = this.domain.tasks[this.control("task").value];
    const old = this.control("method").value;
    this.choices("method", Object.entries(this.methods).map(([name, one]) => [name, one.label]));
    if (!old) this.control("method").value = Object.keys(this.methods).at(-1);
    this.method = this.methods[this.control("method").value];
    const members = this.method.members.map((_, k) => [k, `member ${k + 1}`]);
    this.choices("member", members);
    const all = Object.values(this.methods);
    const fields = [["map", "map"]];
    if (this.domain.truth) fields.push(["error", "error"]);
    if (all.some((one) => one.std)) fields.push(["std", "standard deviation"]);
    this.choices("field", fields);
    const mode = this.control("mode").value;
    for (const label of this.root.querySelectorAll("[data-for]")) {
      const empty = label.querySelector("select").options.length === 0;
      label.hidden = label.dataset.for !== mode || empty;
    }
    this.setGrid();
    this.slider.max = this.domain.days.length - 1;
    this.show();
  }

  setGrid() {
    if (this.gridOf === this.domain) return;
    const { lat, lon, bounds, margin } = this.domain;
    const [west, east, south, north] = bounds;
    const round = east - west >= 359.9 ? 0 : margin;
    const scored = { west: west + round, east: east - round, south: south + margin, north: north - margin };
    this.grid = { lat, lon, scored: margin > 0 ? scored : null, box: scored };
    this.gridOf = this.domain;
    this.place = { row: lat.length >> 1, column: lon.length >> 1 };
  }

  /** Return what each panel shows: title, packed arrays, how they are combined, its scale. */
  wanted() {
    const { truth, observations, scales } = this.domain;
    const height = { ...scales.height, ...HEIGHT };
    const error = scales.error && { ...scales.error, ...CENTIMETRES };
    const std = scales.std && { ...scales.std, ...CENTIMETRES };
    const found = [];
    if (this.control("mode").value === "fields") {
      const member = this.method.members[Number(this.control("member").value)];
      if (truth) found.push({ title: "truth", parts: [truth], scale: height });
      if (observations) found.push({ title: "observations", parts: [observations], scale: height });
      found.push({ title: this.method.members.length ? "mean" : "map", parts: [this.method.map], scale: height });
      if (truth) found.push({ title: "error", parts: [this.method.map, truth], scale: error });
      if (this.method.std) found.push({ title: "standard deviation", parts: [this.method.std], scale: std });
      const number = Number(this.control("member").value) + 1;
      if (member) found.push({ title: `member ${number}`, parts: [member], scale: height });
      return found;
    }
    const field = this.control("field").value;
    if (truth && field === "map") found.push({ title: "truth", parts: [truth], scale: height });
    for (const one of Object.values(this.methods)) {
      if (field === "map") found.push({ title: one.label, parts: [one.map], scale: height });
      if (field === "error") found.push({ title: one.label, parts: [one.map, truth], scale: error });
      if (field === "std" && one.std) found.push({ title: one.label, parts: [one.std], scale: std });
    }
    return found;
  }

  async show() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const wanted = this.wanted();
    const arrays = await Promise.all(wanted.map((one) => Promise.all(one.parts.map(unpack))));
    const land = this.domain.land ? await unpack(this.domain.land) : null;
    if (turn !== this.turn) return;
    const day = Number(this.slider.value);
    this.root.querySelector(".date").textContent = this.domain.days[day];
    this.slider.setAttribute("aria-valuetext", this.domain.days[day]);
    const cells = this.grid.lat.length * this.grid.lon.length;
    this.setPanels(wanted.map((one) => one.title));
    wanted.forEach((one, k) => {
      const days = arrays[k].map((array) => array.subarray(day * cells, (day + 1) * cells));
      const values = days.length === 1 ? days[0] : days[0].map((value, cell) => value - days[1][cell]);
      const panel = this.panels[k];
      panel.values = values;
      panel.scale = one.scale;
      panel.land = land;
      const words = { 2: "RMSE", 1: "rms" }[one.parts.length];
      const size = one.scale.unit === "cm" ? `${words} ${fixed(100 * this.meanSquare(values), 1)} cm` : "";
      panel.note.textContent = size;
      const where = `${this.control("domain").value}, ${this.control("task").value}, ${this.domain.days[day]}`;
      panel.canvas.setAttribute("aria-label", `${one.title}: ${this.domain.quantity}, ${where}. ${size}`);
    });
    this.root.dataset.shown = `${this.domain.days[day]} ${wanted.map((one) => one.title).join(", ")}`;
    this.redraw();
  }

  /** Return the root mean square over the scored box, weighted by area. */
  meanSquare(values) {
    const { lat, lon, box } = this.grid;
    let sum = 0;
    let weights = 0;
    for (let row = 0; row < lat.length; row++) {
      if (lat[row] < box.south || lat[row] > box.north) continue;
      const weight = Math.cos((lat[row] * Math.PI) / 180);
      for (let column = 0; column < lon.length; column++) {
        const value = values[row * lon.length + column];
        if (lon[column] < box.west || lon[column] > box.east || Number.isNaN(value)) continue;
        sum += weight * value * value;
        weights += weight;
      }
    }
    return Math.sqrt(sum / weights);
  }

  move(step) {
    const count = this.domain.days.length;
    this.slider.value = (Number(this.slider.value) + step + count) % count;
    return this.show();
  }

  toggle() {
    const playing = this.button.getAttribute("aria-pressed") !== "true";
    this.button.setAttribute("aria-pressed", playing);
    this.button.firstElementChild.textContent = playing ? "❚❚" : "▶";
    this.button.querySelector(".word").textContent = playing ? "Pause" : "Play";
    this.read.setAttribute("aria-live", playing ? "off" : "polite");
    if (playing) this.play();
  }

  async play() {
    while (this.button.getAttribute("aria-pressed") === "true") {
      await this.move(1);
      await new Promise((done) => setTimeout(done, 350));
    }
  }

  redraw() {
    super.redraw();
    this.drawSeries();
  }

  /** Draw the heights of all days at the place pointed at: truth, map with 90 % interval, members. */
  async drawSeries() {
    const columns = getComputedStyle(this.row).gridTemplateColumns.split(" ").length;
    const left = columns - (this.panels.length % columns); // the rest of the last row
    this.canvas.parentElement.style.gridColumn = `span ${left}`;
    const { lat, lon } = this.grid;
    const cell = this.place.row * lon.length + this.place.column;
    const series = async (header) => {
      if (!header) return null;
      const values = await unpack(header);
      return this.domain.days.map((_, day) => values[day * lat.length * lon.length + cell]);
    };
    const single = this.control("mode").value === "fields";
    const shown = single ? [this.method] : Object.values(this.methods);
    const turn = (this.seriesTurn = (this.seriesTurn ?? 0) + 1);
    const [truth, seen, members, ...methods] = await Promise.all([
      series(this.domain.truth),
      series(this.domain.observations),
      Promise.all(single ? this.method.members.map(series) : []),
      ...shown.map((one) => Promise.all([series(one.map), series(single ? one.std : null)])),
    ]);
    if (turn !== this.seriesTurn) return;
    drawChart(this.canvas, this.domain.days, Number(this.slider.value), { truth, seen, members, methods, shown });
    this.drawLegend({ truth, seen, members, methods, shown });
  }

  drawLegend({ truth, seen, members, methods, shown }) {
    const entries = shown.map((one, k) => [one.colour, one.label + (methods[k][1] ? ", 90 % interval" : "")]);
    if (truth) entries.unshift([colourOf("--ink"), "truth"]);
    if (members.length) entries.push([shown[0].colour, "members (thin)"]);
    if (seen) entries.push([colourOf("--ink"), "○ observed"]);
    this.root.querySelector(".legend").replaceChildren(...entries.map(([colour, text]) => {
      const item = document.createElement("span");
      if (!text.startsWith("○")) {
        const line = document.createElement("i");
        line.style.borderColor = colour;
        item.append(line);
      }
      item.append(text);
      return item;
    }));
  }
}

/** Draw a chart of days: lines of methods with intervals, members, the truth, observed values. */
function drawChart(canvas, days, today, { truth, seen, members, methods, shown }) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const brush = canvas.getContext("2d");
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  const normal = 1.645;
  const bounds = ([map, std], sign) => map.map((value, k) => value + sign * normal * std[k]);
  const bands = methods.map((one) => one[1] && [bounds(one, -1), bounds(one, 1)]);
  const lines = [truth, seen, ...members, ...methods.map((one) => one[0]), ...bands.flat()];
  const known = lines.filter(Boolean).flat().filter((value) => !Number.isNaN(value));
  if (!known.length) return;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const pad = 0.06 * (high - low) || 0.01;
  const x = (k) => 46 + (k / Math.max(days.length - 1, 1)) * (width - 58);
  const y = (value) => 8 + ((high + pad - value) / (high - low + 2 * pad)) * (height - 34);
  const trace = (values, colour, thickness, alpha = 1) => {
    Object.assign(brush, { strokeStyle: colour, lineWidth: thickness, globalAlpha: alpha });
    brush.beginPath();
    values.forEach((value, k) => (k ? brush.lineTo(x(k), y(value)) : brush.moveTo(x(k), y(value))));
    brush.stroke();
    brush.globalAlpha = 1;
  };
  brush.fillStyle = colourOf("--line");
  brush.fillRect(x(today) - 1, 8, 2, height - 34);
  bands.forEach((band, k) => {
    if (!band) return;
    brush.beginPath();
    band[1].forEach((value, day) => (day ? brush.lineTo(x(day), y(value)) : brush.moveTo(x(day), y(value))));
    band[0].toReversed().forEach((value, day) => brush.lineTo(x(days.length - 1 - day), y(value)));
    Object.assign(brush, { fillStyle: shown[k].colour, globalAlpha: 0.22 });
    brush.fill();
    brush.globalAlpha = 1;
  });
  for (const member of members) trace(member, shown[0].colour, 1, 0.7);
  methods.forEach((one, k) => trace(one[0], shown[k].colour, 2.5));
  if (truth) trace(truth, colourOf("--ink"), 1.8);
  brush.strokeStyle = brush.fillStyle = colourOf("--ink");
  brush.lineWidth = 1.3;
  (seen ?? []).forEach((value, k) => {
    if (Number.isNaN(value)) return;
    brush.beginPath();
    brush.arc(x(k), y(value), 3.2, 0, 2 * Math.PI);
    brush.stroke();
  });
  brush.font = "11px system-ui, sans-serif";
  brush.fillStyle = colourOf("--soft");
  brush.textAlign = "right";
  for (const value of [low, (low + high) / 2, high]) brush.fillText(fixed(value, 2), 42, y(value) + 4);
  brush.fillText("m", 42, height - 6);
  const every = Math.max(1, Math.ceil(days.length / (width / 95)));
  brush.textAlign = "center";
  days.forEach((day, k) => {
    if (k % every) return;
    const room = brush.measureText(day).width / 2;
    brush.fillText(day, Math.max(46 + room - 10, Math.min(x(k), width - room)), height - 6);
  });
}

/** Maps of the parameters of the priors. */
class PriorViewer extends Viewer {
  constructor(root) {
    super(root);
    const named = Object.entries(mapStore.domains).filter(([, domain]) => domain.theta.length);
    this.choices("domain", named.map(([name]) => [name, name]));
    root.querySelector(".controls").addEventListener("change", () => this.show());
    this.show();
  }

  async show() {
    const domain = mapStore.domains[this.control("domain").value];
    this.choices("prior", domain.theta.map((prior, k) => [k, prior.title]));
    const prior = domain.theta[Number(this.control("prior").value)];
    this.choices("day", prior.days.map((day, k) => [k, day]));
    if (this.gridOf !== domain) {
      this.grid = { lat: domain.lat, lon: domain.lon, scored: null };
      this.gridOf = domain;
      this.place = null;
    }
    const arrays = await Promise.all(prior.fields.map(unpack));
    const land = domain.land ? await unpack(domain.land) : null;
    const cells = domain.lat.length * domain.lon.length;
    const day = Number(this.control("day").value);
    this.setPanels(prior.fields.map((field) => field.label));
    this.root.querySelector(".constants").textContent = prior.constants.length
      ? `The same everywhere: ${prior.constants.join("; ")}.` : "";
    prior.fields.forEach((field, k) => {
      const panel = this.panels[k];
      const { low, high } = field.scale;
      const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high)) || 1)));
      panel.values = arrays[k].subarray(day * cells, (day + 1) * cells);
      panel.scale = { ...field.scale, unit: field.unit, factor: 1, decimals };
      panel.land = land;
      panel.canvas.setAttribute("aria-label", `${field.label}, ${prior.title}, ${prior.days[day]}`);
    });
    this.redraw();
  }
}

if (document.getElementById("viewer")) {
  if ("DecompressionStream" in window) {
    window.mapViewer = new MapViewer(document.getElementById("viewer"));
    const theta = document.getElementById("theta");
    if (theta) window.priorViewer = new PriorViewer(theta);
  } else {
    document.getElementById("viewer").textContent =
      "This browser is too old for the maps: Chrome 103, Firefox 113 or Safari 16.4 show them.";
  }
}
