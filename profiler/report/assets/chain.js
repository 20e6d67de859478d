// The list of chains and the picked one: its waterfall, the row that is looked at, its numbers.

const COLUMNS = ["id", "task", "repeat", "e2e", "calls", "tools", "ended", "error"];
const ALL = DATA.chains.map((row) => Object.fromEntries(COLUMNS.map((name, at) => [name, row[at]])));
const CHAINS = ALL.filter((chain) => chain.id in DATA.pictures);
const MOST_LISTED = 300;

const SORTS = {
  "slowest first": (one, other) => other.e2e - one.e2e,
  "fastest first": (one, other) => one.e2e - other.e2e,
  "in order of start": null,
  "by task": (one, other) => (one.task < other.task ? -1 : one.task > other.task ? 1 : other.e2e - one.e2e),
};

class Chains {
  constructor() {
    this.waterfall = new Waterfall((row) => this.detail(row));
    this.search = el("input", {
      type: "search", placeholder: "task or trace id", "aria-label": "Search chains", id: "chain-search",
      oninput: () => this.list(), onkeydown: (event) => { if (event.key === "ArrowDown") { event.preventDefault(); this.options.focus(); } },
    });
    this.sort = el("select", { id: "chain-sort", "aria-label": "Order of chains", onchange: () => this.list() },
      Object.keys(SORTS).map((name) => el("option", { value: name }, name)));
    this.options = el("div", { class: "options", role: "listbox", tabindex: 0, "aria-label": "Chains", onkeydown: (event) => this.key(event) });
    this.heading = el("h3", { class: "chain-name" });
    this.row = el("div", { class: "detail", "aria-live": "polite" });
    this.table = el("div", {});
    this.picked = null;
    this.shown = [];
  }

  node() {
    const good = CHAINS.filter((chain) => !chain.ended).sort(SORTS["slowest first"]);
    const quick = [["Slowest", 0], ["Median", Math.floor((good.length - 1) / 2)], ["Fastest", good.length - 1]];
    const drawn = CHAINS.length >= DATA.all_chains ? `All ${plural(CHAINS.length, "chain")} can be looked at.`
      : `${plural(CHAINS.length, "chain")} of ${count(DATA.all_chains)} can be looked at here: the slowest, median and `
        + "fastest of all and of each task, those that findings name, then others as far as a file of this size allows.";
    const used = PHASES.filter((phase, at) => Object.values(DATA.pictures).some((picture) =>
      picture.path.some((value, place) => place % 4 === 1 && value === at)));
    return section("chain", "One chain", `${drawn} The strip on top is what the chain waited for at each moment, and adds up to its `
      + "time; the same moments are underlined in the rows.",
    el("div", { class: "picker" },
      el("div", { class: "picker-list" },
        good.length ? el("div", { class: "quick" }, quick.map(([name, at]) =>
          el("button", { type: "button", onclick: () => this.pick(good[at].id) }, name))) : null,
        this.search, this.sort, this.options),
      el("div", { class: "picker-chain" }, this.heading, legend(used), this.waterfall.tools, this.waterfall.box,
        el("p", { class: "hint" }, "Drag to zoom, double-click for all. Keys: ↑ ↓ rows, ← → move, + − zoom, 0 all; ",
          "/ searches, [ and ] go to the chain before and after."), this.row)),
    this.table);
  }

  start() {
    this.list();
    const first = this.shown.find((chain) => !chain.ended) || this.shown[0];
    if (first) this.pick(first.id);
  }

  list() {
    const wanted = this.search.value.trim().toLowerCase();
    const fits = (chain) => !wanted || `${chain.task} ${chain.id} ${chain.ended} ${chain.error}`.toLowerCase().includes(wanted);
    const order = SORTS[this.sort.value];
    this.shown = CHAINS.filter(fits);
    if (order) this.shown.sort(order);
    const longest = Math.max(1, ...CHAINS.map((chain) => chain.e2e));
    const more = this.shown.length - MOST_LISTED;
    this.options.replaceChildren(...this.shown.slice(0, MOST_LISTED).map((chain, at) => this.option(chain, at, longest)),
      ...(more > 0 ? [el("p", { class: "hint" }, `and ${count(more)} more: search, or sort another way`)] : []),
      ...(this.shown.length ? [] : [el("p", { class: "hint" }, "no chain fits")]));
    this.mark();
  }

  option(chain, at, longest) {
    const bar = el("span", { class: "option-bar" });
    bar.style.width = `${((100 * chain.e2e) / longest).toFixed(1)}%`;
    return el("div", { class: "option", role: "option", id: `chain-${at}`, "data-id": chain.id, title: `trace ${chain.id}`,
      onclick: () => this.pick(chain.id) },
    el("span", { class: "option-task" }, chainName(chain)), el("span", { class: "option-time" }, duration(chain.e2e)),
    chain.ended && el("span", { class: "option-ended" }, chain.ended), bar);
  }

  mark() {
    this.options.removeAttribute("aria-activedescendant");
    for (const option of this.options.querySelectorAll(".option")) {
      const chosen = option.dataset.id === this.picked;
      option.classList.toggle("selected", chosen);
      option.setAttribute("aria-selected", chosen);
      if (chosen) this.options.setAttribute("aria-activedescendant", option.id);
    }
  }

  pick(id, span = null) {
    const chain = CHAINS.find((each) => each.id === id);
    if (!chain) return false;
    this.picked = id;
    this.mark();
    const chosen = this.options.querySelector(".selected");
    if (chosen) {
      const room = this.options;
      const top = chosen.offsetTop;
      if (top < room.scrollTop || top + chosen.offsetHeight > room.scrollTop + room.clientHeight) room.scrollTop = top - 40;
    }
    this.heading.replaceChildren(`${chainName(chain)}: ${duration(chain.e2e)}`, el("small", {},
      ` ${plural(chain.calls, "call")}, ${plural(chain.tools, "tool")}${chain.ended ? `, ${chain.ended}` : ""}`
      + `${chain.error ? ` (${chain.error})` : ""}, trace `, el("code", {}, chain.id), DATA.viewer ? [" ", el("a", {
        href: `${DATA.viewer}/trace/${encodeURIComponent(chain.id)}`, target: "_blank", rel: "noopener noreferrer",
      }, "in Jaeger")] : []));
    const picture = unpacked(DATA.pictures[chain.id], chain.e2e / 1000);
    this.waterfall.show(picture, span ? picture.rows.findIndex((row) => row.span === span) : -1);
    this.table.replaceChildren(this.rowsTable(picture));
    return true;
  }

  step(by) {
    const at = this.shown.findIndex((chain) => chain.id === this.picked);
    const next = this.shown[Math.max(0, Math.min(this.shown.length - 1, at + by))];
    if (next) this.pick(next.id);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const last = this.shown.length;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -last, End: last }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.step(by);
  }

  detail(row) {
    this.row.classList.toggle("told", Boolean(row));
    if (!row) {
      this.row.replaceChildren(el("p", { class: "hint" }, "Point at a row, or walk through them with the arrow keys."));
      return;
    }
    const facts = row.facts;
    const micros = (value) => (known(value) ? duration(value * 1e3) : null);
    const cached = known(facts.cached_tokens) ? ` (${count(facts.cached_tokens)} cached)` : "";
    const pairs = [
      ["begins after", row.start ? duration(row.start * 1e3) : "0"], ["lasts", duration(row.lasts * 1e3)],
      ["prompt", known(facts.input_tokens) ? `${count(facts.input_tokens)} tokens${cached}` : null],
      ["output", known(facts.output_tokens) ? plural(facts.output_tokens, "token") : null],
      ["TTFT", micros(facts.ttft_us)], ["TPOT", micros(facts.tpot_us)], ["ended by", facts.finish_reason],
      ["attempt", facts.attempt > 1 ? count(facts.attempt) : null],
      ["engine", known(facts.engine_running) && known(facts.engine_waiting)
        ? `${count(facts.engine_running)} running, ${count(facts.engine_waiting)} waiting` : null],
      ["slack", micros(facts.slack_us)], ["drag", micros(facts.drag_us)], ["span", row.span],
    ].filter(([, value]) => known(value));
    const kind = { call: "LLM call", tool: "tool", step: "step", other: "span" }[row.kind];
    this.row.replaceChildren(
      el("h4", {}, `${kind} ${row.name}`),
      el("dl", {}, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      row.kind === "call" || row.pieces.length > 1 ? el("ul", { class: "legend" }, row.pieces.map(([phase, , lasts]) =>
        el("li", {}, swatch(PHASES[phase]), `${PHASES[phase]} ${duration(lasts * 1e3)}`))) : [],
      row.failed ? el("p", { class: "failed-text" }, `failed: ${row.failed}`) : [],
      known(facts.said) ? el("p", { class: "said" }, "answer: ", el("bdi", {}, facts.said)) : []);
  }

  rowsTable(picture) {
    const waited = new Map();
    for (const [row, , , lasts] of picture.path) waited.set(row, (waited.get(row) || 0) + lasts);
    return numbers([["what", "text"], ["begins after", "number"], ["lasts", "number"], ["on the critical path", "number"],
      ["prompt", "number"], ["output", "number"], ["TTFT", "number"]],
    picture.rows.map((row, at) => [`${"· ".repeat(row.depth)}${NAMES_OF_KINDS[row.kind]}${row.name}`,
      row.start ? duration(row.start * 1e3) : "0", duration(row.lasts * 1e3), waited.has(at) ? duration(waited.get(at) * 1e3) : "no",
      row.kind === "call" ? count(row.facts.input_tokens) : "", row.kind === "call" ? count(row.facts.output_tokens) : "",
      row.kind === "call" && known(row.facts.ttft_us) ? duration(row.facts.ttft_us * 1e3) : ""]), "This chain's numbers as a table");
  }
}

const chainName = (chain) => `${chain.task || `trace ${chain.id.slice(0, 8)}`}${chain.repeat > 1 ? ` (${chain.repeat})` : ""}`;
