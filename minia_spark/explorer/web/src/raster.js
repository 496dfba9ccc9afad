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

  // Draw points; return how many have their middle in the picture.
  //
  // x, y: whole numbers; at x * scale + left, top - y * scale in pixels. ink: a colour each, or one
  // for all. mask: only points whose mask is `wanted`; null: all.
  draw(x, y, { scale, left, top, radius, ink, mask = null, wanted = 1 }) {
    const { pixels, across, width, height } = this;
    const one = typeof ink === "number";
    const n = x.length;
    let inside = 0;
    if (radius < 1.2) {
      // the way that a million points take: a square of one or two pixels
      const twice = radius >= 0.75;
      const from = EDGE * across + EDGE;
      for (let i = 0; i < n; i++) {
        if (mask !== null && mask[i] !== wanted) continue;
        const own = x[i];
        const px = own * scale + left;
        if (!(px >= 0 && px < width) || own === 65535) continue;
        const py = top - y[i] * scale;
        if (!(py >= 0 && py < height)) continue;
        const at = from + (py | 0) * across + (px | 0);
        const colour = one ? ink : ink[i];
        inside++;
        pixels[at] = colour;
        if (twice) {
          pixels[at + 1] = colour;
          pixels[at + across] = colour;
          pixels[at + across + 1] = colour;
        }
      }
      return inside;
    }
    const key = Math.round(radius * 4) / 4;
    if (!this.stamps.has(key)) this.stamps.set(key, stamp(key, across));
    const { full, edge, shares } = this.stamps.get(key);
    // a dot beyond the border is drawn as far as the room around the picture holds all of it
    const room = EDGE - Math.ceil(key) - 1;
    for (let i = 0; i < n; i++) {
      if (mask !== null && mask[i] !== wanted) continue;
      const own = x[i];
      const px = Math.floor(own * scale + left);
      if (px < -room || px >= width + room || own === 65535) continue;
      const py = Math.floor(top - y[i] * scale);
      if (py < -room || py >= height + room) continue;
      if (px >= 0 && px < width && py >= 0 && py < height) inside++;
      const at = (py + EDGE) * across + px + EDGE;
      const colour = one ? ink : ink[i];
      for (let j = 0; j < full.length; j++) pixels[at + full[j]] = colour;
      for (let j = 0; j < edge.length; j++) {
        const place = at + edge[j];
        pixels[place] = blend(pixels[place], colour, shares[j]);
      }
    }
    return inside;
  }
}
