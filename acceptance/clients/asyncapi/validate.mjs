// Parses an AsyncAPI document, and validates messages against what it says about their subjects,
// and their payloads against the JSON Schemas of their versions. Prints the versions that it saw.
//
// node validate.mjs DOCUMENT SCHEMAS MESSAGES
import { readFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const WARNING = 1;

const [text, schemas, messages] = argv.slice(2).map((path) => readFileSync(path, "utf8"));
const wrong = [];

// Information, such as about a newer version of AsyncAPI, is no complaint.
const { document, diagnostics } = await new Parser().parse(text);
for (const { severity, code, path, message } of diagnostics) {
  if (severity <= WARNING) wrong.push(`${code} at ${path.join("/")}: ${message}`);
}

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
addFormats(ajv);
const inDocument = (kind, message) => {
  const { $schema, ...rules } = structuredClone(message[kind]().json());
  return ajv.compile(strip(rules));
};
// The parser adds words of its own, which begin with "x-parser-".
const strip = (value) => {
  if (Array.isArray(value)) return value.map(strip);
  if (value === null || typeof value !== "object") return value;
  const own = Object.entries(value).filter(([name]) => !name.startsWith("x-parser-"));
  return Object.fromEntries(own.map(([name, inner]) => [name, strip(inner)]));
};

const described = new Map();
for (const operation of document?.operations().all() ?? []) {
  for (const channel of operation.channels().all()) {
    for (const message of channel.messages().all()) {
      const headers = inDocument("headers", message);
      const payload = inDocument("payload", message);
      described.set(message.id(), { address: channel.address(), headers, payload });
    }
  }
}
const alone = new Map(Object.entries(JSON.parse(schemas)).map(([name, schema]) => [
  name.replace("/", ".v"),
  ajv.compile(schema),
]));

const seen = new Set();
const check = (name, what, validate, value, isValid) => {
  if (validate(value) === isValid) return;
  const why = isValid ? ajv.errorsText(validate.errors) : "accepted";
  wrong.push(`${name}, ${what}: ${why}\n  ${JSON.stringify(value)}`);
};
for (const { subject, headers, payload, isValid, what } of JSON.parse(messages)) {
  const name = `${headers["ce-type"]}.v${headers["ce-schemaversion"]}`;
  const found = described.get(name);
  if (!found || found.address !== subject || !alone.has(name)) {
    wrong.push(`${name} on ${subject} is not described`);
    continue;
  }
  check(name, `headers of ${what}`, found.headers, headers, true);
  check(name, what, found.payload, payload, isValid);
  check(name, `${what} by its own schema`, alone.get(name), payload, isValid);
  if (isValid) seen.add(name);
}
for (const name of new Set([...described.keys(), ...alone.keys()])) {
  if (!seen.has(name)) wrong.push(`no event of ${name} was validated`);
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  exit(1);
}
console.log([...seen].sort().join("\n"));
