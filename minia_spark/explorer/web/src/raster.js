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
    const wide = width + EDGE;
    const high = height + EDGE;
    const from = EDGE * across + EDGE;
    const n = x.length;
    let inside = 0;
    const small = radius < 1.2 ? Math.max(1, Math.round(radius * 2)) : 0;
    let dot = null;
    if (!small) {
      const key = Math.round(radius * 4) / 4;
      if (!this.stamps.has(key)) this.stamps.set(key, stamp(key, across));
      dot = this.stamps.get(key);
    }
    for (let i = 0; i < n; i++) {
      if (mask !== null && mask[i] !== wanted) continue;
      const own = x[i];
      if (own === 65535) continue;
      const px = Math.floor(own * scale + left);
      if (px < -EDGE + 1 || px >= wide - 1) continue;
      const py = Math.floor(top - y[i] * scale);
      if (py < -EDGE + 1 || py >= high - 1) continue;
      if (px >= 0 && px < width && py >= 0 && py < height) inside++;
      const at = from + py * across + px;
      const colour = one ? ink : ink[i];
      if (small) {
        pixels[at] = colour;
        if (small > 1) {
          pixels[at + 1] = colour;
          pixels[at + across] = colour;
          pixels[at + across + 1] = colour;
        }
        continue;
      }
      // a large dot near the border of the picture may not fit into the room around it
      if (px < -EDGE + radius + 1 || px > wide - radius - 2) continue;
      if (py < -EDGE + radius + 1 || py > high - radius - 2) continue;
      const { full, edge, shares } = dot;
      for (let j = 0; j < full.length; j++) pixels[at + full[j]] = colour;
      for (let j = 0; j < edge.length; j++) {
        const place = at + edge[j];
        pixels[place] = blend(pixels[place], colour, shares[j]);
      }
    }
    return inside;
  }
}
