/** Loopback hosts, as `URL` writes them. Plain http is safe there. */
const LOOPBACK_HOST = /^(?:(?:.+\.)?localhost|127(?:\.[0-9]+){3}|\[::1\])$/;

/** Schemes that a browser handles itself, or that use another protocol. They cannot be an app's own. */
const RESERVED_SCHEMES = new Set([
  "about:", "blob:", "content:", "data:", "file:", "filesystem:", "ftp:", "intent:", "javascript:", "mailto:", "sms:", "tel:", "vbscript:", "view-source:", "ws:", "wss:",
]);

/** What is wrong with a setting, as the end of a sentence that begins with its text. Undefined if it is valid. */
export type Problem = string | undefined;

/** An https URL, or http on loopback, without credentials or fragment. */
export function webUrlProblem(text: string): Problem {
  const url = parse(text);
  if (url === undefined) {
    return "is not an absolute URL";
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK_HOST.test(url.hostname))) {
    return "must be https (http only on loopback, such as http://127.0.0.1:4601)";
  }
  if (url.username !== "" || url.password !== "") {
    return "must not hold credentials";
  }
  if (url.hash !== "") {
    return "must not hold a fragment";
  }
  return undefined;
}

/** A URL as {@link webUrlProblem} checks it, but only an origin. */
export function originProblem(text: string): Problem {
  return webUrlProblem(text) ?? (new URL(text).origin === text ? undefined : "must be an origin alone, such as https://example.com");
}

/** A base to which a path is appended: a web URL, an app's `yourapp://payments`, or `yourapp://` for a scheme. */
export function callbackBaseProblem(text: string): Problem {
  const url = parse(text);
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  return (url === undefined || isWeb ? webUrlProblem(text) : appUrlProblem(text, url)) ?? (/[?#]/.test(text) ? "must not hold a query or a fragment" : undefined);
}

/** A base as {@link callbackBaseProblem} checks it, but one that a browser can be sent to unchanged. */
export function defaultCallbackBaseProblem(text: string): Problem {
  return callbackBaseProblem(text) ?? (text.endsWith("://") ? "is a whole scheme, but must be one base" : undefined);
}

function appUrlProblem(text: string, url: URL): Problem {
  if (RESERVED_SCHEMES.has(url.protocol)) {
    return `has the scheme ${url.protocol.slice(0, -1)}, which cannot be an app's own`;
  }
  return text.startsWith(`${url.protocol}//`) ? undefined : "must begin with a lower-case scheme and ://, such as yourapp://payments";
}

function parse(text: string): URL | undefined {
  // The URL constructor drops or encodes other characters, but a function's environment would hold them unchanged.
  return /^[!-~]+$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}
