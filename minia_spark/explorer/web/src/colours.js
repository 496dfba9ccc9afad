// Colours: of values, and of points.

// A colour as the rasteriser stores it: its bytes are red, green, blue, opaque in memory.
export function packed(hex) {
  const value = parseInt(hex.slice(1, 7), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

export function mixed(one, two, share) {
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [one, two].map((hex) => parseInt(hex.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * share).toString(16).padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

export class Colours {
  constructor(palette) {
    this.palette = palette;
    this.dark = false;
    this.strong = palette.other; // of chosen values that have no colour of their own
  }

  get named() {
    return this.dark ? this.palette.dark : this.palette.light;
  }

  // Of the value with a code; further ones than there are colours share one, the chosen another.
  of(code, only = null) {
    if (code > 0 && code <= this.named.length) return this.named[code - 1];
    return only && only.has(code) ? this.strong : this.palette.other;
  }

  // Of a number, by its place between two others.
  scaled(value, [low, high]) {
    if (Number.isNaN(value)) return this.palette.other;
    const steps = this.palette.scale;
    const place = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
    const at = Math.min(steps.length - 2, Math.floor(place * (steps.length - 1)));
    return mixed(steps[at], steps[at + 1], place * (steps.length - 1) - at);
  }

  // Fill the colours of some points.
  paint(store, field, only, ink, start, end) {
    if (field.kind === "number") {
      const table = Array.from({ length: 256 }, (_, i) => packed(this.scaled(i / 255, [0, 1])));
      const [low, high] = field.common.length ? field.common : [0, 1];
      const other = packed(this.palette.other);
      for (let i = start; i < end; i++) {
        const value = field.numbers[i];
        const place = high > low ? (value - low) / (high - low) : 0.5;
        ink[i] = Number.isNaN(value) ? other : table[Math.min(255, Math.max(0, Math.round(place * 255)))];
      }
      return;
    }
    const table = Uint32Array.from({ length: field.values.length + 1 }, (_, code) => packed(this.of(code, only)));
    if (field.kind === "category") {
      for (let i = start; i < end; i++) ink[i] = table[field.codes[i]];
      return;
    }
    for (let i = start; i < end; i++) ink[i] = table[leading(store.codesOf(field, i), only)];
  }
}

// Of several values the one that colours a point: chosen ones first, then the rarest that has a
// colour of its own at all, since frequent ones would hide it.
export function leading(codes, only, most = 8) {
  let best = 0;
  let rank = -1;
  for (const code of codes) {
    const own = (only && only.has(code) ? 4e9 : 0) + (code <= most ? 2e9 : 0) + code;
    if (code && own > rank) {
      rank = own;
      best = code;
    }
  }
  return best;
}
