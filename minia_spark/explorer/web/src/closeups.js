// Close-ups of what images of a structure have in common: where each is, and how it is drawn.
//
// Places and sizes of features are shares of the longer side of their image, turns go from +x to +y
// in radians. A place is a square: its middle, half of its side, and how far what is in it was turned.

const MARGIN = 2; // half of a square, in the distance within which most features lie
const WITHIN = 0.8; // of the features: a few may lie elsewhere
const LEAST = 0.12;
const CONTEXT = 0.16; // the least of a cutout of a galaxy
const LARGEST = 0.5;
const PAIRS = 300; // pairs of features that are tried to lay one image upon another
const JUDGES = 60; // features by which each is judged
const AGREE = 3; // features that have to come upon others then,
const SHARE = 0.2; // and as a share of those of the image that has fewer
const TRIED = 3; // images that others are laid upon; the best one is taken

// How an image was turned, where all of its features were: to the frame of its galaxy; else null.
export function common(features) {
  const turns = features.map(({ turn }) => turn);
  return turns.length > 1 && Math.max(...turns) - Math.min(...turns) < 1e-3 ? turns[0] : null;
}

function middleOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// Half of the square around a point that most of the features are in.
function reach(features, { x, y }, margin) {
  const far = features.map((one) => Math.hypot(one.x - x, one.y - y) + one.size / 2).sort((a, b) => a - b);
  return Math.min(LARGEST, Math.max(LEAST, margin * far[Math.ceil(WITHIN * far.length) - 1]));
}

function byWord(features) {
  const found = new Map();
  for (const one of features) {
    if (!found.has(one.word)) found.set(one.word, []);
    found.get(one.word).push(one);
  }
  return found;
}

// Pairs of features of a word, so many at most: all of words that are rare in both, which tell the
// most, and of others some of all over.
function paired(reference, features) {
  const there = byWord(features);
  const words = [...byWord(reference)].filter(([word]) => there.has(word)).map(([word, own]) => [own, there.get(word)]);
  words.sort((a, b) => a[0].length * a[1].length - b[0].length * b[1].length);
  const pairs = [];
  for (const [k, [own, those]] of words.entries()) {
    const room = Math.max(1, Math.floor((PAIRS - pairs.length) / (words.length - k)));
    const all = own.length * those.length;
    const some = Math.min(all, room);
    for (let n = 0; n < some; n++) {
      const at = Math.floor((n * all) / some);
      pairs.push({ from: own[Math.floor(at / those.length)], to: those[at % those.length] });
    }
  }
  return pairs;
}

// How a group of features of one image lies in another: the similarity (turn, scale, shift) by which
// the most of them come upon features of the same words. Every pair of two features of a word tells
// one, as both have a place, a size and a turn; a feature agrees that comes within half the size of
// one of its word. null: none takes as many as are needed.
export function pose(reference, features) {
  const there = byWord(features);
  const some = spread(reference.filter(({ word }) => there.has(word)), JUDGES);
  const chance = some.reduce((sum, { word }) => sum + Math.min(1, covered(there.get(word))), 0) / some.length;
  if (!(chance <= 0.5)) return null; // anything would agree
  const needed = Math.max(AGREE, SHARE * some.length, chance * some.length + 4 * Math.sqrt(some.length * chance * (1 - chance)));
  let best = null;
  for (const { from, to } of paired(reference, features)) {
    const [scale, turn] = [to.size / from.size, to.turn - from.turn];
    if (!(scale > 0.25 && scale < 4)) continue;
    const [cos, sin] = [scale * Math.cos(turn), scale * Math.sin(turn)];
    const taken = ({ x, y }) => ({ x: to.x + cos * (x - from.x) - sin * (y - from.y), y: to.y + sin * (x - from.x) + cos * (y - from.y) });
    let agree = 0;
    for (const one of some) {
      const { x, y } = taken(one);
      if (there.get(one.word).some((other) => Math.abs(other.x - x) < other.size / 2 && Math.hypot(other.x - x, other.y - y) < other.size / 2)) agree++;
    }
    if (agree > (best?.agree ?? 0)) best = { agree, scale, turn, taken };
  }
  return best !== null && best.agree >= needed ? best : null;
}

// What share of an image is near enough to one of these features.
function covered(features) {
  return features.reduce((sum, { size }) => sum + Math.PI * (size / 2) ** 2, 0);
}

// So many of a list, from all over it.
function spread(list, most) {
  return list.length <= most ? list : Array.from({ length: most }, (_, k) => list[Math.floor((k * list.length) / most)]);
}

// How images of a structure are laid upon each other, found from some of them: { features, wide,
// high } each, the image's sides as shares of the longer one. Images that were turned to the frame
// of their galaxy are laid by that, and show the galaxy too; others upon one of the first, by the
// features of the structure's words; and where that cannot be, each around its own features.
export class Laying {
  constructor(images, words) {
    this.words = words;
    const some = images.filter((one) => this.own(one).length);
    this.framed = some.filter(({ features }) => common(features) !== null).length > some.length / 2;
    this.reference = null;
    if (this.framed) return;
    let most = 1; // one other image at least
    for (const tried of some.slice(0, TRIED)) {
      const own = this.own(tried);
      const fit = some.filter((one) => one !== tried && pose(own, this.own(one))).length;
      if (fit > most) [most, this.reference] = [fit, own];
    }
  }

  own({ features }) {
    return features.filter(({ word }) => this.words.has(word));
  }

  // Where the structure is in an image; null: it has no feature of it. `alike`: it is laid upon others.
  place(image) {
    const own = this.own(image);
    if (!own.length) return null;
    if (this.framed) {
      const place = Laying.around(own);
      const off = Math.hypot(place.x - image.wide / 2, place.y - image.high / 2); // the galaxy is in the middle
      const half = Math.min(LARGEST, Math.max(CONTEXT, place.half, MARGIN * off));
      return { ...place, half, turn: common(image.features) ?? 0, alike: common(image.features) !== null };
    }
    if (this.reference !== null) {
      const found = own === this.reference ? null : pose(this.reference, own);
      const square = Laying.around(this.reference);
      if (found) return { ...found.taken(square), half: found.scale * square.half, turn: found.turn, alike: true };
    }
    return { ...Laying.around(own), alike: false };
  }

  static around(features) {
    const middle = { x: middleOf(features.map(({ x }) => x)), y: middleOf(features.map(({ y }) => y)) };
    return { ...middle, half: reach(features, middle, MARGIN), turn: 0 };
  }
}

// A position in a square, from -1 to 1.
export function within({ x, y }, place) {
  const [right, down] = [(x - place.x) / place.half, (y - place.y) / place.half];
  const [cos, sin] = [Math.cos(place.turn), Math.sin(place.turn)];
  return { x: right * cos + down * sin, y: down * cos - right * sin };
}

// Features of a structure as they lie around the middle of their images, each image turned to the
// frame of its galaxy where it has one: x to the right and y down, in shares of half the longer side.
export function scattered(images, words) {
  const found = [];
  const [all, own] = [[], []];
  for (const { features, wide, high } of images) {
    const middle = { x: wide / 2, y: high / 2, half: 0.5, turn: common(features) ?? 0 };
    for (const one of features) {
      const there = within(one, middle);
      const far = Math.hypot(there.x, there.y);
      all.push(far);
      if (!words.has(one.word)) continue;
      own.push(far);
      found.push(there);
    }
  }
  return { found, all, own, turned: images.some(({ features }) => common(features) !== null) };
}

const SIDES = ["right of", "above and right of", "above", "above and left of", "left of", "below and left of", "below", "below and right of"];
const AXES = ["towards an end of the galaxies' long axis", "between an end and a long side of the galaxies", "towards a long side of the galaxies", "between an end and a long side of the galaxies", "towards an end of the galaxies' long axis"];

// Where that is, in words; empty: anywhere. On a side: the directions from the middle agree by four
// fifths (mean resultant length). In the middle: half of its features are nearer to it than a quarter
// of all features of these images.
export function somewhere({ found, all, own, turned }) {
  if (own.length < 6) return "";
  const half = middleOf(own);
  if (all.filter((far) => far < half).length <= 0.25 * all.length) return turned ? "on the galaxies' centres" : "in the middle of the images";
  let [right, down] = [0, 0];
  for (const { x, y } of found) {
    const far = Math.hypot(x, y) || 1;
    right += x / far / found.length;
    down += y / far / found.length;
  }
  if (Math.hypot(right, down) < 0.8) return "";
  const eighth = Math.round(Math.atan2(-down, right) / (Math.PI / 4));
  if (turned) return AXES[Math.abs(eighth)]; // its long axis lies flat
  return `${SIDES[(eighth + 8) % 8]} the middle of the images`;
}

// -- drawing ---------------------------------------------------------------------------------------

export function longer(picture) {
  return Math.max(picture.naturalWidth, picture.naturalHeight);
}

// Draws the square of a feature, one and a half times its size.
export function cut(ink, picture, { x, y, size, turn }) {
  square(ink, picture, { x, y, turn, half: Math.max(2 / longer(picture), 0.75 * size) });
}

// Fills a canvas with a square of a picture, turned upright.
export function square(ink, picture, { x, y, turn, half }) {
  const side = longer(picture);
  const { width } = ink.canvas;
  ink.save();
  ink.translate(width / 2, width / 2);
  ink.rotate(-turn);
  ink.scale(width / (2 * half * side), width / (2 * half * side));
  ink.drawImage(picture, -x * side - 0.5, -y * side - 0.5); // the middle of the first pixel is 0
  ink.restore();
}

// Squares laid upon each other, each drawn a little fainter than the one before.
export function average(ink, squares) {
  for (const [k, { picture, place }] of squares.entries()) {
    ink.globalAlpha = 1 / (k + 1);
    square(ink, picture, place);
  }
  stretch(ink);
}

// Makes the darkest of what is drawn black and the brightest white.
export function stretch(ink) {
  const drawn = ink.getImageData(0, 0, ink.canvas.width, ink.canvas.height);
  let [low, high] = [255, 0];
  drawn.data.forEach((value, k) => {
    if (k % 4 === 3 || !drawn.data[k | 3]) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  });
  if (high <= low) return;
  drawn.data.forEach((value, k) => {
    if (k % 4 !== 3) drawn.data[k] = ((value - low) * 255) / (high - low);
  });
  ink.putImageData(drawn, 0, 0);
}

// Draws a dashed circle; null: none.
export function circle(ink, where) {
  if (!where) return;
  const { width } = ink.canvas;
  ink.globalAlpha = 0.7;
  ink.strokeStyle = "#fff";
  ink.lineWidth = Math.max(1, width / 150);
  ink.setLineDash([width / 50, width / 50]);
  ink.beginPath();
  ink.arc(where.x * width, where.y * width, where.radius * width, 0, 2 * Math.PI);
  ink.stroke();
}
