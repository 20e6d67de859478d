// Charts by ECharts: each is drawn anew for another theme, width or paper, from a function of the theme's colours.

const CHARTS = [];

function chart(label, height, option) {
  const box = el("div", { class: "chart", role: "img", "aria-label": label });
  box.style.height = `${height}px`;
  CHARTS.push({ box, option, height, instance: null });
  return box;
}

function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { ink: read("--ink"), soft: read("--soft"), line: read("--line"), paper: read("--paper"), accent: read("--accent"),
    second: read("--second") };
}

function drawCharts(width = null) {
  const colors = themeColors();
  for (const each of CHARTS) {
    if (!each.box.isConnected) continue;
    each.instance = each.instance || echarts.init(each.box, null, { renderer: "svg" });
    each.instance.resize({ width: width === null ? "auto" : width, height: each.height });
    each.instance.setOption({ ...base(colors), ...each.option(colors) }, true);
  }
}

function base(colors) {
  return {
    animation: false,
    backgroundColor: "transparent",
    textStyle: { color: colors.ink, fontFamily: "system-ui, sans-serif" },
    grid: { left: 8, right: 24, top: 28, bottom: 8, containLabel: true },
  };
}

const HIGH = { left: 8, right: 24, top: 4, bottom: 4, containLabel: true };  // the axis is on top

// Tooltips are drawn, not written as HTML: what stands in them cannot become markup.
function tooltip(colors, formatter, trigger = "axis") {
  return {
    trigger, renderMode: "richText", confine: true, formatter: (hit) => formatter(hit).replace(/[{}|]/g, " "),
    backgroundColor: colors.paper, borderColor: colors.line, textStyle: { color: colors.ink, fontSize: 12 },
    axisPointer: { type: trigger === "axis" ? "shadow" : "none" },
  };
}

function timeAxis(colors, extra = {}) {
  return {
    type: "value", axisLabel: { color: colors.soft, formatter: roundDuration, hideOverlap: true },
    splitLine: { lineStyle: { color: colors.line } }, axisLine: { show: false }, splitNumber: 6, ...extra,
  };
}

function countAxis(colors, name, extra = {}) {
  return {
    type: "value", name, nameTextStyle: { color: colors.soft, align: "left" }, minInterval: 1,
    axisLabel: { color: colors.soft, formatter: count }, splitLine: { lineStyle: { color: colors.line } }, ...extra,
  };
}

function nameAxis(colors, names, extra = {}) {
  return {
    type: "category", data: names, axisTick: { show: false }, axisLine: { lineStyle: { color: colors.line } },
    axisLabel: { color: colors.ink, formatter: (name) => short(name), interval: 0, hideOverlap: true }, ...extra,
  };
}

const DECALS = {
  none: null,
  up: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.2, 3.5], rotation: -Math.PI / 4 },
  down: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.2, 3.5], rotation: Math.PI / 4 },
  upright: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.2, 4], rotation: Math.PI / 2 },
  level: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [1.2, 4], rotation: 0 },
  dots: { symbol: "circle", symbolSize: 0.7, dashArrayX: [[5, 0], [0, 5]], dashArrayY: [5, 0], rotation: 0 },
};

function phaseStyle(phase) {
  const decal = DECALS[LOOKS[phase].pattern];
  const color = INK[phase] === "#000" ? "rgba(0,0,0,0.45)" : "rgba(255,255,255,0.55)";
  return { color: LOOKS[phase].color, decal: decal ? { ...decal, color } : { symbol: "none" } };
}

// Rows one below the other, each beginning where the one before ended: the mean chain.
function cascade(rows, label) {
  let at = 0;
  const starts = rows.map((row) => { const start = at; at += sum(row.phases); return start; });
  const used = PHASES.map((phase, index) => index).filter((index) => rows.some((row) => row.phases[index] > 0));
  return chart(label, 34 + rows.length * 24, (colors) => ({
    tooltip: tooltip(colors, (hits) => {
      const row = rows[hits[0].dataIndex];
      const parts = used.filter((index) => row.phases[index] > 0).map((index) => `${PHASES[index]}  ${duration(row.phases[index])}`);
      return [`${row.name}: ${duration(sum(row.phases))}`, ...parts].join("\n");
    }),
    grid: HIGH,
    xAxis: timeAxis(colors, { position: "top" }),
    yAxis: nameAxis(colors, rows.map((row) => row.name), { inverse: true }),
    series: [
      { type: "bar", stack: "t", silent: true, itemStyle: { color: "transparent" }, data: starts, barWidth: 16 },
      ...used.map((index) => ({
        type: "bar", stack: "t", name: PHASES[index], data: rows.map((row) => row.phases[index]),
        itemStyle: phaseStyle(PHASES[index]), emphasis: { disabled: true },
      })),
    ],
  }));
}

// Several histograms over one axis, as steps, with lines at quantiles.
function histograms(parts, marks, what, label) {
  const points = ({ low, width, counts }) => [[low, 0], ...counts.flatMap((value, at) => [
    [low + at * width, value], [low + (at + 1) * width, value]]), [low + counts.length * width, 0]];
  const binAt = (part, x) => Math.min(part.counts.length - 1, Math.max(0, Math.floor((x - part.low) / part.width)));
  return chart(label, 240, (colors) => ({
    tooltip: { ...tooltip(colors, (hits) => {
      const x = hits[0].axisValue;
      return parts.map(({ name, part }) => {
        const at = binAt(part, x);
        const from = part.low + at * part.width;
        return `${name}: ${plural(part.counts[at], what)} of ${duration(from)} to ${duration(from + part.width)}`;
      }).join("\n");
    }), axisPointer: { type: "line", snap: false } },
    xAxis: timeAxis(colors, { scale: true, min: "dataMin", max: "dataMax" }),
    yAxis: countAxis(colors, `${what}s`),
    series: parts.map(({ name, part }, at) => ({
      type: "line", name, data: points(part), symbol: "none",
      lineStyle: { color: at ? colors.second : colors.accent, width: 1.5, type: at ? "dashed" : "solid" },
      areaStyle: { color: at ? colors.second : colors.accent, opacity: at ? 0.12 : 0.25 },
      markLine: at ? undefined : {
        symbol: "none", silent: true, lineStyle: { color: colors.ink, type: "dashed", width: 1 },
        label: { color: colors.ink, formatter: (mark) => mark.name, position: "end" },
        data: marks.map(([text, value], mark) => ({ name: text, xAxis: value, label: { align: mark ? "left" : "right" } })),
      },
    })),
  }));
}

function boxPlot(boxes, label) {
  return chart(label, 34 + boxes.length * 24, (colors) => ({
    tooltip: tooltip(colors, (hit) => {
      const box = boxes[hit.dataIndex];
      const said = ["5%", "25%", "median", "75%", "95%"].map((name, at) => `${name}  ${duration(box.quantiles[at])}`);
      return [`${box.name}: ${plural(box.calls, "call")}`, ...said].join("\n");
    }, "item"),
    grid: HIGH,
    xAxis: timeAxis(colors, { position: "top", min: 0 }),
    yAxis: nameAxis(colors, boxes.map((box) => box.name), { inverse: true }),
    series: [{
      type: "boxplot", layout: "vertical", data: boxes.map((box) => box.quantiles), boxWidth: [6, 14],
      itemStyle: { color: colors.accent, borderColor: colors.ink, opacity: 0.85 },
    }],
  }));
}

// Prompts by row: what the prefix cache had, what was computed, and what computing it took.
function growth(rows, cachedKnown, label) {
  return chart(label, 280, (colors) => ({
    tooltip: tooltip(colors, (hits) => {
      const row = rows[hits[0].dataIndex];
      return [row.name, `prompt  ${count(row.prompt_tokens)} tokens`,
        ...(cachedKnown ? [`cached  ${count(row.cached_tokens)}`, `computed  ${count(row.uncached_tokens)}`] : []),
        ...(known(row.prefill_ns) ? [`prefill  ${duration(row.prefill_ns)}`] : [])].join("\n");
    }),
    grid: { left: 8, right: 12, top: 34, bottom: 8, containLabel: true },
    xAxis: nameAxis(colors, rows.map((row) => row.name), { axisLabel: { color: colors.ink, hideOverlap: true,
      formatter: (name) => short(name, 14) } }),
    yAxis: [
      countAxis(colors, "prompt tokens"),
      timeAxis(colors, { name: "prefill", nameTextStyle: { color: colors.soft, align: "right" }, splitLine: { show: false } }),
    ],
    series: [
      ...(cachedKnown ? [{ type: "bar", stack: "p", name: "cached", data: rows.map((row) => row.cached_tokens ?? 0),
        barMaxWidth: 36, itemStyle: { color: LOOKS.delivery.color, decal: { ...DECALS.down, color: "rgba(0,0,0,0.35)" } } }] : []),
      { type: "bar", stack: "p", name: "computed", barMaxWidth: 36, itemStyle: { color: LOOKS.prefill.color },
        data: rows.map((row) => (cachedKnown ? row.uncached_tokens ?? row.prompt_tokens : row.prompt_tokens)) },
      { type: "line", yAxisIndex: 1, name: "prefill", data: rows.map((row) => row.prefill_ns), symbolSize: 7,
        lineStyle: { color: colors.ink, width: 1.5 }, itemStyle: { color: colors.ink } },
    ],
  }));
}

// Shares of the differences between chains, two bars each.
function shares(parts, label) {
  const series = [["covariance", "of all differences"], ["excess", "of the slowest tenth"]];
  return chart(label, 34 + parts.length * 32, (colors) => ({
    tooltip: tooltip(colors, (hits) => {
      const part = parts[hits[0].dataIndex];
      return [part.name, ...series.map(([key, name]) => `${name}  ${percent(part[key])}`)].join("\n");
    }),
    grid: HIGH,
    xAxis: { type: "value", position: "top", axisLabel: { color: colors.soft, formatter: percent },
      splitLine: { lineStyle: { color: colors.line } } },
    yAxis: nameAxis(colors, parts.map((part) => part.name), { inverse: true }),
    series: series.map(([key, name], at) => ({
      type: "bar", name, data: parts.map((part) => part[key]), barWidth: 10, barGap: "10%",
      itemStyle: { color: at ? colors.second : colors.accent, decal: at ? { ...DECALS.up, color: "rgba(0,0,0,0.35)" } : { symbol: "none" } },
    })),
  }));
}
