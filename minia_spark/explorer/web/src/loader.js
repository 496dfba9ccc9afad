// Parts of data, loaded as scripts: all that a page from the file system may load.

import { HOME } from "./page.js";

const AT_ONCE = 8;
const arriving = new Map(); // script element -> what takes its part

// Every part calls this; the browser says which script is running.
export function part(head, blobs) {
  arriving.get(document.currentScript)?.({ head, blobs: blobs.map(bytes) });
}

function bytes(text) {
  const plain = atob(text);
  const found = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) found[i] = plain.charCodeAt(i);
  return found;
}

export async function inflated(blob, Type = Uint8Array) {
  const stream = new Blob([blob]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Type(await new Response(stream).arrayBuffer());
}

export async function json(blob) {
  return JSON.parse(new TextDecoder().decode(await inflated(blob)));
}

// Keeps the parts that were used last; `most` of them.
export class Loader {
  constructor(most = 200) {
    this.most = most;
    this.kept = new Map(); // file -> promise
    this.queue = [];
    this.busy = 0;
  }

  // What `read` makes of a part; the same promise as long as it is kept.
  get(file, read) {
    let found = this.kept.get(file);
    if (found) this.kept.delete(file);
    else {
      found = new Promise((resolve, reject) => this.queue.push({ file, resolve, reject })).then(read);
      this.next();
    }
    this.kept.set(file, found);
    while (this.kept.size > this.most) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  next() {
    while (this.busy < AT_ONCE && this.queue.length) {
      const { file, resolve, reject } = this.queue.shift();
      const script = document.createElement("script");
      const done = () => {
        arriving.delete(script);
        script.remove();
        this.busy--;
        this.next();
      };
      arriving.set(script, resolve);
      script.onload = done;
      script.onerror = () => {
        done();
        reject(new Error(`map/${file} cannot be loaded: is the whole folder there?`));
      };
      script.src = `${HOME}map/${file}`;
      this.busy++;
      document.head.append(script);
    }
  }
}
