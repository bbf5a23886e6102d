// Opens the checkout's answer in a browser: it redirects to the bank's address, whatever characters that has.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { visit, withBrowser } from "./support.js";

// A test of the functions checks that they answer with exactly these pages.
const PAGES = {
  "return-url": {
    address: "/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d=%274%22",
    path: "/3ds",
    query: [["a", "1"], ["b", "2"], ["returnUrl", "https://x.example/?c=3"], ["d", `'4"`]],
    fragment: "",
  },
  references: {
    address: "/it%27s/url=1?a&copy;&not_paid=1&copy=2#&#65;",
    path: "/it's/url=1",
    query: [["a", ""], ["copy;", ""], ["not_paid", "1"], ["copy", "2"]],
    fragment: "#&#65;",
  },
};
const BANK = "http://127.0.0.1:9";

/** The page, with a local address in place of the bank's. */
function pageOf(name) {
  const page = readFileSync(new URL(`../clients/redirect/${name}.html`, import.meta.url), "utf8");
  return page.replaceAll("https://bank.example", BANK);
}

/** The address to which a page redirects the browser. */
async function leadsTo(name, options) {
  let reached;
  await visit(async ({ page }) => {
    await page.route(`${BANK}/**`, (route) => {
      const shows = route.request().url() === `${BANK}/answer` ? pageOf(name) : "the bank";
      return route.fulfill({ contentType: "text/html", body: shows });
    });
    await page.goto(`${BANK}/answer`, { waitUntil: "commit" });
    await page.waitForURL((url) => url.pathname !== "/answer");
    reached = page.url();
  }, options);
  return reached;
}

function assertIsTheResource(reached, { path, query, fragment }) {
  const url = new URL(reached);
  assert.equal(url.origin, BANK);
  assert.equal(decodeURIComponent(url.pathname), path);
  assert.deepEqual([...url.searchParams], query);
  assert.equal(decodeURIComponent(url.hash), fragment);
}

describe("the checkout's answer", () => {
  withBrowser();

  for (const [name, expected] of Object.entries(PAGES)) {
    test(`${name}: a browser goes to the address, each character as the bank wrote it`, async () => {
      const reached = await leadsTo(name, {});
      assert.equal(reached, BANK + expected.address);
      assertIsTheResource(reached, expected);
    });

    test(`${name}: a browser without scripts goes to the same resource`, async () => {
      assertIsTheResource(await leadsTo(name, { javaScriptEnabled: false }), expected);
    });
  }
});
