// The page: asks the server how it does, and draws it. Every text from outside becomes a text node, never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const TOKEN = "strata-token";
const THEME = "strata-theme";
const POLL_MS = 2000;
const STREAM_AGAIN_MS = 10000;
const PAGE = 25;

// ---- Asking -------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let waitingForToken = null;

function askForToken(note) {
  waitingForToken ??= new Promise((resolve) => {
    if (note) $("token-note").textContent = note;
    $("token").value = "";
    $("ask-token").showModal();
    $("ask-token").addEventListener("close", () => {
      waitingForToken = null;
      // Closed by the Escape key there is no token, and whoever asks next opens it again.
      if ($("token").value) sessionStorage.setItem(TOKEN, $("token").value);
      $("token").value = "";
      resolve();
    }, { once: true });
  });
  return waitingForToken;
}

async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers, cache: "no-store" });
    if (response.status === 401) {
      // Another request may have been given the right one meanwhile.
      if (sessionStorage.getItem(TOKEN) === token) await askForToken(token ? "That was not the right token." : "");
      continue;
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, problem.detail || `the server answered ${response.status}`);
  }
}

const asJson = async (path, options) => (await ask(path, options)).json();

// ---- Following: a stream, and questions where there is none ---------------------------------------------------------

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function follow() {
  for (;;) {
    let trouble = "the connection to the server is lost; trying again";
    try {
      await stream();
    } catch (error) {
      if (error instanceof Refused) trouble = error.message;
    }
    const again = Date.now() + STREAM_AGAIN_MS;
    while (Date.now() < again) {
      try {
        show(await asJson("/v1/stats"));
        link("polling");
      } catch (error) {
        link("off", error instanceof Refused ? error.message : trouble);
      }
      await sleep(POLL_MS);
    }
  }
}

// An EventSource cannot send the token, so the events are read from the body of an answer.
async function stream() {
  const response = await ask("/v1/events/stats");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    const data = events.flatMap((event) => event.split("\n")).filter((line) => line.startsWith("data: "));
    if (data.length === 0) continue;
    link("live");
    show(JSON.parse(data[data.length - 1].slice("data: ".length)));
  }
}

function link(state, trouble) {
  $("pulse").dataset.link = state;
  put("link", { live: "live", polling: "every 2 s", off: "not connected" }[state]);
  $("trouble").hidden = state !== "off";
  put("trouble", trouble || "");
  if (state === "off") setStatus("unknown", "unknown");
}

// ---- Writing ------------------------------------------------------------------------------------------------------

function put(id, text) {
  const node = $(id);
  if (node.textContent !== text) node.textContent = text;
}

// Makes an element: its name and classes ("td.number"), attributes, and what is in it.
function make(name, attributes = {}, ...inside) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...inside);
  return node;
}

// Replaces what is in a list, unless it says the same already: who reads or has the focus there is not disturbed.
function list(id, said, items) {
  const node = $(id);
  const text = JSON.stringify(said);
  if (node.dataset.said === text) return;
  node.dataset.said = text;
  node.replaceChildren(...items());
}

const percent = (ratio, digits = 1) => (ratio === null || ratio === undefined ? "–" : `${(100 * ratio).toFixed(digits)} %`);
const count = (n) => Math.round(n).toLocaleString("en");

function short(n) {
  if (n === null || n === undefined) return "–";
  const [size, unit] = [[1e9, " G"], [1e6, " M"], [1e4, " k"]].find(([size]) => n >= size) || [1, ""];
  if (unit === "") return n >= 100 || Number.isInteger(n) ? count(n) : n.toFixed(1);
  return ((unit === " k" ? n / 1e3 : n / size)).toFixed(1) + unit;
}

function bytes(n) {
  if (n === null || n === undefined) return "–";
  const [size, unit] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([size]) => n >= size) || [1, "B"];
  return `${size === 1 ? n : (n / size).toFixed(1)} ${unit}`;
}

function ms(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1) return `${Math.round(n * 1000)} µs`;
  return n < 1000 ? `${n.toFixed(n < 10 ? 1 : 0)} ms` : `${(n / 1000).toFixed(1)} s`;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "for ever";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => seconds >= size);
  if (at < 0) return seconds > 0 ? "under 1 s" : "0 s";
  const [size, unit] = units[at];
  const rest = units[at + 1] && Math.floor((seconds % size) / units[at + 1][0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${units[at + 1][1]}` : ""}`;
}

// ---- Charts -------------------------------------------------------------------------------------------------------

const WIDTH = 600;
const HEIGHT = 130;
const SPAN = 300;

const CHARTS = [
  { title: "Hit ratio", lines: [["hits", (s) => s.hit_ratio]], text: percent, top: 1 },
  { title: "Traffic, per second", lines: [["reads", (s) => s.reads_per_second], ["writes", (s) => s.writes_per_second], ["evictions", (s) => s.evicted_per_second, "c3"]], text: short, least: 1 },
  { title: "Latency", lines: [["p50", (s) => s.p50_ms], ["p99", (s) => s.p99_ms]], text: ms, least: 0.1 },
  { title: "Memory of the process", lines: [["resident", (s) => s.resident_bytes]], text: bytes, least: 2 ** 24, round: 2 },
].map((chart) => ({ ...chart, ...frame(chart) }));

function svg(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function frame({ title, lines }) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  for (const y of [0, HEIGHT / 2, HEIGHT]) picture.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  const colours = lines.map(([, , colour], at) => colour || `c${at}`);
  const drawn = colours.map((colour, at) => {
    const [area, line] = [svg("path", { class: `area ${colour}` }), svg("path", { class: `line ${colour}` })];
    if (at === 0) picture.append(area);
    picture.append(line);
    return { area, line };
  });
  const values = lines.map(() => document.createTextNode(""));
  const legend = make("p.legend", {}, ...lines.map(([name], at) => make("span", {}, make(`i.${colours[at]}`), `${name} `, values[at])));
  const scale = make("div.scale", { "aria-hidden": "true" }, make("span"), make("span"), make("span"));
  const none = make("p.none", {}, "nothing yet");
  const when = make("div.when", { "aria-hidden": "true" }, make("span", {}, "5 min ago"), make("span", {}, "now"));
  const plot = make("div.plot", {}, scale, picture, none, when);
  $("charts").append(make("article.chart", {}, make("header", {}, make("h2", {}, title), legend), plot));
  return { picture, drawn, values, scale, none };
}

// The next round number: 1, 2 or 5 times a power of ten; of bytes, a power of two.
function round(n, base) {
  if (base === 2) return 2 ** Math.ceil(Math.log2(n));
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= n);
}

function draw(chart, history) {
  const series = chart.lines.map(([, of]) => history.map((stretch) => [WIDTH * (1 - stretch.ago_seconds / SPAN), of(stretch)]));
  const most = Math.max(chart.least || 0, ...series.flat().map(([, value]) => value || 0));
  const top = chart.top || round(most, chart.round);
  series.forEach((points, at) => {
    let line = "";
    let area = "";
    let begun = null;
    const end = (x) => { if (begun !== null) area += ` L${x} ${HEIGHT} L${begun} ${HEIGHT} Z`; begun = null; };
    let last = 0;
    for (const [x, value] of points) {
      if (value === null || value === undefined || x < 0) { end(last); continue; }
      const step = `${begun === null ? "M" : "L"}${x.toFixed(1)} ${(HEIGHT * (1 - value / top)).toFixed(1)}`;
      // A line begins a little before its first point, so that a point without neighbours can be seen.
      line += begun === null ? `${step}m-4 0l4 0` : step;
      if (begun === null) begun = x.toFixed(1);
      area += step;
      last = x.toFixed(1);
    }
    end(last);
    chart.drawn[at].line.setAttribute("d", line);
    chart.drawn[at].area.setAttribute("d", area);
    const now = points.length ? points[points.length - 1][1] : null;
    chart.values[at].data = chart.text(now);
  });
  [top, top / 2, 0].forEach((value, at) => { chart.scale.children[at].textContent = chart.text(value, 0); });
  chart.none.hidden = series.flat().some(([, value]) => value !== null && value !== undefined);
  const said = chart.lines.map(([name], at) => `${name} ${chart.values[at].data}`).join(", ");
  chart.picture.setAttribute("aria-label", `${chart.title} over the last five minutes; now ${said}`);
}

// ---- Showing ------------------------------------------------------------------------------------------------------

function setStatus(status, text) {
  $("status").dataset.status = status;
  put("status", text);
}

function tile(id, text, note, isLow = false) {
  put(id, text);
  put(`${id}-note`, note);
  $(id).dataset.mood = isLow ? "low" : "";
}

function show({ stats, insights, recommendations, history }) {
  const { health, traffic, sum, http, process, regions } = stats;
  const latest = history[history.length - 1] || { reads_per_second: 0, writes_per_second: 0, answers_per_second: 0 };
  setStatus(health.status, health.status);
  // With one place for the line to break, where there is no room for all of it.
  put("about", `version\u00a0${stats.version}, ${`up ${time(stats.uptime_seconds)}`.replaceAll(" ", "\u00a0")}`);
  list("reasons", health.reasons, () => health.reasons.map((reason) => make("li", {}, reason)));

  const recent = sum.recent.hit_ratio;
  const reads = traffic.hits + traffic.misses;
  tile("hit-ratio", reads ? percent(recent ?? traffic.hit_rate) : "–", reads ? `${percent(traffic.hit_rate)} since the start` : "nobody has read yet", recent !== null && recent < 0.7);
  tile("reads", `${short(latest.reads_per_second)}/s`, `${short(reads)} in all; ${short(latest.writes_per_second)} writes/s`);
  tile("answers", `${short(latest.answers_per_second)}/s`, `${short(traffic.errors)} errors of ${short(traffic.total_operations)}`, traffic.error_rate >= 0.01);
  tile("latency", ms(http.latency.p99_ms), `p50 ${ms(http.latency.p50_ms)}, p95 ${ms(http.latency.p95_ms)}`);
  tile("stored", short(sum.stats.entries), `${bytes(sum.stats.bytes)} of ${bytes(sum.max_bytes)}; process ${bytes(process.resident_bytes)}`);
  tile("connections", count(process.connections), `of ${count(process.max_connections)}; ${count(process.rejected_connections)} turned away`, process.connections >= 0.9 * process.max_connections);
  CHARTS.forEach((chart) => draw(chart, history));

  list("insights", insights, () => insights.length ? insights.map(insight) : [make("li.quiet", {}, "Nothing to tell yet: there has been too little traffic.")]);
  list("advice", recommendations, () => recommendations.length ? recommendations.map(advice) : [make("li.quiet", {}, "Nothing needs to be changed.")]);
  list("regions", regions, () => regions.map(regionRow));
  const tiers = regions.flatMap(tiersOf);
  $("below").hidden = tiers.length === 0;
  list("tiers", tiers, () => tiers.map(tierRow));
  showRegionNames(regions.map((region) => region.name));
  showCauses(sum.stats);
  showTop(regions);
  showPrefixes(regions);
  const asked = http.routes.filter((route) => Object.keys(route.answers).length > 0);
  list("routes", asked, () => asked.map(routeRow));
}

const insight = (finding) => make("li", { "data-severity": finding.severity }, finding.text, ...(finding.severity === "info" ? [] : [make("span.quiet", {}, finding.severity)]));
const advice = (it) => make("li", { "data-severity": it.severity }, make("code", {}, it.setting), " ", it.text, make("span.quiet", {}, `because of ${it.kind.replaceAll("_", " ")}: ${short(it.number)} ${it.unit === "percent" ? "%" : it.unit}`));
const cell = (head, inside, kind = "td") => make(kind, { "data-head": head }, inside);

function meter(ratio, text, isLow) {
  const bar = make("i", { "data-mood": isLow ? "low" : "" });
  // Set by script: a style in an attribute is against the policy of this page.
  bar.style.width = `${Math.min(100, 100 * (ratio || 0))}%`;
  return make("span.meter", {}, make("span.track", { "aria-hidden": "true" }, bar), text);
}

function regionRow(region) {
  const { stats } = region;
  const tiers = ["memory", ...region.tiers.map((tier) => tier.name)];
  const reads = stats.hits + stats.misses;
  return make("tr", {},
    cell("Region", region.name),
    cell("Hit ratio", percent(stats.hit_ratio), "td.number"),
    cell("Reads", short(reads), "td.number"),
    cell("Entries", short(stats.entries), "td.number"),
    cell("Full", meter(region.utilization, percent(region.utilization, 0), region.utilization >= 0.9)),
    cell("Lifetime", time(region.ttl_seconds)),
    cell("Policy", region.policy),
    cell("Traffic", region.access_pattern.replaceAll("_", " ")),
    cell("Tiers", tiers.join(", ")));
}

// What is below the memory of a region, and the bus by which it hears of others.
function tiersOf(region) {
  const tiers = region.tiers.map((tier) => ({
    ...tier,
    region: region.name,
    // It counts whole seconds, so that a row changes no oftener.
    state: tier.away_seconds === null ? "breaker closed" : `breaker open for ${time(Math.floor(tier.away_seconds))}`,
    isAway: tier.away_seconds !== null,
  }));
  const isWhole = region.is_bus_whole;
  if (isWhole === null) return tiers;
  const state = isWhole ? "hears of every change" : "may have missed some: tiers are asked";
  return [...tiers, { region: region.name, name: "bus", state, isAway: !isWhole }];
}

function tierRow(tier) {
  const figure = (head, n) => cell(head, n === undefined ? "" : short(n), "td.number");
  return make("tr", {},
    cell("Region", tier.region),
    cell("Tier", tier.name),
    cell("State", make("span", tier.isAway ? { "data-mood": "low" } : {}, tier.state)),
    figure("Hits", tier.hits),
    figure("Misses", tier.misses),
    figure("Writes", tier.writes),
    figure("Errors", tier.errors),
    figure("Not told yet", tier.backlog));
}

function routeRow(route) {
  const answers = Object.entries(route.answers);
  const sum = answers.reduce((sum, [, n]) => sum + n, 0);
  return make("tr", {},
    cell("Route", make("code", {}, route.route)),
    cell("Answers", short(sum), "td.number"),
    cell("By status", answers.map(([status, n]) => `${status}: ${short(n)}`).join(", ")),
    cell("Average", ms(route.average_ms), "td.number"));
}

const CAUSES = [["evicted", "evicted to make room"], ["expired", "ended by time"], ["replaced", "replaced by a new value"], ["removed", "removed"]];

function showCauses(stats) {
  const parts = CAUSES.map(([cause, text], at) => ({ text, n: stats[cause], of: `c${[3, 1, 2, 0][at]}` }));
  const all = parts.reduce((sum, part) => sum + part.n, 0);
  list("causes", parts, () => {
    if (all === 0) return [make("p.quiet", {}, "No entry has left yet.")];
    const pieces = parts.filter((part) => part.n > 0).map((part) => {
      const piece = make(`i.${part.of}`);
      piece.style.width = `${(100 * part.n) / all}%`;
      return piece;
    });
    const rows = parts.map((part) => bar(part.text, `${short(part.n)}, ${percent(part.n / all, 0)}`, part.n / all, part.of));
    return [make("div.stack", { "aria-hidden": "true" }, ...pieces), make("ul.bars", {}, ...rows)];
  });
}

function bar(name, figure, ratio, of) {
  const filled = make("i");
  filled.style.width = `${Math.min(100, 100 * ratio)}%`;
  return make(`li.${of}`, {}, make("span.name", { title: name }, name), make("span.quiet", {}, figure), make("span.track", { "aria-hidden": "true" }, filled));
}

function showTop(regions) {
  const top = regions.flatMap((region) => region.top_keys.map((key) => ({ ...key, region: region.name })));
  top.sort((one, other) => other.hits - one.hits).splice(10);
  list("top", top, () => {
    if (top.length === 0) return [make("li.quiet", {}, "One hit in 64 is noted; none yet.")];
    return top.map((key) => bar(key.key, `${key.region}, about ${short(key.hits)} hits`, key.hits / top[0].hits, "c1"));
  });
}

// Those that are read most; /v1/stats has all of them.
function showPrefixes(regions) {
  const reads = (row) => row.hits + row.misses;
  const rows = regions.flatMap((region) => region.prefixes.map((row) => ({ ...row, region: region.name })));
  rows.sort((one, other) => reads(other) - reads(one)).splice(10);
  // Where no key has a prefix, the table of regions says as much.
  $("by-prefix").hidden = !rows.some((row) => row.prefix);
  list("prefixes", rows, () => rows.map((row) => make("tr", {},
    cell("Prefix", row.prefix ? make("code", {}, row.prefix) : make("span.quiet", {}, row.prefix === null ? "all others" : "none")),
    cell("Region", row.region),
    cell("Reads", short(reads(row)), "td.number"),
    cell("Hit ratio", meter(row.hit_ratio, percent(row.hit_ratio), row.hit_ratio < 0.7)))));
}

// ---- Keys ---------------------------------------------------------------------------------------------------------

let shown = null;

function showRegionNames(names) {
  const chosen = $("region").value || "default";
  list("region", names, () => names.map((name) => make("option", name === chosen ? { selected: "" } : {}, name)));
}

const base = (region) => `/v1/regions/${encodeURIComponent(region)}`;

async function showKeys(region, prefix, cursor) {
  const query = new URLSearchParams({ limit: PAGE, prefix });
  if (cursor) query.set("cursor", cursor);
  await act(async () => {
    const page = await asJson(`${base(region)}/keys?${query}`);
    shown = { region, prefix, cursor, next: page.next };
    $("keys").replaceChildren(...page.keys.map((key) => keyRow(region, key)));
    $("first").disabled = !cursor;
    $("more").disabled = !page.next;
    const some = page.keys.length === 0 ? "No keys here." : `${page.keys.length} keys of ${region}, in order${page.next ? "; there are more" : ""}.`;
    put("keys-note", some);
  });
}

function keyRow(region, { key, tags, bytes: size, ttl_seconds: left, content_type: type }) {
  const remove = make("button.danger.small", { type: "button", "aria-label": `Remove the key ${key}` }, "Remove");
  remove.addEventListener("click", () => removal(`The key ${key} of ${region} will be removed.`, "/cache/invalidate", { region, keys: [key] }));
  const chips = tags.map((tag) => {
    const chip = make("button.plain.small", { type: "button", "aria-label": `Remove everything with the tag ${tag}`, title: tag }, tag);
    chip.addEventListener("click", () => removeTag(region, tag));
    return chip;
  });
  return make("tr", {},
    cell("Key", make("span", { title: `${key}\n${type}` }, key)),
    cell("Tags", make("span.tags", {}, ...chips)),
    cell("Bytes", bytes(size), "td.number"),
    cell("Time left", time(left), "td.number"),
    cell("Remove", remove, "td.number"));
}

const removeTag = (region, tag) => removal(`Every entry of ${region} with the tag ${tag} will be removed.`, "/cache/invalidate", { region, tags: [tag] });

// Asks whether it is meant, removes, and shows what is left. Keys and tags go in a body: a browser takes "." and ".." in a path for
// something else.
async function removal(text, path, body) {
  if (!(await isMeant(text))) return;
  await act(async () => {
    const json = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const { removed } = await asJson(path, { method: "POST", ...json });
    if (shown) await showKeys(shown.region, shown.prefix, shown.cursor);
    put("keys-note", `${count(removed)} removed.`);
  });
}

function isMeant(text) {
  put("confirm-text", text);
  const dialog = $("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

async function act(what) {
  try {
    await what();
  } catch (error) {
    put("keys-note", `That did not work: ${error.message}`);
  }
}

function onSubmit(id, what) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    what();
  });
}

onSubmit("browse", () => showKeys($("region").value, $("prefix").value, null));
onSubmit("remove-tag", () => removeTag($("region").value, $("tag").value));
$("first").addEventListener("click", () => showKeys(shown.region, shown.prefix, null));
$("more").addEventListener("click", () => showKeys(shown.region, shown.prefix, shown.next));
$("clear").addEventListener("click", () => removal(`Everything in ${$("region").value} will be removed.`, `${base($("region").value)}/clear`));
$("clear-all").addEventListener("click", () => removal("Everything in every region will be removed.", "/v1/clear-all"));
$("remove-prefix").addEventListener("click", () => {
  const [region, prefix] = [$("region").value, $("prefix").value];
  if (prefix === "") return put("keys-note", "Write the prefix first.");
  removal(`Every key of ${region} that begins with ${prefix} will be removed.`, "/cache/invalidate", { region, prefix });
});

// ---- Warmers ------------------------------------------------------------------------------------------------------

const WARMERS_MS = 10000;
const WORK_MS = 2000;

async function followWarmers() {
  for (;;) {
    try {
      showWarmers(await asJson("/v1/warming"));
    } catch {
      // Whoever follows the figures says what is wrong.
    }
    await sleep(WARMERS_MS);
  }
}

function showWarmers({ strategies, scheduler, budgets }) {
  const rows = Object.entries(strategies).map(([name, run]) => {
    const state = run.is_running ? "running" : run.success ? "done" : "failed";
    const took = `${run.duration_seconds.toFixed(run.duration_seconds < 10 ? 2 : 0)} s`;
    const errors = run.errors.length ? run.errors[run.errors.length - 1] : "–";
    return make("tr", {}, cell("Warmer", name), cell("Last run", state), cell("Items", String(run.items_processed), "td.number"),
      cell("Took", took, "td.number"), cell("What went wrong", errors));
  });
  $("warming").hidden = !scheduler;
  $("warmers").replaceChildren(...rows);
  showScheduler(scheduler);
  showBudgets(Object.entries(budgets));
}

const STRATEGIES = {
  aggressive: "more often than asked, because their sources change fast",
  normal: "as often as asked",
  conservative: "less often than asked, because most of a budget is in use",
  minimal: "as little as makes sense, because almost all of a budget is in use",
};

function showScheduler(scheduler) {
  if (!scheduler) return;
  const { is_paused: paused, scheduled, running, queued, lateness_seconds: late, done, failed, postponed } = scheduler;
  const strategy = scheduler.strategy.toLowerCase();
  const pace = paused ? "No run begins any more: the server is stopping" : `Strategy ${strategy}: they run ${STRATEGIES[strategy]}`;
  const wait = queued ? `${count(queued)} due and waiting, the longest for ${late.toFixed(0)} s` : "none is late";
  put("scheduler", `${pace}. ${count(scheduled)} scheduled, ${count(running)} running, ${wait}. Runs so far: ${count(done)} done, ${count(failed)} failed, ${count(postponed)} put off by a budget.`);
}

function showBudgets(budgets) {
  $("budget-table").hidden = budgets.length === 0;
  $("budgets").replaceChildren(...budgets.map(([name, budget]) => make("tr", {},
    cell("Budget", name),
    cell("Limit", `${count(budget.limit)} in ${time(budget.window_seconds)}`, "td.number"),
    cell("In use", meter(budget.in_use, percent(budget.in_use, 0), budget.in_use > 0.8)),
    cell("Called", count(budget.used), "td.number"),
    cell("Put off", count(budget.blocked), "td.number"),
    cell("Refused", count(budget.refused), "td.number"),
    cell("Pace", percent(budget.pace, 0), "td.number"))));
}

// ---- Long work ----------------------------------------------------------------------------------------------------

async function followWork() {
  for (;;) {
    let jobs = [];
    try {
      ({ jobs } = await asJson("/v1/jobs"));
      showWork(jobs);
    } catch {
      // Whoever follows the figures says what is wrong.
    }
    await sleep(jobs.some((job) => job.state === "running") ? WORK_MS : WARMERS_MS);
  }
}

function showWork(jobs) {
  $("work").hidden = jobs.length === 0;
  list("jobs", jobs, () => jobs.slice(-8).reverse().map((job) => {
    const isRunning = job.state === "running";
    const of = job.total === null ? "" : ` of ${count(job.total)}`;
    const text = `${count(job.done)}${of}`;
    const far = isRunning && job.percent !== null ? meter(job.percent / 100, `${text}, ${percent(job.percent / 100, 0)}`) : text;
    const state = job.status === null || job.status < 400 ? job.state : `failed: ${job.status}`;
    const end = make("button.plain.small", { type: "button", "aria-label": `End job ${job.id}` }, "End");
    end.addEventListener("click", () => act(async () => {
      await asJson(`/v1/jobs/${job.id}`, { method: "DELETE" });
      showWork((await asJson("/v1/jobs")).jobs);
    }));
    return make("tr", {}, cell("Job", make("code", {}, job.what)), cell("State", state), cell("How far", far),
      cell("Took", `${job.seconds.toFixed(1)} s`, "td.number"), cell("End", isRunning ? end : "", "td.number"));
  }));
}

// ---- Light and dark -----------------------------------------------------------------------------------------------

const THEMES = { auto: ["Auto", "Colours: as the system says"], light: ["Light", "Colours: light"], dark: ["Dark", "Colours: dark"] };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const [text, label] = THEMES[theme];
  put("theme", text);
  $("theme").setAttribute("aria-label", label);
}

$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  localStorage.setItem(THEME, next);
  setTheme(next);
});
setTheme(THEMES[localStorage.getItem(THEME)] ? localStorage.getItem(THEME) : "auto");

follow();
followWarmers();
followWork();
