// The gallery: every structure, image and word. What is shown is in the address, after the #.

import { Laying, average, circle, common, cut, pose, scattered, somewhere, square, stretch, within } from "./closeups.js";
import { inert, inertName } from "./csv.js";
import { part } from "./loader.js";
import { HOME, amount, button, count, element, own, save, seen } from "./page.js";
import { coverage, light, ring, sources, told } from "./portraits.js";
import { Shelf } from "./shelf.js";
import { angle, position } from "./sky.js";

export { Laying, coverage, light, part, pose, scattered, somewhere, sources, told }; // for the parts, and for tests

const FEW = 24; // images, or structures, that are shown before somebody asks for more
const MOST = 2000; // images that a search by name finds
const HELD = 8; // structures of an image, before somebody asks for more
const PATCH = 48; // pixels of a patch
const CLOSE = 120; // and of a close-up
const AVERAGED = 12; // images, the best ones
const KIN = 6; // structures of a pattern whose averages are drawn
const PICTURES = 96; // that are kept decoded
const NEW = ["born", "split", "returned", "grown", "changed"]; // events that somebody wants to see
const SVG = "http://www.w3.org/2000/svg";

const MEASURES = {
  support: ["Support", "images that hold more than half of its words", (r) => count(r.support)],
  beyond: ["Times chance", "support beside what chance and broad differences between images explain", (r) => brief(r.beyond ?? null)],
  lift: ["Lift", "support beside what chance explains, broad differences left aside", (r) => brief(r.lift)],
  surprise: ["Surprise", "how improbable its support is by chance: 3 is once in a thousand times", (r) => brief(r.surprise ?? null)],
  q: ["q", "estimated share of false structures among those as sure; \u2264: the least that so few decoys can show", (r) => `${r.least ? "\u2264 " : ""}${brief(r.q)}`],
  stability: ["Stability", "how often it is found again", (r) => brief(r.stability)],
  verified: ["Verified", "share of pairs of its images in which its features lie alike", (r) => brief(r.verified)],
  coverage: ["Coverage", "share of all images that it is in", (r) => `${(100 * r.coverage).toFixed(1)} %`],
  size: ["Words", "how many words it has", (r) => count(r.words.length)],
};
const SORTS = {
  rank: ["rank: strong first, then by surprise", (r) => r.place],
  support: ["support", (r) => -r.support],
  lift: ["lift", (r) => -(r.lift ?? -1)],
  beyond: ["times chance", (r) => -(r.beyond ?? -1)],
  q: ["q", (r) => r.q ?? 2],
  stability: ["stability", (r) => -(r.stability ?? -1)],
  verified: ["verified", (r) => -(r.verified ?? -1)],
  size: ["number of words", (r) => -r.words.length],
  agreement: ["agreement with classes", (r) => -agreement(r)],
  born: ["birth, the newest first", (r) => -Number(r.lineage.split(".")[0])],
};

let app = null;

// The first call of gallery-data.js.
export function site(head) {
  app = new App(head);
  page.app = app;
  app.show();
}

// For scripts and tests.
export const page = {
  app: null,
  async whole() {
    while (!app?.ready) await new Promise((resolve) => setTimeout(resolve, 10));
  },
};

// Three digits are enough to judge by.
function brief(value) {
  return value === null ? "" : amount(Number(value.toPrecision(3)));
}

function many(n, one, others = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : others}`;
}

function agreement(row) {
  const [first] = row.labels;
  return first ? first[1] / row.labelled - first[2] : -1;
}

// What became of it since the state before: "grown, 2 words came".
function happened(row) {
  const came = row.gained && row.event !== "born" && row.event !== "split" ? [`${many(row.gained, "word")} came`] : [];
  const went = row.lost ? [`${many(row.lost, "word")} went`] : [];
  return [row.event, ...came, ...went].join(", ");
}

// How sure it is, in a sentence. Of few repetitions it is said how many there were.
function sureness(row, { seeds }) {
  const lift = row.beyond ?? row.lift ?? null; // the one that it is judged by
  const often = lift === null ? [] : [`${brief(lift)} times as many as by chance`];
  const again = (row.stability ?? null) === null ? [] : [`found again in ${repeated(row.stability, seeds)}`];
  const sure = row.established === null ? "" : element("span", { className: row.established ? "sure" : "warn" }, `${row.strength ?? (row.established ? "established" : "not established")}: `);
  return element("p", { className: "quiet" }, sure, [many(row.images, "image"), ...often, ...again].join(", "));
}

function repeated(stability, seeds) {
  const times = stability * seeds;
  if (seeds > 0 && seeds <= 20 && Math.abs(times - Math.round(times)) < 1e-6) return `${Math.round(times)} of ${many(seeds, "repetition")}`;
  return `${(100 * stability).toFixed(0)} % of repetitions`;
}

// Why a structure is not established.
function unsure(row, { max_q, min_stability }) {
  const why = [];
  if (row.q !== null && row.q > max_q) why.push(`q is ${brief(row.q)}, above ${max_q}: chance may have made it`);
  if (row.stability !== null && row.stability < min_stability) why.push(`it was found again in ${(100 * row.stability).toFixed(0)} % of repetitions, less than ${100 * min_stability} %`);
  return why.join("; ") || "it was not measured";
}

// What a structure shows: the class that stands out, if half of its images have it, and what their
// average shows.
function headline(row, shows) {
  const [label, n] = row.typical ?? [];
  if (label === undefined || n < row.labelled / 2) return [shows];
  return ["mostly ", own(label), shows ? `: ${shows}` : ""];
}

// Which class is more frequent in it than in all images, in a sentence; empty: none.
function classes(row) {
  if (!row.typical) return "";
  const [label, n, share] = row.typical;
  return element("p", { className: "quiet", title: "classes come with the images, and were not used to find it" }, `${count(n)} of ${count(row.labelled)} are `, own(label), `: ${(100 * n / row.labelled).toFixed(0)} %, and ${(100 * share).toFixed(0)} % of all images`);
}

// Why a structure is of a pattern that another one began; empty: it began it.
function kinship(row, first) {
  if (row.pattern === row.id) return "";
  if (row.same_images_as !== null) return `in much the same images as ${numbered({ id: row.same_images_as })}`;
  if (row.turn === null) return "its words look like those of another strong one of this pattern";
  return `its words look like those of ${title(first)}${row.turn ? `, ${row.turn}` : ""}`;
}

function numbered(row) {
  return `s${String(row.id).padStart(4, "0")}`;
}

function title(row) {
  return row.name ?? numbered(row);
}

function svg(tag, properties = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function address(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

class App {
  constructor(head) {
    this.shelf = new Shelf(head);
    this.site = head;
    this.main = document.querySelector("main");
    this.turn = 0;
    this.circles = false;
    this.whole = false; // images of structures, not close-ups
    this.list = null; // the address of the list that was shown last
    this.listed = null; // structures in the order in which they were shown last
    this.ready = false;
    this.pictures = new Map(); // promises of decoded pictures
    this.group = []; // images that a slideshow and the arrows go through
    this.watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        this.watcher.unobserve(entry.target);
        entry.target.dispatchEvent(new Event("near"));
      }
    }, { rootMargin: "300px" });
    addEventListener("hashchange", () => this.show());
    addEventListener("keydown", (event) => this.key(event));
    document.querySelector("#theme").addEventListener("click", () => this.turnTheme());
    const find = document.querySelector("#find");
    find.addEventListener("submit", (event) => {
      event.preventDefault();
      location.hash = address("find", document.querySelector("#query").value.trim());
    });
  }

  turnTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  // Each word's colour: the most frequent ones have one of their own, all others share one.
  coloured(row) {
    const { dark, other } = this.site.palette; // pictures of the sky are dark, whatever the page is
    return new Map(row.words.map((word, k) => [word, dark[k] ?? other]));
  }

  // -- which page --------------------------------------------------------------------------------

  async show() {
    const turn = ++this.turn;
    this.ready = false;
    this.close();
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    let parts = [];
    try {
      parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    } catch {
      parts = ["?"];
    }
    const ways = { "": "structures", new: "fresh", structures: "structures", s: "structure", i: "image", w: "word", find: "found", beside: "beside" };
    const way = ways[parts[0] ?? ""];
    let made;
    try {
      made = way ? await this[way](parts.slice(1), new URLSearchParams(query)) : this.lost("There is no such page.");
    } catch (error) {
      made = this.lost(error.message);
    }
    if (turn !== this.turn) return; // somebody went on meanwhile
    this.neighbours = made.neighbours ?? [];
    this.main.replaceChildren(...made);
    for (const one of this.main.querySelectorAll("[data-near]")) this.watcher.observe(one);
    for (const one of document.querySelectorAll("header nav a")) {
      const here = one.getAttribute("href") === `#/${parts[0] ?? "structures"}`;
      if (here) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    }
    scrollTo(0, 0);
    document.title = `${seen(this.main.querySelector("h1")?.textContent ?? "")} \u00b7 ${this.site.title}`;
    this.ready = true;
  }

  lost(text) {
    return [element("h1", {}, "Nothing here"), element("p", {}, text), element("p", {}, element("a", { href: "#/" }, "All structures"))];
  }

  variantOf(name) {
    const v = this.shelf.variants.findIndex((variant) => variant.name === name);
    if (v < 0) throw new Error(`There is nothing of an extractor ${name}.`);
    return v;
  }

  // Something that is made when it comes into view.
  near(made, act) {
    made.dataset.near = "";
    made.addEventListener("near", () => act(made), { once: true });
    if (made.isConnected) this.watcher.observe(made);
    return made;
  }

  // -- what is new -------------------------------------------------------------------------------

  async fresh() {
    const { shelf } = this;
    const made = [element("h1", {}, "What is new"), ...(await this.attention())];
    for (let v = 0; v < shelf.variants.length; v++) {
      const rows = await shelf.structures(v);
      const several = shelf.variants.length > 1 ? ` (${shelf.variants[v].name})` : "";
      const news = rows.filter((row) => NEW.includes(row.event));
      const before = this.site.facts.older?.[shelf.variants[v].name] ?? null;
      const section = element("section", {}, element("h2", {}, `Structures that are new or changed${several}`));
      if (before === null) section.append(element("p", {}, rows.length ? "These are the first structures: there are none before them to compare with." : "There are no structures yet."));
      else if (!news.length) section.append(element("p", {}, `None is new, and none grew or changed, since state ${before}.`));
      else section.append(element("p", {}, `${count(news.length)} of ${count(rows.length)} since state ${before}:`), this.more(news, (some) => element("ul", { className: "tiles" }, ...some.map((row) => this.tile(v, row, element("p", {}, happened(row)))))));
      const ended = this.site.facts.ended?.[shelf.variants[v].name] ?? [];
      if (ended.length) section.append(...this.endedList(ended));
      made.push(section);
    }
    const table = element("table");
    table.append(
      element("caption", {}, "What arrived, and what was rejected"),
      element("thead", {}, element("tr", {}, ...["Batch", "Images", "Rejected"].map((text) => element("th", { scope: "col" }, text)))),
      element(
        "tbody",
        {},
        ...shelf.batches.slice(-200).map((batch) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, own(batch.name)),
            element("td", { className: "number" }, count(batch.n)),
            element("td", { className: batch.rejected ? "number warn" : "number" }, count(batch.rejected)),
          ),
        ),
      ),
    );
    made.push(element("section", {}, element("h2", {}, "Batches"), element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Batches" }, table)));
    return made;
  }

  links(batch, names) {
    return names.flatMap((name, k) => [k ? ", " : " ", element("a", { href: address("i", batch, name) }, own(name))]);
  }

  // Structures of the state before that are there no more.
  endedList(ended) {
    const told = ended.slice(0, 200).map(({ lineage, name, merged }) => element("li", {}, `${lineage}${name ? " " : ""}`, name ? own(name) : "", merged ? ", merged into a related one" : ""));
    const about = `By their lineage, under which one returns if it is found again.${ended.length > told.length ? ` The first ${count(told.length)}.` : ""}`;
    return [element("h3", {}, `${many(ended.length, "structure")} ended`), element("p", { className: "quiet" }, about), element("ul", {}, ...told)];
  }

  // What somebody has to look at in the newest batch.
  async attention() {
    const made = [];
    for (const [v, news] of (this.site.facts.news ?? []).entries()) {
      if (!news) continue;
      const rows = await this.shelf.structures(v);
      const several = this.shelf.variants.length > 1 ? ` (${this.shelf.variants[v].name})` : "";
      const blank = news.featureless;
      const alerts = news.structures.length + news.odd + (blank.alert ? 1 : 0);
      const section = element("section", {}, element("h2", {}, `The newest batch${several}`));
      section.append(
        element("p", alerts ? { className: "note" } : {}, alerts ? `${many(alerts, "thing")} to look at in batch ` : "Nothing stands out in batch ", own(news.batch), "."),
      );
      for (const { id, images, of } of news.structures) {
        const link = element("a", { href: address("s", this.shelf.variants[v].name, rows[id].lineage) }, own(title(rows[id])));
        section.append(element("p", {}, "Structure ", link, ` is in ${count(images)} of its images, ${of.toFixed(1)} were expected.`));
      }
      if (blank.images) {
        const usual = blank.expected === null ? "" : `, ${blank.expected.toFixed(1)} were expected`;
        section.append(element("p", blank.alert ? { className: "warn" } : {}, `${count(blank.images)} of its images ${blank.images === 1 ? "has" : "have"} no features${usual}.`, ...this.links(news.batch, news.blank)));
      }
      if (news.copies) section.append(element("p", {}, `${many(news.copies, "image")} of it ${news.copies === 1 ? "is" : "are"} in another batch too, byte for byte.`));
      const list = element("ul", { className: "images" });
      const b = this.shelf.batch(news.batch);
      for (const one of news.images) {
        const i = await this.shelf.find(b, one.name);
        if (i < 0) continue;
        const figure = this.figure(v, { b, i }, null, []);
        figure.append(element("p", { className: one.alert ? "warn quiet" : "quiet" }, `${one.alert ? "Alert: " : ""}${one.reasons}.`));
        list.append(figure);
      }
      const text = `Compared with ${count(news.known)} known images, the oddest first. In a batch without anything odd, ${news.rate} structures and as many images are marked on average, or fewer. The command 'minia structures new' tells the same.`;
      const details = element("details", { open: true }, element("summary", {}, "The oddest images"), element("p", { className: "quiet" }, text), list);
      details.addEventListener("toggle", () => details.open && list.querySelectorAll("[data-near]").forEach((one) => this.watcher.observe(one)));
      section.append(details);
      made.push(section);
    }
    return made;
  }

  // -- structures --------------------------------------------------------------------------------

  tiles(v, rows) {
    return element("ul", { className: "tiles" }, ...rows.map((row) => this.tile(v, row)));
  }

  // A structure: what the average of its best images shows, four of them, and how sure it is. `kin` are
  // structures of the same pattern, whose averages are drawn too.
  tile(v, row, more = "", kin = []) {
    const strip = element("div", { className: "strip" });
    const average = element("canvas", { width: 2 * CLOSE, height: 2 * CLOSE, title: "average of its best images; the ring is where its features lie" });
    const look = row.images ? element("div", { className: "look", "aria-hidden": "true" }, average, strip) : "";
    const shows = element("p", { className: "shows" });
    const where = element("p", { className: "quiet" }, "\u2026");
    this.near(strip, async () => {
      const best = await this.shelf.imagesOf(v, row.id);
      const images = best.slice(0, 4);
      strip.replaceChildren(...images.map((image) => this.small(image, "")));
      const words = new Set(row.words);
      const near = await this.laying(v, best.slice(0, AVERAGED), words);
      for (const one of near) {
        const k = images.indexOf(one.image);
        if (k >= 0) strip.children[k].replaceWith(this.closeUp(one));
      }
      const drawn = this.average(average, near);
      for (const canvas of strip.querySelectorAll("canvas")) circle(canvas.getContext("2d"), drawn.ring);
      shows.replaceChildren(...headline(row, drawn.shows));
      where.textContent = await this.placed(v, best, words);
    });
    const kind = row.kind ? [" ", element("span", { className: "kind" }, own(row.kind))] : [];
    return element(
      "li",
      { className: row.established === false || row.left_out ? "tile doubt" : "tile" },
      element("a", { href: address("s", this.shelf.variants[v].name, row.lineage) }, look, element("b", {}, own(title(row)))),
      row.name ? ` ${numbered(row)}` : "",
      ...kind,
      shows,
      row.left_out ? element("p", { className: "warn" }, "Left out, as all of this kind (structures.exclude_kinds): no image is looked for.") : "",
      sureness(row, this.site.facts),
      row.images ? where : "",
      classes(row),
      more,
      this.kinStrip(v, kin),
    );
  }

  // Averages of established structures of the same pattern, in a row.
  kinStrip(v, kin) {
    const some = kin.filter((row) => row.established !== false && row.images).slice(0, KIN);
    if (!some.length) return "";
    const list = element("div", { className: "kin" });
    for (const row of some) {
      const canvas = element("canvas", { width: CLOSE, height: CLOSE, "aria-hidden": "true" });
      this.near(canvas, async () => {
        const best = await this.shelf.imagesOf(v, row.id);
        this.average(canvas, await this.laying(v, best.slice(0, AVERAGED), new Set(row.words)));
      });
      list.append(element("a", { href: address("s", this.shelf.variants[v].name, row.lineage), title: seen(title(row)), "aria-label": `Structure ${seen(title(row))} of the same pattern` }, canvas));
    }
    return list;
  }

  async structures(parts, query) {
    const { shelf } = this;
    const v = parts[0] === undefined ? 0 : this.variantOf(parts[0]);
    if (!shelf.variants.length) return this.lost("There are no structures yet.");
    const rows = await shelf.structures(v);
    if (!rows.length && shelf.variants.length === 1) {
      return [element("h1", {}, "Structures"), element("p", {}, "No structures were found. The overview says what helps.")];
    }
    const form = element("form", { className: "bar" });
    const host = element("div");
    const told = element("p", { role: "status", className: "quiet" });
    const choose = (name, label, options, value) => {
      const box = element("select", { name }, ...options.map(([key, text]) => element("option", { value: key, selected: key === value }, text)));
      box.setAttribute("aria-label", label); // not with all that can be chosen
      form.append(element("label", {}, `${label} `, box));
      return box;
    };
    if (shelf.variants.length > 1) {
      const box = choose("variant", "Extractor", shelf.variants.map((one) => [one.name, one.name]), shelf.variants[v].name);
      box.addEventListener("change", () => (location.hash = address("structures", box.value)));
      for (const { name } of shelf.variants) {
        if (name !== shelf.variants[v].name) form.append(element("a", { href: address("beside", shelf.variants[v].name, name) }, `beside ${name}`));
      }
    }
    const judged = rows.some((row) => row.established !== null);
    const measures = (key) => !["lift", "beyond", "q", "stability", "verified"].includes(key) || rows.some((row) => (row[key] ?? null) !== null);
    // those that change something
    const sorts = Object.entries(SORTS).filter(([key, [, by]]) => key === "rank" || (measures(key) && new Set(rows.map(by)).size > 1));
    const sort = choose("sort", "Sort by", sorts.map(([key, [text]]) => [key, text]), sorts.some(([key]) => key === query.get("sort")) ? query.get("sort") : "rank");
    const kinds = [...new Set(rows.map((row) => row.kind).filter(Boolean))].sort();
    const show = choose(
      "show",
      "Show",
      [["all", "all"], ["strong", "strong"], ["established", "established"], ...(measures("verified") ? [["verified", "verified in half of the pairs"]] : []), ...((this.site.facts.older?.[shelf.variants[v].name] ?? null) === null ? [] : [["new", "new or changed"]]), ...(rows.some((row) => row.name || row.kind || row.note) ? [["named", "named"]] : []), ...kinds.map((kind) => [`kind:${kind}`, `kind: ${seen(kind)}`])],
      query.get("show") ?? "all",
    );
    const least = element("input", { type: "number", name: "least", min: 0, step: 1, value: query.get("least") ?? "", placeholder: "0" });
    form.append(element("label", {}, "Images, at least ", least));
    const text = element("input", { type: "search", name: "text", value: query.get("text") ?? "", placeholder: "name, note, class" });
    form.append(element("label", {}, "Filter ", text));
    const folded = element("input", { type: "checkbox", name: "fold", checked: query.get("fold") !== "no" });
    if (rows.some((row) => row.pattern !== row.id)) form.append(element("label", { title: "Those in much the same images, and those whose words look alike, as they are, turned or mirrored, are one tile" }, folded, " One tile a pattern"));
    const chosen = () => {
      const wanted = text.value.trim().toLowerCase();
      const found = rows.filter((row) => {
        if (show.value === "established" && !row.established) return false;
        if (show.value === "strong" && row.strength !== "strong") return false;
        if (show.value === "verified" && !(row.verified >= 0.5)) return false;
        if (show.value === "new" && !NEW.includes(row.event)) return false;
        if (show.value === "named" && !row.name && !row.kind && !row.note) return false;
        if (show.value.startsWith("kind:") && row.kind !== show.value.slice(5)) return false;
        if (row.images < Number(least.value || 0)) return false;
        const texts = [row.name, numbered(row), row.lineage, row.kind, row.note, row.typical?.[0]];
        return !wanted || texts.some((one) => one && one.toLowerCase().includes(wanted));
      });
      const key = SORTS[sort.value][1];
      return found.sort((a, b) => (a.left_out ?? false) - (b.left_out ?? false) || key(a) - key(b) || a.id - b.id);
    };
    const fill = () => {
      const found = chosen();
      const patterns = new Map(); // the first that is shown of each, and the others
      for (const row of found) {
        const key = folded.checked ? row.pattern : row.id;
        if (patterns.has(key)) patterns.get(key).push(row);
        else patterns.set(key, [row]);
      }
      const shown = [...patterns.values()];
      told.textContent = `${count(found.length)} of ${count(rows.length)} structures${shown.length < found.length ? `, of ${many(shown.length, "pattern")}` : ""}`;
      this.list = location.hash;
      this.listed = { v, rows: shown.flat() };
      const draw = (some) => element("ul", { className: "tiles" }, ...some.map(([row, ...others]) => this.tile(v, row, this.fold(v, row, others), others)));
      const parts = sort.value === "rank" && judged ? grades(shown) : [["", "", shown]];
      host.replaceChildren(...parts.map(([heading, about, some]) => element("section", {}, ...(heading ? [element("h2", {}, heading), element("p", { className: "quiet" }, about)] : []), this.more(some, draw))));
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const kept = new URLSearchParams();
      for (const [name, box, usual] of [["sort", sort, "rank"], ["show", show, "all"], ["least", least, ""], ["text", text, ""]]) {
        if (box.value !== usual) kept.set(name, box.value);
      }
      if (!folded.checked) kept.set("fold", "no");
      history.replaceState(null, "", `${address("structures", shelf.variants[v].name)}${kept.size ? `?${kept}` : ""}`);
      fill();
    });
    fill();
    const sure = rows.filter((row) => row.established && !row.left_out);
    const strong = sure.filter((row) => row.strength === "strong");
    const out = rows.filter((row) => row.left_out).length;
    const graded = (grade) => count(sure.filter((row) => row.strength === grade).length);
    const trust = judged
      ? `${strong.length ? `Begin with the strong ones: ${many(strong.length, "structure")} of ${many(new Set(strong.map((row) => row.pattern)).size, "pattern")}` : "None is strong"}. In all there are ${count(rows.length)}, of these ${graded("moderate")} moderate, ${graded("weak")} weak and ${count(rows.length - sure.length - out)} not established. Each tile shows the average of a structure's best images, and four of these; on galaxies that were turned alike, a ring marks where its features lie. Whether a pattern is a kind of object or a fault of the camera is for you to see.${out ? ` Last, and dashed: ${many(out, "structure")} of kinds that are left out.` : ""}`
      : rows.length ? "How sure these structures are was not measured: mining.decoys or mining.seeds is 0." : "No structures were found by this extractor. The overview says what helps.";
    const tools = element("details", { className: "tools", open: innerWidth > 640 }, element("summary", {}, "Sort and filter"), form);
    return [element("h1", {}, "Structures"), element("p", {}, trust), tools, told, host];
  }

  // What shows the other structures of a tile's pattern, after it.
  fold(v, first, rows) {
    if (!rows.length) return "";
    const graded = ["strong", "moderate", "weak", null].map((grade) => [grade ?? "not established", rows.filter((row) => row.established !== null && row.strength === grade).length]).filter(([, n]) => n);
    const text = `and ${count(rows.length)} more of this pattern${graded.length ? `: ${graded.map(([grade, n]) => `${count(n)} ${grade}`).join(", ")}` : ""}.`;
    let shown = [];
    const open = button(text, "Show or hide them", () => {
      for (const one of shown) one.remove();
      shown = shown.length ? [] : rows.map((row) => this.tile(v, row, this.kinship(v, row)));
      open.textContent = shown.length ? `fold ${rows.length === 1 ? "it" : "them"} again` : text;
      open.setAttribute("aria-expanded", String(shown.length > 0));
      const tile = open.closest("li");
      tile.classList.toggle("open", shown.length > 0);
      for (const one of shown) one.classList.add("open");
      tile.after(...shown);
      for (const one of tile.parentNode.querySelectorAll("[data-near]")) this.watcher.observe(one);
    });
    open.setAttribute("aria-expanded", "false");
    open.className = "more";
    const ways = [["in the same images", (row) => row.same_images_as !== null], ["turned or mirrored", (row) => row.same_images_as === null && row.turn !== ""], ["in words that look alike", (row) => row.same_images_as === null && row.turn === ""]];
    const told = ways.filter(([, holds]) => rows.some(holds)).map(([way]) => way);
    return element("p", { className: "quiet" }, open, first.pattern === first.id ? ` ${rows.length === 1 ? "It is" : "They are"} ${told.join(told.length > 2 ? ", or " : " or ")}.` : "");
  }

  kinship(v, row) {
    const told = element("p", { className: "quiet" });
    this.shelf.structures(v).then((rows) => told.append(kinship(row, rows[row.pattern])));
    return told;
  }

  // A list of which more is shown as its end comes into view.
  more(all, draw) {
    const host = element("div");
    let shown = 0;
    const next = () => {
      const some = all.slice(shown, shown + FEW);
      shown += some.length;
      const part = draw(some);
      // in one list: rows of a grid stay full
      if (host.firstChild) host.firstChild.append(...part.childNodes);
      else host.append(part);
      for (const one of host.querySelectorAll("[data-near]")) this.watcher.observe(one);
      if (shown < all.length) {
        const end = button(`More (${count(all.length - shown)})`, "Show more", () => {
          end.remove();
          next();
        });
        host.append(end);
        this.near(end, () => end.isConnected && end.click());
      }
    };
    next();
    return host;
  }

  // -- a structure -------------------------------------------------------------------------------

  async structure([name, lineage]) {
    const { shelf } = this;
    const v = this.variantOf(name);
    const rows = await shelf.structures(v);
    const row = rows.find((one) => one.lineage === lineage || numbered(one) === lineage);
    if (!row) return this.lost(`The structure ${lineage} is not there any more: it ended, or was never there.`);
    const images = row.images ? await shelf.imagesOf(v, row.id) : [];
    const order = this.listed?.v === v && this.listed.rows.includes(row) ? this.listed.rows : rows;
    const at = order.indexOf(row);
    const beside = [order[at - 1], order[at + 1]];
    const neighbours = beside.map((one) => one && address("s", name, one.lineage));
    const facts = element("dl", { className: "figures" });
    const terms = element("dl", { className: "terms" });
    for (const [text, about, value] of Object.values(MEASURES)) {
      const shown = value(row);
      if (!shown) continue;
      facts.append(element("div", { title: about }, element("dt", {}, text), element("dd", {}, shown)));
      terms.append(element("div", {}, element("dt", {}, text), element("dd", {}, about)));
    }
    const doubt = row.left_out
      ? [element("p", { className: "note" }, "Left out, as all of this kind: 'structures.exclude_kinds' names it, so no images of it are looked for.")]
      : row.established === false ? [element("p", { className: "note" }, `Not established: ${unsure(row, this.site.facts)}.`)] : [];
    const fate = row.event && !["same", "born"].includes(row.event) ? `, now ${happened(row)}` : "";
    const lines = [row.kind, ...(row.note ?? "").split(/\r?\n/)].filter(Boolean);
    const said = lines.map((text) => element("p", {}, own(text)));
    const naming = `minia structures name ${row.lineage} --name TEXT --kind KIND${shelf.variants.length > 1 ? ` --variant ${name}` : ""} --warehouse W`;
    const shows = element("p", { className: "shows" });
    const made = [
      this.steps(name, beside),
      element("h1", {}, own(title(row))),
      shows,
      sureness(row, this.site.facts),
      ...(images.length ? [this.placeLine(v, row, images)] : []),
      classes(row),
      ...said,
      ...doubt,
      facts,
      element("details", {}, element("summary", {}, "What the figures mean"), terms),
      ...(images.length ? [this.wordsSection(v, row, images, shows), this.imagesSection(v, row, images)] : []),
      element("div", { className: "charts" }, ...(images.length ? [this.whereSection(v, row, images)] : []), ...this.timeSection(images), ...this.labelsSection(row), ...this.mapSections(images, this.filtered(v, row)), ...(await this.skySection(images))),
      ...this.patternSection(v, rows, row),
      this.relatedSection(v, rows, row),
      ...(await this.besideSections(v, row)),
      element("section", {}, element("h2", {}, "Its name"), element("p", {}, `It is structure ${numbered(row)} of this state. Its lineage, which stays, is ${row.lineage}: born in state ${row.lineage.split(".")[0]}${fate}. To name it:`), element("p", {}, element("code", {}, naming))),
    ];
    return Object.assign(made, { neighbours });
  }

  steps(name, [before, after]) {
    const link = (one, text) => (one ? element("a", { href: address("s", name, one.lineage) }, text) : element("span", { className: "quiet" }, text));
    return element(
      "nav",
      { className: "steps", "aria-label": "Structures" },
      link(before, "\u2190 previous"),
      element("a", { href: this.list ?? address("structures", name) }, "all structures"),
      link(after, "next \u2192"),
    );
  }

  imagesSection(v, row, images) {
    const most = images.length ? images[0].overlap : 1;
    const slider = element("input", { type: "range", min: 0, max: most, step: most / 200 || 0.005, value: 0, id: "threshold" });
    const told = element("output", { htmlFor: "threshold" });
    const circles = element("input", { type: "checkbox", checked: this.circles });
    const whole = element("input", { type: "checkbox", checked: this.whole });
    const host = element("div");
    host.classList.toggle("plain", !this.circles);
    circles.addEventListener("change", () => {
      this.circles = circles.checked;
      host.classList.toggle("plain", !this.circles);
    });
    circles.id = "circles";
    const words = new Set(row.words);
    // from the best ones; each image's place is found when it comes into view
    const laying = this.laid(v, images.slice(0, AVERAGED)).then((laid) => new Laying(laid, words));
    const around = this.laying(v, images.slice(0, AVERAGED), words).then((found) => {
      const some = found.filter(({ place }) => place.alike);
      return some.length > 1 && centreOf(some) !== null ? ring(coverage(some.map(({ circles }) => circles))) : null;
    });
    const of = { v, row, colours: this.coloured(row), laying, around };
    let group = images;
    const fill = () => {
      const found = images.filter((image) => image.overlap >= Number(slider.value) - 1e-9);
      group = found;
      told.textContent = `${count(found.length)} of ${count(images.length)} images with an overlap of at least ${Number(slider.value).toFixed(3)}`;
      host.replaceChildren(this.more(found, (some) => element("ul", { className: "images" }, ...some.map((image) => this.figure(v, image, of, found)))));
    };
    whole.addEventListener("change", () => {
      this.whole = whole.checked;
      fill();
    });
    slider.addEventListener("input", fill);
    fill();
    const play = button("Slideshow", "Show one after another", () => this.slides(group, v, of.colours));
    const file = button("Save as CSV", "Save names, overlaps, classes and positions of these images as a table", async () => save(await this.csv(group), `${this.shelf.variants[v].name}-${numbered(row)}.csv`));
    return element(
      "section",
      {},
      element("h2", {}, "Images"),
      element("p", { className: "quiet" }, "The best first: close-ups, laid upon each other as above. Overlap is what image and structure have in common, as a share of the smaller of the two; so images of many words have small ones."),
      element("div", { className: "bar" }, element("label", { htmlFor: "threshold" }, "Overlap "), slider, told, element("label", {}, circles, " matched features"), element("label", { title: "as they were delivered, not turned" }, whole, " whole images, not turned"), play, file),
      host,
    );
  }

  async csv(images) {
    const lines = ["rank,image_id,batch,overlap,label,ra_deg,dec_deg"];
    for (const [k, image] of images.entries()) {
      const { name, batch, label, ra, dec } = await this.shelf.image(image);
      const place = [ra, dec].map((degrees) => (Number.isNaN(degrees) ? "" : degrees));
      lines.push([k + 1, inertName(name), inert(batch), Number(image.overlap.toFixed(6)), inert(label), ...place].join(","));
    }
    return `${lines.join("\n")}\n`;
  }

  // A picture; `of` is the structure that it is shown for, with circles on its features.
  figure(v, image, of, group) {
    const frame = element("span", { className: "picture" });
    const caption = element("figcaption", {}, element("span", { className: "quiet" }, image.overlap === undefined ? "" : `overlap ${image.overlap.toFixed(3)}`));
    const open = element("a", {}, frame);
    const made = element("li", {}, element("figure", {}, open, caption));
    this.near(made, async () => {
      const about = await this.shelf.image(image);
      if (of) {
        const held = new Set((await this.shelf.features(v, image)).map(({ word }) => word).filter((word) => of.colours.has(word)));
        caption.firstChild.prepend(`${held.size} of ${many(of.row.words.length, "word")}, `);
      }
      caption.append(element("br"), own(about.name), about.label ? element("span", { className: "label" }, " ", own(about.label)) : "");
      const close = of && !this.whole ? await this.nearer(v, image, about, of) : null;
      frame.append(...(close ?? (await this.picture(v, image, about, of?.colours ?? null))));
      open.href = address("i", about.batch, about.name) + (of ? `?of=${encodeURIComponent(`${this.shelf.variants[v].name}/${of.row.lineage}`)}` : ""); // now it has a name: the picture's
      open.addEventListener("click", () => (this.group = group));
    });
    return made;
  }

  // A close-up of what an image has of a structure, with circles on the features; null: there is none.
  async nearer(v, image, about, { laying, colours, around }) {
    const picture = await this.bitmap(image);
    const [laid] = picture ? await this.laid(v, [image]) : [];
    const place = laid ? (await laying).place(laid) : null;
    if (!place) return null;
    const canvas = this.closeUp({ picture, place }, 2 * CLOSE);
    canvas.removeAttribute("aria-hidden");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Close-up of ${seen(about.name)}`);
    if (place.alike) circle(canvas.getContext("2d"), await around);
    const over = svg("svg", { viewBox: "-1 -1 2 2", "aria-hidden": "true", class: "circles" });
    const upright = `rotate(${(-place.turn * 180) / Math.PI}) scale(${1 / place.half}) translate(${-place.x} ${-place.y})`;
    over.append(svg("g", { transform: upright }, ...rings(laid.features, colours)));
    return [canvas, over];
  }

  async picture(v, image, about, colours) {
    const source = await this.shelf.large(image);
    const name = `Image ${seen(about.name)}`;
    if (!source) return [this.small(image, name)];
    const shown = element("img", { src: source, alt: name });
    if (!colours) return [shown];
    const longer = Math.max(about.width, about.height) || 1;
    const [wide, high] = about.width ? [about.width / longer, about.height / longer] : [1, 1];
    const over = svg("svg", { viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true", class: "circles" });
    const half = 0.5 / longer; // the middle of the first pixel is 0
    over.append(svg("g", { transform: `translate(${half} ${half})` }, ...rings(await this.shelf.features(v, image), colours)));
    return [shown, over];
  }

  small(image, name) {
    const cell = this.shelf.cell(image);
    const made = element("span", { className: "small" });
    if (name) {
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", name);
    }
    if (cell) {
      made.style.backgroundImage = `url("${HOME}map/${cell.file}")`;
      made.style.backgroundSize = `1600% ${100 * cell.rows}%`;
      made.style.backgroundPosition = `${(100 * cell.x) / 15}% ${cell.rows > 1 ? (100 * cell.y) / (cell.rows - 1) : 0}%`;
    }
    return made;
  }

  // `told` says what the average shows, once it is there.
  wordsSection(v, row, images, told) {
    const host = element("ul", { className: "words" });
    const most = Math.max(...row.frequencies);
    const colours = this.coloured(row);
    const cells = row.words.slice(0, 60).map((word, k) => {
      const canvas = element("canvas", { width: PATCH, height: PATCH, role: "img", "aria-label": `mean patch of word ${word}` });
      const colour = element("span", { className: "swatch" });
      colour.style.background = colours.get(word);
      const bar = element("meter", { min: 0, max: most, value: row.frequencies[k], "aria-label": `frequency ${row.frequencies[k]}` });
      host.append(element("li", {}, element("a", { href: address("w", this.shelf.variants[v].name, word) }, canvas, element("br"), colour, ` ${word}`), bar, element("span", { className: "quiet number" }, count(row.frequencies[k]))));
      return [word, canvas];
    });
    this.near(host, () => this.meanPatches(v, new Map(cells), images.slice(0, FEW)));
    const average = element("canvas", { width: 2 * CLOSE, height: 2 * CLOSE, role: "img", "aria-label": "Average of its best images" });
    const caption = element("figcaption");
    this.near(average, async () => {
      const found = await this.laying(v, images.slice(0, AVERAGED), new Set(row.words));
      const { n, shows, ring: ringed } = this.average(average, found);
      told.replaceChildren(...headline(row, shows));
      caption.textContent = n
        ? `The average of ${n === found.length ? `its ${count(n)}` : `${count(n)} of its ${count(found.length)}`} best images, laid upon each other; its features lie in the ${ringed ? "ring" : "middle"}.`
        : `The average of its best ${many(found.length, "image")}, each around its features: they cannot be laid upon each other.`;
    });
    const left = row.words.length > 60 ? ` The 60 most frequent of ${count(row.words.length)}.` : "";
    return element(
      "section",
      {},
      element("h2", {}, "What it looks like"),
      element("figure", { className: "average" }, average, caption),
      element("h3", {}, "Words"),
      element("p", { className: "quiet" }, `What each word looks like: the mean patch of its features in the best images, each turned as the feature is, from black to white; the bar is how often the structure has it.${left}`),
      host,
    );
  }

  // Averages the patches of words over images, each drawn a little fainter than the one before.
  async meanPatches(v, canvases, images) {
    const seenOf = new Map();
    for (const image of images) {
      const picture = await this.bitmap(image);
      if (!picture) continue;
      for (const feature of await this.shelf.features(v, image)) {
        const canvas = canvases.get(feature.word);
        if (!canvas) continue;
        const n = (seenOf.get(feature.word) ?? 0) + 1;
        seenOf.set(feature.word, n);
        const ink = canvas.getContext("2d");
        ink.globalAlpha = 1 / n;
        cut(ink, picture, feature);
      }
    }
    for (const canvas of canvases.values()) stretch(canvas.getContext("2d"));
  }

  // The best images of a structure, with the places by which they are laid upon each other.
  async laying(v, images, words) {
    const laid = await this.laid(v, images);
    const laying = new Laying(laid, words);
    const found = [];
    for (const [k, image] of images.entries()) {
      const place = laying.place(laid[k]);
      const picture = place ? await this.bitmap(image) : null;
      if (picture) found.push({ image, picture, place, ...lying(laid[k], words, place) });
    }
    return found;
  }

  closeUp({ picture, place }, side = CLOSE) {
    const canvas = element("canvas", { width: side, height: side, "aria-hidden": "true" });
    square(canvas.getContext("2d"), picture, place);
    return canvas;
  }

  // Draws the average of those that can be laid upon each other, else of all. Returns how many these
  // are, 0: all; what it shows, in words; and the ring around what recurs.
  average(canvas, found) {
    const alike = found.filter(({ place }) => place.alike);
    const some = alike.length > 1 ? alike : [];
    const ink = canvas.getContext("2d", { willReadFrequently: true });
    average(ink, some.length ? some : found);
    const centre = centreOf(some);
    if (centre === null) return { n: some.length, shows: "", ring: null }; // what is drawn is what recurs
    const covered = coverage(some.map(({ circles }) => circles));
    const shows = told(light(ink), covered, centre);
    const where = ring(covered);
    circle(ink, where);
    return { n: some.length, shows, ring: where };
  }

  // The picture of an image, decoded; null: there is none. The last ones are kept.
  bitmap(image) {
    const key = `${image.b} ${image.i}`;
    const kept = this.pictures.get(key) ?? this.decoded(image).catch(() => null); // a part that is missing
    this.pictures.delete(key); // so that it is the last
    this.pictures.set(key, kept);
    if (this.pictures.size > PICTURES) this.pictures.delete(this.pictures.keys().next().value);
    return kept;
  }

  async decoded(image) {
    const source = await this.shelf.large(image);
    if (!source) return null;
    const picture = new Image();
    picture.src = source;
    await picture.decode();
    return picture;
  }

  // Features of images, and the images' sides as shares of the longer one.
  async laid(v, images) {
    const found = [];
    for (const image of images) {
      const { width, height } = await this.shelf.image(image);
      const longer = Math.max(width, height);
      const [wide, high] = longer > 0 ? [width / longer, height / longer] : [1, 1];
      found.push({ features: await this.shelf.features(v, image), wide, high });
    }
    return found;
  }

  // Where in its images a structure lies, in a sentence.
  async placed(v, images, words) {
    return `Lies ${somewhere(scattered(await this.laid(v, images.slice(0, FEW)), words)) || "anywhere in the images"}`;
  }

  placeLine(v, row, images) {
    return this.near(element("p", { className: "quiet" }, "\u2026"), async (line) => {
      line.textContent = await this.placed(v, images, new Set(row.words));
    });
  }

  whereSection(v, row, images) {
    const side = 220;
    const canvas = element("canvas", { width: side, height: side, role: "img", "aria-label": "Where in the images its words lie" });
    const section = element("section", {}, element("h3", {}, "Where in the image"), canvas, element("p", { className: "quiet" }, `Features of its words in the best ${Math.min(FEW, images.length)} images, all laid upon each other; the sides are as long as the images' longer sides. Galaxies that were turned to a common frame are turned here too: their long axis lies flat, and their light reaches farther to the right; none is mirrored.`));
    this.near(section, async () => {
      const ink = canvas.getContext("2d");
      ink.globalAlpha = 0.35;
      ink.fillStyle = getComputedStyle(canvas).color;
      const spread = scattered(await this.laid(v, images.slice(0, FEW)), new Set(row.words));
      for (const { x, y } of spread.found) {
        ink.beginPath();
        ink.arc((side * (1 + x)) / 2, (side * (1 + y)) / 2, 2.2, 0, 2 * Math.PI);
        ink.fill();
      }
    });
    return section;
  }

  timeSection(images) {
    if (this.shelf.batches.length < 2) return [];
    const held = this.shelf.batches.map(() => 0);
    for (const { b } of images) held[b]++;
    const first = Math.max(0, this.shelf.batches.length - 60);
    const bars = this.shelf.batches.slice(first).map((batch, k) => ({
      name: batch.name,
      value: batch.n ? held[first + k] / batch.n : 0,
      told: `${seen(batch.name)}: ${count(held[first + k])} of ${count(batch.n)} images`,
    }));
    const note = `Share of each batch's images that are in it${first ? ", of the last 60 batches" : ""}; batches in the order of their names.`;
    return [element("section", {}, element("h3", {}, "Over the batches"), bar(bars, "share of the batch"), element("p", { className: "quiet" }, note))];
  }

  labelsSection(row) {
    if (!row.labels.length) return [];
    const all = row.labels.reduce((sum, [, n]) => sum + n, 0);
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...["Class", "Images", "Share", "Of all images"].map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...row.labels.map(([label, n, share]) => element("tr", {}, element("th", { scope: "row" }, own(label)), ...[count(n), `${((100 * n) / all).toFixed(0)} %`, `${(100 * share).toFixed(0)} %`].map((text) => element("td", { className: "number" }, text))))),
    );
    return [element("section", {}, element("h3", {}, "Classes"), table, element("p", { className: "quiet" }, "The most frequent classes of its images, beside the share that each has of all images with a class. Classes come with the images, and were not used to find it."))];
  }

  async skySection(images) {
    if (!this.shelf.batches.some((batch) => batch.has_sky)) return [];
    const [wide, high] = [360, 180];
    const plot = svg("svg", { viewBox: `-34 -8 ${wide + 44} ${high + 44}`, role: "img", "aria-label": "Where on the sky its images are", class: "plot" });
    plot.append(svg("rect", { x: 0, y: 0, width: wide, height: high, class: "frame" }));
    for (const ra of [0, 90, 180, 270, 360]) plot.append(svg("text", { x: wide - ra, y: high + 14, "text-anchor": "middle" }, `${ra}\u00b0`));
    for (const dec of [-90, -45, 0, 45, 90]) plot.append(svg("text", { x: -4, y: 90 - dec + 4, "text-anchor": "end" }, `${dec}\u00b0`));
    plot.append(svg("text", { x: wide / 2, y: high + 30, "text-anchor": "middle" }, "right ascension"));
    let placed = 0;
    for (const image of images.slice(0, 2000)) {
      const { ra, dec } = await this.shelf.image(image);
      if (Number.isNaN(ra)) continue;
      placed++;
      plot.append(svg("circle", { cx: wide - ra, cy: 90 - dec, r: 2, class: "dot" }));
    }
    if (!placed) return [];
    return [element("section", {}, element("h3", {}, "On the sky"), plot, element("p", { className: "quiet" }, `${count(placed)} of its images; declination upwards, right ascension to the left.`))];
  }

  // Where images are on the maps; `rest` is what the page of the map is to show of them.
  mapSections(images, rest, level = "h3") {
    return this.site.maps.flatMap(({ name }, m) => {
      const some = images.slice(0, 2000);
      if (!some.some(({ b }) => this.shelf.batches[b].places[m].length)) return [];
      const side = 220;
      const canvas = element("canvas", { width: side, height: side, "aria-hidden": "true" });
      const over = svg("svg", { viewBox: "0 0 1 1", role: "img", "aria-label": `Place on the map by ${name}`, class: "marks" });
      const told = element("p", { className: "quiet" });
      const section = element("section", {}, element(level, {}, `On the map (${name})`), element("div", { className: "chart" }, canvas, over), told);
      return this.near(section, async () => {
        this.crowd(canvas, await this.shelf.crowd(m));
        let placed = 0;
        for (const image of some) {
          const place = await this.shelf.place(m, image);
          if (!place) continue;
          placed++;
          over.append(svg("circle", { cx: place[0], cy: 1 - place[1], r: images.length > 1 ? 0.012 : 0.03 }));
        }
        const what = images.length > 1 ? `${count(placed)} of its images` : placed ? "The image" : "The image is not there";
        told.append(`${what}${placed ? ", in colour" : ""}; grey is where all images are. Those that look alike lie together. `);
        if (this.site.map_page) {
          const words = new URLSearchParams({ map: name, ...rest });
          told.append(element("a", { href: `${new URL(`../../${this.site.map_page}`, HOME).href}#${words}` }, "Open the map"));
        }
      });
    });
  }

  // What the page of the map calls a structure.
  filtered(v, row) {
    const several = this.shelf.variants.length > 1;
    const name = several ? `structure (${this.shelf.variants[v].name})` : "structure";
    return { colour: name, [`only.${name}`]: `s${String(row.id).padStart(4, "0")}` };
  }

  crowd(canvas, { side, counts }) {
    const own = element("canvas", { width: side, height: side });
    const drawn = new ImageData(side, side);
    const [r, g, b] = getComputedStyle(canvas).color.match(/\d+/g).map(Number);
    counts.forEach((value, k) => drawn.data.set([r, g, b, value && 60 + 0.6 * value], 4 * k));
    own.getContext("2d").putImageData(drawn, 0, 0);
    const ink = canvas.getContext("2d");
    ink.imageSmoothingEnabled = false;
    ink.drawImage(own, 0, 0, canvas.width, canvas.height);
  }

  // The other structures of its pattern.
  patternSection(v, rows, row) {
    const kin = rows.filter((one) => one.pattern === row.pattern && one !== row).sort((a, b) => a.place - b.place);
    if (!kin.length) return [];
    const about = "Structures in much the same images, and those whose words look alike, as they are, turned by quarters, or mirrored: what lies left of one galaxy and above another makes different words.";
    return [element("section", {}, element("h2", {}, "The same pattern"), element("p", { className: "quiet" }, about), this.more(kin, (some) => element("ul", { className: "tiles" }, ...some.map((one) => this.tile(v, one, this.kinship(v, one))))))];
  }

  relatedSection(v, rows, row) {
    const kin = row.related.map(([id]) => rows[id]);
    const body = kin.length ? this.tiles(v, kin) : element("p", { className: "quiet" }, "No other structure has a word of it.");
    return element("section", {}, element("h2", {}, "Related structures"), body);
  }

  // -- extractors side by side -------------------------------------------------------------------

  // Structures of other extractors in most nearly the same images.
  async besideSections(v, row) {
    const made = [];
    for (const [name, those] of Object.entries(row.beside ?? {})) {
      const o = this.variantOf(name);
      const rows = await this.shelf.structures(o);
      const body = those.length
        ? element("ul", { className: "tiles" }, ...those.map(([id, share, both]) => this.tile(o, rows[id], this.shared(share, both))))
        : element("p", { className: "quiet" }, "None of its structures shares an image with this one.");
      const link = element("a", { href: address("beside", this.shelf.variants[v].name, name) }, "All of both side by side");
      made.push(element("section", {}, element("h2", {}, `In the same images by ${name}`), body, element("p", {}, link)));
    }
    return made;
  }

  shared(share, both) {
    return element("p", { className: "quiet" }, `${many(both, "image")} in both, ${(100 * share).toFixed(0)} % of those in either`);
  }

  async beside([name, other]) {
    const [v, o] = [this.variantOf(name), this.variantOf(other)];
    const [rows, others] = [await this.shelf.structures(v), await this.shelf.structures(o)];
    const pairs = rows.map((row) => [row, ...(row.beside?.[other]?.[0] ?? [])]);
    pairs.sort((a, b) => (b[2] ?? 0) - (a[2] ?? 0) || a[0].id - b[0].id);
    const found = pairs.filter(([, , share]) => share >= 0.5).length;
    const draw = (some) =>
      element(
        "div",
        {},
        ...some.map(([row, id, share, both]) =>
          element(
            "div",
            { className: "pair" },
            element("ul", { className: "tiles" }, this.tile(v, row)),
            id === undefined
              ? element("p", { className: "quiet" }, `No structure of ${other} shares an image with it.`)
              : element("ul", { className: "tiles" }, this.tile(o, others[id], this.shared(share, both))),
          ),
        ),
      );
    return [
      element("h1", {}, `${name} beside ${other}`),
      element("p", {}, `On the left every structure of ${name}, on the right the structure of ${other} in most nearly the same images; the best matches first. ${count(found)} of ${count(rows.length)} have one that shares at least half of the images in either. `, element("a", { href: address("beside", other, name) }, "The other way round")),
      this.more(pairs, draw),
    ];
  }

  // -- an image ----------------------------------------------------------------------------------

  async image([batch, name], query) {
    const { shelf } = this;
    const b = shelf.batch(batch);
    const i = b < 0 ? -1 : await shelf.find(b, name);
    if (i < 0) return this.lost(`There is no image ${name ?? ""} in batch ${batch}.`);
    const image = { b, i };
    const about = await shelf.image(image);
    const [of, lineage] = (query.get("of") ?? "").split("/");
    const back = [];
    const at = this.group.findIndex((one) => one.b === b && one.i === i);
    const beside = [this.group[at - 1], this.group[at + 1]];
    const neighbours = await Promise.all(
      beside.map(async (one) => {
        if (at < 0 || !one) return undefined;
        const found = await shelf.image(one);
        return address("i", found.batch, found.name) + (query.size ? `?${query}` : "");
      }),
    );
    // a picture an extractor, side by side
    const frames = shelf.variants.map(() => ({ picture: element("span", { className: "picture whole" }), told: element("p", { className: "quiet", role: "status" }) }));
    const tables = [];
    const draw = async (v, row) => {
      const colours = row ? this.coloured(row) : null;
      frames[v].picture.replaceChildren(...(await this.picture(v, image, about, colours)));
      frames[v].told.textContent = row ? `Circles: features of structure ${seen(title(row))}${frames.length > 1 ? ` (${shelf.variants[v].name})` : ""}.` : "";
    };
    for (let v = 0; v < shelf.variants.length; v++) {
      const rows = await shelf.structures(v);
      const held = await shelf.held(v, image);
      const features = await shelf.features(v, image);
      const from = of === shelf.variants[v].name ? rows.find((row) => row.lineage === lineage) : undefined;
      if (from) back.push(element("p", {}, element("a", { href: address("s", of, lineage) }, "\u2190 ", own(title(from)))));
      await draw(v, from ?? (held.length ? rows[held[0].id] : null));
      const several = shelf.variants.length > 1 ? ` (${shelf.variants[v].name})` : "";
      const words = new Set(features.map(({ word }) => word));
      const section = element("section", {}, element("h2", {}, `Structures in it${several}`), element("p", { className: "quiet" }, `${count(features.length)} features, ${count(words.size)} different words.`));
      if (!held.length) section.append(element("p", { className: "quiet" }, "It holds more than half of the words of no structure."));
      else {
        const line = ({ id, overlap }) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, element("a", { href: address("s", shelf.variants[v].name, rows[id].lineage) }, own(title(rows[id]))), rows[id].established === false ? element("span", { className: "quiet" }, " not established") : ""),
            element("td", { className: "number" }, overlap.toFixed(3)),
            element("td", {}, this.shower(() => draw(v, rows[id]), rows[id])),
          );
        const table = (some) =>
          element(
            "table",
            {},
            element("thead", {}, element("tr", {}, ...["Structure", "Overlap", "Features"].map((text) => element("th", { scope: "col" }, text)))),
            element("tbody", {}, ...some.map(line)),
          );
        section.append(table(held.slice(0, HELD)));
        const less = held.slice(HELD);
        if (less.length) section.append(element("details", {}, element("summary", {}, `${many(less.length, "more structure")} with a smaller overlap`), table(less)));
      }
      const every = [...words].sort((a, c) => a - c);
      const list = every.slice(0, 200);
      if (list.length) {
        section.append(element("details", {}, element("summary", {}, list.length < every.length ? `The first ${count(list.length)} of ${many(every.length, "word")}` : many(every.length, "word")), element("p", {}, ...list.flatMap((word) => [element("a", { href: address("w", shelf.variants[v].name, word) }, String(word)), " "]))));
      }
      tables.push(section);
    }
    const facts = element("dl", { className: "figures" });
    const put = (text, value) => facts.append(element("div", {}, element("dt", {}, text), element("dd", {}, value)));
    put("Batch", own(about.batch));
    if (about.label) put("Class", own(about.label));
    if (about.width) put("Size", `${about.width} \u00d7 ${about.height} pixels`);
    if (!Number.isNaN(about.ra)) put("Position", `${about.ra.toFixed(6)}\u00b0, ${about.dec.toFixed(6)}\u00b0`);
    const known = await shelf.known(image);
    for (const [text, value] of known) put(text, own(typeof value === "number" ? amount(value) : [value].flat().join(", ")));
    const made = [
      ...back,
      element("h1", {}, own(about.name)),
      facts,
      ...skyLinks(about),
      element("div", { className: "frames" }, ...frames.map(({ picture, told }) => element("div", {}, picture, told)), ...this.mapSections([image], { image: about.name, batch: about.batch }, "h2")),
      ...tables,
      ...(await this.nearestSections(image)),
    ];
    return Object.assign(made, { neighbours });
  }

  async nearestSections(image) {
    const made = [];
    for (const name of this.shelf.embeddings) {
      const kin = (await this.shelf.nearest(name, image)).filter(({ b }) => b >= 0);
      if (!kin.length) continue;
      const list = element("ul", { className: "images few" });
      for (const one of kin) {
        const figure = this.figure(0, one, null, kin);
        figure.querySelector("figcaption .quiet").textContent = `distance ${brief(one.distance)}`;
        list.append(figure);
      }
      made.push(element("section", {}, element("h2", {}, `Nearest images (${name})`), element("p", { className: "quiet" }, "Those most like it in the whole collection, the most similar first."), list));
    }
    return made;
  }

  shower(act, row) {
    const made = button("Show", "Show its features", act);
    made.setAttribute("aria-label", `Show features of structure ${seen(title(row))}`);
    return made;
  }

  // -- a word ------------------------------------------------------------------------------------

  async word([name, text]) {
    const { shelf } = this;
    const v = this.variantOf(name);
    const word = Number(text);
    if (!Number.isInteger(word) || word < 0 || !text) return this.lost(`There is no word ${seen(text ?? "")}.`);
    const rows = (await shelf.structures(v)).filter((row) => row.words.includes(word));
    const host = element("ul", { className: "patches" });
    const told = element("p", { className: "quiet", role: "status" }, "Looking for examples\u2026");
    const mean = element("canvas", { width: 2 * PATCH, height: 2 * PATCH, role: "img", "aria-label": `mean patch of word ${word}`, className: "mean" });
    host.append(element("li", {}, mean));
    this.near(host, async () => {
      const turn = this.turn;
      let found = 0;
      search: for (const [b, batch] of shelf.batches.entries()) {
        for (let i = 0; i < batch.n; i++) {
          if (turn !== this.turn || found >= 48 || i >= 4096) break search;
          const features = (await shelf.features(v, { b, i })).filter((one) => one.word === word);
          if (!features.length) continue;
          const picture = await this.bitmap({ b, i });
          if (!picture) continue;
          const about = await shelf.image({ b, i });
          const canvas = element("canvas", { width: PATCH, height: PATCH, role: "img", "aria-label": `patch of ${seen(about.name)}` });
          cut(canvas.getContext("2d"), picture, features[0]);
          const ink = mean.getContext("2d");
          ink.globalAlpha = 1 / (found + 1);
          cut(ink, picture, features[0]);
          host.append(element("li", {}, element("a", { href: address("i", about.batch, about.name), title: seen(about.name) }, canvas)));
          found++;
        }
      }
      stretch(mean.getContext("2d"));
      told.textContent = found ? `${count(found)} examples, one an image, each turned as the feature is; the first picture is their average, from black to white.` : "No image that was looked at has it.";
    });
    return [
      element("h1", {}, `Word ${word}`),
      element("p", { className: "quiet" }, `A group of features that look alike, by ${name}.`),
      element("section", {}, element("h2", {}, "Patches"), told, host),
      element("section", {}, element("h2", {}, "Structures with it"), rows.length ? this.tiles(v, rows) : element("p", { className: "quiet" }, "None.")),
    ];
  }

  async found([text = ""]) {
    const where = position(text);
    const near = where ? await this.shelf.around(where) : [];
    const images = text ? await this.shelf.search(text, MOST) : [];
    const made = [element("h1", {}, "Images")];
    const wanted = text.trim().toLowerCase();
    for (let v = 0; wanted && v < this.shelf.variants.length; v++) {
      const rows = await this.shelf.structures(v);
      const named = rows.filter((row) => numbered(row) === wanted || row.lineage === wanted || row.name?.toLowerCase().includes(wanted));
      if (named.length) made.unshift(element("h1", {}, "Structures"), this.tiles(v, named.slice(0, FEW)));
    }
    if (where) {
      const list = element("ul", { className: "images" });
      for (const one of near) {
        const figure = this.figure(0, one, null, near);
        figure.querySelector("figcaption .quiet").textContent = `${angle(one.apart)} away`;
        list.append(figure);
      }
      const told = near.length ? `The ${count(near.length)} images nearest to` : "No image has a known position; this is";
      made.push(element("p", { role: "status" }, `${told} right ascension ${amount(where.ra)}\u00b0, declination ${amount(where.dec)}\u00b0.`), list);
    }
    if (!where || images.length) {
      made.push(
        element("p", { role: "status" }, `${images.length === MOST ? "The first " : ""}${many(images.length, "image")} whose name or class holds \u201c`, own(text), "\u201d"),
        this.more(images, (some) => element("ul", { className: "images" }, ...some.map((image) => this.figure(0, image, null, images)))),
      );
    }
    return made;
  }

  // -- slideshow, keyboard -----------------------------------------------------------------------

  slides(group, v, colours) {
    if (!group.length) return;
    this.close();
    let at = 0;
    const before = document.activeElement;
    const stage = element("div", { className: "stage" });
    const told = element("p", { role: "status" });
    const box = element("dialog", { className: "slides", "aria-label": "Slideshow" }, stage, told);
    let timer = null;
    const draw = async () => {
      const image = group[at];
      const about = await this.shelf.image(image);
      const picture = element("span", { className: "picture whole" }, ...(await this.picture(v, image, about, colours)));
      picture.classList.toggle("plain", !this.circles);
      stage.replaceChildren(picture);
      told.replaceChildren(`${count(at + 1)} of ${count(group.length)}: `, own(about.name), about.label ? ", " : "", own(about.label), image.overlap === undefined ? "" : `, overlap ${image.overlap.toFixed(3)}`);
    };
    const go = (step) => {
      at = (at + step + group.length) % group.length;
      return draw();
    };
    const play = button("Play", "Play or pause", () => {
      if (timer) clearInterval(timer);
      timer = timer ? null : setInterval(() => go(1), 2000);
      play.textContent = timer ? "Pause" : "Play";
    });
    box.append(element("div", { className: "bar" }, button("\u2190", "Previous", () => go(-1)), play, button("\u2192", "Next", () => go(1)), button("Close", "Close the slideshow", () => this.close())));
    document.body.append(box);
    this.shown = { go, circles: draw, end: () => { clearInterval(timer); box.remove(); before?.focus?.(); } };
    box.addEventListener("close", () => this.close());
    box.showModal();
    draw();
  }

  close() {
    const shown = this.shown;
    this.shown = null;
    shown?.end();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(?:INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (this.shown) {
      if (event.key === "ArrowLeft") this.shown.go(-1);
      else if (event.key === "ArrowRight") this.shown.go(1);
      else if (event.key === "c") { this.circles = !this.circles; this.shown.circles(); }
      return;
    }
    if (typing) return;
    const [before, after] = /^#\/[si]\//.test(location.hash) ? (this.neighbours ?? []) : [];
    if (event.key === "ArrowLeft" && before) location.hash = before;
    else if (event.key === "ArrowRight" && after) location.hash = after;
    else if (event.key === "c") document.querySelector("#circles")?.click();
    else if (event.key === "s") [...document.querySelectorAll("main button")].find((one) => one.textContent === "Slideshow")?.click();
    else if (event.key === "/") { event.preventDefault(); document.querySelector("#query").focus(); }
  }
}

// Patterns by how far their first structures stand out: heading, what that means, patterns.
function grades(patterns) {
  const of = (row) => (row.left_out ? "left out" : row.established ? row.strength : "not");
  const parts = [
    ["strong", "Strong", "Established, and in at least three times as many images as by chance."],
    ["moderate", "Moderate", "Established, and in more images than by chance."],
    ["weak", "Weak", "Established, but in less than one and a half times as many images as by chance: what they have in common is slight, and hard to see."],
    ["not", "Not established", "Chance may have made them, or they were not found again."],
    ["left out", "Left out", "Of kinds that structures.exclude_kinds names."],
  ];
  return parts
    .map(([key, heading, about]) => [heading, about, patterns.filter(([row]) => of(row) === key)])
    .filter(([, , some]) => some.length)
    .map(([heading, about, some]) => [`${heading}: ${many(some.length, "pattern")}`, about, some]);
}

// The middle of the galaxies in close-ups that were laid upon each other; null: they have no frame.
function centreOf(found) {
  const all = found.map(({ centre }) => centre);
  if (!all.length || all.includes(null)) return null;
  const median = (key) => all.map((one) => one[key]).sort((a, b) => a - b)[all.length >> 1];
  return { x: median("x"), y: median("y") };
}

// Where in a close-up the features of some words lie, and the middle of its image where it was turned
// to the frame of its galaxy: from 0 to 1.
function lying({ features, wide, high }, words, place) {
  const at = ({ x, y }) => {
    const there = within({ x, y }, place);
    return { x: (1 + there.x) / 2, y: (1 + there.y) / 2 };
  };
  const circles = features.filter(({ word }) => words.has(word)).map((one) => ({ ...at(one), radius: one.size / place.half / 4 }));
  return { circles, centre: common(features) === null ? null : at({ x: wide / 2, y: high / 2 }) };
}

// Circles on the features of some words.
function rings(features, colours) {
  return features.filter(({ word }) => colours.has(word)).map(({ x, y, size, word }) => {
    const circle = svg("circle", { cx: x, cy: y, r: Math.max(size / 2, 0.006), stroke: colours.get(word) });
    circle.append(svg("title", {}, `word ${word}`));
    return circle;
  });
}

function bar(bars, axis) {
  const [wide, high, room] = [Math.max(160, 16 * bars.length), 110, 44];
  const most = Math.max(...bars.map((one) => one.value), 0.01);
  const plot = svg("svg", { viewBox: `${-room} -8 ${wide + room + 6} ${high + 34}`, role: "img", "aria-label": `Chart: ${axis}`, class: "plot" });
  for (const part of [0, 0.5, 1]) {
    const y = high * (1 - part);
    plot.append(svg("path", { d: `M0 ${y}H${wide}` }), svg("text", { x: -5, y: y + 4, "text-anchor": "end" }, `${(100 * most * part).toFixed(most < 0.1 ? 1 : 0)} %`));
  }
  const step = wide / bars.length;
  bars.forEach((one, k) => {
    const tall = (high * one.value) / most;
    const made = svg("rect", { x: k * step + step * 0.15, y: high - tall, width: Math.min(step * 0.7, 40), height: tall, class: "bar" });
    made.append(svg("title", {}, one.told));
    plot.append(made);
  });
  const ends = bars.length > 1 ? [[0, "start", bars[0]], [wide, "end", bars[bars.length - 1]]] : [[0, "start", bars[0]]];
  for (const [x, anchor, one] of ends) plot.append(svg("text", { x, y: high + 16, "text-anchor": anchor }, seen(one.name).slice(0, 18)));
  return plot;
}

// Public viewers of the sky at a position.
function skyLinks({ ra, dec }) {
  if (Number.isNaN(ra)) return [];
  const [r, d] = [ra.toFixed(6), dec.toFixed(6)];
  const sign = dec < 0 ? "" : "%2B";
  const places = [
    ["Aladin Lite", `https://aladin.cds.unistra.fr/AladinLite/?target=${r}%20${sign}${d}&fov=0.05`],
    ["Legacy Survey", `https://www.legacysurvey.org/viewer?ra=${r}&dec=${d}&zoom=15`],
    ["SDSS", `https://skyserver.sdss.org/dr18/VisualTools/navi?ra=${r}&dec=${d}&scale=0.2`],
    ["SIMBAD", `https://simbad.cds.unistra.fr/simbad/sim-coo?Coord=${r}d${sign}${d}d&Radius=1&Radius.unit=arcmin`],
    ["NED", `https://ned.ipac.caltech.edu/conesearch?coordinates=${r}d%20${sign}${d}d&radius=1`],
  ];
  return [element("p", {}, "The same place in ", ...places.flatMap(([name, href], k) => [k ? ", " : "", element("a", { href, rel: "noreferrer" }, name)]))];
}
