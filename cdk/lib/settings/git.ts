import { execFileSync } from "node:child_process";

/** The checked-out branch of the repository of `directory`. Undefined for a detached HEAD, or without git. */
export function currentGitBranch(directory: string): string | undefined {
  try {
    const branch = execFileSync("git", ["branch", "--show-current"], {
      cwd: directory,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
    return branch === "" ? undefined : branch;
  } catch {
    return undefined;
  }
}
