/**
 * Forwards /api/metrics/campaign and what is below it to runmetrics, so that pages may use their own relative URL and the
 * key stays on the server. Copy it to app/api/metrics/campaign/[[...path]]/route.ts of a Next.js application (15 or 16)
 * and set on the server:
 *
 *     RUNMETRICS_URL   https://runmetrics.example.com, or http://127.0.0.1:8080 beside it
 *     RUNMETRICS_KEY   a key of `runmetrics keys new studio --scopes read,write`; unset where runmetrics needs none
 *
 * It answers as runmetrics does, body, status and problems, and adds 503 where a setting is missing, 502 where runmetrics
 * is away, 504 where it does not answer in time, and 500 where it refuses the key.
 */

import type { NextRequest } from "next/server";

export const runtime = "nodejs";
export const dynamic = "force-dynamic"; // with cacheComponents, which makes this the default, remove both lines

const mount = "/api/metrics/campaign";

/** Milliseconds until the answer begins: more than the five seconds for which runmetrics may wait for a commit. */
const patience = 15_000;

/** Bytes. runmetrics takes no longer report. */
const longestReport = 64 * 1024;

const requestHeaders = ["Accept", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID"];
const responseHeaders = ["Cache-Control", "Content-Disposition", "Content-Type", "ETag", "Retry-After"];

/** Reads records, a run, a summary, or the live stream. */
export async function GET(request: NextRequest): Promise<Response> {
  return forward(request);
}

/** Writes the record of a run. */
export async function POST(request: NextRequest): Promise<Response> {
  return forward(request);
}

async function forward(request: Request): Promise<Response> {
  // Whoever gets here may read and write all campaigns: check the session first, with what the application has for it.
  //
  //     const session = await auth();
  //     if (!session) return problem(401, "sign in first");

  const target = targetOf(request);
  if (target instanceof Response) return target;
  const body = request.method === "POST" ? await readReport(request) : null;
  if (body === undefined) return problem(413, `the body is over ${longestReport} bytes`);
  const headers = new Headers();
  for (const name of requestHeaders) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const key = settingOf("RUNMETRICS_KEY");
  if (key) headers.set("Authorization", `Bearer ${key}`);

  const away = new AbortController();
  const timer = setTimeout(() => away.abort(), patience);
  try {
    // Once the answer has begun, only the client's leaving ends it: a stream may last for days.
    const signal = AbortSignal.any([request.signal, away.signal]);
    const { method } = request;
    return answerOf(await fetch(target, { method, headers, body, signal, cache: "no-store", redirect: "manual" }));
  } catch {
    if (away.signal.aborted) return problem(504, "runmetrics does not answer in time");
    return problem(502, "runmetrics cannot be reached");
  } finally {
    clearTimeout(timer);
  }
}

/** Hands an answer on as it comes. Nothing of it is waited for. */
function answerOf(upstream: Response): Response {
  if (upstream.status === 401 || upstream.status === 403) {
    void upstream.body?.cancel();
    // Not the user's fault: passed on, it would look as if the session of the user had ended.
    return problem(500, "runmetrics refuses the key in RUNMETRICS_KEY, or it lacks the scope for this");
  }
  if (upstream.status >= 300 && upstream.status < 400 && upstream.status !== 304) {
    void upstream.body?.cancel();
    return problem(502, "RUNMETRICS_URL answers with a redirect; set it to where that leads");
  }
  const headers = new Headers({ "X-Content-Type-Options": "nosniff" });
  for (const name of responseHeaders) {
    const value = upstream.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (headers.get("Content-Type")?.startsWith("text/event-stream")) {
    headers.set("Cache-Control", "no-store, no-transform"); // whoever compresses on the way would hold events back
    headers.set("X-Accel-Buffering", "no");
  }
  return new Response(upstream.body, { status: upstream.status, headers });
}

/** Where a request goes; a Response where it goes nowhere. */
function targetOf(request: Request): URL | Response {
  const { pathname, search } = new URL(request.url);
  const place = pathname.indexOf(mount); // behind the application's base path, if it has one
  const segments = place < 0 ? undefined : segmentsOf(pathname.slice(place + mount.length));
  if (!segments || !known(segments)) return problem(404, "there is nothing at this path");
  if (request.method === "POST" && segments.length > 0) return problem(405, "this path allows GET");
  const base = settingOf("RUNMETRICS_URL").replace(/\/+$/, "");
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
    return problem(503, "RUNMETRICS_URL is not set on the server, or is no http or https URL");
  }
  // An error about a header would quote the key.
  if (!/^[\x21-\x7e]*$/.test(settingOf("RUNMETRICS_KEY"))) return problem(503, "RUNMETRICS_KEY on the server is no key");
  return new URL(base + mount + segments.map((segment) => `/${encodeURIComponent(segment)}`).join("") + search);
}

/** Takes a path apart; undefined where a segment could be taken for another path by somebody on the way. */
function segmentsOf(path: string): string[] | undefined {
  try {
    const segments = path.split("/").slice(1).map(decodeURIComponent);
    return segments.some((segment) => /^\.{0,2}$|[\\\u0000-\u001f]/.test(segment)) ? undefined : segments;
  } catch {
    return undefined; // not well encoded
  }
}

/** The paths of runmetrics that are forwarded, below the mount. */
function known(segments: string[]): boolean {
  const [first, second] = segments;
  switch (segments.length) {
    case 0:
      return true;
    case 1:
      return first === "stream" || first === "summary";
    case 2:
      return second === "summary";
    default:
      return segments.length === 3 && second === "runs";
  }
}

/** A setting without the line end that files of secrets have. */
function settingOf(name: string): string {
  return (process.env[name] ?? "").trim();
}

/** Reads a body of bounded length; undefined where it is longer. */
async function readReport(request: Request) {
  const reader = request.body?.getReader();
  const body = new Uint8Array(longestReport);
  let length = 0;
  for (;;) {
    const piece = (await reader?.read())?.value;
    if (!piece) return body.slice(0, length);
    if (length + piece.length > longestReport) {
      void reader?.cancel();
      return undefined;
    }
    body.set(piece, length);
    length += piece.length;
  }
}

/** An error as runmetrics answers them, RFC 9457. */
function problem(status: number, detail: string): Response {
  const titles: Record<number, string> = {
    401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
  };
  return new Response(JSON.stringify({ title: titles[status], status, detail }), {
    status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
}
