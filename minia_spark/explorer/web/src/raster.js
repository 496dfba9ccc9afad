// Draws dots into pixels: a million in a few milliseconds, without a GPU.

const EDGE = 16; // pixels around the picture, so that no dot has to be cut off

// Pixels of a dot: those that it covers, and for larger ones those at its edge, with their share.
function stamp(radius, width) {
  const full = [];
  const edge = [];
  const shares = [];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const share = radius + 0.5 - Math.hypot(x, y);
      if (share >= 1) full.push(y * width + x);
      else if (share > 0.1) {
        edge.push(y * width + x);
        shares.push(Math.round(share * 256));
      }
    }
  }
  return { full: Int32Array.from(full), edge: Int32Array.from(edge), shares: Int32Array.from(shares) };
}

function blend(below, above, share) {
  const rest = 256 - share;
  const one = ((below & 0xff00ff) * rest + (above & 0xff00ff) * share) >>> 8;
  const two = ((below >>> 8) & 0xff) * rest + ((above >>> 8) & 0xff) * share;
  return (0xff000000 | (one & 0xff00ff) | (two & 0xff00)) >>> 0;
}

export class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.columns = new Int32Array(65536);
    this.rows = new Int32Array(65536);
    this.resize(1, 1);
  }

  resize(width, height) {
    if (this.width === width && this.height === height) return;
    this.canvas.width = this.width = width;
    this.canvas.height = this.height = height;
    this.across = width + 2 * EDGE;
    this.image = this.context.createImageData(this.across, height + 2 * EDGE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.stamps = new Map();
  }

  clear(paper) {
    this.pixels.fill(paper);
  }

  show() {
    this.context.putImageData(this.image, -EDGE, -EDGE);
  }

  // Where every coordinate is: coordinates have 65,536 values, so a table is less work than points.
  // Columns of x and first pixels of the rows of y; -1: further than `room` out of the picture.
  aim({ scale, left, top }, room) {
    const { columns, rows, across, width, height } = this;
    for (let value = 0; value < 65535; value++) {
      const column = Math.floor(value * scale + left);
      columns[value] = column >= -room && column < width + room ? column + EDGE : -1;
      const row = Math.floor(top - value * scale);
      rows[value] = row >= -room && row < height + room ? (row + EDGE) * across : -1;
    }
    columns[65535] = -1; // not on the map
  }

  // Draw points; return how many are in the picture, or so near that their dots are.
  //
  // x, y: whole numbers; at x * scale + left, top - y * scale in pixels. ink: a colour each, or one
  // for all. mask: only points whose mask is `wanted`; null: all. turns: first points and ends of
  // the ranges that are drawn, one upon the other.
  draw(x, y, { scale, left, top, radius, ink, turns, mask = null, wanted = 1 }) {
    const { pixels, across, columns, rows } = this;
    const one = typeof ink === "number";
    let inside = 0;
    if (radius < 1.2) {
      // the way that a million points take: a square of one or two pixels
      this.aim({ scale, left, top }, 0);
      const twice = radius >= 0.75;
      for (let turn = 0; turn < turns.length; turn += 2) {
        for (let i = turns[turn]; i < turns[turn + 1]; i++) {
          if (mask !== null && mask[i] !== wanted) continue;
          const column = columns[x[i]];
          const row = rows[y[i]];
          if ((column | row) < 0) continue;
          const at = row + column;
          const colour = one ? ink : ink[i];
          inside++;
          pixels[at] = colour;
          if (twice) {
            pixels[at + 1] = colour;
            pixels[at + across] = colour;
            pixels[at + across + 1] = colour;
          }
        }
      }
      return inside;
    }
    const key = Math.round(radius * 4) / 4;
    if (!this.stamps.has(key)) this.stamps.set(key, stamp(key, across));
    const { full, edge, shares } = this.stamps.get(key);
    // a dot beyond the border is drawn as far as the room around the picture holds all of it
    this.aim({ scale, left, top }, Math.min(EDGE - Math.ceil(key) - 1, Math.ceil(key)));
    for (let turn = 0; turn < turns.length; turn += 2) {
      for (let i = turns[turn]; i < turns[turn + 1]; i++) {
        if (mask !== null && mask[i] !== wanted) continue;
        const column = columns[x[i]];
        const row = rows[y[i]];
        if ((column | row) < 0) continue;
        inside++;
        const at = row + column;
        const colour = one ? ink : ink[i];
        for (let j = 0; j < full.length; j++) pixels[at + full[j]] = colour;
        for (let j = 0; j < edge.length; j++) {
          const place = at + edge[j];
          pixels[place] = blend(pixels[place], colour, shares[j]);
        }
      }
    }
    return inside;
  }
}
