// Fonts that come with the tests, a narrow and a wide one: which ones a machine has must decide nothing.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { resolve } = createRequire(import.meta.url);

/** A family in the two weights that the pages use, each standing for those around it. */
function font(name) {
  const face = (weight, weights) => ({
    weights,
    bytes: readFileSync(resolve(`@fontsource/${name}/files/${name}-latin-${weight}-normal.woff2`)).toString("base64"),
  });
  return { name, faces: [face(400, "100 500"), face(700, "501 900")] };
}

export const NARROW_FONT = font("archivo-narrow");
/** Wider by far than DejaVu Sans and Verdana, which are the widest that systems come with. */
export const WIDE_FONT = font("lexend-zetta");

/**
 * Shows all of the page in a font, and returns how wide a line of text is in it. No page's policy is in the way: the font is handed
 * over as bytes, and the style by a script of the browser's own.
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
