// A frontend in small: logs in, buys something, reads it back, and handles what is refused.
// Everything it knows of the shop is generated from the description of both APIs at their one
// address.

import createClient from "openapi-fetch";

import type { components, paths } from "./shop_api.js";

/** The types of the answers that this program takes: no exports. */
type Json = "application/json" | "application/problem+json";

type Changed = components["schemas"]["Changed"];
type DryRun = components["schemas"]["DryRun"];
type Problem = components["schemas"]["Problem"];
type Order = components["schemas"]["Order"];
type OrderList = components["schemas"]["OrderListAnswer"];

const client = createClient<paths, Json>({ baseUrl: setting("API") });

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** What an answer has, or an error with the problem's code. */
function done<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(`refused: ${answer.error?.code}`);
  return answer.data;
}

/** The problem of an answer that must be refused. */
function refused(answer: { data?: unknown; error?: Problem }): Problem {
  if (answer.error === undefined) throw new Error("this was not refused");
  return answer.error;
}

/** What a command did. Only a request with `dry_run` gets the other kind of answer. */
function changed(data: Changed | DryRun): Changed {
  if ("dry_run" in data) throw new Error("this is the answer to a dry run");
  return data;
}

function expect(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: ${String(found)}, not ${String(expected)}`);
}

async function logIn(): Promise<void> {
  const body = { email: setting("EMAIL"), password: setting("PASSWORD"), client: "typescript" };
  const session = done(await client.POST("/api/v1/auth/log-in", { body })).data;
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${session.access_token}`);
      return request;
    },
  });
}

async function place(user: string, product: string): Promise<string> {
  const body = { user_id: user, lines: [{ product_id: product, quantity: 2 }] };
  return changed(done(await client.POST("/api/v1/orders", { body })).data).id;
}

/** Confirms an order and returns the token with which a query waits for that. */
async function confirm(order: string): Promise<string> {
  const path = { id: order };
  const header = { "Idempotency-Key": `confirm-${order}` };
  const send = () => client.POST("/api/v1/orders/{id}/confirm", { params: { path, header } });
  const first = await send();
  const again = await send();
  expect("the version", changed(done(again).data).version, changed(done(first).data).version);
  expect("the repeat", again.response.headers.get("Idempotent-Replayed"), "true");
  const token = done(first).meta.consistency_token;
  if (token === undefined) throw new Error("a command has no token");
  return token;
}

async function read(order: string, token: string): Promise<Order> {
  const header = { "Consistency-Token": token, Prefer: "wait=10" };
  const params = { path: { id: order }, header };
  return done(await client.GET("/api/v1/orders/{id}", { params })).data;
}

/** All orders of a user, page by page. */
async function list(user: string, token: string): Promise<Order[]> {
  const orders: Order[] = [];
  let next: string | null = null;
  do {
    const query = { user_id: user, page_size: 1, consistency_token: token };
    const params = { query: next === null ? query : { ...query, cursor: next } };
    const answer: OrderList = done(await client.GET("/api/v1/orders", { params }));
    orders.push(...answer.data);
    next = answer.meta.page?.next_cursor ?? null;
  } while (next !== null);
  return orders;
}

await logIn();
const product = changed(
  done(
    await client.POST("/api/v1/products", {
      body: { name: "Blue Train", unit_price: "14.67", currency: "USD", stock: 12 },
    }),
  ).data,
).id;
const registration = { email: "typescript@example.com", name: "Ada Lovelace" };
const user = changed(done(await client.POST("/api/v1/users", { body: registration })).data).id;

await place(user, product);
const order = await place(user, product);
const token = await confirm(order);
const shown = await read(order, token);
expect("the status", shown.status, "confirmed" satisfies Order["status"]);
expect("the total", shown.total, "29.34");
expect("the first line", shown.lines[0]?.product_name, "Blue Train");
expect("the orders", (await list(user, token)).length, 2);

// A rule says no: 409.
const taken = await client.POST("/api/v1/users", { body: registration });
expect("the status of a taken address", taken.response.status, 409);
expect("the code of a taken address", refused(taken).code, "user/email-taken");

// A field is not valid, which its type cannot say: 422.
const odd = { name: "Blue Train", unit_price: "14.679", currency: "USD", stock: 12 } as const;
const invalid = await client.POST("/api/v1/products", { body: odd });
expect("the status of an odd price", invalid.response.status, 422);
expect("the field", refused(invalid).errors?.[0]?.pointer, "/unit_price");

// A dry run says what would happen, in a type of its own.
const trial = done(
  await client.POST("/api/v1/orders/{id}/cancel", {
    params: { path: { id: order }, query: { dry_run: true } },
  }),
).data;
if (!("events" in trial)) throw new Error("this was no dry run");
expect("the event", trial.events[0]?.type, "order.sale_cancelled");

console.log(order);
