// The parts of the report, from top to bottom; one that has no numbers is not there.

const SUMMARY = DATA.summary;

function head() {
  const good = SUMMARY.chains - SUMMARY.failed;
  const between = (quantile) => (known(quantile.low) && known(quantile.high) ? `95%: ${duration(quantile.low)} to ${duration(quantile.high)}`
    : known(quantile.low) ? `95%: above ${duration(quantile.low)}` : "too few chains for an interval");
  const tiles = [
    ["chains ended well", count(good), [SUMMARY.failed && `${SUMMARY.failed} failed`, SUMMARY.warmup && `${SUMMARY.warmup} for warm-up left out`]
      .filter(Boolean).join(", ")],
    SUMMARY.e2e_p50 && ["end to end, median", duration(SUMMARY.e2e_p50.value), between(SUMMARY.e2e_p50)],
    SUMMARY.e2e_p95 && ["end to end, p95", duration(SUMMARY.e2e_p95.value), between(SUMMARY.e2e_p95)],
    known(SUMMARY.calls_mean) && ["LLM calls per chain", count(Math.round(SUMMARY.calls_mean * 10) / 10),
      SUMMARY.calls_min === SUMMARY.calls_max ? "in every chain" : `${SUMMARY.calls_min} to ${SUMMARY.calls_max}`],
    SUMMARY.calls > 0 && ["calls with engine timing", percent(SUMMARY.joined_calls / SUMMARY.calls),
      SUMMARY.timing_sources.length ? `from ${SUMMARY.timing_sources.join(", ")}` : "the engine told none"],
  ];
  return el("ul", { class: "tiles" }, tiles.filter(Boolean).map(([name, value, note]) =>
    el("li", {}, el("span", { class: "tile-value" }, value), el("span", { class: "tile-name" }, name), el("span", { class: "tile-note" }, note))));
}

function caveats() {
  if (!DATA.caveats.length) return null;
  return el("aside", { class: "caveats", "aria-label": "Caveats" }, el("h2", {}, "Before believing the figures"),
    el("ul", {}, DATA.caveats.map((caveat) => el("li", {}, capital(caveat)))));
}

function findings(chains) {
  if (!SUMMARY.total_ns) return section("findings", "Findings", "No chain ended well: there are no figures to explain.");
  if (!DATA.findings.length) return section("findings", "Findings", "No single cause stands out of the noise.");
  const card = (finding) => el("li", { class: "finding" },
    el("div", { class: "gain" }, known(finding.gain_ns)
      ? [el("strong", {}, `−${duration(finding.gain_ns)}`), el("span", {}, known(finding.share) ? `${percent(finding.share)} of a chain` : "per chain")]
      : [known(finding.share) && el("strong", {}, percent(finding.share)), el("span", {}, known(finding.share) ? "of a chain; no gain to tell" : "no gain to tell")]),
    el("div", {},
      el("h3", {}, finding.phase && PHASES.includes(finding.phase) ? swatch(finding.phase) : null, finding.title),
      el("p", {}, el("b", {}, "What to do: "), finding.remedy),
      finding.where && !finding.title.toLowerCase().includes(finding.where.toLowerCase())
        ? el("p", {}, el("b", {}, "Where: "), finding.where) : null,
      el("details", {}, el("summary", {}, "How it is known, and where to look"), el("p", {}, finding.detail),
        finding.condition && el("p", {}, el("b", {}, "Holds if: "), finding.condition, "."),
        finding.evidence.length ? el("ul", { class: "evidence" }, finding.evidence.map((each) => evidence(each, chains))) : null)));
  return section("findings", "Findings", "Largest gain first: how much sooner a chain would end in the mean. Gains overlap and do not add up.",
    el("ol", { class: "findings" }, DATA.findings.map(card)));
}

function evidence(each, chains) {
  const chain = CHAINS.find((one) => one.id === each.trace_id);
  const said = each.note || "here";
  if (!chain) return el("li", {}, `${said}: trace `, el("code", {}, each.trace_id));
  const go = () => {
    chains.pick(each.trace_id, each.span_id);
    document.getElementById("chain").scrollIntoView();
    chains.waterfall.box.focus({ preventScroll: true });
  };
  return el("li", {}, el("button", { type: "button", class: "link", onclick: go, title: `trace ${each.trace_id}` }, said), ` in ${chainName(chain)}`);
}

function bar(share, largest, phase = null) {
  const width = largest > 0 ? Math.max(0, (100 * share) / largest) : 0;
  return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width: width.toFixed(2), height: 10, class: phase ? null : "bar-plain", fill: phase ? LOOKS[phase].color : null }));
}

const SELDOM = ["load", "inference"]; // phases that few engines have: told where there is time in them

function phases() {
  if (!SUMMARY.total_ns) return null;
  const good = SUMMARY.chains - SUMMARY.failed;
  const largest = Math.max(...SUMMARY.phases.map((row) => row.share));
  const told = SUMMARY.phases.filter((row) => row.total_ns || !SELDOM.includes(row.phase));
  const rows = told.map((row) => [[swatch(row.phase), row.phase], percent(row.share), duration(row.total_ns / good),
    duration(row.median_ns), bar(row.share, largest, row.phase), DATA.phases.find((phase) => phase.name === row.phase).words]);
  return section("phases", "Where the time goes", "What the chains waited for at every moment, on their critical path. The shares sum to the chains' time exactly.",
    table([["phase", "text"], ["share", "number"], ["per chain", "number"], ["median", "number"], ["", "graph"], ["what it is", "note"]],
      [...rows, ["sum", "100%", duration(SUMMARY.total_ns / good), "", "", "end to end, exactly"]]));
}

function steps() {
  const { rows, between, mean } = DATA.charts.mean_chain;
  if (!rows.length) return null;
  const all = [...rows, { name: "outside these steps", phases: between, chains: null }].filter((row) => sum(row.phases) > 0);
  const used = PHASES.map((_, at) => at).filter((at) => all.some((row) => row.phases[at] > 0));
  let cumulative = 0;
  const told = all.map((row) => {
    cumulative += sum(row.phases);
    return [row.name, count(row.chains), ...used.map((at) => (row.phases[at] ? duration(row.phases[at]) : "")), duration(sum(row.phases)), duration(cumulative)];
  });
  const medians = SUMMARY.steps.map((row) => [`${row.position} ${row.node}`, count(row.chains), row.kind === "call" ? count(row.input_tokens) : "",
    known(row.growth_tokens) ? `${row.growth_tokens > 0 ? "+" : ""}${count(row.growth_tokens)}` : "", row.kind === "call" ? percent(row.cached_share) : "",
    row.kind === "call" ? count(row.output_tokens) : "", row.kind === "call" ? duration(row.ttft_ns) : "", row.kind === "call" ? duration(row.tpot_ns) : "",
    duration(row.time_ns), percent(row.share), duration(row.cumulative_ns)]);
  return section("steps", "Step by step", `The mean chain of ${duration(mean)}: each step begins where the one before ended. A step that a third of `
    + "the chains get to counts a third. Within a bar each kind of work is added up, in the order of the legend, not of time: One chain shows when it was.",
  legend(used.map((at) => PHASES[at])), cascade(all, "The mean chain, a bar for each step, by kind of work"),
  numbers([["step", "text"], ["chains", "number"], ...used.map((at) => [PHASES[at], "number"]), ["sum", "number"], ["cumulative", "number"]], told,
    "Numbers as a table (means over all chains)"),
  numbers([["step", "text"], ["chains", "number"], ["prompt", "number"], ["growth", "number"], ["cached", "number"], ["output", "number"],
    ["TTFT", "number"], ["TPOT", "number"], ["time", "number"], ["share", "number"], ["cumulative", "number"]], medians,
  "Tokens and times of each step (medians over the chains that get there)"));
}

function onPath() {
  const rows = DATA.on_path.filter((row) => row.share < 0.995);
  if (!rows.length) return null;
  return section("on-path", "What is not always waited for", "These run beside something else. Making them faster helps only where they are what the "
    + "chain waits for: drag is what a chain would gain without them, slack what they may take longer for free.",
  table([["what", "text"], ["chains that run it", "number"], ["on the critical path in", "number"], ["time there, mean", "number"], ["drag, mean", "number"], ["slack, median", "number"]],
    rows.map((row) => [`step ${row.position}: ${row.name}`, count(row.chains), `${count(Math.round(row.share * row.chains))} of these`, duration(row.path_ns), duration(row.drag_ns), duration(row.slack_ns)])));
}

function bins(part) {
  const rows = part.counts.map((value, at) => [`${duration(part.low + at * part.width)} to ${duration(part.low + (at + 1) * part.width)}`, count(value)])
    .filter((row) => row[1] !== "0");
  return part.beyond ? [...rows, [`above ${duration(part.low + part.counts.length * part.width)}`, count(part.beyond)]] : rows;
}

function distributions() {
  const { chains, calls, ttft, boxes } = DATA.charts;
  if (!chains) return null;
  const beyond = (part, what) => (part && part.beyond ? el("p", { class: "hint" }, `${plural(part.beyond, what)} beyond the right end.`) : null);
  const marks = [["p50", SUMMARY.e2e_p50.value], ["p95", SUMMARY.e2e_p95.value]]
    .filter(([, value]) => value <= chains.low + chains.width * chains.counts.length);
  return section("distributions", "How chains and calls differ", null,
    el("div", { class: "two" },
      el("div", {}, el("h3", {}, "Chains, end to end"), histograms([{ name: "end to end", part: chains }], marks, "chain", "Distribution of the chains' durations"),
        beyond(chains, "chain"), numbers([["end to end", "text"], ["chains", "number"]], bins(chains))),
      calls && el("div", {}, el("h3", {}, "Calls: duration", ttft ? ", and time to first token (dashed)" : ""),
        histograms([{ name: "duration", part: calls }, ...(ttft ? [{ name: "first token", part: ttft }] : [])], [], "call",
          "Distribution of the calls' durations and times to first token"), beyond(calls, "call"),
        numbers([["duration", "text"], ["calls", "number"]], bins(calls)),
        ttft && numbers([["time to first token", "text"], ["calls", "number"]], bins(ttft), "First tokens as a table"))),
    boxes.length ? [el("h3", {}, "Calls by step: 5%, 25%, median, 75%, 95%"), boxPlot(boxes, "Durations of calls by step"),
      numbers([["step", "text"], ["calls", "number"], ...["5%", "25%", "median", "75%", "95%"].map((name) => [name, "number"])],
        boxes.map((box) => [box.name, count(box.calls), ...box.quantiles.map(duration)]))] : null);
}

function growthSection() {
  const context = DATA.context;
  if (!context || !context.rows.length) return null;
  const rows = context.rows.slice(0, 60).map((row) => ({ ...row, name: row.node ? `${row.position} ${row.node}` : `call ${row.position}` }));
  const said = [];
  if (context.cost) {
    const { per_token_ns: each, low_ns: low, high_ns: high, base_ns: from, calls } = context.cost;
    said.push(`A prompt token that is not in the prefix cache costs ${duration(each)} of prefill (95%: ${duration(low)} to ${duration(high)}; fitted to `
      + `${plural(calls, "call")}, ${duration(from)} for an empty prompt).`);
  } else said.push("What a prompt token costs cannot be told: it takes engine timing and prompts of different lengths.");
  if (context.cached_known && known(context.cacheable_tokens)) {
    const more = known(context.missed_ns) && context.missed_ns > 0 ? `; ${duration(context.missed_ns)} more could be saved` : "";
    said.push(`Per chain ${count(context.cacheable_tokens)} prompt tokens had been sent before: by the chain's previous call, or, at the beginning of its `
      + `prompts, by other chains. ${count(context.cached_tokens)} were found in the prefix cache${known(context.saved_ns) ? `, which saved ${duration(context.saved_ns)}${more}` : ""}.`);
  } else said.push("The engine does not say what it found in its prefix cache.");
  const projections = context.projections.length ? [el("h3", {}, "If chains get longer"),
    el("p", { class: "lead" }, "Each further step adds a call with all that is around it, and makes the prompt longer by the mean growth."),
    table([["steps", "text"], ["calls", "number"], ["with prefix cache", "number"], ["without", "number"]],
      context.projections.map((row) => [`${row.factor}×`, count(Math.round(row.calls * 10) / 10), duration(row.cached_ns), duration(row.uncached_ns)]))] : null;
  const breaks = context.breaks.length ? [el("h3", {}, "Where prompts stop being continuations"),
    table([["step", "text"], ["chains", "number"], ["messages kept", "number"], ["tokens read again", "number"], ["costs per chain", "number"], ["tools changed", "text"]],
      context.breaks.map((row) => [`${row.position} ${row.node}`, count(row.chains), `${count(row.kept_messages)} of ${count(row.previous_messages)}`,
        count(row.reread_tokens), duration(row.cost_ns), row.tools_changed ? "yes" : "no"]))] : null;
  return section("growth", "How the context grows", said.join(" "),
    growth(rows, context.cached_known, "Prompt tokens by step: cached and computed, with the time of prefill"),
    el("ul", { class: "legend" }, context.cached_known && el("li", {}, swatch("delivery"), "found in the prefix cache"), el("li", {}, swatch("prefill"), "computed"),
      el("li", {}, svg("svg", { class: "swatch", width: 14, height: 14 }, svg("circle", { cx: 7, cy: 7, r: 4, class: "dot" })), "time of prefill (right)")),
    numbers([["step", "text"], ["chains", "number"], ["prompt", "number"], ["growth", "number"], ["cacheable", "number"], ["cached", "number"], ["computed", "number"],
      ["prefill", "number"], ["growth costs", "number"]],
    rows.map((row) => [row.name, count(row.chains), count(row.prompt_tokens), count(row.growth_tokens), count(row.cacheable_tokens), count(row.cached_tokens),
      count(row.uncached_tokens), duration(row.prefill_ns), duration(row.growth_ns)])), projections, breaks);
}

function compounding() {
  const all = DATA.compounding;
  if (!all) return null;
  const losses = [
    known(all.retry_ns) && all.retried_chains && `Retries take ${duration(all.retry_ns)} per chain (${plural(all.retried_chains, "chain")} had some).`,
    known(all.serial_tools_ns) && all.serial_chains && `Tools that were asked for together and ran one after another cost ${duration(all.serial_tools_ns)} per chain.`,
  ].filter(Boolean).join(" ");
  return section("compounding", "How delays compound", capital(DATA.compounds.replace(/^How delays compound: /, "")),
    all.sensitivities && all.sensitivities.length ? table([["what gets slower", "text"], ["by", "number"], ["a chain takes longer by", "number"], ["as long as", "note"]],
      all.sensitivities.map((row) => [row.name, known(row.unit_ns) ? duration(row.unit_ns) : "a token", duration(row.chain_ns), row.condition])) : null,
    losses && el("p", {}, losses));
}

function tails() {
  const all = DATA.tails;
  const parts = [];
  if (all) {
    parts.push(el("div", { class: "two" }, all.meetings.length > 0 && table([["slow calls", "text"], ["are longer than", "number"], ["chains that meet one", "number"], ["if met by chance", "number"]],
      all.meetings.map((row) => [`slowest ${row.share * 100}%`, duration(row.threshold_ns), percent(row.observed), percent(row.independent)])),
    table([["quantile", "text"], ["of a chain's calls together", "number"], ["sum of the calls' own", "number"]],
      all.sums.map((row) => [`p${row.p * 100}`, duration(row.of_sum_ns), duration(row.sum_of_ns)]))));
    for (const [heading, rows] of [["Which kind of work makes chains slow", all.phases], ["Which step makes chains slow", all.steps]]) {
      if (!rows.length) continue;
      const shown = rows.slice(0, 20);
      parts.push(el("h3", {}, heading), el("ul", { class: "legend" }, el("li", {}, el("span", { class: "key first" }), "share of all differences"),
        known(all.slow_excess_ns) && el("li", {}, el("span", { class: "key second" }), `share of what the slowest tenth takes more (${duration(all.slow_excess_ns)})`)),
      shares(shown, heading), numbers([["part", "text"], ["of all differences", "number"], ["of the slowest tenth", "number"]],
        rows.map((row) => [row.name, percent(row.covariance), percent(row.excess)])));
    }
  }
  const variance = DATA.variance;
  if (variance) {
    const largest = Math.max(...variance.parts.map((part) => Math.abs(part.share)));
    parts.push(el("h3", {}, "More work, or slower work"),
      el("p", { class: "lead" }, `Of the variance between chains ${percent(variance.trajectory)} is that some do more (calls, tokens, tools), ${percent(variance.speed)} that the same `
        + "work takes longer."),
      table([["part", "text"], ["kind", "text"], ["share of the variance", "number"], ["", "graph"]],
        variance.parts.map((part) => [part.name, part.kind, percent(part.share), bar(Math.abs(part.share), largest)])));
  }
  return parts.length ? section("tails", "Tails", "A chain of several calls meets a slow one more often than a call is slow.", parts) : null;
}

function callWaterfall() {
  const mean = DATA.waterfall;
  if (!mean || !mean.pieces.length) return null;
  const largest = Math.max(...mean.pieces.map((piece) => piece.share));
  return section("call", "The mean call", `${plural(mean.calls, "call")} that ended well take ${duration(mean.mean_ns)} in the mean, from the HTTP client's entry to the end of the answer.`,
    table([["piece", "text"], ["mean", "number"], ["share", "number"], ["", "graph"], ["note", "note"]],
      mean.pieces.map((piece) => [piece.name, duration(piece.mean_ns), percent(piece.share), bar(piece.share, largest, piece.phase), piece.note])),
    mean.notes.length ? el("ul", {}, mean.notes.map((note) => el("li", {}, capital(note), "."))) : null);
}

function gaps() {
  if (!DATA.gaps.length) return null;
  const largest = DATA.gaps[0].share;
  return section("gaps", "Time with neither call nor tool", "Pieces of the critical path in which only code ran, by what the spans say about it.",
    table([["cause", "text"], ["in", "text"], ["share", "number"], ["per chain", "number"], ["pieces", "number"], ["", "graph"]],
      DATA.gaps.slice(0, 20).map((row) => [row.cause, row.owner === "root" ? "outside of nodes" : row.owner, percent(row.share), duration(row.total_ns / (SUMMARY.chains - SUMMARY.failed)), count(row.gaps),
        bar(row.share, largest, "framework")])));
}

function about() {
  const repairs = DATA.repairs.length ? [el("h3", {}, "Repairs"), el("p", { class: "lead" }, "What had to be mended in the traces before they could be read."),
    table([["kind", "text"], ["how many", "number"]], DATA.repairs.map((row) => [row.kind, count(row.count)]))] : null;
  const failures = SUMMARY.failures.length ? [el("h3", {}, "Failed chains"), table([["error", "text"], ["chains", "number"]],
    SUMMARY.failures.map(([name, number]) => [name, count(number)]))] : null;
  if (!DATA.manifest.length && !repairs && !failures) return null;
  return section("about", "How it was measured", null, DATA.manifest.length ? table([["fact", "text"], ["value", "wrap"]], DATA.manifest) : null, failures, repairs);
}
