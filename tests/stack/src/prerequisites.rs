//! Checks what the machine must provide: Node, npm, Python, and free ports. One error lists everything that is missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow, bail};
use payment3_harness::workspace;
use tokio::net::TcpListener;

/// The oldest Node that the CDK app supports.
const NODE_MAJOR: u32 = 20;
/// The oldest Python that the local AWS supports.
const PYTHON: (u32, u32) = (3, 11);
/// Possible names of a suitable Python, in the order in which they are tried.
const PYTHON_NAMES: [&str; 6] = [
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python",
];

/// Possible names of a suitable browser, in the order in which they are tried.
const CHROMIUM_NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];
/// The environment variable that names another browser.
const CHROMIUM_VARIABLE: &str = "PAYMENT3_CHROMIUM";

/// The programs that were found on the machine.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The Python that creates virtual environments.
    pub python: String,
}

/// Finds every program that is needed.
///
/// # Errors
/// A program is missing or too old. The error has a line for each of them, with what to do.
pub fn programs() -> Result<Programs> {
    let mut missing = Vec::new();
    check_node(&mut missing);
    let python = check_python(&mut missing);
    match python {
        Some(python) if missing.is_empty() => Ok(Programs { python }),
        _ => bail!("this machine lacks:\n{}", missing.join("\n")),
    }
}

/// Checks only Node and npm, for commands that need no Python.
///
/// # Errors
/// As [`programs`].
pub fn node() -> Result<()> {
    let mut missing = Vec::new();
    check_node(&mut missing);
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this machine lacks:\n{}", missing.join("\n"));
}

/// The absolute path of the browser for the browser tests.
///
/// # Errors
/// There is none. The error says what to do.
pub fn chromium() -> Result<String> {
    if let Ok(named) = std::env::var(CHROMIUM_VARIABLE)
        && !named.is_empty()
    {
        if version_of(&named).is_some() {
            return Ok(named);
        }
        bail!("{CHROMIUM_VARIABLE} is {named}, but `{named} --version` does not work");
    }
    CHROMIUM_NAMES
        .iter()
        .filter_map(|name| on_path(name))
        .find(|path| version_of(path).is_some())
        .ok_or_else(|| {
            anyhow!(
                "this machine lacks:\n  - Chromium, for the browser tests: none of {} is on the PATH. Install it \
                 (on Debian: `apt-get install chromium`), or set {CHROMIUM_VARIABLE} to its path.",
                CHROMIUM_NAMES.join(", ")
            )
        })
}

fn on_path(program: &str) -> Option<String> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
        .and_then(|path| path.to_str().map(str::to_owned))
}

fn check_node(missing: &mut Vec<String>) {
    match version_of("node") {
        None => missing.push(format!(
            "  - Node.js: `node` is not on the PATH. Install Node.js {NODE_MAJOR} or newer (nodejs.org, or your package manager)."
        )),
        Some(version) if version.0 < NODE_MAJOR => missing.push(format!(
            "  - Node.js: `node` is version {}.{}, but {NODE_MAJOR} or newer is needed. Install a newer one and put it first on the PATH.",
            version.0, version.1
        )),
        Some(_) => {}
    }
    if version_of("npm").is_none() {
        missing.push(
            "  - npm: `npm` is not on the PATH. It comes with Node.js; some distributions have a separate package (`npm`)."
                .to_owned(),
        );
    }
}

fn check_python(missing: &mut Vec<String>) -> Option<String> {
    let (major, minor) = PYTHON;
    let mut seen = Vec::new();
    for name in PYTHON_NAMES {
        let Some(version) = version_of(name) else {
            continue;
        };
        if version < PYTHON {
            seen.push(format!("`{name}` is {}.{}", version.0, version.1));
            continue;
        }
        // Debian and Ubuntu have a separate package for venv. Without ensurepip, a virtual environment has no pip.
        if succeeds(name, &["-c", "import venv, ensurepip"]) {
            return Some(name.to_owned());
        }
        seen.push(format!(
            "`{name}` has no venv module (on Debian and Ubuntu: install `{name}-venv`)"
        ));
    }
    let found = if seen.is_empty() {
        "none is on the PATH".to_owned()
    } else {
        seen.join(", ")
    };
    missing.push(format!(
        "  - Python {major}.{minor} or newer with the venv module: {found}. Install it; its packages are installed into {}.",
        workspace::shown(&workspace::venv_dir())
    ));
    None
}

/// The version that `program --version` prints, as major and minor number.
fn version_of(program: &str) -> Option<(u32, u32)> {
    let output = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[start..]
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A port that the environment listens on.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// What listens there, for messages.
    pub what: &'static str,
    /// The command line flag that changes the number.
    pub flag: &'static str,
    /// The number; 0 takes any free port.
    pub number: u16,
}

/// Listens on a port of the loopback interface.
///
/// # Errors
/// The port is in use, or not allowed. The error names its number and the flag that changes it.
pub async fn listen(port: Port) -> Result<TcpListener> {
    let Port { what, flag, number } = port;
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow!(
                "port {number} ({what}) is in use. Another `cargo local up` may be running: stop it, or choose another port with {flag}."
            ),
            _ => anyhow!("cannot listen on port {number} ({what}): {error}. Choose another port with {flag}."),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        assert_eq!(parse_version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(parse_version("11.19.1"), Some((11, 19)));
        assert_eq!(parse_version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(parse_version("Python"), None);
    }

    #[test]
    fn a_program_is_found_on_the_path_by_its_name() {
        assert!(on_path("sh").is_some_and(|path| path.ends_with("/sh")));
        assert_eq!(on_path("payment3-no-such-program"), None);
    }

    #[test]
    fn a_missing_program_has_no_version() {
        assert_eq!(version_of("payment3-no-such-program"), None);
    }

    #[tokio::test]
    async fn the_error_for_a_used_port_has_number_flag_and_likely_reason() {
        let port = Port {
            what: "sandbox bank",
            flag: "--bank-port",
            number: 0,
        };
        let taken = listen(port).await.expect("any free port");
        let number = taken.local_addr().expect("bound").port();
        let error = listen(Port { number, ..port })
            .await
            .expect_err("it is taken")
            .to_string();
        for part in [
            &number.to_string(),
            "sandbox bank",
            "--bank-port",
            "cargo local up",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
