// One map: its dots, the pictures that they become, and what the pointer does there.

import { select } from "d3-selection";
import "d3-transition";
import { zoom, zoomIdentity } from "d3-zoom";
import { ABSENT } from "./data.js";
import { leading, mixed, packed } from "./colours.js";
import { button, element } from "./page.js";
import { Raster } from "./raster.js";

const WORLD = 1000; // side of the map's box, in units of the zoom
const STEP = WORLD / (ABSENT - 1);
const NEAR = 1500; // dots become pictures when so many or fewer are in view
const SHEETS = 40; // most sheets of pictures that are looked up for one view, and kept

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Pane {
  constructor(app, host, number) {
    this.app = app;
    this.store = app.store;
    this.number = number;
    this.map = this.store.maps[0];
    this.drawn = []; // pictures of the last view: point, left, top, side
    this.inView = 0;
    this.box = element("div", { className: "pane" });
    this.dots = element("canvas", { className: "dots" });
    this.over = element("canvas", {
      className: "over",
      tabIndex: 0,
      role: "application",
      "aria-roledescription": "map",
    });
    this.chooser = element("select", { "aria-label": "Map" });
    for (const map of this.store.maps) this.chooser.append(element("option", { value: map.name }, map.name));
    this.lassoButton = button("Lasso", "Draw around images to select them (or hold Shift)", () => app.setLassoing(!app.lassoing));
    this.bar = element("div", { className: "bar" });
    this.bar.append(
      this.chooser,
      button("+", "Zoom in", () => this.by(1.6)),
      button("\u2212", "Zoom out", () => this.by(1 / 1.6)),
      button("All", "Show everything", () => this.fit()),
      this.lassoButton,
    );
    this.chooser.hidden = this.store.maps.length === 1;
    this.caption = element("p", { className: "caption quiet" });
    this.box.append(this.dots, this.over, this.caption, this.bar);
    host.append(this.box);
    this.raster = new Raster(this.dots);
    this.context = this.over.getContext("2d");
    this.zoom = zoom()
      .filter((event) => !app.lassoing && !event.shiftKey && !event.button && (event.type !== "wheel" || !event.ctrlKey || event.deltaY))
      .on("zoom", ({ transform, sourceEvent }) => {
        if (sourceEvent) this.whole = false;
        this.transform = transform;
        this.app.redraw(this);
      })
      .on("end", () => app.remember());
    this.transform = zoomIdentity;
    select(this.over).call(this.zoom);
    this.chooser.addEventListener("change", () => app.showMap(this, this.chooser.value));
    this.over.addEventListener("pointermove", (event) => this.hover(event));
    this.over.addEventListener("pointerleave", () => app.setHover(-1));
    this.over.addEventListener("click", (event) => this.click(event));
    this.over.addEventListener("keydown", (event) => this.key(event));
    this.over.addEventListener("focus", () => this.app.redraw(this));
    this.over.addEventListener("blur", () => this.app.redraw(this));
    this.listenForLasso();
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.box);
    this.resize();
  }

  remove() {
    this.watcher.disconnect();
    this.box.remove();
  }

  label() {
    const { n } = this.store;
    this.over.setAttribute(
      "aria-label",
      `Map ${this.map.name} of ${n} images. Arrow keys move it, plus and minus zoom, 0 shows everything, Enter keeps the image nearest to the middle.`,
    );
    this.caption.textContent = this.map.about || "";
  }

  // -- where things are --------------------------------------------------------------------------

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height) return;
    const view = this.whole ? null : this.width ? this.view() : this.wanted;
    this.width = width;
    this.height = height;
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.ratio = ratio;
    this.over.width = width * ratio;
    this.over.height = height * ratio;
    this.fine = this.store.n > 300000 ? 1 : ratio; // a million dots need no finer pixels
    this.raster.resize(Math.round(width * this.fine), Math.round(height * this.fine));
    this.zoom.extent([[0, 0], [width, height]]).scaleExtent([0.2 * this.least(), 0.008 / STEP * 1000]);
    if (view) this.look(view);
    else this.fit(false);
  }

  least() {
    return Math.min(this.width, this.height) / WORLD;
  }

  // What is in the middle, and how large: the same on every screen.
  view() {
    const { x, y, k } = this.transform;
    return [(this.width / 2 - x) / k, WORLD - (this.height / 2 - y) / k, k / this.least()];
  }

  look([u, v, size], fly = false) {
    this.wanted = [u, v, size];
    this.whole = false;
    if (!this.width) return;
    const k = size * this.least();
    const target = zoomIdentity.translate(this.width / 2 - u * k, this.height / 2 - (WORLD - v) * k).scale(k);
    this.go(target, fly);
  }

  go(target, fly = true) {
    const own = select(this.over);
    own.interrupt();
    if (fly && !still()) own.transition().duration(650).call(this.zoom.transform, target);
    else own.call(this.zoom.transform, target);
  }

  by(factor) {
    this.whole = false;
    const own = select(this.over);
    if (still()) own.call(this.zoom.scaleBy, factor);
    else own.transition().duration(180).call(this.zoom.scaleBy, factor);
  }

  // Show all points of a map, or some.
  fit(fly = true, points = null) {
    const { x, y } = this.map;
    let [left, right, bottom, top] = [ABSENT, 0, ABSENT, 0];
    const count = points ? points.length : x.length;
    for (let j = 0; j < count; j++) {
      const i = points ? points[j] : j;
      if (x[i] === ABSENT) continue;
      left = Math.min(left, x[i]);
      right = Math.max(right, x[i]);
      bottom = Math.min(bottom, y[i]);
      top = Math.max(top, y[i]);
    }
    if (right < left) [left, right, bottom, top] = [0, ABSENT - 1, 0, ABSENT - 1];
    const room = Math.min(56, this.width / 8, this.height / 8);
    const wide = Math.max(right - left, 200) * STEP;
    const high = Math.max(top - bottom, 200) * STEP;
    const k = Math.min((this.width - 2 * room) / wide, (this.height - 2 * room) / high);
    this.look([((left + right) / 2) * STEP, ((bottom + top) / 2) * STEP, k / this.least()], fly);
    this.whole = !points; // and stays so when the page changes its size
  }

  // Fly to a point, near enough to see its picture.
  flyTo(i) {
    if (this.map.x[i] === ABSENT) return;
    const size = Math.max(this.view()[2], this.store.n > 20000 ? 24 : 5);
    this.look([this.map.x[i] * STEP, this.map.y[i] * STEP, size], true);
  }

  // Pixels of a point on the screen, from the upper left of the map.
  screen(i) {
    const { x, y, k } = this.transform;
    return [x + k * this.map.x[i] * STEP, y + k * (WORLD - this.map.y[i] * STEP)];
  }

  // Whole numbers, as points have them, of a place on the screen.
  place(px, py) {
    const { x, y, k } = this.transform;
    return [(px - x) / k / STEP, (WORLD - (py - y) / k) / STEP];
  }

  radius() {
    const { n } = this.store;
    const start = n > 400000 ? 0.5 : n > 100000 ? 0.8 : n > 20000 ? 1.2 : n > 4000 ? 1.8 : 3;
    const size = this.transform.k / this.least();
    return Math.min(6, start * Math.max(1, size / 1.5) ** 0.5);
  }

  // -- drawing -----------------------------------------------------------------------------------

  draw() {
    if (!this.width) return;
    const { app, raster, map, fine } = this;
    const { x, y, k } = this.transform;
    const colours = app.style;
    raster.clear(packed(colours.paper));
    const how = {
      scale: k * STEP * fine,
      left: x * fine,
      top: (y + k * WORLD) * fine,
      radius: this.radius() * fine,
      turns: this.store.turns,
    };
    const mask = app.mask;
    this.inView = 0;
    if (mask) {
      const faint = packed(mixed(colours.paper, app.colours.palette.other, 0.35));
      this.inView += raster.draw(map.x, map.y, { ...how, ink: faint, mask, wanted: 0 });
    }
    this.inView += raster.draw(map.x, map.y, { ...how, ink: app.ink, mask, wanted: 1 });
    raster.show();
    this.drawOver();
  }

  drawOver() {
    const { app, context, ratio } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.drawPictures();
    const { text, accent, paper } = app.style;
    const ring = (i, colour, size) => {
      if (this.map.x[i] === ABSENT) return;
      const [px, py] = this.screen(i);
      const shown = this.drawn.find((one) => one.i === i);
      context.beginPath();
      if (shown) context.rect(shown.left - 2, shown.top - 2, shown.side + 4, shown.side + 4);
      else context.arc(px, py, this.radius() + size, 0, 7);
      context.lineWidth = 5;
      context.strokeStyle = paper;
      context.stroke();
      context.lineWidth = 2.5;
      context.strokeStyle = colour;
      context.stroke();
    };
    for (const i of app.hits.slice(0, 500)) ring(i, text, 3);
    if (app.pin >= 0) ring(app.pin, accent, 5);
    if (app.hovered >= 0) ring(app.hovered, accent, 3);
    if (this.lasso && this.lasso.length > 1) this.outline(this.lasso.map(([a, b]) => this.onScreen(a, b)));
    else if (app.lasso && app.lasso.map === this.map.name && app.lasso.points.length > 1) {
      this.outline(app.lasso.points.map(([a, b]) => this.onScreen(a, b)));
    }
    if (document.activeElement === this.over && this.over.matches(":focus-visible")) this.cross();
  }

  onScreen(a, b) {
    const { x, y, k } = this.transform;
    return [x + k * a * STEP, y + k * (WORLD - b * STEP)];
  }

  outline(points) {
    const { context } = this;
    context.beginPath();
    points.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
    context.closePath();
    context.setLineDash([6, 4]);
    context.lineWidth = 1.5;
    context.strokeStyle = this.app.style.text;
    context.stroke();
    context.setLineDash([]);
  }

  // The middle, from where the keyboard points.
  cross() {
    const { context } = this;
    const [mx, my] = [this.width / 2, this.height / 2];
    context.beginPath();
    for (const [a, b] of [[12, 4], [-12, -4]]) {
      context.moveTo(mx + a, my);
      context.lineTo(mx + b, my);
      context.moveTo(mx, my + a);
      context.lineTo(mx, my + b);
    }
    context.lineWidth = 2;
    context.strokeStyle = this.app.style.accent;
    context.stroke();
  }

  // Pictures at the dots, where few are in view: none lies upon another one.
  drawPictures() {
    this.drawn = [];
    const { app, store, map, context } = this;
    if (!store.places || !this.inView || this.inView > NEAR) return;
    const side = Math.round(Math.min(96, Math.max(36, Math.sqrt((this.width * this.height) / this.inView))));
    const taken = new Map();
    const files = new Set();
    const [left, top] = this.place(-side, this.height + side);
    const [right, bottom] = this.place(this.width + side, -side);
    const far = (px, py) => {
      const [column, row] = [Math.floor(px / side), Math.floor(py / side)];
      for (let a = column - 1; a <= column + 1; a++) {
        for (let b = row - 1; b <= row + 1; b++) {
          const other = taken.get(a * 100003 + b);
          if (other && Math.abs(other[0] - px) < side + 3 && Math.abs(other[1] - py) < side + 3) return false;
        }
      }
      taken.set(column * 100003 + row, [px, py]);
      return true;
    };
    const wanted = [];
    const first = [app.pin, ...app.hits.slice(0, 200)].filter((i) => i >= 0);
    const look = (i) => {
      if (map.x[i] < left || map.x[i] > right || map.y[i] < top || map.y[i] > bottom || map.x[i] === ABSENT) return;
      const [px, py] = this.screen(i);
      const picture = store.pictureOf(i);
      if (!picture || !far(px, py)) return;
      if (!files.has(picture.file) && files.size >= SHEETS) return;
      files.add(picture.file);
      wanted.push({ i, picture, left: px - side / 2, top: py - side / 2, side });
    };
    first.forEach(look);
    for (let i = 0; i < store.n; i++) if (!app.mask || app.mask[i]) look(i);
    const field = app.field;
    const only = app.onlyCodes(field);
    for (const one of wanted) {
      const sheet = store.sheet(one.picture.file);
      if (!sheet) continue;
      this.drawn.push(one);
      this.frame(one, field, only);
      const { x, y, side: cell } = one.picture;
      context.drawImage(sheet, x, y, cell, cell, one.left + 2, one.top + 2, side - 4, side - 4);
    }
    store.keepSheets(SHEETS);
  }

  // A frame in the colours of all of an image's values, side by side.
  frame({ i, left, top, side }, field, only) {
    const { app, store, context } = this;
    let shown;
    if (field.kind === "number") shown = [app.colours.scaled(field.numbers[i], field.common)];
    else {
      const codes = Array.from(store.codesOf(field, i));
      const best = leading(codes, only);
      const others = codes.filter((code) => code && code !== best && app.colours.of(code, only) !== app.colours.palette.other);
      shown = [best, ...others.slice(0, 3)].map((code) => app.colours.of(code, only));
    }
    shown.forEach((colour, part) => {
      context.fillStyle = colour;
      context.fillRect(left + (side * part) / shown.length, top, side / shown.length, side);
    });
  }

  // -- pointing ----------------------------------------------------------------------------------

  // The point at a place on the screen; -1: none.
  pick(px, py, reach = 8) {
    for (let j = this.drawn.length - 1; j >= 0; j--) {
      const one = this.drawn[j];
      if (px >= one.left && px < one.left + one.side && py >= one.top && py < one.top + one.side) return one.i;
    }
    const { x, y } = this.map;
    const mask = this.app.mask;
    const [a, b] = this.place(px, py);
    const far = (Math.max(reach, this.radius() + 3) / this.transform.k) / STEP;
    let best = far * far;
    let found = -1;
    for (let i = 0; i < x.length; i++) {
      const dx = x[i] - a;
      if (dx > far || dx < -far) continue;
      const dy = y[i] - b;
      const distance = dx * dx + dy * dy;
      if (distance < best && x[i] !== ABSENT && (!mask || mask[i])) {
        best = distance;
        found = i;
      }
    }
    return found;
  }

  // The points that are nearest to one on this map, itself left out.
  around(i, most) {
    const { x, y } = this.map;
    if (x[i] === ABSENT) return [];
    const found = []; // distance and point, the nearest first
    let far = Infinity;
    for (let j = 0; j < x.length; j++) {
      const distance = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2;
      if (distance >= far || j === i || x[j] === ABSENT) continue;
      let at = found.length;
      while (at > 0 && found[at - 1][0] > distance) at--;
      found.splice(at, 0, [distance, j]);
      if (found.length > most) found.pop();
      if (found.length === most) far = found[most - 1][0];
    }
    return found.map(([, j]) => j);
  }

  at(event) {
    const box = this.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  hover(event) {
    if (this.lasso || event.pointerType === "touch" || event.buttons) return;
    const place = this.at(event);
    const seen = [event.clientX, event.clientY];
    this.pointer = place;
    this.due ??= requestAnimationFrame(() => {
      this.due = null;
      this.app.setHover(this.pick(...this.pointer), seen);
    });
  }

  click(event) {
    if (this.app.lassoing || event.shiftKey) return;
    this.app.setPin(this.pick(...this.at(event), event.pointerType === "touch" ? 18 : 8));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    const own = select(this.over);
    if (event.key === "Enter") this.app.setPin(this.pick(this.width / 2, this.height / 2, 1e4));
    else if (event.key === "Escape") this.app.escape();
    else {
      if (move) {
        this.whole = false;
        own.call(this.zoom.translateBy, ...move.map((part) => part / this.transform.k));
      } else if (event.key === "+" || event.key === "=") this.by(1.6);
      else if (event.key === "-") this.by(1 / 1.6);
      else if (event.key === "0") this.fit();
      else return;
      this.app.nearest(this);
    }
    event.preventDefault();
  }

  // -- lasso -------------------------------------------------------------------------------------

  listenForLasso() {
    this.over.addEventListener("pointerdown", (event) => {
      if (!(this.app.lassoing || event.shiftKey) || event.button) return;
      event.preventDefault();
      this.over.focus({ preventScroll: true });
      this.over.setPointerCapture(event.pointerId);
      this.lasso = [this.place(...this.at(event))];
      this.app.setHover(-1);
    });
    this.over.addEventListener("pointermove", (event) => {
      if (!this.lasso) return;
      for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
        this.lasso.push(this.place(...this.at(one)));
      }
      this.app.redraw(this);
    });
    const end = () => {
      if (!this.lasso) return;
      const points = this.lasso.map((one) => one.map(Math.round));
      this.lasso = null;
      if (points.length > 2) this.app.setLasso({ map: this.map.name, points: thinned(points) });
      this.app.redraw(this);
    };
    this.over.addEventListener("pointerup", end);
    this.over.addEventListener("pointercancel", () => {
      this.lasso = null;
      this.app.redraw(this);
    });
  }
}

// At most 200 corners, so that a link can hold them.
function thinned(points) {
  const step = Math.ceil(points.length / 200);
  return points.filter((_, i) => i % step === 0);
}

// Mark the points of a map inside a polygon.
export function inside(map, polygon, mark) {
  const { x, y } = map;
  const xs = polygon.map((corner) => corner[0]);
  const ys = polygon.map((corner) => corner[1]);
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const n = polygon.length;
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i], y[i]];
    if (a < left || a > right || b < bottom || b > top || a === ABSENT) continue;
    let within = false;
    for (let j = 0, k = n - 1; j < n; k = j++) {
      if (ys[j] > b !== ys[k] > b && a < ((xs[k] - xs[j]) * (b - ys[j])) / (ys[k] - ys[j]) + xs[j]) within = !within;
    }
    if (within) mark[i] = 1;
  }
}
