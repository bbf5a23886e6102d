import { createHash } from "node:crypto";

/**
 * The longest branch part of a name. AWS Lambda has the shortest limit, 64 characters, and `payment3-<kebab>-` takes up
 * to 32 of them.
 */
export const MAX_BRANCH_LENGTH = 32;

/** Hex digits of the digest that keeps changed names distinct. */
const DIGEST_LENGTH = 8;

/** The end of a name that has a digest. */
const DIGEST_SUFFIX = new RegExp(`-[0-9a-f]{${DIGEST_LENGTH}}$`);

/** The beginnings of other stacks' names: `payment3-edge-<branch>` and `payment3-github-<environment>`. */
const OTHER_STACKS = /^(edge|github)-/;

/** The branch that one stack serves. */
export interface Branch {
  /** The branch part of every resource name: `[a-z0-9-]`, at most {@link MAX_BRANCH_LENGTH} characters. */
  readonly name: string;
  /** Whether this is production: its data outlives the stack. */
  readonly isMaster: boolean;
}

/** The branch of the given git name. `master` is the production branch; without it, the given branch is production. */
export function branchOf(gitName: string, master?: Branch): Branch {
  const name = resourceNamePart(gitName);
  return { name, isMaster: master === undefined || name === master.name };
}

/**
 * A git branch's name as a part of resource names. A valid name stays as it is. Any other is made lower-case, gets one
 * hyphen for every run of other characters, is cut to the limit, and ends in a digest of the git name: `feature/a` and
 * `feature-a` never share a resource. A name that looks as if it ended in a digest also gets one. Otherwise it could
 * equal another branch's changed name. So does a name that would make the stack's name that of an edge or a role stack.
 */
function resourceNamePart(gitName: string): string {
  const cleaned = gitName
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  if (cleaned === gitName && cleaned.length <= MAX_BRANCH_LENGTH && !DIGEST_SUFFIX.test(cleaned) && !OTHER_STACKS.test(cleaned)) {
    return cleaned;
  }
  const digest = createHash("sha256").update(gitName).digest("hex").slice(0, DIGEST_LENGTH);
  const stem = cleaned.slice(0, MAX_BRANCH_LENGTH - DIGEST_LENGTH - 1).replace(/-$/, "");
  return `${stem || "branch"}-${digest}`;
}
