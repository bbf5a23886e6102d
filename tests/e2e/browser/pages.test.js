// Checks every page with axe, narrow and wide, light and dark. No page is wider than its window, in a narrow or a wide
// font, with short or long values. Everything works by keyboard.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";

import { NARROW_FONT, WIDE_FONT, showIn } from "./fonts.js";
import { takePicture } from "./pictures.js";
import { NARROW, WIDE, ask, bank as control, outputs, visit, withBrowser } from "./support.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");

/** Makes the payments that the pages show. Returns their charges, and the address of the thank-you page. */
async function provision() {
  const charges = {};
  await visit(async (shopper) => {
    const chargeOf = async (orderId) => (await ask("/api/orders")).find((order) => order.orderId === orderId).chargeId;
    await shopper.openShop();
    await shopper.pay(/^Declined after/);
    await shopper.confirm();
    charges.order = await shopper.isTold("declined");
    await shopper.openShop();
    await shopper.pay(/^Declined after/);
    await shopper.confirm();
    const twice = await shopper.isTold("declined");
    const other = await shopper.tab();
    for (const tab of [shopper, other]) {
      await tab.openShop(`/?order=${twice}`);
      await tab.pay(/^Approved after/);
      await tab.button("Confirm the payment").waitFor();
    }
    charges.reversed = other.page.url().split("/").at(-1);
    await shopper.confirm();
    await shopper.isTold("paid");
    await other.confirm();
    await other.isTold("paid");
    await other.page.close();
    await shopper.openShop();
    await shopper.pay(/^Slow/);
    await shopper.confirm();
    charges.slow = await chargeOf(await shopper.isTold("paid"));
    await control(`charges/${charges.slow}/settle`, { notify: false });
    for (const amount of ["120.50", "99.00"]) await control(`charges/${charges.slow}/refund`, { amount, notify: false });
    await shopper.openShop();
    await shopper.pay(/^Callback lost/);
    await shopper.confirm();
    await shopper.page.getByRole("heading", { name: "The way back is lost" }).waitFor();
    await shopper.openShop("/cards");
    await shopper.pay(/^Approved after/);
    await shopper.confirm();
    await shopper.isTold("saved");
    await shopper.openShop();
    await shopper.pay(/^Approved after/);
    await shopper.confirm();
    const orderId = await shopper.isTold("paid");
    charges.paidOrder = orderId;
    charges.thankyou = shopper.page.url().slice(outputs.shopUrl.length);
    charges.paid = await chargeOf(orderId);
    await shopper.seesExecution("paid");
    Object.assign(charges, await giveBack(shopper));
  });
  return charges;
}

/** Makes the refunds that the pages show. Returns their orders and ids. */
async function giveBack(shopper) {
  const made = {};
  const paid = async () => {
    await shopper.openShop();
    await shopper.pay(/^Approved at once/);
    const orderId = await shopper.isTold("paid");
    const { chargeId } = (await ask("/api/orders")).find((order) => order.orderId === orderId);
    return { orderId, chargeId };
  };
  const refund = async (orderId, wish) => {
    const refundId = `rf_${orderId}_${wish.amount ?? "all"}`.replace(".", "_");
    const answer = await fetch(`${outputs.shopUrl}/api/orders/${orderId}/refunds`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ refundId, ...wish }),
    });
    const { isWell, text } = await answer.json();
    assert.ok(isWell, text);
    return refundId;
  };
  const settled = await paid();
  await control(`charges/${settled.chargeId}/settle`);
  made.refund = await refund(settled.orderId, { amount: "120.50", reason: "2 items missing" });
  await refund(settled.orderId, { amount: "49.00", reason: "weighed less" });
  made.refundedOrder = settled.orderId;
  const waiting = await paid();
  made.waiting = await refund(waiting.orderId, { amount: "120.50" });
  made.waitingOrder = waiting.orderId;
  const whole = await paid();
  made.void = await refund(whole.orderId, { reason: "cancelled by the customer" });
  made.wholeOrder = whole.orderId;
  return made;
}

/** The pages by name. Each function opens its page and waits until it has loaded. */
function pages(made) {
  const shop = (path, ready) => async ({ page }) => {
    await page.goto(outputs.shopUrl + path);
    await page.locator(ready).first().waitFor();
  };
  const bank = (path, ready) => async ({ page }) => {
    await page.goto(outputs.bankUrl + path);
    await page.locator(ready).first().waitFor();
  };
  const threeDs = async (shopper, card) => {
    await shopper.openShop();
    await shopper.pay(card);
    await shopper.button("Confirm the payment").waitFor();
  };
  return {
    shop: shop("/", "#checkout[data-ready]"),
    "shop-of-an-order": shop(`/?order=${made.order}`, "#checkout[data-ready]"),
    orders: shop("/orders", "tbody tr"),
    order: shop(`/orders/${made.refundedOrder}`, `#refund-${made.refund}`),
    "order-paid": shop(`/orders/${made.paidOrder}`, "#refund"),
    "order-unpaid": shop(`/orders/${made.order}`, "#nothing:not(:empty)"),
    "order-waiting": shop(`/orders/${made.waitingOrder}`, `#again-${made.waiting}`),
    "order-of-nothing": shop("/orders/000000000000", "text=there is no order"),
    "order-refused": async (shopper) => {
      await shop(`/orders/${made.refundedOrder}`, `#refund-${made.refund}`)(shopper);
      await shopper.click(shopper.page.getByRole("radio", { name: "A part of it" }));
      await shopper.page.getByLabel("Amount in baht").fill("2000");
      await shopper.click(shopper.button("Give the money back"));
      await shopper.page.getByRole("alert").getByText("RefundTooLarge").waitFor();
    },
    cards: shop("/cards", ".saved"),
    "thank-you": shop(made.thankyou, "#status[data-state=paid]"),
    "thank-you-refunded": shop(`/thankyou?orderId=${made.wholeOrder}`, "#status[data-state=refunded]"),
    "thank-you-of-nothing": shop("/thankyou?orderId=000000000000&status=success&amount=1.00", "text=No payment was started"),
    notifications: async (shopper) => {
      await shop("/notifications", "tbody tr")(shopper);
      await shopper.page.locator("summary").first().click();
    },
    executions: shop("/executions", "tbody tr"),
    "executions-of-an-order": shop(`/executions?find=${made.order}`, "tbody tr"),
    "executions-of-nothing": shop("/executions?find=nothing&outcome=handedOver", "text=No matching execution has this outcome"),
    execution: shop(`/executions/${made.paid}`, "#facts[data-outcome=paid]"),
    "execution-retried": async (shopper) => {
      await shop(`/executions/${made.slow}`, "#facts[data-outcome=paid]")(shopper);
      await shopper.page.locator('#steps [data-state="InquireCharge"] summary').click();
      await shopper.page.locator("#record summary").click();
    },
    "execution-reversed": shop(`/executions/${made.reversed}`, "#facts[data-outcome=reversed]"),
    "execution-refund": shop(`/executions/${made.refund}`, "#around li"),
    "execution-void": shop(`/executions/${made.void}`, "#around li"),
    "execution-waiting": async (shopper) => {
      await shop(`/executions/${made.waiting}`, "#around li")(shopper);
      await shopper.page.locator('#graph [data-state="AwaitSettlement"][data-status="running"]').waitFor();
    },
    "execution-of-nothing": shop("/executions/chrg_test_nothing", "text=there is no execution"),
    "bank-charges": bank("/", "tbody tr"),
    "bank-charge": bank(`/charges/${made.slow}`, "#table-refunds"),
    "bank-charge-not-refunded": bank(`/charges/${made.paid}`, "#settle"),
    "bank-charge-of-nothing": bank("/charges/chrg_test_nothing", "text=there is no such charge"),
    "bank-customers": bank("/customers", "tbody tr"),
    "bank-3ds": (shopper) => threeDs(shopper, /^Approved after/),
    "bank-3ds-wrong": async (shopper) => {
      await threeDs(shopper, /^Approved after/);
      await shopper.page.getByLabel("One-time password").fill("1");
      await shopper.confirm();
      await shopper.page.getByRole("alert").waitFor();
    },
    "bank-3ds-left": async (shopper) => {
      await threeDs(shopper, /^Approved after/);
      await shopper.click(shopper.button("Leave without an answer"));
      await shopper.link("Back to the payment").waitFor();
    },
    "bank-3ds-lost": async (shopper) => {
      await threeDs(shopper, /^Callback lost/);
      await shopper.confirm();
      await shopper.link("Look at the order in the shop").waitFor();
    },
    "bank-3ds-decided": bank(`/3ds/${made.paid}`, "text=This payment has been decided"),
    "bank-3ds-of-nothing": bank("/3ds/chrg_test_nothing", "text=This payment cannot be shown"),
    "shop-dialects": async (shopper) => {
      await shopper.openShop();
      await shopper.click(shopper.page.getByText("The bank's dialect"));
      await shopper.page.getByLabel("How the bank speaks of this payment").selectOption("fail-with-pre-authorized");
    },
    refused: async (shopper) => {
      await shopper.openShop();
      await shopper.click(shopper.page.getByText("Spoil the form"));
      await shopper.page.getByLabel("What the API must refuse").selectOption("total");
      await shopper.pay();
      await shopper.page.getByText("The payment was not started").waitFor();
    },
  };
}

/** The pages with pictures in docs/. */
const SHOWN = ["shop", "orders", "order", "order-waiting", "cards", "thank-you", "notifications", "executions", "execution", "execution-retried", "execution-reversed", "execution-refund", "execution-waiting", "bank-charges", "bank-charge", "bank-customers", "bank-3ds", "bank-3ds-lost", "refused"];

async function violations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.target.join(" ")} (${node.failureSummary})`));
}

/** Elements that are cut off or make the page scroll sideways. A box may scroll inside. */
function tooWide(page) {
  return page.evaluate(() => {
    const wide = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) wide.push(`the page is ${root.scrollWidth} wide`);
    for (const element of document.querySelectorAll("body *")) {
      if (element.closest(".canvas, .hidden, thead, .skip, svg, select, option") || element.parentElement.closest(".scroll")) continue;
      const { left, right, width } = element.getBoundingClientRect();
      if (width > 0 && (left < -1 || right > root.clientWidth + 1)) wide.push(`${element.tagName} ${element.textContent.trim().slice(0, 40)}`);
    }
    return wide;
  });
}

/** Adds 300 characters without a space to every text of the page, and fills every empty message with as many. */
function lengthen(page) {
  return page.evaluate(() => {
    const long = "W".repeat(300);
    for (const message of document.querySelectorAll("[role=alert]:empty, [role=status]:empty")) message.textContent = long;
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { currentNode } = texts;
      if (currentNode.data.trim() && !currentNode.parentElement.closest("svg, time, .hidden")) currentNode.data += long;
    }
  });
}

/** Asserts that the page fits its window, in a narrow and a wide font, with its own and with long values. */
async function fits(page) {
  for (const values of ["", ", with long values"]) {
    if (values) await lengthen(page);
    const narrow = await showIn(page, NARROW_FONT);
    assert.deepEqual(await tooWide(page), [], `in the narrow font${values}`);
    const wide = await showIn(page, WIDE_FONT);
    assert.deepEqual(await tooWide(page), [], `in the wide font${values}`);
    assert.ok(wide > narrow * 1.5, `the fonts are not used: a line is ${narrow} wide in the narrow one, ${wide} in the wide one`);
  }
}

describe("every page", () => {
  withBrowser();

  test("passes axe and fits its window, narrow and wide, light and dark", async (t) => {
    const made = await provision();
    let checks = 0;
    for (const viewport of [WIDE, NARROW]) {
      for (const [name, go] of Object.entries(pages(made))) {
        await t.test(`${name}, ${viewport.width} px`, () => visit(async (shopper) => {
          const { page } = shopper;
          await go(shopper);
          if (SHOWN.includes(name)) await takePicture(page, name);
          const colours = new Set();
          for (const colorScheme of ["light", "dark"]) {
            await page.emulateMedia({ colorScheme });
            colours.add(await page.evaluate(() => getComputedStyle(document.body).color));
            assert.deepEqual(await violations(page), [], colorScheme);
            assert.deepEqual(await tooWide(page), [], colorScheme);
            checks += 1;
          }
          // The API's own page has no dark colours.
          assert.equal(colours.size, name === "refused" ? 1 : 2, "colours of the text in the light and in the dark");
          // Once is enough: the colours do not change the width.
          await fits(page);
        }, { viewport, colorScheme: "light", reducedMotion: "reduce" }));
      }
    }
    const count = Object.keys(pages(made)).length;
    console.log(`axe: no violation in ${checks} of ${count * 4} checks of ${count} pages`);
  });
});

describe("by keyboard", () => {
  withBrowser();

  /** Presses Tab until an element that matches the selector has the focus. */
  async function tabTo(page, selector) {
    for (let presses = 0; presses < 200; presses += 1) {
      if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`Tab never reaches ${selector}`);
  }

  test("an order is paid, and its execution is viewed", () => visit(async (shopper) => {
    const { page } = shopper;
    await shopper.openShop();
    await tabTo(page, 'input[name="card"]');
    await page.keyboard.press("ArrowDown");
    await tabTo(page, "#pay");
    await page.keyboard.press("Enter");
    await shopper.button("Confirm the payment").waitFor();
    await tabTo(page, 'button[value="approve"]');
    await page.keyboard.press("Enter");
    await shopper.isTold("paid");
    await shopper.link("See how it went").waitFor();
    await tabTo(page, 'a[href^="/executions/chrg"]');
    await page.keyboard.press("Enter");
    await page.locator('#facts[data-outcome="paid"]').waitFor();
    // A state in the picture links to its step, which opens.
    await tabTo(page, '#graph a[data-state="PayOrder"]');
    await page.keyboard.press("Enter");
    const step = page.locator('#steps [data-state="PayOrder"]');
    await step.getByText("Input").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.closest("li")?.dataset.state), "PayOrder");
    // The picture can be scrolled by keyboard.
    assert.equal(await page.locator("#graph").getAttribute("tabindex"), "0");
  }));

  test("the first Tab offers to skip the navigation", () => visit(async ({ page }) => {
    await page.goto(`${outputs.shopUrl}/orders`);
    await page.locator("tbody tr").first().waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  }));
});

describe("nothing that must not be seen", () => {
  withBrowser();

  test("no page and none of its answers holds a card token", () => visit(async (shopper) => {
    const tokens = [];
    const texts = [];
    const { page } = shopper;
    const reading = (into) => async (route) => {
      const response = await route.fetch();
      const body = await response.text();
      into.push(body);
      await route.fulfill({ response, body });
    };
    await page.route(`${outputs.bankUrl}/sandbox/tokens`, reading(tokens));
    await page.route(`${outputs.shopUrl}/api/**`, reading(texts));
    await shopper.openShop();
    await shopper.pay(/^Approved after/);
    await shopper.button("Confirm the payment").waitFor();
    // While the payment is open, its record holds the token.
    const { record } = await ask(`/api/payments/${page.url().split("/").at(-1)}`);
    assert.equal(record.outcome, "pending");
    assert.equal(record.token, "(hidden)");
    await shopper.confirm();
    await shopper.isTold("paid");
    await shopper.seesExecution("paid");
    await page.locator("#around details").first().waitFor();
    const { token } = JSON.parse(tokens.at(-1));
    assert.match(token, /^tokn_/);
    assert.ok(!(await page.content()).includes(token));
    assert.ok(texts.some((text) => text.includes("orderPaid")), "the record was among the answers");
    assert.deepEqual(texts.filter((text) => text.includes(token)), []);
    await page.unrouteAll({ behavior: "ignoreErrors" });
  }));

  test("a page of another site cannot change anything", async () => {
    for (const [url, method] of [
      [`${outputs.shopUrl}/orders`, "POST"],
      [`${outputs.shopUrl}/api/payments/chrg_test_x/reconcile`, "POST"],
      [`${outputs.shopUrl}/api/orders/482500007436/refunds`, "POST"],
      [`${outputs.shopUrl}/api/orders/482500007436/refunds/rf_1/again`, "POST"],
      [`${outputs.shopUrl}/webhooks/payment3/answer`, "PUT"],
      [`${outputs.bankUrl}/sandbox/charges/chrg_test_x/void`, "POST"],
      [`${outputs.bankUrl}/sandbox/tokens`, "POST"],
      [`${outputs.bankUrl}/sandbox/merchant`, "PUT"],
    ]) {
      const answer = await fetch(url, { method, headers: { origin: "https://shop.example", "content-type": "application/json" }, body: "{}" });
      assert.equal(answer.status, 403, url);
    }
  });
});
