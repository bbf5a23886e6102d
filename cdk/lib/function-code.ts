import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SymlinkFollowMode } from "aws-cdk-lib";
import { type AssetCode, Code } from "aws-cdk-lib/aws-lambda";
import { ConfigurationError } from "./configuration-error";
import type { FunctionName } from "./function-catalogue";
import type { ArchitectureName } from "./settings";

/** The end of the path that `cargo local` builds into. */
const LOCAL_ASSETS = join("target", "local", "lambda");

/** The largest version of glibc in AWS Lambda's `provided.al2023`: Amazon Linux 2023 keeps it. */
const GLIBC = [2, 34] as const;

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
  if (!assetsDirectory.endsWith(LOCAL_ASSETS)) {
    checkProgram(bootstrap, architecture);
  }
  // A build tool may have made a link, but the archive must hold the program itself.
  return Code.fromAsset(directory, { followSymlinks: SymlinkFollowMode.ALWAYS });
}

/** A program for another processor, or for a newer C library, would only fail on AWS when it is started. */
function checkProgram(file: string, architecture: ArchitectureName): void {
  const program = readFileSync(file);
  if (program.toString("latin1", 0, 4) !== "\x7fELF") {
    return;
  }
  if (program.readUInt16LE(18) !== MACHINES[architecture]) {
    throw new ConfigurationError(`${file} is not for ${architecture}: build it with \`${buildCommand("", architecture)}\`, or give the other -c architecture`);
  }
  // The names of the versions that a program needs stand in it as texts.
  const versions = [...program.toString("latin1").matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [Number(major), Number(minor)] as const);
  const tooNew = versions.filter(([major, minor]) => major > GLIBC[0] || (major === GLIBC[0] && minor > GLIBC[1]));
  if (tooNew.length > 0) {
    const needed = Math.max(...tooNew.map(([, minor]) => minor));
    throw new ConfigurationError(
      `${file} needs glibc ${tooNew[0]?.[0]}.${needed}, and AWS Lambda has ${GLIBC.join(".")}: build it with \`${buildCommand("", architecture)}\`, ` +
        "which links against an older one",
    );
  }
}

function buildCommand(assetsDirectory: string, architecture: ArchitectureName): string {
  if (assetsDirectory.endsWith(LOCAL_ASSETS)) {
    return "cargo local up";
  }
  // Names the package: the programs of other packages in the workspace are not functions.
  return `cargo lambda build --release --package payment3-activities${architecture === "arm64" ? " --arm64" : ""}`;
}
