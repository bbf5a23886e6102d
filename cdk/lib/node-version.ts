/** When the makers of the CDK end their support of a version of Node.js (CDK developer guide, "Supported Node.js versions"). */
const SUPPORT_ENDS: Readonly<Record<string, string>> = { 20: "2026-10-30", 22: "2027-10-30", 24: "2028-10-30" };
/** The version to take. */
const NEWEST = 24;

/** What to say about a version of Node.js that the CDK's makers do not support on a day (`2026-11-30`). */
export function nodeProblem(version: string, today: string): string | undefined {
  const major = Number.parseInt(version, 10);
  const end = SUPPORT_ENDS[major];
  if (major > NEWEST || (end !== undefined && today <= end)) {
    return undefined;
  }
  return `the AWS CDK does not support Node.js ${major}${end === undefined ? "" : ` since ${end}`}: use Node.js ${NEWEST}`;
}
