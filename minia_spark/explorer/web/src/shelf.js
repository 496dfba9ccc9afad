// What the gallery knows: batches with their images, extractors with their structures.

import { apart } from "./sky.js";
import { Loader, inflated, json } from "./loader.js";

const POINTS = 65536; // images of a part that says something of each
const WHOLE = 65535;
const ABSENT = 65535; // a coordinate of an image that is not on a map

export class Shelf {
  constructor(site) {
    this.site = site;
    this.loader = new Loader();
    this.batches = site.batches;
    this.variants = site.variants;
    this.images = site.batches.reduce((sum, batch) => sum + batch.n, 0);
  }

  batch(name) {
    return this.batches.findIndex((batch) => batch.name === name);
  }

  // -- structures --------------------------------------------------------------------------------

  async structures(v) {
    const variant = this.variants[v];
    variant.rows ??= await this.loader.get(variant.table, ({ blobs }) => json(blobs[0]));
    return variant.rows;
  }

  // The images of a structure, the best first: { b, i, overlap }.
  async imagesOf(v, id) {
    const { block } = this.site;
    const file = this.variants[v].images[Math.floor(id / block)];
    const { counts, batch, image, overlap } = await this.loader.get(file, async ({ blobs }) => ({
      counts: await inflated(blobs[0], Uint32Array),
      batch: await inflated(blobs[1], Uint32Array),
      image: await inflated(blobs[2], Uint32Array),
      overlap: await inflated(blobs[3], Float32Array),
    }));
    let at = 0;
    for (let k = 0; k < id % block; k++) at += counts[k];
    return Array.from({ length: counts[id % block] }, (_, k) => ({
      b: batch[at + k],
      i: image[at + k],
      overlap: overlap[at + k],
    }));
  }

  // The structures that an image holds: { id, overlap }, the largest overlap first.
  async held(v, { b, i }) {
    const { images, ids, overlap } = await this.loader.get(this.variants[v].held[b], async ({ blobs }) => ({
      images: await inflated(blobs[0], Uint32Array),
      ids: await inflated(blobs[1], Uint32Array),
      overlap: await inflated(blobs[2], Float32Array),
    }));
    let low = 0;
    let high = images.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (images[middle] < i) low = middle + 1;
      else high = middle;
    }
    const found = [];
    for (let k = low; k < images.length && images[k] === i; k++) found.push({ id: ids[k], overlap: overlap[k] });
    return found;
  }

  // -- images ------------------------------------------------------------------------------------

  about(b, place) {
    return this.loader.get(this.batches[b].about[place], async ({ blobs }) => ({
      names: await json(blobs[0]),
      labels: await json(blobs[1]),
      ra: await inflated(blobs[2], Float64Array),
      dec: await inflated(blobs[3], Float64Array),
      width: await inflated(blobs[4], Float32Array),
      height: await inflated(blobs[5], Float32Array),
    }));
  }

  async image({ b, i }) {
    const all = await this.about(b, Math.floor(i / POINTS));
    const k = i % POINTS;
    return {
      b,
      i,
      batch: this.batches[b].name,
      name: all.names[k],
      label: all.labels[k],
      ra: all.ra[k],
      dec: all.dec[k],
      width: all.width[k],
      height: all.height[k],
    };
  }

  async find(b, name) {
    for (let place = 0; place < this.batches[b].about.length; place++) {
      const k = (await this.about(b, place)).names.indexOf(name);
      if (k >= 0) return place * POINTS + k;
    }
    return -1;
  }

  // Images whose name, or class, holds a text, so many at most.
  async search(text, most = 40) {
    const wanted = text.toLowerCase();
    const found = [];
    for (let b = 0; b < this.batches.length; b++) {
      for (let place = 0; place < this.batches[b].about.length; place++) {
        const { names, labels } = await this.about(b, place);
        for (let k = 0; k < names.length && found.length < most; k++) {
          if (names[k].toLowerCase().includes(wanted) || labels[k].toLowerCase().includes(wanted)) found.push({ b, i: place * POINTS + k });
        }
      }
    }
    return found;
  }

  // The images nearest to a position on the sky: { b, i, apart }, in degrees, so many at most.
  async around(where, most = 40) {
    let found = [];
    for (let b = 0; b < this.batches.length; b++) {
      if (!this.batches[b].has_sky) continue;
      for (let place = 0; place < this.batches[b].about.length; place++) {
        const { ra, dec } = await this.about(b, place);
        for (let k = 0; k < ra.length; k++) {
          if (!Number.isNaN(ra[k])) found.push({ b, i: place * POINTS + k, apart: apart(where, { ra: ra[k], dec: dec[k] }) });
        }
        found = found.sort((one, other) => one.apart - other.apart).slice(0, most);
      }
    }
    return found;
  }

  // The sheet that a small picture is on, and where; null: there are none.
  cell({ b, i }) {
    const { chunk, cell } = this.site;
    const file = this.batches[b].sheets[Math.floor(i / chunk)];
    if (file === undefined) return null;
    const k = i % chunk;
    const rows = Math.ceil(Math.min(chunk, this.batches[b].n - (i - k)) / 16);
    return { file, x: k % 16, y: Math.floor(k / 16), rows, side: cell };
  }

  // The larger picture as an address; empty: there is none.
  async large({ b, i }) {
    const { large } = this.site;
    const file = this.batches[b].larger[Math.floor(i / large)];
    if (file === undefined) return "";
    const { blobs } = await this.loader.get(file, (found) => found);
    const blob = blobs[i % large];
    if (!blob.length) return "";
    let text = "";
    for (let at = 0; at < blob.length; at += 8192) text += String.fromCharCode(...blob.subarray(at, at + 8192));
    return `data:image/${blob[0] === 0x89 ? "png" : "jpeg"};base64,${btoa(text)}`;
  }

  // Features of an image: x, y and size as shares of its longer side, how far each is turned, from
  // x to y, in radians, and its word.
  async features(v, { b, i }) {
    const { chunk } = this.site;
    const file = this.batches[b].features[this.variants[v].name]?.[Math.floor(i / chunk)];
    if (file === undefined) return [];
    const all = await this.loader.get(file, async ({ blobs }) => {
      const counts = await inflated(blobs[0], Uint32Array);
      const starts = new Uint32Array(counts.length + 1);
      for (let k = 0; k < counts.length; k++) starts[k + 1] = starts[k] + counts[k];
      return { starts, shares: await inflated(blobs[1], Uint16Array), words: await inflated(blobs[2], Uint32Array) };
    });
    const n = all.words.length;
    const found = [];
    for (let k = all.starts[i % chunk]; k < all.starts[(i % chunk) + 1]; k++) {
      const [x, y, size, turn] = [0, 1, 2, 3].map((row) => all.shares[row * n + k] / WHOLE);
      found.push({ x, y, size, turn: 2 * Math.PI * turn, word: all.words[k] });
    }
    return found;
  }

  // -- what other lines know ---------------------------------------------------------------------

  // What else is known of an image: [name, text], in the order in which it is told.
  async known({ b, i }) {
    const { chunk } = this.site;
    const file = this.batches[b].known[Math.floor(i / chunk)];
    if (file === undefined) return [];
    const all = await this.loader.get(file, ({ blobs }) => json(blobs[0]));
    return Object.entries(all)
      .map(([name, values]) => [name, values[i % chunk]])
      .filter(([, value]) => value !== null && value.length !== 0);
  }

  // Embeddings by which nearest images are known.
  get embeddings() {
    return [...new Set(this.batches.flatMap((batch) => Object.keys(batch.nearest)))].sort();
  }

  // The nearest images by an embedding: { b, i, distance }, the nearest first.
  async nearest(name, { b, i }) {
    const { chunk } = this.site;
    const file = this.batches[b].nearest[name]?.[Math.floor(i / chunk)];
    if (file === undefined) return [];
    const all = await this.loader.get(file, async ({ head, blobs }) => ({
      owners: head.batches.map((one) => this.batch(one)),
      counts: await inflated(blobs[0], Uint32Array),
      codes: await inflated(blobs[1], Uint32Array),
      images: await inflated(blobs[2], Uint32Array),
      distances: await inflated(blobs[3], Float32Array),
    }));
    let at = 0;
    for (let k = 0; k < i % chunk; k++) at += all.counts[k];
    return Array.from({ length: all.counts[i % chunk] }, (_, k) => ({
      b: all.owners[all.codes[at + k]],
      i: all.images[at + k],
      distance: all.distances[at + k],
    }));
  }

  // Where an image is on a map: shares of its sides, from the left and from below; null: nowhere.
  async place(m, { b, i }) {
    const file = this.batches[b].places[m][Math.floor(i / POINTS)];
    if (file === undefined) return null;
    const all = await this.loader.get(file, ({ head, blobs }) => ({
      n: head.n,
      steps: new Uint16Array(blobs[0].buffer, blobs[0].byteOffset, 2 * head.n),
    }));
    const [x, y] = [all.steps[i % POINTS], all.steps[all.n + (i % POINTS)]];
    return x === ABSENT ? null : [x / (ABSENT - 1), y / (ABSENT - 1)];
  }

  // How crowded a map is: a square of numbers up to 255, rows from above.
  crowd(m) {
    return this.loader.get(this.site.maps[m].density, async ({ head, blobs }) => ({
      side: head.side,
      counts: await inflated(blobs[0]),
    }));
  }
}
