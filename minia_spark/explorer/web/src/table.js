// The selected images as a table: only the rows in view are elements of the page.

import { amount, element, own, seen } from "./page.js";

const ROW = 30; // pixels

export class Table {
  constructor(app, host) {
    this.app = app;
    this.points = [];
    this.by = null;
    this.down = false;
    this.body = element("div", { className: "rows", role: "rowgroup" });
    this.head = element("div", { className: "row head", role: "row" });
    this.box = element("div", { className: "table", role: "table", "aria-label": "Selected images", tabIndex: 0 });
    this.space = element("div", { className: "space", role: "presentation" });
    this.space.append(this.body);
    this.box.append(this.head, this.space);
    host.append(this.box);
    this.box.addEventListener("scroll", () => this.draw());
    const columns = [{ name: "image" }, ...app.store.fields.map((field) => ({ name: field.name, field }))];
    for (const column of columns) {
      const sort = element("button", { type: "button", title: "Sort" }, own(column.name));
      sort.addEventListener("click", () => this.sort(column));
      const cell = element("span", { role: "columnheader", className: column.field ? "cell" : "cell name" }, sort);
      column.cell = cell;
      this.head.append(cell);
    }
    this.columns = columns;
    this.box.style.setProperty("--columns", columns.length);
  }

  async show(points) {
    this.points = points;
    this.by = null;
    this.mark();
    this.box.setAttribute("aria-rowcount", points.length + 1);
    this.space.style.height = `${points.length * ROW}px`;
    this.box.scrollTop = 0;
    await Promise.all(this.app.store.fields.map((field) => this.app.store.loadField(field)));
    this.draw();
  }

  mark() {
    for (const column of this.columns) {
      column.cell.setAttribute("aria-sort", column !== this.by ? "none" : this.down ? "descending" : "ascending");
    }
  }

  async sort(column) {
    const { store } = this.app;
    this.down = this.by === column && !this.down;
    this.by = column;
    this.mark();
    if (!column.field) await store.namesOf(this.points);
    const key = !column.field
      ? (i) => store.nameNow(i)
      : column.field.kind === "number"
        ? (i) => store.valuesOf(column.field, i)[0] ?? Infinity
        : (i) => store.valuesOf(column.field, i).join(", ");
    const order = new Intl.Collator("en", { numeric: true }).compare;
    const keyed = this.points.map((i) => [key(i), i]);
    const sign = this.down ? -1 : 1;
    keyed.sort(([a], [b]) => sign * (typeof a === "number" ? a - b || 0 : order(a, b)));
    this.points = keyed.map(([, i]) => i);
    this.draw();
  }

  draw() {
    const { store } = this.app;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 3);
    const last = Math.min(this.points.length, first + Math.ceil(this.box.clientHeight / ROW) + 6);
    const shown = this.points.slice(first, last);
    const unknown = shown.filter((i) => store.nameNow(i) === null);
    if (unknown.length) store.namesOf(unknown).then(() => this.draw());
    this.body.style.transform = `translateY(${first * ROW}px)`;
    this.body.replaceChildren(
      ...shown.map((i, place) => {
        const name = store.nameNow(i) ?? "";
        const open = element("button", { type: "button", title: seen(name) }, own(name));
        open.addEventListener("click", () => this.app.setPin(i, true));
        const row = element("div", { className: "row", role: "row", "aria-rowindex": first + place + 2 });
        row.append(element("span", { role: "cell", className: "cell name" }, open));
        for (const { field } of this.columns.slice(1)) {
          const values = store.valuesOf(field, i);
          const text = field.kind === "number" ? amount(values[0] ?? NaN) : values.join(", ");
          const cell = element("span", { role: "cell", className: "cell", title: seen(text) }, own(text));
          row.append(cell);
        }
        row.addEventListener("pointerenter", () => this.app.setHover(i));
        row.addEventListener("pointerleave", () => this.app.setHover(-1));
        return row;
      }),
    );
  }
}
