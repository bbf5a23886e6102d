import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SymlinkFollowMode } from "aws-cdk-lib";
import { type AssetCode, Code } from "aws-cdk-lib/aws-lambda";
import { ConfigurationError } from "../settings/configuration-error";
import type { ArchitectureName } from "../settings/settings";
import type { FunctionName } from "./function-catalogue";

/** The part of a path below which `cargo local` builds everything, its broken copies of the functions as well. */
const LOCAL = join("target", "local", "/");

/** AWS Lambda's `provided.al2023` has glibc 2.34: Amazon Linux 2023 keeps it. All versions since 1997 begin with 2. */
const GLIBC_MINOR = 34;

/** What the header of an ELF file says about its processor (`e_machine`). */
const MACHINES: Readonly<Record<ArchitectureName, number>> = { x86_64: 0x3e, arm64: 0xb7 };

/** The built code of a function: the directory `<assets>/<function>`, which holds `bootstrap`. */
export function functionCode(assetsDirectory: string, name: FunctionName, architecture: ArchitectureName): AssetCode {
  const directory = join(assetsDirectory, name);
  const bootstrap = join(directory, "bootstrap");
  if (!existsSync(bootstrap)) {
    throw new ConfigurationError(
      `${bootstrap} is missing: build the functions with \`${buildCommand(assetsDirectory, architecture)}\`, ` +
        "or name the directory that holds <function>/bootstrap with -c assets=<directory>",
    );
  }
  // What the local AWS runs is built for this machine.
  if (!assetsDirectory.includes(LOCAL)) {
    checkProgram(bootstrap, architecture);
  }
  // A build tool may have made a link, but the archive must hold the program itself.
  return Code.fromAsset(directory, { followSymlinks: SymlinkFollowMode.ALWAYS });
}

/** A program for another processor, or for a newer C library, would only fail on AWS when it is started. */
function checkProgram(file: string, architecture: ArchitectureName): void {
  const program = readFileSync(file).toString("latin1");
  if (!program.startsWith("\x7fELF")) {
    return;
  }
  const build = `build it with \`${buildCommand(file, architecture)}\``;
  if (program.charCodeAt(18) !== MACHINES[architecture]) {
    throw new ConfigurationError(`${file} is not for ${architecture}: ${build}, or give the other -c architecture`);
  }
  // The names of the versions that a program needs stand in it as texts.
  const minors = [...program.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  const needed = Math.max(0, ...minors);
  if (needed > GLIBC_MINOR) {
    throw new ConfigurationError(`${file} needs glibc 2.${needed}, and AWS Lambda has 2.${GLIBC_MINOR}: ${build}, which links against an older one`);
  }
}

function buildCommand(assetsDirectory: string, architecture: ArchitectureName): string {
  if (assetsDirectory.includes(LOCAL)) {
    return "cargo local up";
  }
  // Names the package: the programs of other packages in the workspace are not functions.
  return `cargo lambda build --release --package payment3-activities${architecture === "arm64" ? " --arm64" : ""}`;
}
