// Takes pictures of the pages for docs/, if PAYMENT3_SCREENSHOTS names a folder.

import assert from "node:assert/strict";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import sharp from "sharp";

const DIRECTORY = process.env.PAYMENT3_SCREENSHOTS;
/** The largest size of a picture in the repository, in bytes. */
const HEAVIEST = 150 * 1024;
/** How much of a long page a picture shows, in pixels. */
const TALLEST = 1600;
/** The number of colours. So few save two thirds of the bytes, without a visible difference. */
const COLOURS = 128;

/** Takes a picture of the page, if a folder is given. */
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
