// Follows a product over a web socket while it changes it over HTTP, with the client `graphql-ws`.
// Then it goes on behind an event, and is refused with a token that is not valid.
//
// node subscribe.mjs http://ADDRESS/graphql TOKEN
import assert from "node:assert/strict";
import { argv, stdout } from "node:process";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [, , url, token] = argv;
const authorization = `Bearer ${token}`;

function client(authorization, retryAttempts = 0) {
  return createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
    retryAttempts,
  });
}

async function mutate(query, variables) {
  const headers = { authorization, "content-type": "application/json" };
  const answer = await fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return Object.values(data)[0];
}

const FOLLOW = `subscription ($id: ID!, $token: String, $last: String) {
  product(id: $id, consistencyToken: $token, lastEventId: $last) {
    event id product { name stock }
  }
}`;

const added = await mutate(
  `mutation { addProduct(input: {name: "Giant Steps", unitPrice: "9.90", currency: "USD",
    stock: 1}) { product { id } consistencyToken } }`,
);
const { id } = added.product;

const ours = client(authorization);
const events = ours.iterate({
  query: FOLLOW,
  variables: { id, token: added.consistencyToken },
});
async function next() {
  const { value, done } = await events.next();
  assert.equal(done, false);
  assert.equal(value.errors, undefined, JSON.stringify(value.errors));
  return value.data.product;
}
assert.deepEqual(await next(), {
  event: "ROW",
  id: null,
  product: { name: "Giant Steps", stock: 1 },
});
const complete = await next();
assert.equal(complete.event, "COMPLETE");
const change = `mutation ($id: ID!, $stock: Int!) {
  adjustStock(id: $id, delta: $stock) { consistencyToken }
}`;
await mutate(change, { id, stock: 4 });
const changed = await next();
assert.deepEqual([changed.event, changed.product.stock], ["CHANGED", 5]);
await events.return();

// Another client has what came up to the snapshot, and gets what it missed.
const missed = client(authorization).iterate({
  query: FOLLOW,
  variables: { id, last: complete.id },
});
const kinds = [];
for await (const { data } of missed) {
  kinds.push(data.product.event);
  if (data.product.event === "RESUMED") break;
}
assert.deepEqual(kinds, ["CHANGED", "RESUMED"]);

// A query goes over the socket too. A mutation does not.
const query = "query ($id: ID!) { product(id: $id) { stock } }";
const one = ours.iterate({ query, variables: { id } });
assert.deepEqual((await one.next()).value.data, { product: { stock: 5 } });
assert.equal((await one.next()).done, true);
const refused = ours.iterate({ query: change, variables: { id, stock: 1 } });
await assert.rejects(refused.next(), (errors) => {
  return errors[0].extensions.code === "graphql/invalid";
});
await ours.dispose();

const stranger = client("Bearer x").iterate({ query: "{ __typename }" });
await assert.rejects(stranger.next(), (event) => event.code === 4403);
stdout.write("followed\n");
