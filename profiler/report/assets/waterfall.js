// One chain as bars over time: a row per step, call and tool; above them what the chain waited for.

const ROW = 22;
const BAR = 14;
const HEAD = 54;

// Takes a packed picture apart: see `Packer`.
function unpacked(packed, total) {
  const groups = (flat, size) => Array.from({ length: flat.length / size }, (_, at) => flat.slice(at * size, (at + 1) * size));
  const rows = packed.rows.map(([kind, depth, name, start, lasts, span, pieces, facts = [], failed = ""]) => ({
    kind: DATA.kinds[kind], depth, name: DATA.names[name], start, lasts, span, pieces: groups(pieces, 3), failed,
    facts: Object.fromEntries(DATA.facts.map((fact, at) => [fact, facts[at]])),
  }));
  return { rows, path: groups(packed.path, 4), left_out: packed.left_out, total };
}

class Waterfall {
  // `onRow(row or null)` is told which row is looked at; `name` begins the ids of its rows.
  constructor(onRow, name = "wf") {
    this.onRow = onRow;
    this.name = name;
    this.head = el("div", { class: "wf-head" });
    this.body = el("div", { class: "wf-body" });
    this.status = el("p", { class: "wf-status", "aria-live": "polite" });
    this.box = el("div", {
      class: "waterfall", tabindex: 0, role: "listbox", "aria-label": "Waterfall of the picked chain",
      onkeydown: (event) => this.key(event), onwheel: (event) => this.wheel(event), ondblclick: () => this.reset(),
      onpointerleave: () => this.look(this.selected),
    }, this.head, el("div", { class: "wf-scroll" }, this.body));
    const button = (text, label, act) => el("button", { type: "button", title: label, "aria-label": label, onclick: act }, text);
    this.tools = el("div", { class: "wf-tools" },
      button("−", "Zoom out", () => this.zoom(2)), button("+", "Zoom in", () => this.zoom(0.5)),
      button("◀", "Earlier", () => this.pan(-0.25)), button("▶", "Later", () => this.pan(0.25)),
      button("All", "Whole chain", () => this.reset()), this.status);
    this.selected = -1;
  }

  show(picture, selected = -1) {
    this.picture = picture;
    this.total = Math.max(picture.total, 1);
    this.view = [0, this.total];
    this.selected = selected;
    this.draw();
    this.look(selected);
    if (selected >= 0) this.reveal(selected);
  }

  draw(width = this.box.clientWidth || 900) {
    if (!this.picture) return;
    this.width = Math.max(width - 2, 280);
    this.labels = this.width < 620 ? 104 : 220;
    const [from, until] = this.view;
    this.scale = (this.width - this.labels - 10) / (until - from);
    this.head.replaceChildren(this.drawHead());
    this.body.replaceChildren(this.drawRows());
    const whole = from === 0 && until === this.total;
    const outside = this.picture.left_out ? `; ${plural(this.picture.left_out, "short span")} not drawn` : "";
    this.status.textContent = (whole ? `all of ${duration(this.total * 1e3)}`
      : `${duration(from * 1e3)} to ${duration(until * 1e3)} of ${duration(this.total * 1e3)}`) + outside;
    this.mark();
  }

  x(micros) { return this.labels + (micros - this.view[0]) * this.scale; }

  // A bar cut to what is in view; null if it is not.
  bar(start, lasts, y, height, extra) {
    const left = Math.max(this.x(start), this.labels);
    const right = Math.min(this.x(start + lasts), this.width - 8);
    if (right < this.labels || left > this.width - 8 || right < left) return null;
    return svg("rect", { x: left.toFixed(2), y, width: Math.max(right - left, 0.8).toFixed(2), height, ...extra });
  }

  frame(height, ...children) {
    return svg("svg", { viewBox: `0 0 ${this.width} ${height}`, width: "100%", "aria-hidden": "true" }, children);
  }

  drawHead() {
    const strip = [];
    for (const [, phase, start, lasts] of this.picture.path) {
      const bar = this.bar(start, lasts, 24, 18, { fill: look(PHASES[phase]), class: "wf-path" });
      if (bar) strip.push(fill(bar, [svg("title", {}, `${PHASES[phase]} ${duration(lasts * 1e3)}`)]));
      strip.push(bar && this.caption(bar, PHASES[phase], lasts, 37));
    }
    return this.frame(HEAD, this.ticks(16), svg("text", { x: 4, y: 37, class: "wf-label strong" },
      this.labels < 150 ? "waited for" : "what the chain waited for"), strip,
    this.ticks(null, 46, HEAD));
  }

  ticks(textY, top = 18, bottom = 22) {
    const [from, until] = this.view;
    const step = niceStep((until - from) / Math.max(3, Math.floor((this.width - this.labels) / 110)));
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= until; at += step) {
      const x = this.x(at);
      found.push(svg("line", { x1: x, x2: x, y1: top, y2: bottom, class: "wf-tick" }));
      if (textY) {
        const last = x > this.width - 40;
        found.push(svg("text", { x, y: textY - 4, class: "wf-time", "text-anchor": last ? "end" : "middle" }, at ? roundDuration(at * 1e3) : "0"));
      }
    }
    return found;
  }

  drawRows() {
    const height = this.picture.rows.length * ROW + 4;
    const waited = new Map();
    for (const [row, , start, lasts] of this.picture.path) {
      if (!waited.has(row)) waited.set(row, []);
      waited.get(row).push([start, lasts]);
    }
    const rows = this.picture.rows.map((row, at) => this.drawRow(row, at, waited.get(at) || []));
    const frame = this.frame(height, svg("g", {}, this.ticks(null, 0, height)), rows);
    frame.removeAttribute("aria-hidden");
    frame.addEventListener("pointerdown", (event) => this.drag(event, frame));
    return frame;
  }

  drawRow(row, at, waited) {
    const y = at * ROW;
    const thin = row.kind === "step" || row.kind === "other";
    const top = thin ? y + 7 : y + 3;
    const high = thin ? 6 : BAR;
    const bars = [];
    for (const [phase, start, lasts] of row.pieces) {
      const bar = this.bar(start, lasts, top, high, { fill: look(PHASES[phase]) });
      bars.push(bar);
      if (!thin) bars.push(bar && this.caption(bar, PHASES[phase], lasts, y + 14));
    }
    if (!row.pieces.length) bars.push(this.bar(row.start, row.lasts, top, high, { class: "wf-outside" }));
    const marks = waited.map(([start, lasts]) => this.bar(start, lasts, thin ? y + 14 : y + 18, 2.5, { class: "wf-critical" }));
    const indent = 4 + Math.min(row.depth, 5) * (this.labels < 150 ? 5 : 12);
    const room = Math.floor((this.labels - indent - 6) / 6.6);
    const said = `${NAMES_OF_KINDS[row.kind]}${row.name}`;
    return svg("g", {
      class: `wf-row ${row.kind}${row.failed ? " failed" : ""}`, id: `${this.name}-row-${at}`, role: "option", "data-row": at,
      "aria-label": `${said}, ${duration(row.lasts * 1e3)}${row.failed ? ", failed" : ""}`,
      onpointerenter: () => this.look(at),
    },
    svg("rect", { x: 0, y, width: this.width, height: ROW, class: "wf-hit" }),
    svg("text", { x: indent, y: y + 15, class: "wf-label" }, short(`${row.failed ? "✗ " : ""}${said}`, Math.max(room, 6))),
    bars, marks);
  }

  // The phase's name in its bar, where there is room.
  caption(bar, phase, lasts, y) {
    const width = Number(bar.getAttribute("width"));
    const full = `${phase} ${duration(lasts * 1e3)}`;
    const text = width > full.length * 6 + 8 ? full : width > phase.length * 6 + 8 ? phase : "";
    return text && svg("text", { x: Number(bar.getAttribute("x")) + 4, y, class: "wf-caption", fill: INK[phase], stroke: LOOKS[phase].color }, text);
  }

  look(at) { this.onRow(this.picture && at >= 0 ? this.picture.rows[at] : null); }

  select(at) {
    this.selected = Math.max(-1, Math.min(at, this.picture.rows.length - 1));
    this.mark();
    this.look(this.selected);
    if (this.selected >= 0) this.reveal(this.selected);
  }

  mark() {
    for (const row of this.body.querySelectorAll(".wf-row")) {
      const chosen = Number(row.dataset.row) === this.selected;
      row.classList.toggle("selected", chosen);
      row.setAttribute("aria-selected", chosen);
    }
    if (this.selected >= 0) this.box.setAttribute("aria-activedescendant", `${this.name}-row-${this.selected}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  reveal(at) {
    const scroll = this.body.parentElement;
    const row = at * ROW;
    if (row < scroll.scrollTop) scroll.scrollTop = row - ROW;
    else if (row + ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = row + 2 * ROW - scroll.clientHeight;
  }

  reset() { this.see(0, this.total); }

  see(from, until) {
    const least = Math.max(20, this.total / 2000);
    const lasts = Math.min(this.total, Math.max(least, until - from));
    const start = Math.max(0, Math.min(from, this.total - lasts));
    this.view = [start, start + lasts];
    this.draw();
  }

  // Around the pointer, else the chosen row, else the middle.
  zoom(factor, around = this.middle()) {
    const [from, until] = this.view;
    this.see(around - (around - from) * factor, around + (until - around) * factor);
  }

  middle() {
    const [from, until] = this.view;
    const row = this.picture.rows[this.selected];
    const at = row ? row.start + row.lasts / 2 : -1;
    return at >= from && at <= until ? at : (from + until) / 2;
  }

  pan(share) {
    const step = (this.view[1] - this.view[0]) * share;
    this.see(this.view[0] + step, this.view[1] + step);
  }

  wheel(event) {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const moved = event.deltaY || event.deltaX;
    if (event.shiftKey) this.pan(moved > 0 ? 0.1 : -0.1);
    else this.zoom(moved > 0 ? 1.25 : 0.8, this.microsAt(event));
  }

  microsAt(event) {
    const box = this.body.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width;
    return Math.max(0, Math.min(this.total, this.view[0] + (x - this.labels) / this.scale));
  }

  // A click picks the row, a drag zooms into what it spans.
  drag(event, frame) {
    if (event.button !== 0) return;
    const row = event.target.closest(".wf-row");
    const began = this.microsAt(event);
    const marker = svg("rect", { y: 0, height: "100%", class: "wf-selection" });
    const move = (now) => {
      const ends = [began, this.microsAt(now)].sort((one, other) => one - other);
      marker.setAttribute("x", this.x(ends[0]));
      marker.setAttribute("width", (ends[1] - ends[0]) * this.scale);
      if (!marker.parentNode) frame.append(marker);
    };
    const up = (now) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      marker.remove();
      const ends = [began, this.microsAt(now)].sort((one, other) => one - other);
      if ((ends[1] - ends[0]) * this.scale > 6) this.see(ends[0], ends[1]);
      else if (row) this.select(Number(row.dataset.row));
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = {
      ArrowDown: () => this.select(this.selected + 1), ArrowUp: () => this.select(Math.max(0, this.selected - 1)),
      Home: () => this.select(0), End: () => this.select(this.picture.rows.length - 1),
      ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), "0": () => this.reset(),
      Escape: () => { this.select(-1); this.reset(); },
    }[event.key];
    if (!act || !this.picture) return;
    event.preventDefault();
    act();
  }
}

const NAMES_OF_KINDS = { step: "", call: "call ", tool: "tool ", other: "" };

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= least) || power * 10;
}
