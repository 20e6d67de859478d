// Two runs side by side: figures, what explains the difference, and a chain of each on one scale.

const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];
const SIDES = ["base", "candidate"];

function remembered() {
  try { return localStorage.getItem("profiler-theme") || "auto"; } catch { return "auto"; }
}

function useTheme(theme) {
  root.dataset.theme = theme;
  themeButton.textContent = `Theme: ${theme}`;
  try { localStorage.setItem("profiler-theme", theme); } catch { /* a page without storage has no memory */ }
}

const themeButton = el("button", { type: "button", id: "theme", title: "Light or dark (t)", onclick: () => nextTheme() });

function nextTheme() {
  useTheme(THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length]);
}

// Both waterfalls see the same stretch of time: what moves one, moves the other.
class Aligned extends Waterfall {
  see(from, until) {
    for (const each of this.both) if (each.picture) Waterfall.prototype.see.call(each, from, until);
  }
}

class Pairs {
  constructor() {
    this.details = SIDES.map(() => el("div", { class: "detail", "aria-live": "polite" }));
    this.headings = SIDES.map(() => el("h3", { class: "chain-name" }));
    this.waterfalls = SIDES.map((side, at) => new Aligned((row) => this.detail(at, row), `wf-${side}`));
    for (const [at, each] of this.waterfalls.entries()) {
      each.both = this.waterfalls;
      each.box.setAttribute("aria-label", `Waterfall of the ${SIDES[at]}'s chain`);
    }
    this.pick = el("select", { id: "task", "aria-label": "Task", onchange: () => this.show(Number(this.pick.value)) },
      DATA.pairs.map((pair, at) => el("option", { value: at }, `${pair.task || "(no task)"}: ${pair.words}`)));
  }

  node() {
    const used = PHASES.filter((phase, at) => Object.values(DATA.pictures).some((picture) =>
      picture.path.some((value, place) => place % 4 === 1 && value === at)));
    const left = DATA.tasks - DATA.pairs.length;
    return section("chains", "One chain of each", "Of each task the median chain of both runs, on one scale: zooming and moving one "
      + "does the same to the other. Tasks stand by how much longer the candidate takes."
      + (left > 0 ? ` ${plural(left, "task")} did not fit into a file of this size.` : ""),
    el("p", {}, el("label", { for: "task" }, "Task "), this.pick), legend(used), this.waterfalls[0].tools,
    SIDES.map((side, at) => el("div", { id: `chain-${side}` }, this.headings[at], this.waterfalls[at].box)),
    el("div", { class: "two" }, this.details));
  }

  show(number) {
    const pair = DATA.pairs[number];
    const total = Math.max(...SIDES.map((side) => pair[side].e2e)) / 1000;
    for (const [at, side] of SIDES.entries()) {
      const chain = pair[side];
      this.headings[at].replaceChildren(`${capital(side)}: ${duration(chain.e2e)}`, el("small", {}, " trace ", el("code", {}, chain.id)));
      this.waterfalls[at].show(unpacked(DATA.pictures[chain.id], total));
    }
  }

  detail(at, row) {
    if (!row) { this.details[at].replaceChildren(el("p", { class: "hint" }, `${capital(SIDES[at])}: point at a row.`)); return; }
    const { facts } = row;
    const told = [`${capital(SIDES[at])}: ${NAMES_OF_KINDS[row.kind]}${row.name}: ${duration(row.lasts * 1e3)}`,
      known(facts.input_tokens) && `prompt ${count(facts.input_tokens)} tokens`,
      known(facts.cached_tokens) && `${count(facts.cached_tokens)} of them cached`,
      known(facts.output_tokens) && `output ${count(facts.output_tokens)} tokens`, row.failed && `failed: ${row.failed}`];
    this.details[at].replaceChildren(el("p", {}, told.filter(Boolean).join(", ")), el("ul", { class: "legend" },
      row.pieces.map(([phase, , lasts]) => el("li", {}, swatch(PHASES[phase]), `${PHASES[phase]} ${duration(lasts * 1e3)}`))));
  }

  draw(width) { for (const each of this.waterfalls) each.draw(width); }
}

const pairs = new Pairs();
const VALUES = [["base", "number"], ["candidate", "number"], ["difference (95%)", "number"], ["ratio (95%)", "number"]];

const MARKS = { longer: "▲ ", shorter: "▼ ", open: "" };

// The last of a row's cells is whether its ratio is beyond chance.
const figures = (columns, rows) => el("div", { class: "paired" }, table([...columns, ...VALUES],
  rows.map((row) => [...row.slice(0, -2), el("span", { class: row.at(-1) }, MARKS[row.at(-1)], row.at(-2))])));

const listed = (id, heading, lead, items) => (items.length ? section(id, heading, lead, el("ol", {}, items)) : null);

function build() {
  const parts = [
    listed("blame", "Where the difference comes from", "By step and phase of what the chain waited for. Differences are per chain and "
      + "add up; those that may be chance come last.",
    DATA.blame.map(([line, chance]) => el("li", { class: chance ? "chance" : null }, line, chance && "; may be chance"))),
    listed("trajectories", "Changed trajectories", "", DATA.changes.map((line) => el("li", {}, line))),
    DATA.pairs.length ? pairs.node() : null,
    section("figures", "Per chain", "Paired by task. Ratios are geometric means over tasks.", figures([["", "text"]], DATA.figures)),
    section("steps", "Steps", "Time that the chain waited for, 0 where a chain does not get there.",
      figures([["step", "text"], ["chains", "number"]], DATA.steps)),
  ].filter(Boolean);
  document.body.prepend(patterns());
  fill(document.getElementById("top"), [
    el("div", { class: "title" }, el("h1", {}, DATA.title), themeButton),
    el("p", { class: "lead" }, `Base ${DATA.base}, candidate ${DATA.candidate}: ${plural(DATA.tasks, "task")}, `
      + `${count(DATA.chains[0])} and ${count(DATA.chains[1])} chains that ended well`),
    el("div", { class: `verdict ${DATA.certainty}` },
      DATA.verdict && el("p", { id: "verdict" }, el("strong", {}, DATA.verdict)),
      el("p", {}, el("strong", {}, MARKS[DATA.certainty], DATA.headline)),
      DATA.sources && el("p", {}, DATA.sources), DATA.identity && el("p", { class: "hint" }, DATA.identity)),
    el("nav", { "aria-label": "Parts" }, parts.map((part) => el("a", { href: `#${part.id}` }, part.querySelector("h2").textContent))),
  ]);
  const caveats = DATA.remarks.length ? el("aside", { class: "caveats", "aria-label": "Caveats" },
    el("h2", {}, "Before you believe it"), el("ul", {}, DATA.remarks.map((each) => el("li", {}, each)))) : null;
  const drawn = parts.findIndex((part) => part.id === "chains" || part.id === "figures"); // what explains comes before
  fill(document.getElementById("main"), [parts.slice(0, drawn), caveats, parts.slice(drawn)]);
  if (DATA.pairs.length) pairs.show(0);
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "t" || event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  nextTheme();
});
let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => pairs.draw(), 120);
});
window.addEventListener("beforeprint", () => { root.classList.add("paper"); pairs.draw(700); });
window.addEventListener("afterprint", () => { root.classList.remove("paper"); pairs.draw(); });

useTheme(THEMES.includes(remembered()) ? remembered() : "auto");
build();
root.dataset.ready = "yes";
