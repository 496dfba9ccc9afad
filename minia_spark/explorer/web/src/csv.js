// Tables as CSV files, which spreadsheets open without running anything.

// The wide forms too: spreadsheets in East Asian languages take them for the same signs.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

function quoted(text) {
  return /[",;\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export function inert(text) {
  return quoted(FORMULA.test(text) ? `'${text}` : text);
}

// A name with such a sign first still names the same path.
export function inertName(name) {
  if (!FORMULA.test(name)) return quoted(name);
  const first = [...new TextEncoder().encode(name[0])].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`);
  return quoted(first.join("") + name.slice(1));
}

export async function csv(store, points) {
  const { fields } = store;
  await Promise.all([store.namesOf(points), store.everything()]);
  const several = store.maps.length > 1;
  const places = store.maps.flatMap((map) => (several ? [`x ${map.name}`, `y ${map.name}`] : ["x", "y"]));
  const rows = [["image_id", ...fields.map((field) => inert(field.name)), ...places.map(inert)].join(",")];
  for (const i of points) {
    const row = [inertName(store.nameNow(i))];
    for (const field of fields) {
      const values = store.valuesOf(field, i);
      row.push(field.kind === "number" ? String(values[0] ?? "") : inert(values.join(";")));
    }
    for (const map of store.maps) {
      row.push(...(map.x[i] === 65535 ? ["", ""] : store.position(map, i)));
    }
    rows.push(row.join(","));
  }
  return rows.join("\n") + "\n";
}
