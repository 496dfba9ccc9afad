// Draws the tiles of an exposure: wheel, two fingers or + and - zoom, dragging and arrows move.
"use strict";
(() => {
  const canvas = document.getElementById("exposure");
  const facts = canvas.dataset;
  const width = Number(facts.width), height = Number(facts.height), side = Number(facts.tile);
  const levels = Number(facts.levels);
  const draw = canvas.getContext("2d");
  const pictures = new Map();
  const fingers = new Map();
  let scale, left, top, waiting = false; // screen pixels a picture's, and the corner of the view in it

  function fitted() {
    return Math.min(canvas.width / width, canvas.height / height);
  }

  function all() {
    scale = fitted();
    left = (width - canvas.width / scale) / 2;
    top = (height - canvas.height / scale) / 2;
    later();
  }

  function zoom(factor, x, y) {
    const next = Math.min(Math.max(scale * factor, fitted()), 16);
    left += x / scale - x / next;
    top += y / scale - y / next;
    scale = next;
    later();
  }

  function move(x, y) {
    left -= x / scale;
    top -= y / scale;
    later();
  }

  function keep(place, size, seen) { // where all fits it is in the middle
    return seen >= size ? (size - seen) / 2 : Math.min(Math.max(place, 0), size - seen);
  }

  function later() {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  }

  function picture(level, row, column) {
    const name = facts.name + "-" + level + "-" + row + "-" + column + ".jpg";
    let found = pictures.get(name);
    if (!found) {
      found = new Image();
      found.onload = later;
      found.src = name;
      pictures.set(name, found);
    }
    return found;
  }

  function paint() {
    waiting = false;
    left = keep(left, width, canvas.width / scale);
    top = keep(top, height, canvas.height / scale);
    draw.setTransform(1, 0, 0, 1, 0, 0);
    draw.fillStyle = "#000";
    draw.fillRect(0, 0, canvas.width, canvas.height);
    draw.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    const wanted = Math.min(Math.max(Math.floor(-Math.log2(scale)), 0), levels - 1);
    draw.imageSmoothingEnabled = scale < 2;
    for (let level = levels - 1; level >= wanted; level--) level_at(level); // coarse ones first
  }

  function level_at(level) {
    const step = side * 2 ** level;
    const right = Math.min(width, left + canvas.width / scale);
    const bottom = Math.min(height, top + canvas.height / scale);
    for (let row = Math.max(0, Math.floor(top / step)); row * step < bottom; row++) {
      for (let column = Math.max(0, Math.floor(left / step)); column * step < right; column++) {
        const tile = picture(level, row, column);
        if (!tile.complete || !tile.naturalWidth) continue;
        draw.drawImage(tile, column * step, row * step,
          tile.naturalWidth * 2 ** level, tile.naturalHeight * 2 ** level);
      }
    }
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(1.0015 ** -event.deltaY, ...at(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, ...at(event)));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    if (other) {
      const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
      zoom(apart(now) / Math.max(apart(before), 1), ...other);
    } else {
      move(now[0] - before[0], now[1] - before[1]);
    }
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  const keys = {
    "+": () => zoom(1.5, canvas.width / 2, canvas.height / 2),
    "-": () => zoom(1 / 1.5, canvas.width / 2, canvas.height / 2),
    0: all,
    ArrowLeft: () => move(80, 0),
    ArrowRight: () => move(-80, 0),
    ArrowUp: () => move(0, 80),
    ArrowDown: () => move(0, -80),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.getElementById("closer").addEventListener("click", keys["+"]);
  document.getElementById("farther").addEventListener("click", keys["-"]);
  document.getElementById("all").addEventListener("click", all);
  function resized() {
    const box = canvas.getBoundingClientRect();
    canvas.width = Math.max(1, Math.round(box.width * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(box.height * devicePixelRatio));
    all();
  }
  addEventListener("resize", resized);
  resized();
})();
