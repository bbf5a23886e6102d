import { existsSync } from "node:fs";
import { join } from "node:path";
import { SymlinkFollowMode } from "aws-cdk-lib";
import { type AssetCode, Code } from "aws-cdk-lib/aws-lambda";
import { ConfigurationError } from "./configuration-error";
import type { FunctionName } from "./function-catalogue";
import type { ArchitectureName } from "./settings";

/** The end of the path that `cargo local` builds into. */
const LOCAL_ASSETS = join("target", "local", "lambda");

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
  // A build tool may have made a link, but the archive must hold the program itself.
  return Code.fromAsset(directory, { followSymlinks: SymlinkFollowMode.ALWAYS });
}

function buildCommand(assetsDirectory: string, architecture: ArchitectureName): string {
  if (assetsDirectory.endsWith(LOCAL_ASSETS)) {
    return "cargo local up";
  }
  // Names the package: the programs of other packages in the workspace are not functions.
  return `cargo lambda build --release --package payment3-activities${architecture === "arm64" ? " --arm64" : ""}`;
}
