// Elements and figures. Text enters the page here only, as text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const PHASES = DATA.phases.map((phase) => phase.name);

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  set(node, attributes);
  return fill(node, children);
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(node, attributes);
  return fill(node, children);
}

const MISSING = "—";
const known = (value) => value !== null && value !== undefined;

function three(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

function duration(ns) {
  if (!known(ns)) return MISSING;
  if (ns === 0) return "0";
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
    if (Math.abs(ns) >= 0.9995 * size) return `${three(ns / size)} ${unit}`;
  }
  return `${ns.toFixed(0)} ns`;
}

function percent(share) {
  if (!known(share)) return MISSING;
  return share === 0 || share === 1 || Math.abs(share) >= 0.1 ? `${(share * 100).toFixed(0)}%` : `${(share * 100).toFixed(1)}%`;
}

function count(value) {
  if (!known(value)) return MISSING;
  return Number.isInteger(value) || Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
}

const short = (text, length = 26) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

// `20 ms` and `1.2 s` where a figure reads `20.0 ms` and `1.20 s`.
const roundDuration = (value) => duration(value).replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "");

const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// A table of texts; columns are [heading, "number" or "text"].
function table(columns, rows, caption) {
  const cells = (tag, values) => values.map((value, at) => {
    const head = tag === "th" || (at === 0 && columns[0][1] === "text");
    return el(head ? "th" : "td", {
      class: columns[at][1], scope: tag === "th" ? "col" : head ? "row" : null,
    }, value);
  });
  return el("div", { class: "scroll" }, el("table", {},
    caption && el("caption", {}, caption),
    el("thead", {}, el("tr", {}, cells("th", columns.map((column) => column[0])))),
    el("tbody", {}, rows.map((row) => el("tr", {}, cells("td", row))))));
}

// The numbers of a chart, folded away below it.
const numbers = (columns, rows, label = "Numbers as a table") =>
  el("details", { class: "numbers" }, el("summary", {}, label), table(columns, rows));

function section(id, heading, lead, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-heading` },
    el("h2", { id: `${id}-heading` }, heading), lead && el("p", { class: "lead" }, lead), children);
}

// Phases: colours of Okabe and Ito, which people with any kind of colour vision tell apart, and a pattern besides.
const LOOKS = {
  framework: { color: "#8c939e", pattern: "none" },
  client: { color: "#56b4e9", pattern: "dots" },
  load: { color: "#7a5195", pattern: "dots" },
  queue: { color: "#d55e00", pattern: "up" },
  prefill: { color: "#e69f00", pattern: "none" },
  decode: { color: "#0072b2", pattern: "none" },
  inference: { color: "#3d5a80", pattern: "up" },
  delivery: { color: "#009e73", pattern: "down" },
  tool: { color: "#cc79a7", pattern: "none" },
  retry: { color: "#f0e442", pattern: "upright" },
  unaccounted: { color: "#d9d3b8", pattern: "level" },
};
const INK = { framework: "#000", client: "#000", load: "#fff", inference: "#fff", queue: "#000", prefill: "#000", decode: "#fff", delivery: "#000",
  tool: "#000", retry: "#000", unaccounted: "#000" };

const LINES = {
  none: [], up: ["M-1,7 L7,-1 M-1,1 L1,-1 M5,7 L7,5"], down: ["M-1,-1 L7,7 M5,-1 L7,1 M-1,5 L1,7"],
  upright: ["M1.5,0 V6"], level: ["M0,3 H6"], dots: ["M1.5,1.5 h1.4 v1.4 h-1.4 Z"],
};

function patterns() {
  const defined = PHASES.map((phase) => {
    const { color, pattern } = LOOKS[phase];
    const dark = INK[phase] === "#000";
    return svg("pattern", { id: `look-${phase}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 6, height: 6, fill: color }),
      LINES[pattern].map((path) => svg("path", {
        d: path, stroke: dark ? "#000" : "#fff", "stroke-width": 1.1, "stroke-opacity": 0.5, fill: "none",
      })));
  });
  return svg("svg", { class: "defs", width: 0, height: 0, "aria-hidden": "true" }, svg("defs", {}, defined));
}

const look = (phase) => `url(#look-${phase})`;

const swatch = (phase) => svg("svg", { class: "swatch", width: 14, height: 14, "aria-hidden": "true" },
  svg("rect", { width: 14, height: 14, rx: 2, fill: look(phase) }));

const legend = (phases) => el("ul", { class: "legend", "aria-label": "Kinds of work" }, phases.map((phase) =>
  el("li", { title: DATA.phases[PHASES.indexOf(phase)].words }, swatch(phase), phase)));
