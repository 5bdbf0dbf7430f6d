// Talks to the server: JSON in, JSON out, with the CSRF token, and errors as sentences.

export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

// Told to the page when the server no longer knows the session: it then shows the login.
export const SESSION_ENDED = "session-ended";

let csrfToken = "";

export function rememberCsrfToken(token: string): void {
  csrfToken = token;
}

async function sentenceOf(response: Response): Promise<string> {
  try {
    const body: unknown = await response.json();
    if (body && typeof body === "object" && "detail" in body && typeof body.detail === "string") return body.detail;
  } catch {
    // Not JSON: a proxy answered. The status line is all there is.
  }
  return `The server answered ${response.status} ${response.statusText}. Try again; if it stays, tell your administrator.`;
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (method !== "GET") headers["x-csrf-token"] = csrfToken;
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body: isForm ? body : (JSON.stringify(body) ?? null) });
  } catch {
    throw new Problem(0, "Bonecraft cannot be reached. Check the connection; the page goes on when it is back.");
  }
  if (response.status === 401 && csrfToken) dispatchEvent(new Event(SESSION_ENDED));
  if (!response.ok) throw new Problem(response.status, await sentenceOf(response));
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);
export const post = <T>(path: string, body?: unknown): Promise<T> => call<T>("POST", path, body ?? {});
export const remove = <T>(path: string): Promise<T> => call<T>("DELETE", path);

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
