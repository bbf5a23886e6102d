//! Builds the Lambda functions, and arranges them in the layout that the CDK app expects.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use payment3_harness::workspace;
use serde::Deserialize;

use crate::process::Tool;
use crate::progress;

/// The package whose binaries are the functions.
const PACKAGE: &str = "payment3-activities";

/// Builds the functions and stages each as `<function>/bootstrap` under [`workspace::functions_dir`].
///
/// # Errors
/// The build fails, or a file cannot be written.
pub async fn build(logs: &Path) -> Result<()> {
    let root = workspace::root();
    build_copy(
        &root,
        &root.join("target"),
        &workspace::functions_dir(),
        logs,
    )
    .await
}

/// Builds the functions in release mode, as they are shipped, and stages them under [`workspace::shipped_dir`].
///
/// # Errors
/// As [`build`].
pub async fn build_shipped(logs: &Path) -> Result<()> {
    progress::step("Lambda functions, as they are shipped", async {
        let command = Tool::cargo().args(["build", "--release", "--package", PACKAGE, "--bins"]);
        let manifest = workspace::root().join("activities/Cargo.toml");
        let built = binaries(command, &manifest, &logs.join("build-release.log")).await?;
        stage(&built, &workspace::shipped_dir())
    })
    .await
}

/// Like [`build`], but for a copy of the sources at `root`, with its own target and staging directories.
///
/// # Errors
/// As [`build`].
pub async fn build_copy(root: &Path, target: &Path, staged: &Path, logs: &Path) -> Result<()> {
    progress::step("Lambda functions", async {
        let built = compile(root, target, logs).await?;
        if built.is_empty() {
            bail!("the package {PACKAGE} has no binaries: activities/src/bin is empty");
        }
        stage(&built, staged)
    })
    .await
}

/// Compiles the functions. Returns the executables by function name.
async fn compile(root: &Path, target: &Path, logs: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let selection: &[&str] = match root == workspace::root() {
        // The same selection as for the unit tests and this tool, so that nothing is compiled twice.
        true => &workspace::TOGETHER,
        false => &["--package", PACKAGE],
    };
    let command = Tool::cargo()
        .current_dir(root)
        .args(["build", "--bins"])
        .args(selection)
        .args(["--target-dir".as_ref(), target.as_os_str()]);
    let manifest = root.join("activities/Cargo.toml");
    binaries(command, &manifest, &logs.join("build.log")).await
}

/// Runs a `cargo build`, and returns the binaries of the package with this manifest.
///
/// # Errors
/// The build fails.
pub async fn binaries(
    build: Tool,
    manifest: &Path,
    log: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let messages = build
        .args(["--message-format", "json-render-diagnostics"])
        .captured(log)
        .await?;
    executables(manifest, &messages)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Finds a package's binaries in cargo's messages.
fn executables(manifest: &Path, messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message =
            serde_json::from_str(line).context("cargo's build messages are not as expected")?;
        let (Some(executable), Some(target)) = (message.executable, message.target) else {
            continue;
        };
        if message.reason == "compiler-artifact"
            && message.manifest_path.as_deref() == Some(manifest)
            && target.kind.iter().any(|kind| kind == "bin")
        {
            found.insert(target.name, executable);
        }
    }
    Ok(found)
}

/// Copies the executables that changed, and removes those that are no longer built.
fn stage(built: &BTreeMap<String, PathBuf>, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", workspace::shown(directory)))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !built.contains_key(entry.file_name().to_string_lossy().as_ref()) {
            let leftover = entry.path();
            if leftover.is_dir() {
                fs::remove_dir_all(&leftover)
            } else {
                fs::remove_file(&leftover)
            }
            .with_context(|| format!("cannot remove {}", workspace::shown(&leftover)))?;
        }
    }
    for (name, executable) in built {
        let home = directory.join(name);
        let bootstrap = home.join("bootstrap");
        if same_content(executable, &bootstrap) {
            continue;
        }
        fs::create_dir_all(&home)?;
        // A copy and not a link: a later build must not change a file that a deployment is reading. The rename is
        // atomic: no reader sees a half-written file.
        let new = directory.join(format!(".{name}.new"));
        fs::copy(executable, &new)
            .and_then(|_| fs::rename(&new, &bootstrap))
            .with_context(|| format!("cannot write {}", workspace::shown(&bootstrap)))?;
    }
    Ok(())
}

fn same_content(one: &Path, other: &Path) -> bool {
    compare(one, other).unwrap_or(false)
}

fn compare(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (mut one, mut other) = (fs::File::open(one)?, fs::File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command that builds the functions for AWS.
    const LAMBDA_BUILD: &str = concat!("cargo lambda ", "build");

    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }

    #[derive(Deserialize)]
    struct Package {
        name: String,
        targets: Vec<Target>,
    }

    /// All programs of the workspace, by name, each with the packages that contain one of this name.
    async fn programs_of_the_workspace() -> BTreeMap<String, Vec<String>> {
        let log = std::env::temp_dir().join(format!("payment3-metadata-{}", std::process::id()));
        let printed = Tool::cargo()
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
            ])
            .captured(&log)
            .await
            .expect("cargo knows the workspace");
        let _ = fs::remove_file(log);
        let metadata: Metadata = serde_json::from_str(&printed).expect("cargo's metadata");
        let mut programs = BTreeMap::<String, Vec<String>>::new();
        for package in metadata.packages {
            for target in package.targets {
                if target.kind.iter().any(|kind| kind == "bin") {
                    programs
                        .entry(target.name)
                        .or_default()
                        .push(package.name.clone());
                }
            }
        }
        programs
    }

    #[tokio::test]
    async fn no_two_packages_of_the_workspace_have_a_program_of_the_same_name() {
        let mut programs = programs_of_the_workspace().await;
        assert!(programs.contains_key("callback"), "{programs:?}");
        // In a build of all packages, the program that is built last would replace the other.
        programs.retain(|_, packages| packages.len() > 1);
        assert_eq!(programs, BTreeMap::new());
    }

    /// Finds every text file that may contain a build command: documents, workflows, and the sources of the CDK app.
    fn texts(directory: &Path, found: &mut Vec<PathBuf>) {
        const READ: [&str; 8] = ["md", "rs", "ts", "yml", "yaml", "toml", "js", "txt"];
        const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", "cdk.out"];
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ending = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_ref()) {
                    texts(&path, found);
                }
            } else if ending.is_empty() || READ.contains(&ending.as_ref()) {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_command_that_builds_for_aws_names_the_package() {
        let mut files = Vec::new();
        texts(&workspace::root(), &mut files);
        let mut commands = 0;
        for file in files {
            // Not a text file.
            let Ok(text) = fs::read_to_string(&file) else {
                continue;
            };
            for line in text.lines().filter(|line| line.contains(LAMBDA_BUILD)) {
                commands += 1;
                let wanted = format!("--package {PACKAGE}");
                assert!(
                    line.contains(&wanted),
                    "{} has no {wanted}: {line}",
                    workspace::shown(&file)
                );
            }
        }
        // They are in docs/deploy.md, in the workflow, and in a message of the CDK app with its tests.
        assert!(commands >= 5, "only {commands} commands were found");
    }

    #[test]
    fn cargos_messages_give_the_binaries_of_the_functions_only() {
        let root = workspace::root();
        let shown = root.display();
        let messages = format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"{shown}/activities/Cargo.toml","target":{{"name":"callback","kind":["bin"]}},"executable":"/t/callback"}}
{{"reason":"compiler-artifact","manifest_path":"{shown}/tests/local/Cargo.toml","target":{{"name":"payment3-local","kind":["bin"]}},"executable":"/t/payment3-local"}}
{{"reason":"compiler-artifact","manifest_path":"{shown}/activities/Cargo.toml","target":{{"name":"payment3_activities","kind":["lib"]}},"executable":null}}
{{"reason":"build-finished","success":true}}"#
        );
        let found = executables(&root.join("activities/Cargo.toml"), &messages)
            .expect("well-formed messages");
        assert_eq!(
            found,
            BTreeMap::from([("callback".to_owned(), PathBuf::from("/t/callback"))])
        );
    }

    #[test]
    fn staging_rewrites_only_changed_files() {
        let home = std::env::temp_dir().join(format!("payment3-stage-{}", std::process::id()));
        let (source, staged) = (home.join("callback"), home.join("staged"));
        fs::create_dir_all(staged.join("gone")).expect("temporary directory");
        fs::write(&source, "one").expect("source");
        let built = BTreeMap::from([("callback".to_owned(), source.clone())]);
        stage(&built, &staged).expect("first staging");
        let bootstrap = staged.join("callback/bootstrap");
        let first = fs::metadata(&bootstrap)
            .expect("staged")
            .modified()
            .expect("time");
        assert!(!staged.join("gone").exists());

        stage(&built, &staged).expect("nothing to do");
        let second = fs::metadata(&bootstrap)
            .expect("staged")
            .modified()
            .expect("time");
        assert_eq!(first, second);

        fs::write(&source, "two").expect("source");
        stage(&built, &staged).expect("a change");
        assert_eq!(fs::read_to_string(&bootstrap).expect("staged"), "two");
        let _ = fs::remove_dir_all(home);
    }
}
