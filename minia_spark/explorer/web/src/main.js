// The map's page. Data come from map-data.js and the parts that it names: see data.js.

import { Colours, packed } from "./colours.js";
import { csv } from "./csv.js";
import { Store } from "./data.js";
import { Legend } from "./legend.js";
import { amount, button, count, element, link, own, save, seen } from "./page.js";
import { Pane, inside } from "./pane.js";
import { Table } from "./table.js";

export { part } from "./data.js";

const LISTED = 50; // hits of a search that are listed
const NEAREST = 10; // images that are shown with a chosen one
const byId = (id) => document.getElementById(id);

class App {
  constructor(site) {
    this.store = new Store(site);
    this.colours = new Colours(site.palette);
    this.ink = new Uint32Array(this.store.n).fill(packed(site.palette.other));
    this.mask = null; // 1: shown in its colour, 0: in grey; null: all are shown
    this.only = new Map(); // field -> values, or ends, that are shown alone
    this.field = this.store.fields[0];
    this.lasso = null;
    this.lassoing = false;
    this.selected = null; // points
    this.found = ""; // text whose hits are selected
    this.pin = -1;
    this.hovered = -1;
    this.hits = [];
    this.panes = [];
    this.waiting = new Set();
    this.times = {};
    this.readTheme();
    this.legend = new Legend(this, byId("colours"));
    this.store.onsheet = () => this.redraw();
    this.connect();
    this.addPane();
  }

  get ready() {
    return this.complete === true;
  }

  // -- start -------------------------------------------------------------------------------------

  async start() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    this.quiet = true;
    const [pane] = this.panes;
    const view = numbersOf(wanted.get("view"), 3);
    const map = this.store.maps.findIndex((one) => one.name === wanted.get("map"));
    if (map > 0) pane.map = this.store.maps[map];
    pane.chooser.value = pane.map.name;
    pane.label();
    if (view) pane.look(view);
    this.field = this.store.fields.find((field) => field.name === wanted.get("colour")) ?? this.field;
    this.legend.show();
    const first = this.store.loadMap(this.store.maps.indexOf(pane.map), (chunk) => {
      if (!view && pane.whole !== false) pane.fit(false);
      this.paint(chunk.base, chunk.base + chunk.n);
      this.redraw();
    });
    const colour = this.colour();
    try {
      await Promise.all([first, colour]);
      if (this.store.pictures) await this.store.loadPlaces();
      await this.restore(wanted);
    } catch (error) {
      this.say(error.message, true);
      throw error;
    }
    this.quiet = false;
    this.complete = true;
    this.times.complete = performance.now();
    this.refresh();
    this.remember();
  }

  async restore(wanted) {
    for (const [key, text] of wanted) {
      if (!key.startsWith("only.")) continue;
      const field = this.store.fields.find((one) => one.name === key.slice(5));
      if (!field) continue;
      await this.store.loadField(field);
      if (field.kind === "number") {
        const ends = numbersOf(text, 2);
        if (ends) this.only.set(field.name, ends);
      } else {
        const values = wanted.getAll(key).filter((value) => field.codeOf.has(value));
        if (values.length) this.only.set(field.name, new Set(values));
      }
    }
    if (wanted.get("two") !== null) {
      const second = this.store.maps.find((map) => map.name === wanted.get("two")) ?? this.store.maps[0];
      await this.setTwo(true, second.name, numbersOf(wanted.get("view2"), 3));
    }
    const corners = (wanted.get("lasso") || "").split(",");
    const on = this.store.maps.find((map) => map.name === corners[0]);
    const values = corners.slice(1).map(Number);
    if (on && values.length >= 6 && values.every(Number.isFinite)) {
      const points = [];
      for (let i = 0; i + 1 < values.length; i += 2) points.push([values[i], values[i + 1]]);
      await this.setLasso({ map: on.name, points });
    }
    if (wanted.get("found")) await this.selectFound(wanted.get("found"));
    if (wanted.get("image")) {
      const found = await this.store.search(wanted.get("image"), true);
      const own = found.find((i) => this.store.batchOf(i).name === wanted.get("batch")) ?? found[0];
      if (own !== undefined) this.setPin(own);
    }
  }

  // Put what is seen into the address.
  remember() {
    if (this.quiet || !this.complete) return;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.write(), 150);
  }

  async write() {
    const seenAs = (pane) => {
      const [u, v, size] = pane.view();
      return [u.toFixed(3), v.toFixed(3), Number(size.toPrecision(5))].join(",");
    };
    const words = new URLSearchParams();
    const [one, two] = this.panes;
    words.set("map", one.map.name);
    words.set("view", seenAs(one));
    words.set("colour", this.field.name);
    if (two) {
      words.set("two", two.map.name);
      words.set("view2", seenAs(two));
    }
    for (const [name, only] of this.only) {
      if (only instanceof Set) for (const value of only) words.append(`only.${name}`, value);
      else words.set(`only.${name}`, only.join(","));
    }
    if (this.lasso) words.set("lasso", [this.lasso.map, ...this.lasso.points.flat()].join(","));
    if (this.found) words.set("found", this.found);
    if (this.pin >= 0) {
      words.set("image", await this.store.name(this.pin));
      words.set("batch", this.store.batchOf(this.pin).name); // another one may have an image of that name
    }
    this.address = `#${words}`;
    history.replaceState(null, "", this.address);
  }

  // -- style -------------------------------------------------------------------------------------

  readTheme() {
    let chosen = null;
    try {
      chosen = localStorage.getItem("minia-theme");
    } catch {
      // a page from a file may have no storage
    }
    const system = matchMedia("(prefers-color-scheme: dark)");
    this.setTheme(chosen ?? (system.matches ? "dark" : "light"), false);
    system.addEventListener("change", () => this.setTheme(system.matches ? "dark" : "light", false));
    byId("theme").addEventListener("click", () => this.setTheme(this.colours.dark ? "light" : "dark", true));
  }

  setTheme(name, keep) {
    document.documentElement.dataset.theme = name;
    this.colours.dark = name === "dark";
    const own = getComputedStyle(document.documentElement);
    const colour = (key) => own.getPropertyValue(`--${key}`).trim();
    this.style = { paper: colour("paper"), text: colour("text"), accent: colour("accent") };
    this.colours.strong = this.style.text;
    if (keep) {
      try {
        localStorage.setItem("minia-theme", name);
      } catch {
        // it is then forgotten
      }
    }
    if (!this.legend) return;
    this.paint(0, this.store.n);
    this.legend.show();
    this.redraw();
  }

  // -- colours and what is shown -----------------------------------------------------------------

  onlyCodes(field) {
    const only = this.only.get(field.name);
    if (!(only instanceof Set)) return null;
    return new Set([...only].map((name) => field.codeOf.get(name)));
  }

  paint(start, end) {
    this.colours.paint(this.store, this.field, this.onlyCodes(this.field), this.ink, start, end);
  }

  colour() {
    const { field } = this;
    return this.store
      .loadField(field, (chunk) => {
        if (field !== this.field) return;
        this.paint(chunk.base, chunk.base + chunk.n);
        this.redraw();
      })
      .then(() => {
        if (field === this.field) this.paint(0, this.store.n);
        this.redraw();
      });
  }

  async setColour(name) {
    this.field = this.store.fields.find((field) => field.name === name) ?? this.field;
    this.legend.show();
    await this.colour();
    this.refresh();
    if (this.pin >= 0) this.showPicked(); // the colour of its value
    this.remember();
  }

  toggle(name, value) {
    const now = new Set(this.only.get(name) ?? []);
    if (!now.delete(value)) now.add(value);
    this.setOnly(name, now.size ? now : null);
  }

  setOnly(name, only) {
    if (only) this.only.set(name, only);
    else this.only.delete(name);
    this.refresh();
    this.remember();
  }

  // Work out which points are shown in their colours.
  refresh() {
    const { store } = this;
    const { n } = store;
    const tests = [...this.only].map(([name, only]) => {
      const field = store.fields.find((one) => one.name === name);
      if (field.kind === "number") return (i) => field.numbers[i] >= only[0] && field.numbers[i] <= only[1];
      const codes = this.onlyCodes(field);
      if (field.kind === "category") return (i) => codes.has(field.codes[i]);
      return (i) => store.codesOf(field, i).some((code) => codes.has(code));
    });
    const chosen = this.selection;
    if (!tests.length && !chosen) this.mask = null;
    else {
      const mask = new Uint8Array(n);
      for (let i = 0; i < n; i++) mask[i] = (!chosen || chosen[i]) && tests.every((test) => test(i)) ? 1 : 0;
      this.mask = mask;
    }
    this.selected = null;
    if (chosen) {
      this.selected = [];
      for (let i = 0; i < n; i++) if (this.mask[i]) this.selected.push(i);
    }
    this.paint(0, n);
    this.legend.show();
    this.showSelection();
    this.redraw();
  }

  // How many selected points have each value; null: nothing is selected.
  counts(field) {
    if (!this.selected || !field.ready) return null;
    const found = new Uint32Array(field.values.length + 1);
    for (const i of this.selected) for (const code of this.store.codesOf(field, i)) found[code]++;
    return found;
  }

  // -- selection ---------------------------------------------------------------------------------

  setLassoing(on) {
    this.lassoing = on;
    for (const pane of this.panes) {
      pane.lassoButton.setAttribute("aria-pressed", String(on));
      pane.box.classList.toggle("lassoing", on);
    }
  }

  async setLasso(lasso) {
    const map = this.store.maps.find((one) => one.name === lasso.map);
    await this.store.loadMap(this.store.maps.indexOf(map));
    this.lasso = lasso;
    this.found = "";
    this.selection = new Uint8Array(this.store.n);
    inside(map, lasso.points, this.selection);
    this.setLassoing(false);
    this.refresh();
    this.say(`${count(this.selected.length)} images selected`);
    this.remember();
  }

  async selectFound(query) {
    this.selection = new Uint8Array(this.store.n);
    for (const i of await this.store.search(query)) this.selection[i] = 1;
    this.lasso = null;
    this.found = query;
    this.refresh();
    this.say(`${count(this.selected.length)} images selected`);
    this.remember();
  }

  clearSelection() {
    this.selection = null;
    this.lasso = null;
    this.found = "";
    this.refresh();
    this.remember();
  }

  showSelection() {
    const host = byId("chosen");
    host.hidden = !this.selected;
    if (!this.selected) {
      host.replaceChildren();
      this.table = null;
      return;
    }
    if (!this.table) {
      this.title = element("h2");
      host.replaceChildren(
        this.title,
        element(
          "div",
          { className: "buttons" },
          button("Save as CSV", "Save the selected images as a table", () => this.save()),
          button("Zoom to it", "Show all of the selection", () => this.panes.forEach((pane) => pane.fit(true, this.selected))),
          button("Clear", "Select nothing", () => this.clearSelection()),
        ),
      );
      this.table = new Table(this, host);
    }
    const shown = count(this.selected.length);
    this.title.textContent = `${shown} ${this.selected.length === 1 ? "image" : "images"} selected`;
    this.table.show(this.selected);
  }

  async save() {
    save(await csv(this.store, this.table.points), "selection.csv");
  }

  // -- one image ---------------------------------------------------------------------------------

  setHover(i, at = null) {
    const card = byId("card");
    if (i !== this.hovered) {
      this.hovered = i;
      for (const pane of this.panes) this.waiting.add(pane);
      this.redraw();
    }
    card.hidden = i < 0 || !at;
    if (card.hidden) return;
    if (card.of !== i) {
      card.of = i;
      this.fillCard(card, i);
    }
    const { offsetWidth: wide, offsetHeight: high } = card;
    const x = at[0] + 16 + wide > innerWidth ? at[0] - wide - 12 : at[0] + 16;
    const y = Math.min(at[1] + 12, innerHeight - high - 8);
    card.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  }

  fillCard(card, i) {
    const name = element("b", {}, own(this.store.nameNow(i) ?? "\u2026"));
    const facts = element("span", { className: "quiet" }, own(this.factOf(this.field, i)));
    card.replaceChildren(...this.smallPicture(i), name, facts);
    if (this.field.name !== "batch" && this.store.site.batches.length > 1) {
      card.append(element("span", { className: "quiet" }, own(this.store.batchOf(i).name)));
    }
    if (this.store.nameNow(i) === null) {
      this.store.name(i).then((text) => {
        if (card.of === i) name.replaceChildren(own(text));
      });
    }
  }

  factOf(field, i) {
    const values = this.store.valuesOf(field, i);
    const text = field.kind === "number" ? amount(values[0] ?? NaN) : values.slice(0, 6).join(", ");
    return text ? `${field.name}: ${text}${values.length > 6 ? ", \u2026" : ""}` : `no ${field.name}`;
  }

  // The picture from its sheet, as an element in a list; none: an empty list.
  smallPicture(i) {
    const place = this.store.pictureOf(i);
    if (!place) return [];
    const made = element("canvas", { width: 128, height: 128, className: "small" });
    const draw = () => {
      const sheet = this.store.sheet(place.file);
      if (!sheet) return false;
      made.getContext("2d").drawImage(sheet, place.x, place.y, place.side, place.side, 0, 0, 128, 128);
      return true;
    };
    if (!draw()) {
      const image = this.store.sheets.get(place.file);
      image.addEventListener("load", draw, { once: true });
    }
    return [made];
  }

  setPin(i, fly = false) {
    clearTimeout(this.telling); // of what is nearest to the middle
    this.pin = i;
    this.showPicked();
    if (i >= 0 && fly) for (const pane of this.panes) pane.flyTo(i);
    this.redraw();
    this.remember();
  }

  async showPicked() {
    const host = byId("picked");
    const i = this.pin;
    host.hidden = i < 0;
    if (i < 0) return;
    const { store } = this;
    const name = await store.name(i);
    const [href, picture] = await Promise.all([store.link(i), store.large(i), store.everything()]);
    if (this.pin !== i) return;
    const facts = element("dl");
    const row = (title, ...what) => facts.append(element("div", {}, element("dt", {}, own(title)), element("dd", {}, ...what)));
    for (const field of store.fields) {
      const values = store.valuesOf(field, i);
      if (!values.length) continue;
      if (field.kind === "number") row(field.name, amount(values[0]));
      else {
        const shown = values.map((value) => {
          const code = field.codeOf.get(value);
          const swatch = element("span", { className: "swatch" });
          swatch.style.background = this.colours.of(code, this.onlyCodes(field));
          return element("span", { className: "tag" }, ...(field === this.field ? [swatch] : []), link(field.values[code - 1].link, own(value)));
        });
        row(field.name, ...shown);
      }
    }
    for (const map of store.maps) {
      if (map.x[i] === 65535) continue;
      const title = store.maps.length > 1 ? `x, y (${map.name})` : "x, y";
      row(title, store.position(map, i).map((value) => amount(value)).join(", "));
    }
    const nearest = this.panes[0].around(i, NEAREST);
    await store.namesOf(nearest);
    if (this.pin !== i) return;
    const near = element("ul", { className: "near", "aria-label": "Nearest on the map" });
    for (const j of nearest) {
      const name = seen(store.nameNow(j));
      const open = element("button", { type: "button", title: name, "aria-label": name }, ...this.smallPicture(j));
      if (!open.firstChild) open.append(name);
      open.addEventListener("click", () => this.setPin(j));
      open.addEventListener("pointerenter", () => this.setHover(j));
      open.addEventListener("pointerleave", () => this.setHover(-1));
      near.append(element("li", {}, open));
    }
    const large = picture
      ? [element("img", { src: picture, alt: seen(name), className: "large" })]
      : this.smallPicture(i);
    host.replaceChildren(
      element("div", { className: "title" }, element("h2", {}, link(href, own(name))), button("\u00d7", "Let it go", () => this.setPin(-1))),
      ...large,
      facts,
      element("div", { className: "buttons" }, button("Go there", "Fly to the image", () => this.panes.forEach((pane) => pane.flyTo(i))), ...this.inGallery(i, name)),
      ...(nearest.length ? [element("p", { className: "quiet" }, "Nearest on the map"), near] : []),
    );
    this.say(`${name}. ${this.factOf(this.field, i)}`);
  }

  // The page of an image: its structures, features and nearest images.
  inGallery(i, name) {
    const { gallery } = this.store.site;
    if (!gallery) return [];
    const parts = ["i", this.store.batchOf(i).name, name].map(encodeURIComponent);
    return [link(`${gallery}#/${parts.join("/")}`, "Its page")];
  }

  // Tell, for those who do not see it, what lies in the middle of a map.
  nearest(pane) {
    clearTimeout(this.telling);
    this.telling = setTimeout(async () => {
      const i = pane.pick(pane.width / 2, pane.height / 2, 1e4);
      if (i < 0) return;
      this.setHover(i);
      const name = await this.store.name(i);
      this.say(`${count(pane.inView)} of ${count(this.store.n)} images in view; nearest to the middle: ${name}, ${this.factOf(this.field, i)}`);
    }, 250);
  }

  escape() {
    if (this.lassoing) this.setLassoing(false);
    else if (this.pin >= 0) this.setPin(-1);
    else if (this.selection) this.clearSelection();
    this.setHover(-1);
  }

  say(text, error = false) {
    const spoken = byId("spoken");
    spoken.textContent = text;
    spoken.classList.toggle("error", error);
  }

  // -- search ------------------------------------------------------------------------------------

  connect() {
    const query = byId("query");
    let timer = 0;
    query.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.search(query.value.trim()), 120);
    });
    byId("search").addEventListener("submit", async (event) => {
      event.preventDefault();
      clearTimeout(timer);
      await this.search(query.value.trim());
      if (this.hits.length) this.setPin(this.hits[0], true);
    });
    query.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        query.value = "";
        this.search("");
      }
    });
    byId("two").addEventListener("click", () => this.setTwo(this.panes.length < 2));
    byId("aside").addEventListener("click", () => {
      const hidden = document.body.classList.toggle("wide");
      byId("aside").setAttribute("aria-pressed", String(!hidden));
    });
    addEventListener("hashchange", () => {
      if (location.hash !== this.address && location.hash.length > 1) location.reload();
    });
  }

  async search(query) {
    const host = byId("hits");
    this.asked = query;
    if (!query) {
      this.hits = [];
      host.hidden = true;
      this.redraw();
      return;
    }
    const found = await this.store.search(query);
    if (this.asked !== query) return;
    this.hits = found;
    await this.store.namesOf(found.slice(0, LISTED));
    host.hidden = false;
    const title = found.length ? `${count(found.length)} ${found.length === 1 ? "image" : "images"}` : "No image has this in its name";
    host.replaceChildren(element("p", { className: "quiet" }, title));
    if (found.length) {
      const select = button("Select", "Select all that were found", () => this.selectFound(query));
      const close = button("\u00d7", "Close the list", () => {
        host.hidden = true;
      });
      host.firstChild.append(" ", select, close);
    }
    for (const i of found.slice(0, LISTED)) {
      const open = element("button", { type: "button", className: "hit" }, own(this.store.nameNow(i)));
      open.addEventListener("click", () => this.setPin(i, true));
      host.append(open);
    }
    if (found.length > LISTED) host.append(element("p", { className: "quiet" }, `and ${count(found.length - LISTED)} more`));
    this.say(title);
    this.redraw();
  }

  // -- maps --------------------------------------------------------------------------------------

  addPane() {
    const pane = new Pane(this, byId("panes"), this.panes.length);
    this.panes.push(pane);
    pane.label();
    return pane;
  }

  async setTwo(on, name = "", view = null) {
    byId("two").setAttribute("aria-pressed", String(on));
    document.body.classList.toggle("double", on);
    if (!on) {
      for (const pane of this.panes.splice(1)) pane.remove();
      this.remember();
      return;
    }
    const [first] = this.panes;
    const other = this.store.maps.find((map) => map !== first.map) ?? first.map;
    const whole = first.whole;
    await this.showMap(this.addPane(), name || other.name, view);
    if (whole) first.fit(false);
  }

  async showMap(pane, name, view = null) {
    const number = this.store.maps.findIndex((map) => map.name === name);
    pane.map = this.store.maps[number];
    pane.chooser.value = name;
    pane.label();
    await this.store.loadMap(number, () => this.redraw());
    if (view) pane.look(view);
    else pane.fit(false);
    this.redraw();
    this.remember();
  }

  // -- drawing -----------------------------------------------------------------------------------

  redraw(pane = null) {
    if (pane) this.waiting.add(pane);
    else for (const one of this.panes) this.waiting.add(one);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const begin = performance.now();
      for (const one of this.waiting) if (this.panes.includes(one)) one.draw();
      this.waiting.clear();
      this.times.draw = performance.now() - begin;
      if (!this.times.first && this.panes[0].inView) this.times.first = performance.now();
    });
  }
}

function numbersOf(text, n) {
  const found = (text ?? "").split(",").map(Number);
  return text && found.length === n && found.every(Number.isFinite) ? found : null;
}

// The first call of map-data.js.
export function site(head) {
  const app = new App(head);
  page.app = app;
  app.start();
}

// For scripts and tests: what is shown, and where.
export const page = {
  app: null,
  // Resolves when everything that is shown at first is there.
  async whole() {
    while (!page.app?.ready) await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  },
  // Where an image is on the screen, in pixels of the window.
  async screen(name, pane = 0) {
    const [i] = await page.app.store.search(name, true);
    const [x, y] = page.app.panes[pane].screen(i);
    const box = page.app.panes[pane].over.getBoundingClientRect();
    return [x + box.left, y + box.top];
  },
};
