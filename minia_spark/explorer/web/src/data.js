// What there is to show: arrays of all points, filled part by part as scripts arrive.
// Points of a batch stand together; within a batch they are in the order of a hash of their names.

import { HOME } from "./page.js";

export const ABSENT = 65535; // a coordinate of a point that is not on a map
const TURNS = 64; // in which the points of all batches are drawn, so that none covers the others
const AT_ONCE = 8; // scripts that are loaded at the same time

const arriving = new Map(); // script element -> what takes its part

// Every part calls this; the browser says which script is running.
export function part(head, blobs) {
  const script = document.currentScript;
  const take = arriving.get(script);
  if (take) take({ head, blobs: blobs.map(bytes) });
}

function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const plain = atob(text);
  const found = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) found[i] = plain.charCodeAt(i);
  return found;
}

function numbers(blob, width) {
  const Type = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[width];
  return new Type(blob.buffer, blob.byteOffset, blob.byteLength / width);
}

async function inflated(blob) {
  const stream = new Blob([blob]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Texts of a part, kept as one string: a million names are a million objects less.
class Texts {
  constructor(text, lengths) {
    this.text = text;
    this.starts = new Uint32Array(lengths.length + 1);
    for (let i = 0; i < lengths.length; i++) this.starts[i + 1] = this.starts[i] + lengths[i] + 1;
  }

  at(i) {
    return this.text.slice(this.starts[i], this.starts[i + 1] - 1);
  }

  // Numbers of the texts that hold what is looked for, in any case.
  *matching(query) {
    const wanted = new RegExp(query.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "giu");
    let found;
    while ((found = wanted.exec(this.text)) !== null) {
      let low = 0;
      let high = this.starts.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (this.starts[middle] <= found.index) low = middle;
        else high = middle;
      }
      yield low;
      wanted.lastIndex = this.starts[low + 1]; // each text once
    }
  }
}

export class Store {
  constructor(site) {
    this.site = site;
    this.queue = [];
    this.busy = 0;
    this.loaded = new Map(); // file -> promise of its part
    this.texts = new Map(); // file -> Texts
    this.sheets = new Map(); // file -> image, the last used last
    this.onsheet = () => {};
    this.chunks = [];
    let n = 0;
    site.batches.forEach((batch, number) => {
      const count = Math.ceil(batch.n / site.points);
      for (let place = 0; place < count; place++) {
        const size = Math.min(site.points, batch.n - place * site.points);
        this.chunks.push({ batch: number, place, base: n + place * site.points, n: size, share: place / count });
      }
      batch.base = n;
      n += batch.n;
    });
    this.n = n;
    this.turns = [];
    for (let turn = 0; turn < TURNS; turn++) {
      for (const { base, n: own } of site.batches) {
        this.turns.push(base + Math.floor((own * turn) / TURNS), base + Math.floor((own * (turn + 1)) / TURNS));
      }
    }
    this.inOrder = [...this.chunks].sort((a, b) => a.share - b.share || a.batch - b.batch);
    this.maps = site.maps.map((map) => ({
      ...map,
      x: new Uint16Array(n).fill(ABSENT),
      y: new Uint16Array(n).fill(ABSENT),
      ready: null,
    }));
    const batch = new Uint16Array(n);
    site.batches.forEach((one, number) => batch.fill(number + 1, one.base, one.base + one.n));
    this.fields = site.fields.map((field, number) => this.newField(field, number));
    this.fields.push({
      name: "batch",
      kind: "category",
      about: "When, or from where, the image came.",
      values: site.batches.map((one) => ({ name: one.name, n: one.n, link: "" })),
      codes: batch,
      ready: Promise.resolve(),
    });
    for (const field of this.fields) {
      if (!field.values) continue;
      field.codeOf = new Map(field.values.map((value, i) => [value.name, i + 1]));
    }
  }

  newField(field, number) {
    const own = { ...field, number, ready: null };
    if (field.kind === "number") {
      own.numbers = new Float32Array(this.n).fill(NaN);
      return own;
    }
    own.values = field.values.map(([name, n, link]) => ({ name, n, link }));
    if (field.kind === "tags") own.lists = new Map(); // chunk -> where each point's codes begin, codes
    else own.codes = new (field.values.length < 65535 ? Uint16Array : Uint32Array)(this.n);
    return own;
  }

  // -- loading -----------------------------------------------------------------------------------

  load(file, urgent = false) {
    if (!this.loaded.has(file)) {
      const arrived = new Promise((resolve, reject) => {
        this.queue[urgent ? "unshift" : "push"]({ file, resolve, reject });
      });
      this.loaded.set(file, arrived);
      this.next();
    }
    return this.loaded.get(file);
  }

  next() {
    while (this.busy < AT_ONCE && this.queue.length) {
      const { file, resolve, reject } = this.queue.shift();
      const script = document.createElement("script");
      const done = () => {
        arriving.delete(script);
        script.remove();
        this.busy--;
        this.next();
      };
      arriving.set(script, resolve);
      script.onload = done;
      script.onerror = () => {
        done();
        reject(new Error(`map/${file} cannot be loaded: is the whole folder there?`));
      };
      script.src = `${HOME}map/${file}`;
      this.busy++;
      document.head.append(script);
    }
  }

  forget(file) {
    this.loaded.delete(file);
  }

  // Load something of every chunk, a fair sample first; `arrived` is told of every chunk.
  all(files, take, arrived) {
    return Promise.all(
      this.inOrder.map(async (chunk) => {
        const file = files(this.site.batches[chunk.batch])[chunk.place];
        take(chunk, await this.load(file));
        this.forget(file);
        arrived(chunk);
      }),
    );
  }

  // All that is known of the points but their names and pictures.
  everything() {
    return Promise.all([
      ...this.maps.map((_, number) => this.loadMap(number)),
      ...this.fields.map((field) => this.loadField(field)),
    ]);
  }

  loadMap(number, arrived = () => {}) {
    const map = this.maps[number];
    map.ready ??= this.all(
      (batch) => batch.maps[number],
      (chunk, { blobs }) => {
        const both = numbers(blobs[0], 2);
        map.x.set(both.subarray(0, chunk.n), chunk.base);
        map.y.set(both.subarray(chunk.n), chunk.base);
      },
      arrived,
    );
    return map.ready;
  }

  loadField(field, arrived = () => {}) {
    field.ready ??= this.all(
      (batch) => batch.fields[field.number],
      (chunk, { head, blobs }) => this.takeField(field, chunk, head, blobs),
      arrived,
    );
    return field.ready;
  }

  takeField(field, chunk, head, blobs) {
    if (field.kind === "number") {
      field.numbers.set(new Float32Array(blobs[0].buffer, 0, chunk.n), chunk.base);
      return;
    }
    // codes of the part are places in its own list of values
    const codes = [0, ...head.values.map((value) => field.codeOf.get(value) ?? 0)];
    if (field.kind === "category") {
      const own = numbers(blobs[0], head.width);
      for (let i = 0; i < own.length; i++) field.codes[chunk.base + i] = codes[own[i]];
      return;
    }
    const counts = numbers(blobs[0], head.wide);
    const starts = new Uint32Array(chunk.n + 1);
    for (let i = 0; i < chunk.n; i++) starts[i + 1] = starts[i] + counts[i];
    field.lists.set(chunk.base, { starts, codes: Uint32Array.from(numbers(blobs[1], head.width), (c) => codes[c]) });
  }

  // -- one point ---------------------------------------------------------------------------------

  chunkOf(i) {
    let low = 0;
    let high = this.chunks.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.chunks[middle].base <= i) low = middle;
      else high = middle;
    }
    return this.chunks[low];
  }

  // Codes of a point's values: 0 is none.
  codesOf(field, i) {
    if (field.kind === "category") return field.codes[i] ? [field.codes[i]] : [];
    const chunk = this.chunkOf(i);
    const lists = field.lists.get(chunk.base);
    if (!lists) return [];
    return lists.codes.subarray(lists.starts[i - chunk.base], lists.starts[i - chunk.base + 1]);
  }

  // Values of a point: texts, or one number.
  valuesOf(field, i) {
    if (field.kind === "number") return Number.isNaN(field.numbers[i]) ? [] : [field.numbers[i]];
    return Array.from(this.codesOf(field, i)).filter(Boolean).map((code) => field.values[code - 1].name);
  }

  batchOf(i) {
    return this.site.batches[this.chunkOf(i).batch];
  }

  position(map, i) {
    const [x0, y0, x1, y1] = map.box;
    const digits = (low, high, value) => Number((low + ((high - low) * value) / (ABSENT - 1)).toPrecision(7));
    return [digits(x0, x1, map.x[i]), digits(y0, y1, map.y[i])];
  }

  // -- texts -------------------------------------------------------------------------------------

  async textsOf(chunk, kind = "names") {
    const file = this.site.batches[chunk.batch][kind][chunk.place];
    if (file === undefined) return null;
    if (!this.texts.has(file)) {
      const { blobs } = await this.load(file, true);
      const [lengths, text] = await Promise.all(blobs.map(inflated));
      this.forget(file);
      this.texts.set(file, new Texts(new TextDecoder().decode(text), numbers(lengths, 4)));
    }
    return this.texts.get(file);
  }

  // The name where it is at hand; null where it has to be loaded first.
  nameNow(i) {
    const chunk = this.chunkOf(i);
    const texts = this.texts.get(this.site.batches[chunk.batch].names[chunk.place]);
    return texts ? texts.at(i - chunk.base) : null;
  }

  async name(i) {
    const chunk = this.chunkOf(i);
    return (await this.textsOf(chunk)).at(i - chunk.base);
  }

  async link(i) {
    const chunk = this.chunkOf(i);
    const texts = await this.textsOf(chunk, "links");
    return texts ? texts.at(i - chunk.base) : "";
  }

  async namesOf(points) {
    const chunks = new Set(points.map((i) => this.chunkOf(i)));
    await Promise.all([...chunks].map((chunk) => this.textsOf(chunk)));
  }

  // Points whose name holds the text, or is it.
  async search(query, exact = false) {
    const found = [];
    for (const chunk of this.chunks) {
      const texts = await this.textsOf(chunk);
      for (const own of texts.matching(query)) {
        if (!exact || texts.at(own) === query) found.push(chunk.base + own);
      }
    }
    return found;
  }

  // -- pictures ----------------------------------------------------------------------------------

  get pictures() {
    return this.site.batches.some((batch) => batch.pictures > 0);
  }

  async loadPlaces() {
    this.places ??= new Uint32Array(this.n).fill(0xffffffff);
    this.placesReady ??= Promise.all(
      this.chunks.map(async (chunk) => {
        const file = this.site.batches[chunk.batch].places[chunk.place];
        if (file === undefined) return;
        this.places.set(numbers((await this.load(file)).blobs[0], 4), chunk.base);
        this.forget(file);
      }),
    );
    return this.placesReady;
  }

  // The sheet that holds a point's picture, and where; null: it has none, or is not loaded yet.
  pictureOf(i) {
    const place = this.places ? this.places[i] : 0xffffffff;
    if (place === 0xffffffff) return null;
    const side = this.site.cell;
    const file = this.batchOf(i).sheets[place >> 8];
    const within = place & 255;
    return { file, x: (within & 15) * side, y: (within >> 4) * side, side };
  }

  sheet(file) {
    let image = this.sheets.get(file);
    if (image) this.sheets.delete(file);
    else {
      image = new Image();
      image.onload = () => this.onsheet();
      image.src = `${HOME}map/${file}`;
    }
    this.sheets.set(file, image);
    return image.complete && image.naturalWidth ? image : null;
  }

  // A sheet takes 4 MB once it is decoded.
  keepSheets(most) {
    for (const file of this.sheets.keys()) {
      if (this.sheets.size <= most) return;
      this.sheets.delete(file);
    }
  }

  // The larger copy as an address; empty: there is none.
  async large(i) {
    await this.loadPlaces();
    const place = this.places[i];
    const file = place === 0xffffffff ? undefined : this.batchOf(i).larger[Math.floor(place / this.site.large)];
    if (file === undefined) return "";
    const { blobs } = await this.load(file, true);
    const blob = blobs[place % this.site.large];
    let text = "";
    for (let at = 0; at < blob.length; at += 8192) text += String.fromCharCode(...blob.subarray(at, at + 8192));
    const kind = blob[0] === 0x89 ? "png" : "jpeg";
    return `data:image/${kind};base64,${btoa(text)}`;
  }
}
