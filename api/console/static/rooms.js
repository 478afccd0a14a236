// The map of the rooms: one canvas, each building a block of cells, each cell a room.

import { moment, now } from "./clock.js";
import { ask, lookFirst } from "./live.js";
import { span, t, temp } from "./texts.js";

const NAMES = ["unknown", "warm", "cold", "below", "silent", "suspended"];
const UNKNOWN = 0, COLD = 2, BELOW = 3, SILENT = 4, SUSPENDED = 5;
const INK = "#14202b", GREY = "#6b7680", WHITE = "#ffffff";
const COLD_INK = "#3b2a98", BELOW_INK = "#8e9be6", WARM_INK = "#cfd8d2", SILENT_INK = "#e9ecef";
const STOP_INK = "#c23a0a";
const LARGEST = 40, HEAD = 26;
const SMALLEST = matchMedia("(pointer: coarse)").matches ? 9 : 5;
const SHAPES = [1.7, 1, 2.8];

const canvas = document.getElementById("rooms");
const cursor = document.getElementById("cursor");
const tip = document.getElementById("tip");
const context = canvas.getContext("2d");
const family = getComputedStyle(document.body).fontFamily;

let plan = null;
let told = null;
let blocks = [];
let heads = [];
let cell = SMALLEST;
let chosen = -1;

lookFirst(async (version, tags) => {
  const answer = await ask("/live/now", version, "application/json");
  if (answer === null) return false;
  told = await answer.json();
  if (told.now === null) return true;
  if (plan === null || plan.layout !== told.layout) {
    const fresh = await ask("/live/rooms", version, "application/json");
    if (fresh !== null) plan = await fresh.json();
    arrange();
  }
  draw();
  if (chosen >= 0) show(chosen);
  canvas.dataset.drawn = told.version;
  return tags.get("/live/now.html") !== told.parts;
});

/** Find the largest cells with which all blocks fit on the screen, and where each block stands. */
function arrange() {
  if (plan === null) return;
  const width = canvas.parentElement.clientWidth;
  const wanted = Math.max(320, innerHeight - canvas.parentElement.offsetTop - 70);
  let height = Infinity;
  for (cell = LARGEST; cell >= SMALLEST && height > wanted; cell -= 1) height = flattest(width);
  cell += 1;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  choose(-1);
}

/** Place the blocks in the shape that takes the least height, and return that. */
function flattest(width) {
  const heights = SHAPES.map((shape) => flow(width, shape));
  const least = Math.min(...heights);
  return flow(width, SHAPES[heights.indexOf(least)]);
}

/** Place the blocks line by line, each station under its own heading; return the height that they take. */
function flow(width, shape) {
  const dense = cell < 9;
  const space = dense ? 7 : 12;
  const above = dense ? 14 : 18;
  const most = Math.max(1, ...plan.buildings.map(([, , , rooms]) => rooms));
  const names = plan.buildings.map(([name, station]) => shortened(name, station));
  const labelled = Math.max(...names.map((name) => name.length), 3) * (dense ? 7 : 8) + 14;
  const columns = Math.max(1, Math.min(Math.ceil(Math.sqrt(most * shape)), Math.floor((width - space) / cell)));
  const wide = Math.max(columns * cell, labelled) + space;
  const several = new Set(plan.buildings.map(([, station]) => station)).size > 1;
  blocks = [];
  heads = [];
  let x = 0, y = 0, tall = 0, before = null;
  for (const [name, station, first, rooms] of plan.buildings) {
    if (several && station !== before) {
      y += tall;
      heads.push({ text: t("room.station", { station }), y: y + HEAD - 7 });
      y += HEAD;
      x = tall = 0;
    } else if (x + wide - space > width) {
      x = 0;
      y += tall;
      tall = 0;
    }
    before = station;
    const lines = Math.ceil(rooms / columns);
    const text = names[blocks.length];
    blocks.push({ name, text, first, rooms, columns, x: x + 2, y: y + above, tall: lines * cell });
    tall = Math.max(tall, above + lines * cell + space);
    x += wide;
  }
  return Math.ceil(y + tall) + 2;
}

/** Return a building's name without the station's, under whose heading it stands. */
function shortened(name, station) {
  const rest = name.startsWith(station) ? name.slice(station.length).replace(/^[-_/ ]+/, "") : "";
  return rest || name;
}

function draw() {
  if (plan === null || told === null || told.layout !== plan.layout) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.textBaseline = "alphabetic";
  context.fillStyle = INK;
  context.font = `600 16px ${family}`;
  for (const head of heads) context.fillText(head.text, 1, head.y);
  const stopped = new Set(told.stops);
  const paths = NAMES.map(() => new Path2D());
  const marks = NAMES.map(() => new Path2D());
  blocks.forEach((block, number) => {
    label(block, stopped.has(number));
    for (let within = 0; within < block.rooms; within += 1) {
      const state = Number(told.states[block.first + within]);
      const x = block.x + (within % block.columns) * cell;
      const y = block.y + Math.floor(within / block.columns) * cell;
      paths[state].rect(x, y, cell - 1, cell - 1);
      mark(marks[state], state, x, y, cell - 1);
    }
  });
  paint(paths, marks);
  context.strokeStyle = STOP_INK;
  context.lineWidth = 3;
  for (const number of stopped) {
    const block = blocks[number];
    const across = Math.min(block.columns, block.rooms) * cell;
    context.strokeRect(block.x - 1.5, block.y - 1.5, across + 2, block.tall + 2);
  }
}

function label(block, stopped) {
  context.font = `${stopped ? "700" : "400"} ${cell < 9 ? 11 : 13}px ${family}`;
  context.fillStyle = stopped ? STOP_INK : INK;
  context.fillText((stopped ? "⚠" : "") + block.text, block.x, block.y - 4);
}

function mark(path, state, x, y, size) {
  if (state === COLD && size >= 6) {
    path.moveTo(x + size * 0.2, y + size * 0.3);
    path.lineTo(x + size * 0.8, y + size * 0.3);
    path.lineTo(x + size * 0.5, y + size * 0.8);
    path.closePath();
  } else if (state === BELOW && size >= 6) {
    path.rect(x + size * 0.2, y + size * 0.55, size * 0.6, Math.max(1, size * 0.2));
  } else if (state === SILENT) {
    path.moveTo(x, y + size);
    path.lineTo(x + size, y);
    path.moveTo(x, y + size / 2);
    path.lineTo(x + size / 2, y);
    path.moveTo(x + size / 2, y + size);
    path.lineTo(x + size, y + size / 2);
  } else if (state === SUSPENDED) {
    path.moveTo(x + size * 0.25, y + size / 2);
    path.lineTo(x + size * 0.75, y + size / 2);
  }
}

function paint(paths, marks) {
  const fills = [WHITE, WARM_INK, COLD_INK, BELOW_INK, SILENT_INK, WHITE];
  context.lineWidth = 1;
  paths.forEach((path, state) => {
    context.fillStyle = fills[state];
    context.fill(path);
  });
  context.strokeStyle = "#9aa5ae";
  for (const state of [UNKNOWN, SUSPENDED]) context.stroke(paths[state]);
  context.strokeStyle = GREY;
  for (const state of [SILENT, SUSPENDED]) context.stroke(marks[state]);
  context.fillStyle = WHITE;
  context.fill(marks[COLD]);
  context.fillStyle = INK;
  context.fill(marks[BELOW]);
}

/** Return the number of the room at a place on the canvas, -1 where there is none. */
function roomAt(x, y) {
  for (const block of blocks) {
    const column = Math.floor((x - block.x) / cell);
    const line = Math.floor((y - block.y) / cell);
    if (column >= 0 && column < block.columns && line >= 0) {
      const within = line * block.columns + column;
      if (within < block.rooms) return block.first + within;
    }
  }
  return -1;
}

function blockOf(room) {
  return blocks.find((block) => room >= block.first && room < block.first + block.rooms);
}

function choose(room) {
  chosen = room;
  cursor.hidden = tip.hidden = room < 0;
  if (room >= 0) show(room);
}

function show(room) {
  const block = blockOf(room);
  if (block === undefined || told === null) return choose(-1);
  const within = room - block.first;
  const x = block.x + (within % block.columns) * cell;
  const y = block.y + Math.floor(within / block.columns) * cell;
  Object.assign(cursor.style, { left: `${x - 2}px`, top: `${y - 2}px`, width: `${cell + 3}px`, height: `${cell + 3}px` });
  const lines = said(room, block);
  if (tip.dataset.said !== lines.join("\n")) {
    tip.dataset.said = lines.join("\n");
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  }
  const left = Math.max(0, Math.min(x, canvas.clientWidth - tip.offsetWidth));
  Object.assign(tip.style, { left: `${left}px`, top: `${y + cell + 8}px` });
}

/** Say what is known of a room: where, how warm, what is asked, and since when. */
function said(room, block) {
  const state = NAMES[Number(told.states[room])];
  const [tenths, age, limit] = [told.temps[room], told.ages[room], told.limits[plan.schedule[room]]];
  const warm = tenths === null
    ? t("room.no_temp")
    : t("room.temp", { temp: temp(tenths), ago: span(age * 60000) });
  const asked = limit === null ? t("room.no_limit") : t("room.limit", { temp: temp(limit) });
  const lines = [t("room.place", { building: block.name, room: plan.rooms[room] }), `${warm} · ${asked}`];
  const since = told.since[room];
  const how = t(`state.${state}`);
  lines.push(since === undefined ? how : `${how} · ${t("room.since", {
    when: moment(since * 1000), span: span((now() ?? told.now) - since * 1000),
  })}`);
  if (told.stops.includes(blocks.indexOf(block))) lines.push(t("room.stop"));
  return lines;
}

function go(room) {
  if (room >= 0) location.assign(`/rooms/${encodeURIComponent(plan.points[room])}`);
}

function place(event) {
  const edge = canvas.getBoundingClientRect();
  return roomAt(event.clientX - edge.left, event.clientY - edge.top);
}

// A first tap says what a cell is, a second one opens its room.
let tapped = null;
canvas.addEventListener("pointerdown", (event) => {
  tapped = event.pointerType === "touch" ? { before: chosen } : null;
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "touch") choose(place(event));
  canvas.style.cursor = chosen >= 0 ? "pointer" : "default";
});
canvas.addEventListener("pointerleave", (event) => {
  if (event.pointerType !== "touch" && document.activeElement !== canvas) choose(-1);
});
canvas.addEventListener("click", (event) => {
  const room = place(event);
  if (tapped !== null && room !== tapped.before) choose(room);
  else go(room);
});
canvas.addEventListener("focus", () => {
  if (chosen < 0 && plan?.points.length && canvas.matches(":focus-visible")) choose(0);
});
canvas.addEventListener("blur", () => choose(-1));
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter") return go(chosen);
  if (event.key === "Escape") return choose(-1);
  const room = stepped(event.key);
  if (room === null) return undefined;
  event.preventDefault();
  choose(Math.max(0, Math.min(plan.points.length - 1, room)));
  return undefined;
});

/** Return the room to which a key leads, null where it leads nowhere. */
function stepped(key) {
  if (plan === null) return null;
  const columns = blockOf(Math.max(0, chosen))?.columns ?? 1;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (key === "Home") return 0;
  if (key === "End") return plan.points.length - 1;
  return key in steps ? chosen + steps[key] : null;
}

new ResizeObserver(() => {
  if (plan !== null && Math.abs(canvas.clientWidth - canvas.parentElement.clientWidth) > 1) {
    arrange();
    draw();
  }
}).observe(canvas.parentElement);
