// A browser in the environment of `cargo local test browser`. Nothing here waits for a fixed time, only for events.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";

import { chromium } from "playwright-core";

/** The time limit of every wait. Most need far less, but the machine may be busy. */
const NEVER = 180_000;

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 360, height: 740 };

function fromEnvironment(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run these tests by \`cargo local test browser\``);
  return value;
}

/** Addresses and names of the running environment. */
export const outputs = JSON.parse(readFileSync(fromEnvironment("PAYMENT3_OUTPUTS"), "utf8"));

let browser;

/** One browser for all tests of a file. */
export function withBrowser() {
  before(async () => {
    browser = await chromium.launch({
      executablePath: fromEnvironment("PAYMENT3_CHROMIUM"),
      // The sandbox does not work as root, as in containers. Only names of this machine resolve.
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
    });
  });
  after(() => browser?.close());
}

function isHere(url) {
  const { protocol, hostname } = new URL(url);
  return ["data:", "blob:", "about:"].includes(protocol) || hostname === "127.0.0.1";
}

/**
 * Runs a test in a browser with a fresh profile. It fails if a page sent a request to another machine, had an error, or
 * violated its policy.
 */
export async function visit(work, options = {}) {
  const context = await browser.newContext({ viewport: WIDE, locale: "en-GB", timezoneId: "Asia/Bangkok", ...options });
  context.setDefaultTimeout(NEVER);
  const wrong = [];
  context.on("request", (request) => {
    if (!isHere(request.url())) wrong.push(`a request to ${request.url()}`);
  });
  context.on("weberror", (error) => wrong.push(`an error in a page: ${error.error().message}`));
  context.on("console", (message) => {
    // The browser logs an error for each refusal of the API, but a refusal is a correct answer.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(`in the console: ${message.text()}`);
  });
  try {
    const page = await context.newPage();
    await work(new Shopper(page));
    assert.deepEqual(wrong, []);
  } finally {
    await context.close();
  }
}

/** A shopper in a browser. */
export class Shopper {
  clicks = 0;

  constructor(page) {
    this.page = page;
  }

  /** Opens another tab with the same profile. */
  async tab() {
    return new Shopper(await this.page.context().newPage());
  }

  async click(locator) {
    this.clicks += 1;
    await locator.click();
  }

  button(name) {
    return this.page.getByRole("button", { name });
  }

  link(name, options) {
    return this.page.getByRole("link", { name, ...options });
  }

  /** Opens the checkout at the printed address. */
  async openShop(path = "/") {
    await this.page.goto(outputs.shopUrl + path);
    await this.page.locator("#checkout[data-ready]").waitFor();
  }

  /** Chooses the first sandbox card with this behaviour. */
  async choose(card) {
    await this.click(this.page.getByRole("radio", { name: card }).first());
  }

  /** Checks out, and follows the answer. */
  async pay(card) {
    if (card) await this.choose(card);
    await this.click(this.button(/^(Pay|Verify)/));
  }

  /** Passes 3-D Secure. */
  async confirm() {
    await this.click(this.button("Confirm the payment"));
  }

  /** Waits until the thank-you page shows this status, and returns the order's id. */
  async isTold(state) {
    await this.page.locator(`#status[data-state="${state}"]`).waitFor();
    return new URL(this.page.url()).searchParams.get("orderId");
  }

  /** Follows the thank-you page's link to the execution, and waits for this outcome. */
  async seesExecution(outcome) {
    await this.click(this.link("See how it went"));
    await this.page.locator(`#facts[data-outcome="${outcome}"]`).waitFor();
  }

  /** The status of each state in the picture. */
  async picture() {
    await this.page.locator("#graph svg").waitFor();
    return this.page.locator("#graph [data-state]").evaluateAll((nodes) => Object.fromEntries(nodes.map((node) => [node.dataset.state, node.dataset.status])));
  }
}

/** Waits until `ask` returns something, and returns it. */
export async function until(ask) {
  for (const end = Date.now() + NEVER; Date.now() < end;) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, 300));
  }
  assert.fail(`it never happens: ${ask}`);
}

/** Requests JSON from the site, as its pages do. */
export async function ask(path) {
  const response = await fetch(outputs.shopUrl + path);
  assert.equal(response.status, 200, path);
  return response.json();
}

/** Calls one of the sandbox bank's controls. */
export async function bank(path, body) {
  const response = await fetch(`${outputs.bankUrl}/sandbox/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  assert.equal(response.status, 200, path);
}

/** The header of a call of the local AWS by somebody who may do everything. This key's signature is not checked. */
function authorization(service) {
  return `AWS4-HMAC-SHA256 Credential=test/20260101/${outputs.region}/${service}/aws4_request, SignedHeaders=host, Signature=0`;
}

/** Calls the local AWS as its command line does. */
export async function aws(service, target, body) {
  const response = await fetch(outputs.awsEndpoint, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": target,
      authorization: authorization(service),
    },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.text());
}

/** Starts an execution by hand, as a person does. */
export function startByHand(name, input) {
  return aws("states", "AWSStepFunctions.StartExecution", { stateMachineArn: outputs.stateMachineArn, name, input: JSON.stringify(input) });
}

/** Runs reconciliation on everything that is due, and returns its report. */
export async function reconcile() {
  const response = await fetch(`${outputs.awsEndpoint}/2015-03-31/functions/payment3-reconcile-${outputs.branch}/invocations`, {
    method: "POST",
    headers: { authorization: authorization("lambda") },
    body: "{}",
  });
  const report = await response.json();
  assert.ok(!response.headers.has("x-amz-function-error"), JSON.stringify(report));
  return report;
}
