// Positions on the sky: as people write them, and how far apart they are.

const SEXAGESIMAL = /^([+-]?)(\d{1,3})[\s:hd\u00b0]+(\d{1,2})[\s:m'\u2032]+(\d{1,2}(?:\.\d*)?)[s"\u2033]?$/;
const DECIMAL = /^[+-]?\d{1,3}(?:\.\d*)?[d\u00b0]?$/;

// Right ascension and declination in degrees of "150.1 +2.2", "10:00:24.0 +02:12:00" or
// "10h00m24s +2d12m00s"; null: it is no position.
export function position(text) {
  const plain = text.trim().replace(/\u2212/g, "-");
  // the declination begins with its sign, or is the second half
  const signed = plain.match(/^(.*?\d\S*?)\s*,?\s+([+-].*)$/) ?? plain.match(/^(\S+?)([+-].*)$/);
  const words = plain.split(/[\s,]+/);
  const half = words.length / 2;
  const both = signed ? [signed[1], signed[2]] : Number.isInteger(half) ? [words.slice(0, half).join(" "), words.slice(half).join(" ")] : [];
  if (both.length < 2) return null;
  const [a, b] = both.map((one) => one.trim().replace(/,$/, ""));
  const dec = degrees(b);
  let ra = degrees(a);
  if (!DECIMAL.test(a)) ra *= 15; // hours
  return ra >= 0 && ra < 360 && dec >= -90 && dec <= 90 ? { ra, dec } : null;
}

function degrees(text) {
  if (DECIMAL.test(text)) return parseFloat(text);
  const found = text.match(SEXAGESIMAL);
  if (!found || Number(found[3]) >= 60 || Number(found[4]) >= 60) return NaN;
  const size = Number(found[2]) + Number(found[3]) / 60 + Number(found[4]) / 3600;
  return found[1] === "-" ? -size : size;
}

// The angle between two positions in degrees, exact for small ones too (haversines).
export function apart(one, other) {
  const [r1, d1, r2, d2] = [one.ra, one.dec, other.ra, other.dec].map((value) => (value * Math.PI) / 180);
  const square = Math.sin((d1 - d2) / 2) ** 2 + Math.cos(d1) * Math.cos(d2) * Math.sin((r1 - r2) / 2) ** 2;
  return (360 / Math.PI) * Math.asin(Math.min(1, Math.sqrt(square)));
}

// An angle in the unit in which people would tell it.
export function angle(value) {
  if (value >= 1) return `${value.toFixed(2)}\u00b0`;
  return value >= 1 / 60 ? `${(60 * value).toFixed(2)}\u2032` : `${(3600 * value).toFixed(2)}\u2033`;
}
