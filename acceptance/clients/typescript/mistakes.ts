// Mistakes that the type checker must find. Each line with one names the checker's code for it.

import createClient from "openapi-fetch";

import type { components as Written, paths as Commands } from "./command_api.js";
import type { components as Shown, paths as Queries } from "./query_api.js";

const commands = createClient<Commands>({ baseUrl: "http://127.0.0.1:8080" });
const queries = createClient<Queries>({ baseUrl: "http://127.0.0.1:8081" });

const email = "ada@example.com";
const name = "Ada Lovelace";
const params = { path: { id: "0190b3a2-0000-7000-8000-000000000001" } };

export async function requests(): Promise<void> {
  await commands.POST("/api/v1/users", { body: { email } }); // wrong: TS2322
  const body: Written["schemas"]["RegisterUserBody"] = { email, name, age: 36 }; // wrong: TS2353
  await commands.POST("/api/v1/users", { body });
  await commands.POST("/api/v1/users", { body: { email, name: 36 } }); // wrong: TS2322
  await commands.POST("/api/v1/users", { body: { email, name, id: undefined } }); // wrong: TS2375
  await commands.POST("/api/v1/orders/{id}/confirm"); // wrong: TS2554
  await queries.GET("/api/v1/order", {}); // wrong: TS2345
  await queries.GET("/api/v1/orders", { params: { query: { status: "shiped" } } }); // wrong: TS2820
}

export async function answers(): Promise<string> {
  const { data, error } = await queries.GET("/api/v1/orders/{id}", { params });
  if (error !== undefined) return error.reason; // wrong: TS2339
  const order: Shown["schemas"]["Order"] = data.data;
  if (order.status === "shiped") return order.id; // wrong: TS2367
  if (order.confirmed_at.length > 0) return order.id; // wrong: TS18047
  return order.lines[0].product_name; // wrong: TS2532
}
