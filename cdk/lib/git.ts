import { execFileSync } from "node:child_process";

/** The checked-out branch of the repository that holds `directory`; undefined for a detached HEAD, or where git or the repository is missing. */
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
