// Composes subgraphs as a gateway's registry does, and checks an operation against what the clients
// of the gateway see, which it prints. Everything that the composition complains of ends it.
//
// node compose.mjs OPERATION.graphql SUBGRAPH.graphql SUBGRAPH.graphql
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { argv, exit, stderr, stdout } from "node:process";
import { composeServices } from "@apollo/composition";
import { parse, printSchema, validate } from "graphql";

function refuse(messages) {
  if (messages.length > 0) {
    stderr.write(`${messages.join("\n")}\n`);
    exit(1);
  }
}

const read = (file) => parse(readFileSync(file, "utf8"));
const [operation, ...files] = argv.slice(2);
const services = files.map((file) => {
  const name = basename(file, ".graphql");
  return { name, url: `http://${name}/graphql`, typeDefs: read(file) };
});
const { errors = [], hints = [], schema } = composeServices(services);
refuse(errors.map((error) => error.message));
refuse(hints.map((hint) => `${hint.definition.code}: ${hint.message}`));
const seen = schema.toAPISchema().toGraphQLJSSchema();
refuse(validate(seen, read(operation)).map((error) => error.message));
stdout.write(printSchema(seen));
