// What the average of a structure's images shows where its features lie: measured, and said in words.
//
// Pictures are squares of light, row after row; places in them go from 0 to 1, x right and y down.

const SIDE = 60; // cells along a side, into which a picture is averaged
const SKY = 0.2; // of the cells are no brighter than the sky
const RISES = 0.08; // how far a source rises above what joins it to a brighter one, of the whole range
const COVERED = 0.25; // of the images have a feature there,
const MIDDLE = 0.5; // and on the middle of the galaxy, where that is what is told
const BESIDE = 0.13; // and one that is told of beside a galaxy
const PART = 0.7; // of a source's rise, above which its shape is measured
const LONG = 2.5; // axis ratio from which on it is elongated;
const SLANTED = 1.5; // and from which on that of a galaxy's core is told of,
const OFF = 15; // if it is turned by so many degrees from the galaxy's long axis

// The light of a canvas, averaged into cells, from 0 to 1.
export function light(ink) {
  const { width, height } = ink.canvas;
  const { data } = ink.getImageData(0, 0, width, height);
  const [sum, n] = [new Float64Array(SIDE * SIDE), new Float64Array(SIDE * SIDE)];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor((y * SIDE) / height) * SIDE + Math.floor((x * SIDE) / width);
      const k = 4 * (y * width + x);
      sum[cell] += (data[k] + data[k + 1] + data[k + 2]) / 765;
      n[cell]++;
    }
  }
  return sum.map((value, k) => value / n[k]);
}

// In what share of the images a feature covers a cell; `groups`: circles { x, y, radius } of each image.
export function coverage(groups) {
  const share = new Float64Array(SIDE * SIDE);
  for (const circles of groups) {
    const own = new Uint8Array(SIDE * SIDE);
    for (const { x, y, radius } of circles) {
      const [left, right, top, bottom] = [x - radius, x + radius, y - radius, y + radius].map((at) => Math.min(SIDE - 1, Math.max(0, Math.floor(at * SIDE))));
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          if (Math.hypot((column + 0.5) / SIDE - x, (row + 0.5) / SIDE - y) <= radius) own[row * SIDE + column] = 1;
        }
      }
    }
    own.forEach((there, k) => (share[k] += there / groups.length));
  }
  return share;
}

// Sources: hills of light that rise far enough above the pass to a higher one (their prominence),
// the most prominent first. Cells are flooded from the brightest down; where two hills meet, the
// lower one ends.
export function sources(cells) {
  const sorted = [...cells].sort((a, b) => a - b);
  const sky = sorted[Math.floor(SKY * sorted.length)];
  const range = sorted[sorted.length - 1] - sky;
  if (!(range > 0)) return [];
  const order = Array.from(cells.keys()).sort((a, b) => cells[b] - cells[a] || a - b);
  const hill = new Int32Array(cells.length).fill(-1);
  const hills = [];
  const top = (h) => {
    while (hills[h].into !== h) h = hills[h].into;
    return h;
  };
  for (const cell of order) {
    if (cells[cell] < sky) break;
    const [x, y] = [cell % SIDE, Math.floor(cell / SIDE)];
    const around = new Set();
    for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1], [-1, -1], [1, 1], [-1, 1], [1, -1]]) {
      const [u, w] = [x + dx, y + dy];
      if (u >= 0 && u < SIDE && w >= 0 && w < SIDE && hill[w * SIDE + u] >= 0) around.add(top(hill[w * SIDE + u]));
    }
    if (!around.size) {
      hill[cell] = hills.length;
      hills.push({ into: hills.length, peak: cell, end: sky });
      continue;
    }
    const [highest, ...lower] = [...around].sort((a, b) => cells[hills[b].peak] - cells[hills[a].peak] || a - b);
    for (const h of lower) Object.assign(hills[h], { into: highest, end: cells[cell] });
    hill[cell] = highest;
  }
  return hills
    .map(({ peak, end }) => ({ peak, end, rises: (cells[peak] - end) / range }))
    .filter(({ rises }) => rises >= RISES)
    .sort((a, b) => b.rises - a.rises)
    .map((one) => ({ ...one, ...shape(cells, one), x: ((one.peak % SIDE) + 0.5) / SIDE, y: (Math.floor(one.peak / SIDE) + 0.5) / SIDE }));
}

// The axis ratio of what is around a peak and above seven tenths of its rise, and how far its long axis is
// turned from the horizontal, by second moments; a twelfth is of the cells themselves.
function shape(cells, { peak, end }) {
  const level = end + PART * (cells[peak] - end);
  const [seen, open] = [new Set([peak]), [peak]];
  let [n, sx, sy, sxx, syy, sxy] = [0, 0, 0, 0, 0, 0];
  while (open.length) {
    const cell = open.pop();
    const [x, y] = [cell % SIDE, Math.floor(cell / SIDE)];
    const weight = cells[cell] - level;
    [n, sx, sy, sxx, syy, sxy] = [n + weight, sx + weight * x, sy + weight * y, sxx + weight * x * x, syy + weight * y * y, sxy + weight * x * y];
    for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
      const [u, w] = [x + dx, y + dy];
      const next = w * SIDE + u;
      if (u < 0 || u >= SIDE || w < 0 || w >= SIDE || seen.has(next) || cells[next] <= level) continue;
      seen.add(next);
      open.push(next);
    }
  }
  if (!(n > 0)) return { ratio: 1, degrees: 0 };
  const [xx, yy, xy] = [sxx / n - (sx / n) ** 2 + 1 / 12, syy / n - (sy / n) ** 2 + 1 / 12, sxy / n - (sx * sy) / n ** 2];
  const [half, far] = [(xx + yy) / 2, Math.hypot((xx - yy) / 2, xy)];
  const degrees = Math.abs((90 / Math.PI) * Math.atan2(2 * xy, xx - yy));
  return { ratio: Math.sqrt((half + far) / Math.max(half - far, 1 / 12)), degrees };
}

// What is to be seen where features lie, in words, in cutouts of galaxies that were turned to their
// frames. `covered`: as of coverage(); `centre`: where the galaxy's middle is. Empty: nothing is.
export function told(cells, covered, centre) {
  const found = sources(cells);
  if (!found.length) return "";
  const inside = found.filter(({ peak }) => covered[peak] >= COVERED);
  const far = ({ x, y }) => Math.hypot(x - centre.x, y - centre.y);
  const galaxy = found.reduce((a, b) => (far(a) <= far(b) ? a : b));
  const beside = inside.filter((one) => one !== galaxy && one.rises >= BESIDE);
  const core = inside.find((one) => one === galaxy);
  const tilted = core && core.degrees >= OFF && core.ratio >= SLANTED;
  if (beside.some(({ ratio }) => ratio >= LONG)) return "a thin galaxy with a star or another galaxy beside it";
  if (tilted) return "an elongated galaxy with a star or another galaxy beside it";
  if (beside.length > 1) return `${beside.length} compact sources beside the galaxy: stars or small galaxies`;
  if (beside.length) return "a compact source beside the galaxy: a star or a small galaxy";
  if (core && core.ratio >= LONG) return "an elongated galaxy";
  if (core && covered[core.peak] >= MIDDLE) return "the middle of the galaxy";
  return "the outer part of the galaxy";
}

// The ring around where features lie: a circle as large as what they cover; null: nothing.
export function ring(covered) {
  let [n, sx, sy] = [0, 0, 0];
  covered.forEach((share, k) => {
    if (share < COVERED) return;
    [n, sx, sy] = [n + 1, sx + (k % SIDE) + 0.5, sy + Math.floor(k / SIDE) + 0.5];
  });
  return n ? { x: sx / n / SIDE, y: sy / n / SIDE, radius: Math.sqrt(n / Math.PI) / SIDE } : null;
}
