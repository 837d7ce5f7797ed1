// The page of the API: draws the document that this server has made of its own routes, and sends what is tried. Every text from outside
// becomes a text node, never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const TOKEN = "strata-token";
const THEME = "strata-theme";
const LONGEST_SHOWN = 100000;

// Makes an element: its name and classes ("pre.answer"), attributes, and what is in it.
function make(name, attributes = {}, ...inside) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...inside);
  return node;
}

// What stands between backticks as code.
const coded = (text) => text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));

// ---- The document -------------------------------------------------------------------------------------------------

let components = {};

const resolve = (part) => (part && part.$ref ? part.$ref.split("/").slice(1).reduce((at, name) => at[name], { components }) : part);

// Something of this schema, to begin with.
function example(schema = {}) {
  schema = resolve(schema);
  if (typeof schema !== "object") return 1;
  if ("default" in schema && schema.default !== null) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = (schema.anyOf || schema.oneOf || []).find((one) => one.type !== "null");
  if (choice && !schema.type) return example(choice);
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  switch (type) {
    case "object": {
      const needed = schema.required || [];
      const fields = Object.entries(schema.properties || {});
      const shown = needed.length ? fields.filter(([name]) => needed.includes(name) || name === "value") : fields;
      return Object.fromEntries(shown.map(([name, field]) => [name, name === "region" ? "default" : example(field)]));
    }
    case "array": return [example(schema.items)];
    case "string": return "text";
    case "integer": return Math.max(1, schema.minimum || 1);
    case "number": return 60;
    case "boolean": return false;
    default: return 1;
  }
}

// ---- One operation ------------------------------------------------------------------------------------------------

function operation(path, method, about) {
  const summary = make("summary", {},
    make("span.method", { "data-method": method }, method.toUpperCase()),
    make("span.path", {}, path),
    make("span.quiet", {}, about.summary));
  const details = make("details", { id: about.operationId }, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(inside(path, method, about));
  });
  details.words = `${method} ${path} ${about.summary}`.toLowerCase();
  return details;
}

function inside(path, method, about) {
  const form = make("form.inside");
  if (about.description) form.append(make("p.quiet", {}, ...coded(about.description)));
  const inputs = about.parameters.map((parameter) => {
    const input = make("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    if (parameter.in === "path" && parameter.name === "region") input.value = "default";
    input.required = Boolean(parameter.required);
    const name = make(parameter.required ? "span.needed" : "span", {}, `${parameter.name}, in the ${parameter.in}`);
    const label = make("label.grow", { title: parameter.description || "" }, name, input);
    return { parameter, input, label };
  });
  if (inputs.length) form.append(make("div.fields", {}, ...inputs.map(({ label }) => label)));
  const body = about.requestBody && bodyFields(about.requestBody, form);
  const send = make("button", { type: "submit" }, "Send");
  const command = make("pre", { "aria-label": "The same on a command line" });
  const answer = make("pre", { role: "status", "aria-label": "The answer", hidden: "" });
  const request = () => requestOf(path, method, inputs, body);
  const redraw = () => { command.textContent = asCommand(request()); };
  form.addEventListener("input", redraw);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    redraw();
    send.disabled = true;
    ask(request()).then((text) => { answer.textContent = text; }, (error) => { answer.textContent = error.message; })
      .finally(() => { send.disabled = false; });
  });
  form.append(make("p.row", {}, send), answer, command, make("h4", {}, "Answers"), answers(about.responses));
  if (body?.schema) form.append(schemaOf("What the body may hold", body.schema));
  const given = Object.values(about.responses).map(resolve).find((one) => one.content?.["application/json"]?.schema?.type);
  if (given) form.append(schemaOf("What is answered", given.content["application/json"].schema));
  redraw();
  return form;
}

function bodyFields(about, form) {
  const types = Object.keys(about.content).filter((type) => type !== "application/msgpack");
  const type = make("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  type.value = types[0] === "*/*" ? "text/plain" : types[0];
  const schema = about.content[types[0]].schema;
  const text = make("textarea", { spellcheck: "false" });
  text.value = type.value === "application/json" ? JSON.stringify(example(schema), null, 2) : "";
  form.append(make("label", {}, "Content-Type", type), make("label", {}, "Body", text));
  return { type, text, schema: schema.type ? schema : null };
}

function answers(responses) {
  const line = ([status, response]) => make("li", {}, make("b", {}, status), ...coded(resolve(response).description));
  return make("ul.answers", {}, ...Object.entries(responses).map(line));
}

function schemaOf(title, schema) {
  const shown = make("details", {}, make("summary", {}, make("h4", {}, title)));
  shown.append(make("pre", {}, JSON.stringify(schema, null, 2)));
  return shown;
}

// ---- Trying -------------------------------------------------------------------------------------------------------

function requestOf(path, method, inputs, body) {
  const headers = {};
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  if (body) headers["Content-Type"] = body.type.value;
  const url = query.size ? `${path}?${query}` : path;
  return { url, method: method.toUpperCase(), headers, body: body?.text.value };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function asCommand({ url, method, headers, body }) {
  const words = ["curl", "-i", ...(method === "HEAD" ? ["-I"] : ["-X", method])];
  if (sessionStorage.getItem(TOKEN)) words.push("-H", "\"Authorization: Bearer $TOKEN\"");
  for (const [name, value] of Object.entries(headers)) words.push("-H", quoted(`${name}: ${value}`));
  if (body !== undefined) words.push("--data-binary", quoted(body));
  return [...words, quoted(location.origin + url)].join(" ");
}

async function ask({ url, method, headers, body }) {
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
  const response = await fetch(url, { method, headers, body, cache: "no-store" });
  const lines = [`${response.status} ${response.statusText}`, ...[...response.headers].map(([name, value]) => `${name}: ${value}`)];
  const type = response.headers.get("content-type") || "";
  let text;
  if (type.startsWith("text/event-stream")) {
    // It has no end: its beginning is shown.
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    text = (await reader.read()).value || "";
    await reader.cancel();
  } else {
    text = await response.text();
    if (type.includes("json") && !type.includes("ndjson")) text = JSON.stringify(JSON.parse(text), null, 2);
  }
  if (text.length > LONGEST_SHOWN) text = `${text.slice(0, LONGEST_SHOWN)}\n… ${text.length - LONGEST_SHOWN} more characters`;
  return `${lines.join("\n")}\n\n${text}`;
}

// ---- All of them --------------------------------------------------------------------------------------------------

function filter() {
  const words = $("words").value.toLowerCase().split(" ").filter(Boolean);
  let count = 0;
  for (const group of $("operations").children) {
    let any = false;
    for (const details of group.querySelectorAll(":scope > details")) {
      details.hidden = !words.every((word) => details.words.includes(word));
      any ||= !details.hidden;
      count += details.hidden ? 0 : 1;
    }
    group.hidden = !any;
  }
  $("found").textContent = `${count} operations`;
}

async function draw() {
  const response = await fetch("/v1/openapi.json");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const api = await response.json();
  components = api.components;
  $("version").textContent = api.info.version;
  $("about").textContent = api.info.description;
  for (const tag of api.tags) {
    const group = make("section.card", {}, make("h2", {}, tag.name), make("p.quiet", {}, ...coded(tag.description)));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, about] of Object.entries(methods)) {
        if (about.tags.includes(tag.name)) group.append(operation(path, method, about));
      }
    }
    $("operations").append(group);
  }
  filter();
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted instanceof HTMLDetailsElement) wanted.open = true;
}

const theme = localStorage.getItem(THEME);
if (theme) document.documentElement.dataset.theme = theme;
$("token").value = sessionStorage.getItem(TOKEN) || "";
$("token").addEventListener("input", () => {
  if ($("token").value) sessionStorage.setItem(TOKEN, $("token").value);
  else sessionStorage.removeItem(TOKEN);
});
$("words").addEventListener("input", filter);
$("find").addEventListener("submit", (event) => event.preventDefault());
draw().catch((error) => {
  $("trouble").hidden = false;
  $("trouble").textContent = `the document cannot be read: ${error.message}`;
});
