// What the tests share: the real service that the Go test started, and a gateway before it that can fail.

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";
import type { CampaignReport } from "../runmetrics";

/** The service, and keys for it: one for everything, one that may only read. */
export const url = setting("STUDIO_URL");
export const key = setting("STUDIO_KEY");
export const readKey = setting("STUDIO_READ_KEY");

/** A report with nothing wrong, of a run of its own. */
export function report(runId: string, more: Partial<CampaignReport> = {}): CampaignReport {
  return {
    campaignId: "studio", runId, phase: "2-3", agentsTotal: 3, agentsSuccessful: 2, assetsGenerated: 8, tokensIn: 1000,
    tokensOut: 2000, costUSD: 0.0591335, latencyP95Ms: 45000, latencyAvgMs: 38000, ...more,
  };
}

/** Stops the service and starts it again with the same files, at the same address. */
export async function restart(): Promise<void> {
  const response = await fetch(setting("STUDIO_CONTROL"), { method: "POST" });
  if (!response.ok) throw new Error(await response.text());
}

/** What a gateway does with a request instead of passing it on. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => void;

/** Where a gateway is, and what came by. */
export interface Gateway {
  url: string;
  seen: { path: string; headers: IncomingHttpHeaders; at: number }[];
}

/** Stands before the service. Each request meets one fault while there are any; then requests are passed on. */
export async function gateway(...faults: Fault[]): Promise<Gateway> {
  const seen: Gateway["seen"] = [];
  const server = createServer((request, response) => {
    seen.push({ path: request.url ?? "", headers: request.headers, at: Date.now() });
    const fault = faults.shift();
    void (fault ? fault(request, response) : pass(request, response));
  });
  return { url: await listen(server), seen };
}

/** Passes a request on to the service and its answer back. */
export async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body: Uint8Array[] = [];
  for await (const piece of request) body.push(piece as Uint8Array);
  const headers = new Headers();
  for (const name of ["accept", "authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  try {
    const init: RequestInit = { method: request.method ?? "GET", headers, redirect: "manual", signal: gone.signal };
    if (body.length > 0) init.body = Buffer.concat(body);
    const answer = await fetch(url + (request.url ?? ""), init);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    const reader = answer.body?.getReader();
    for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) response.write(piece.value);
    response.end();
  } catch {
    response.destroy();
  }
}

/** Answers instead of the service. */
export function answering(status: number, headers: Record<string, string>, body: string): Fault {
  return (_, response) => response.writeHead(status, headers).end(body);
}

export function busy(seconds: number): Fault {
  const headers = { "Content-Type": "application/problem+json", "Retry-After": String(seconds) };
  return answering(503, headers, '{"status":503,"detail":"busy"}');
}

/** An address at which nothing listens. */
export async function nowhere(): Promise<string> {
  const server = createServer();
  const address = await start(server);
  await new Promise((closed) => server.close(closed));
  return address;
}

/** Waits until the condition holds, at most for ten seconds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((tick) => setTimeout(tick, 5));
  }
}

async function listen(server: Server): Promise<string> {
  const address = await start(server);
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return address;
}

async function start(server: Server): Promise<string> {
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests are run by go test -run TestStudio ./cmd/runmetrics`);
  return value;
}
