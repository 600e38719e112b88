// A program as a user of the types writes it: it must compile, and the lines
// marked with @ts-expect-error must not.
import type { components, operations, paths } from "./api";

type Tenant = operations["getTenant"]["responses"][200]["content"]["application/json"];
type NewTenant = paths["/tenants"]["post"]["requestBody"]["content"]["application/json"];
type Problem = components["schemas"]["Problem"];

export const create: NewTenant = { name: "Acme", key: "acme" };

// @ts-expect-error: a tenant has a name
export const nameless: NewTenant = { key: "acme" };

export function title(t: Tenant): string {
	// @ts-expect-error: parent_id may be null
	const parent: string = t.parent_id;
	return `${t.name} (${t.key}, ${t.status}) below ${parent}`;
}

export function explain(p: Problem): string {
	return [p.code, ...(p.errors ?? []).map((e) => `${e.location}: ${e.message}`)].join("\n");
}

export type Page = operations["listTenants"]["responses"][200]["content"]["application/json"];
export const next = (p: Page): string | null => p.next_cursor;

// Idempotency-Key is a header of every POST, and no other method's.
export type Header = NonNullable<operations["createTenant"]["parameters"]["header"]>["Idempotency-Key"];
export const key: Header = "8e03978e-40d5-43e8-bc93-6894a57f9324";
