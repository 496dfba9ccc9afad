// Where the page's files are: the page itself may stand elsewhere. Known while this script starts.
export const HOME = new URL(".", document.currentScript.src).href;

// Elements of the page. Texts are set as texts, never as HTML.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function button(text, title, act) {
  const made = element("button", { type: "button", title }, text);
  if (text.length < 2) made.setAttribute("aria-label", title);
  made.addEventListener("click", act);
  return made;
}

// A name or label: its direction is its own, and control characters are seen.
export function own(text) {
  return element("bdi", {}, seen(text));
}

export function seen(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (sign) => {
    const code = sign.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

export function count(n) {
  return n.toLocaleString("en");
}

// Has the browser save a text as a file.
export function save(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

export function amount(value) {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e7)) return value.toExponential(3);
  return String(Number(value.toPrecision(5)));
}

// Only pages: a link of another kind is shown as text.
export function link(href, text) {
  const plain = /^(?:https?:\/\/|file:\/\/\/|(?![a-z][a-z0-9+.-]*:)(?!\/\/))[^\u0000-\u0020\\\u007f]*$/i;
  if (!href || !plain.test(href)) return text;
  return element("a", { href: new URL(href, HOME).href, rel: "noreferrer" }, text);
}
