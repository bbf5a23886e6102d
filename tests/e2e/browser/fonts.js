// A narrow and a wide font for the tests, so that the result does not depend on the machine's fonts.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { resolve } = createRequire(import.meta.url);

/** A font family in two weights, each for a range of weights. */
function font(name) {
  const face = (weight, weights) => ({
    weights,
    bytes: readFileSync(resolve(`@fontsource/${name}/files/${name}-latin-${weight}-normal.woff2`)).toString("base64"),
  });
  return { name, faces: [face(400, "100 500"), face(700, "501 900")] };
}

export const NARROW_FONT = font("archivo-narrow");
/** Far wider than DejaVu Sans and Verdana, the widest system fonts. */
export const WIDE_FONT = font("lexend-zetta");

/**
 * Shows the page in this font, and returns the width of a line of text in it. The page's policy allows
 * it: the font is loaded from bytes, and the style is added by script.
 */
export function showIn(page, { name, faces }) {
  return page.evaluate(async ({ name, faces }) => {
    for (const { weights, bytes } of faces) {
      const face = new FontFace(name, Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)), { weight: weights });
      document.fonts.add(await face.load());
    }
    const style = new CSSStyleSheet();
    style.replaceSync(`* { font-family: "${name}" !important; }`);
    document.adoptedStyleSheets = [style];
    const line = document.createElement("span");
    line.textContent = "The order is paid, 482500007436";
    line.style.cssText = "position: absolute; white-space: nowrap; font-size: 16px;";
    document.body.append(line);
    const { width } = line.getBoundingClientRect();
    line.remove();
    return width;
  }, { name, faces });
}
