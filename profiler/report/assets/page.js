// Puts the parts together; theme, paper and keys.

const chains = new Chains();
const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];

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
  drawCharts();
}

function build() {
  const parts = [caveats(), findings(chains), phases(), CHAINS.length ? chains.node() : null, steps(), onPath(), distributions(), growthSection(),
    compounding(), tails(), callWaterfall(), gaps(), about()].filter(Boolean);
  document.body.prepend(patterns());
  const named = parts.filter((part) => part.id);
  fill(document.getElementById("top"), [
    el("div", { class: "title" }, el("h1", {}, DATA.title), themeButton),
    el("p", { class: "lead" }, [DATA.trajectory && `Trajectory ${DATA.trajectory}`, DATA.created].filter(Boolean).join(" · ")),
    head(),
    el("nav", { "aria-label": "Parts" }, named.map((part) => el("a", { href: `#${part.id}` }, part.querySelector("h2").textContent))),
  ]);
  // Findings come first; what they must be read with comes right after.
  const [first, second] = parts[0].tagName === "ASIDE" ? [parts[1], parts[0]] : [parts[0], null];
  fill(document.getElementById("main"), [first, second, parts.slice(second ? 2 : 1)]);
  if (CHAINS.length) chains.start();
  drawCharts();
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const act = { t: nextTheme, "/": () => chains.search.focus(), "[": () => chains.step(-1), "]": () => chains.step(1) }[event.key];
  if (!act || (event.key !== "t" && !CHAINS.length)) return;
  event.preventDefault();
  act();
}

function again(width = null) {
  if (CHAINS.length) chains.waterfall.draw(width === null ? undefined : width);
  drawCharts(width);
}

let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => again(), 120);
});
// Paper is light and some 19 cm wide.
window.addEventListener("beforeprint", () => { root.classList.add("paper"); again(700); });
window.addEventListener("afterprint", () => { root.classList.remove("paper"); again(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts());
document.addEventListener("keydown", keys);

useTheme(THEMES.includes(remembered()) ? remembered() : "auto");
build();
root.dataset.ready = "yes";
