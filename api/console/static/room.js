// A room's chart: Vega draws what the server tells; moving, zooming and reading off are done here.

import { ask, lookFirst } from "./live.js";
import { language, t } from "./texts.js";

const EVERY_MS = 5000;
const SHORTEST_MS = 30 * 60000;
const HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS;
const STEPS_MS = [HOUR_MS / 4, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS];
const TICK_PX = 62;
const NARROW_PX = 30;

const plot = document.getElementById("plot");
const chart = document.getElementById("chart");
const hover = document.getElementById("hover");
const waits = document.getElementById("chart-waits");
const fails = document.getElementById("chart-fails");
const tools = document.querySelector(".room-tools");
const dayOf = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { timeZone: "UTC", month: "short", day: "numeric" });

let told = null;
let view = null;
let shown = null;
let pointed = -1;
let askedAt = -EVERY_MS;
let drag = null;

/** Show what the server tells; whoever has zoomed goes on seeing the same stretch. */
async function take(fresh) {
  const at = told?.readings[pointed]?.t;
  const zoomed = told !== null && (shown[0] !== told.from || shown[1] !== told.to);
  told = { ...fresh, from: signal(fresh, "from"), to: signal(fresh, "to"), readings: fresh.spec.datasets.readings };
  if (!zoomed) shown = [told.from, told.to];
  pointed = told.readings.findIndex((one) => one.t === at);
  if (view === null) await embed();
  else await refill();
  if (pointed < 0) point(-1);
  plot.dataset.drawn = String(Number(plot.dataset.drawn ?? 0) + 1);
}

async function embed() {
  const { vegaEmbed } = await import(told.library);
  const spec = { ...told.spec, width: 300, padding: { ...told.spec.padding, right: 14 } };
  const made = await vegaEmbed(chart, spec, {
    ast: true, actions: false, defaultStyle: false, tooltip: false, renderer: "canvas",
  });
  view = made.view;
  waits.hidden = true;
  tools.hidden = false;
  await fit();
}

async function refill() {
  for (const [name, rows] of Object.entries(told.spec.datasets)) view.data(name, rows);
  for (const name of ["low", "high"]) view.signal(name, signal(told, name));
  await look();
}

function signal(said, name) {
  return said.spec.params.find((one) => one.name === name).value;
}

/** Give the chart the width that there is. */
async function fit() {
  const beside = view.origin()[0] + told.spec.padding.left + 18;
  view.width(Math.max(160, Math.floor(plot.clientWidth - beside)));
  await look();
}

async function look() {
  const ticks = ticksBetween(...shown, view.width());
  view.signal("from", shown[0]).signal("to", shown[1]);
  view.signal("labels", Object.fromEntries(ticks.map((at) => [at, label(at)]))).signal("ticks", ticks);
  await view.runAsync();
  if (pointed >= 0) place();
}

/** Return the moments at which local time is round, as many as have room; as `ticks_between` of the server does. */
function ticksBetween(from, to, width) {
  const step = STEPS_MS.find((one) => ((to - from) / one) * TICK_PX <= width) ?? STEPS_MS.at(-1);
  return told.offsets.flatMap(([at, offset], number) => {
    const start = number === 0 ? from : Math.max(from, at);
    const end = Math.min(to + 1, told.offsets[number + 1]?.[0] ?? Infinity);
    const ticks = [];
    for (let local = Math.ceil((start + offset) / step) * step; local < end + offset; local += step) ticks.push(local - offset);
    return ticks;
  });
}

/** Return a moment as if the company's wall clock were UTC. */
function wall(at) {
  const offset = told.offsets.findLast(([since]) => since <= at) ?? told.offsets[0];
  return new Date(at + offset[1]);
}

function time(at) {
  return wall(at).toISOString().slice(11, 16);
}

function label(at) {
  return time(at) === "00:00" ? [time(at), dayOf.format(wall(at))] : [time(at)];
}

/** Show another stretch, within what there is. */
function show(from, to) {
  const whole = told.to - told.from;
  const span = Math.min(whole, Math.max(Math.min(SHORTEST_MS, whole), to - from));
  const middle = (from + to) / 2;
  const start = Math.round(Math.min(Math.max(middle - span / 2, told.from), told.to - span));
  shown = span === whole ? [told.from, told.to] : [start, Math.round(start + span)];
  look();
}

function zoom(factor, at = (shown[0] + shown[1]) / 2) {
  show(at - (at - shown[0]) * factor, at + (shown[1] - at) * factor);
}

function move(part) {
  const by = (shown[1] - shown[0]) * part;
  show(shown[0] + by, shown[1] + by);
}

const DEEDS = {
  in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.4), right: () => move(0.4), all: () => show(told.from, told.to),
};
tools.addEventListener("click", (event) => DEEDS[event.target.dataset.zoom]?.());

/** Return the moment under a place on the page. */
function momentAt(clientX) {
  const left = chart.querySelector("canvas").getBoundingClientRect().left + view.origin()[0];
  return shown[0] + ((clientX - left) / view.width()) * (shown[1] - shown[0]);
}

/** Return the number of the reading nearest to a moment, -1 where none is near. */
function nearest(at) {
  const rows = told.readings;
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].t < at) low = middle + 1;
    else high = middle;
  }
  const near = [low - 1, low].filter((number) => number >= 0 && number < rows.length);
  near.sort((a, b) => Math.abs(rows[a].t - at) - Math.abs(rows[b].t - at));
  const reach = ((shown[1] - shown[0]) / view.width()) * NARROW_PX;
  return near.length > 0 && Math.abs(rows[near[0]].t - at) <= reach ? near[0] : -1;
}

function point(number) {
  pointed = number;
  hover.hidden = number < 0;
  view.signal("pointed", number < 0 ? null : told.readings[number].t).runAsync();
  if (number < 0) return;
  const lines = said(told.readings[number]);
  hover.replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  place();
}

/** Put what is said of a reading beside it. */
function place() {
  const reading = told.readings[pointed];
  const x = view.origin()[0] + chart.querySelector("canvas").offsetLeft + view.scale("x")(reading.t);
  const beside = x + 14 + hover.offsetWidth > plot.clientWidth ? x - 14 - hover.offsetWidth : x + 14;
  hover.style.left = `${Math.max(0, beside)}px`;
}

/** Say what is known of a reading: when, how warm, what was asked. */
function said(reading) {
  const rule = told.rules.findLast(([since]) => since <= reading.t)?.[1] ?? "";
  const lines = [`${dayOf.format(wall(reading.t))} ${time(reading.t)}`, t("room.hover.temp", { temp: reading.c.toFixed(2) })];
  if (reading.m === undefined) lines.push(t("room.hover.none"));
  else lines.push(t("room.hover.minimum", { temp: reading.m.toFixed(1), rule }));
  if (reading.v) lines.push(`▼ ${t("room.hover.missing", { kelvin: (reading.m - reading.c).toFixed(2) })}`);
  else if (reading.c < reading.g) lines.push(t("room.hover.target", { temp: reading.g.toFixed(1) }));
  if (reading.r !== reading.c) lines.push(t("room.hover.raw", { temp: reading.r.toFixed(2) }));
  return lines;
}

chart.addEventListener("pointerdown", (event) => {
  if (view === null || event.button !== 0) return;
  drag = { x: event.clientX, shown };
  chart.setPointerCapture(event.pointerId);
});
chart.addEventListener("pointermove", (event) => {
  if (view === null) return;
  if (drag === null || event.buttons === 0) {
    point(nearest(momentAt(event.clientX)));
    return;
  }
  const by = ((drag.x - event.clientX) / view.width()) * (drag.shown[1] - drag.shown[0]);
  show(drag.shown[0] + by, drag.shown[1] + by);
});
for (const name of ["pointerup", "pointercancel"]) chart.addEventListener(name, () => (drag = null));
chart.addEventListener("pointerleave", () => view !== null && point(-1));
chart.addEventListener("blur", () => view !== null && point(-1));
chart.addEventListener("wheel", (event) => {
  if (view === null || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.25 : 0.8, momentAt(event.clientX));
}, { passive: false });
chart.addEventListener("dblclick", (event) => view !== null && zoom(0.5, momentAt(event.clientX)));
chart.addEventListener("keydown", (event) => {
  if (view === null || event.ctrlKey || event.altKey || event.metaKey) return;
  const deed = { "+": DEEDS.in, "=": DEEDS.in, "-": DEEDS.out, 0: DEEDS.all, Escape: () => point(-1) }[event.key];
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -24, PageDown: 24, Home: -Infinity, End: Infinity }[event.key];
  if (deed === undefined && step === undefined) return;
  event.preventDefault();
  deed?.();
  if (step !== undefined && told.readings.length > 0) walk(step);
});

/** Go to another reading, and let it be seen. */
function walk(step) {
  const last = told.readings.length - 1;
  const from = pointed < 0 ? (step < 0 ? last + 1 : -1) : pointed;
  const number = Math.min(Math.max(from + step, 0), last);
  const { t: at } = told.readings[number];
  const half = (shown[1] - shown[0]) / 2;
  if (at < shown[0] || at > shown[1]) show(at - half, at + half);
  point(number);
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, Math.max(0, ms)));
}

new ResizeObserver(() => view !== null && fit()).observe(plot);

/** Ask for the chart, not too often; what could not be drawn is asked for again. */
async function load(version, tags) {
  await pause(askedAt + EVERY_MS - performance.now());
  askedAt = performance.now();
  if (view === null) tags?.delete(plot.dataset.chart);
  const answer = await ask(plot.dataset.chart, version, "application/json");
  if (answer !== null) await take(await answer.json());
  fails.hidden = true;
  return true;
}

try {
  await load("");
} catch (error) {
  waits.hidden = true;
  fails.hidden = false;
  console.warn(error);
}
lookFirst(load);
