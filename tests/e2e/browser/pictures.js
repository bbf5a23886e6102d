// Pictures of the pages, for the documents: taken where PAYMENT3_SCREENSHOTS says where they go.

import assert from "node:assert/strict";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import sharp from "sharp";

const DIRECTORY = process.env.PAYMENT3_SCREENSHOTS;
/** What a picture may weigh in the repository, in bytes. */
const HEAVIEST = 150 * 1024;
/** How much of a long page a picture shows, in pixels. */
const TALLEST = 1600;
/** How many colours it has: a third of the bytes, and nobody sees the difference. */
const COLOURS = 128;

/** Takes a picture of a page as it stands, if pictures are asked for. */
export async function takePicture(page, name) {
  if (!DIRECTORY) return;
  mkdirSync(DIRECTORY, { recursive: true });
  const { width } = page.viewportSize();
  const path = join(DIRECTORY, `${name}-${width}.png`);
  const height = Math.min(TALLEST, await page.evaluate(() => document.documentElement.scrollHeight));
  const picture = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height } });
  await sharp(picture).png({ palette: true, colours: COLOURS, compressionLevel: 9, effort: 10 }).toFile(path);
  assert.ok(statSync(path).size < HEAVIEST, `${path} weighs ${statSync(path).size} bytes`);
}
