// Mistakes that the type checker must find. Each line with one names the checker's code for it.

import createClient from "openapi-fetch";

import type { components, paths } from "./shop_api.js";

/** The types of the answers that this program takes: no exports. */
type Json = "application/json" | "application/problem+json";

const client = createClient<paths, Json>({ baseUrl: "http://127.0.0.1:8000" });

const email = "ada@example.com";
const name = "Ada Lovelace";
const params = { path: { id: "0190b3a2-0000-7000-8000-000000000001" } };

export async function requests(): Promise<void> {
  await client.POST("/api/v1/users", { body: { email } }); // wrong: TS2322
  const body: components["schemas"]["RegisterUserBody"] = { email, name, age: 36 }; // wrong: TS2353
  await client.POST("/api/v1/users", { body });
  await client.POST("/api/v1/users", { body: { email, name: 36 } }); // wrong: TS2322
  await client.POST("/api/v1/users", { body: { email, name, id: undefined } }); // wrong: TS2375
  await client.POST("/api/v1/orders/{id}/confirm"); // wrong: TS2554
  await client.GET("/api/v1/order", {}); // wrong: TS2345
  await client.GET("/api/v1/orders", { params: { query: { status: "shiped" } } }); // wrong: TS2820
}

export async function answers(): Promise<string> {
  const { data, error } = await client.GET("/api/v1/orders/{id}", { params });
  if (error !== undefined) return error.reason; // wrong: TS2339
  const order: components["schemas"]["Order"] = data.data;
  if (order.status === "shiped") return order.id; // wrong: TS2367
  if (order.confirmed_at.length > 0) return order.id; // wrong: TS18047
  return order.lines[0].product_name; // wrong: TS2532
}
