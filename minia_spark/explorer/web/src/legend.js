// What the colours stand for, and how often; a click shows one alone.

import { amount, button, count, element, own, seen } from "./page.js";

const FIRST = 12; // values that are listed at once
const MOST = 300; // that are listed at all; more are found by typing

export class Legend {
  constructor(app, host) {
    this.app = app;
    this.all = false;
    this.chooser = element("select", { id: "colour" });
    for (const field of app.store.fields) this.chooser.append(element("option", { value: field.name }, seen(field.name)));
    this.chooser.addEventListener("change", () => app.setColour(this.chooser.value));
    this.about = element("p", { className: "quiet" });
    this.chips = element("div", { className: "chips" });
    this.filter = element("input", { type: "search", placeholder: "Find a value", "aria-label": "Find a value" });
    this.filter.addEventListener("input", () => this.list());
    this.values = element("ul", { className: "values", "aria-label": "Values" });
    this.grey = element("p", { className: "quiet" });
    this.more = button("", "More values, or fewer", () => {
      this.all = !this.all;
      this.list();
    });
    this.range = element("div", { className: "range" });
    host.append(
      element("label", { htmlFor: "colour" }, "Colour by "),
      this.chooser,
      this.chips,
      this.about,
      this.filter,
      this.values,
      this.more,
      this.range,
      this.grey,
    );
  }

  // What dots without a colour are.
  tellGrey(field) {
    const { app } = this;
    const known = field.kind === "number" ? field.known : field.kind === "tags" ? null : field.values.reduce((sum, { n }) => sum + n, 0);
    const none = known === null ? 0 : app.store.n - known;
    const told = [];
    if (none > 0) told.push(`${count(none)} ${none === 1 ? "image" : "images"} without a value`);
    else if (known === null) told.push("images without a value");
    if (field.kind !== "number" && field.values.length > app.colours.named.length) told.push(`values beyond the first ${app.colours.named.length}`);
    if (app.only.size || app.selection) told.push("images that are not chosen");
    this.grey.hidden = !told.length;
    this.grey.textContent = `Grey: ${told.join(", ")}.`;
  }

  show() {
    const { app } = this;
    const { field } = app;
    this.chooser.value = field.name;
    this.about.textContent = field.about || "";
    this.about.hidden = !field.about;
    const numbers = field.kind === "number";
    this.tellGrey(field);
    this.filter.hidden = numbers || field.values.length <= 2 * FIRST;
    this.values.hidden = numbers;
    this.range.hidden = !numbers;
    this.chips.replaceChildren(
      ...[...app.only].map(([name, only]) => {
        const text = only instanceof Set ? [...only].join(", ") : only.map(amount).join(" to ");
        const chip = element("button", { type: "button", title: "Show all again" }, own(`${name}: ${text}`), " \u00d7");
        chip.addEventListener("click", () => app.setOnly(name, null));
        return chip;
      }),
    );
    if (numbers) this.scale(field);
    else this.list();
    if (numbers) this.more.hidden = true;
  }

  list() {
    const { app } = this;
    const { field } = app;
    if (field.kind === "number") return;
    const only = app.only.get(field.name);
    const query = this.filter.hidden ? "" : this.filter.value.toLowerCase();
    const found = field.values.map((value, i) => ({ ...value, code: i + 1 })).filter((value) => !query || value.name.toLowerCase().includes(query));
    const limit = this.all || query ? MOST : FIRST;
    const listed = found.filter((value, i) => i < limit || only?.has(value.name)).slice(0, MOST + 50);
    const within = app.counts(field);
    this.values.replaceChildren(
      ...listed.map((value) => {
        const swatch = element("span", { className: "swatch" });
        swatch.style.background = app.colours.of(value.code, app.onlyCodes(field));
        const shown = within ? `${count(within[value.code])} of ${count(value.n)}` : count(value.n);
        const pick = element("button", { type: "button", "aria-pressed": String(Boolean(only?.has(value.name))) });
        pick.append(swatch, element("span", { className: "label" }, value.name ? own(value.name) : "(empty)"), element("span", { className: "number" }, shown));
        pick.addEventListener("click", () => app.toggle(field.name, value.name));
        return element("li", {}, pick);
      }),
    );
    const rest = found.length - FIRST;
    this.more.hidden = rest <= 0 || Boolean(query);
    this.more.textContent = this.all ? "Fewer" : `${count(rest)} more; the first ${app.colours.named.length} have colours`;
  }

  scale(field) {
    const { app } = this;
    const [low, high] = field.ends.length ? field.ends : [0, 0];
    const only = app.only.get(field.name) || [low, high];
    const bar = element("div", { className: "scale", role: "img", "aria-label": "Colours from low to high" });
    bar.style.background = `linear-gradient(to right, ${app.colours.palette.scale.join(", ")})`;
    const [from, to] = field.common.length ? field.common : [0, 0];
    const inputs = [["from", only[0]], ["to", only[1]]].map(([name, value], place) => {
      const input = element("input", { type: "number", step: "any", value: amount(value), "aria-label": `Show ${name}` });
      input.addEventListener("change", () => {
        const ends = inputs.map((one, i) => (one.value === "" ? [low, high][i] : Number(one.value)));
        // an end that is shown rounded is the end itself
        if (place === 0 || inputs[0].value === amount(low)) ends[0] = inputs[0].value === amount(low) ? low : ends[0];
        if (inputs[1].value === amount(high)) ends[1] = high;
        app.setOnly(field.name, ends[0] <= low && ends[1] >= high ? null : ends);
      });
      return input;
    });
    this.range.replaceChildren(
      bar,
      element("div", { className: "ends" }, element("span", {}, amount(from)), element("span", {}, amount(to))),
      element("p", {}, "Show only ", inputs[0], " to ", inputs[1]),
    );
  }
}
