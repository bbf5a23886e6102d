//! Checks dependencies: a crate only uses crates in lower layers, and the files of a crate have no dependency cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use payment3_harness::workspace;
use regex_lite::Regex;
use serde_json::Value;

/// The layers, from top to bottom. Crates of the same layer do not use each other.
const LAYERS: [&[&str]; 10] = [
    &["payment3-local"],
    &["payment3-e2e"],
    &["payment3-faults"],
    &["payment3-bench"],
    &["payment3-stack"],
    &["payment3-shop", "payment3-sim"],
    &["payment3-harness"],
    &["payment3-bank", "payment3-model", "payment3-fuzz"],
    &["payment3-activities"],
    &["payment3-noop"],
];
/// Dependencies that are allowed only in tests. The sandbox bank tests the product's client, and the product's tests
/// call the sandbox bank.
const ONLY_IN_TESTS: [(&str, &str); 1] = [("payment3-activities", "payment3-bank")];

fn layer(package: &str) -> usize {
    let place = LAYERS.iter().position(|layer| layer.contains(&package));
    place.unwrap_or_else(|| panic!("{package} is new: add it to a layer in {}", file!()))
}

#[test]
fn dependencies_between_crates_run_downwards() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let printed = std::process::Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(workspace::root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&printed.stdout).expect("cargo's metadata");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut used = 0;
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().expect("a name");
        for dependency in list(&package["dependencies"]) {
            let on = dependency["name"].as_str().expect("a name");
            if !on.starts_with("payment3-")
                || ONLY_IN_TESTS.contains(&(name, on)) && dependency["kind"] == "dev"
            {
                continue;
            }
            used += 1;
            assert!(
                layer(name) < layer(on),
                "{name} must not use {on}, which is in the same layer or a higher one"
            );
        }
    }
    assert!(used > 10, "{used}");
}

/// The sources of a crate's library, by module path, such as `["commands", "test"]`.
fn modules(source: &Path) -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![(source.to_path_buf(), Vec::new())];
    while let Some((directory, parents)) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let mut module: Vec<String> = parents.clone();
            if path.is_dir() {
                // Programs use the library; nothing uses them.
                if name != "bin" {
                    module.push(name);
                    directories.push((path, module));
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") && name != "main" {
                if !["lib", "mod"].contains(&name.as_str()) {
                    module.push(name);
                }
                found.insert(module, fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    found
}

/// The modules that a module's source uses, except in its unit tests.
fn uses(
    module: &[String],
    source: &str,
    all: &BTreeMap<Vec<String>, String>,
) -> BTreeSet<Vec<String>> {
    let path =
        Regex::new(r"\b(crate|self|super(?:::super)*)((?:::[A-Za-z0-9_]+)*)(?:::\{([^;]*?)\})?")
            .expect("a pattern");
    let name = Regex::new(r"[A-Za-z0-9_]+").expect("a pattern");
    let code: String = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let mut found = BTreeSet::new();
    for captures in path.captures_iter(&code) {
        // `pub(super)` says who sees something, and uses nothing.
        if captures[2].is_empty() && captures.get(3).is_none() {
            continue;
        }
        let ups = captures[1].matches("super").count();
        let base = match &captures[1] {
            "crate" => &[][..],
            "self" => module,
            _ => &module[..module.len().saturating_sub(ups)],
        };
        let mut stem = base.to_vec();
        stem.extend(
            captures[2]
                .split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned),
        );
        let tails = captures.get(3).map_or("", |group| group.as_str());
        let ends = name
            .find_iter(tails)
            .map(|end| vec![end.as_str().to_owned()]);
        for end in ends.chain([Vec::new()]) {
            let mut named = [stem.clone(), end].concat();
            while !all.contains_key(&named) && named.pop().is_some() {}
            // Using a re-export of the crate's root does not count as using the root.
            if named != module && !named.is_empty() {
                found.insert(named);
            }
        }
    }
    found
}

/// A cycle in the graph, if there is one.
fn cycle(graph: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    let mut left = graph.clone();
    loop {
        let ends: Vec<_> = left
            .iter()
            .filter(|(_, uses)| uses.iter().all(|used| !left.contains_key(used)))
            .map(|(module, _)| module.clone())
            .collect();
        if ends.is_empty() {
            break;
        }
        left.retain(|module, _| !ends.contains(module));
    }
    // Each remaining module is in a cycle or uses one.
    let mut module = left.keys().next()?.clone();
    let mut trail = Vec::new();
    while !trail.contains(&module) {
        let next = left[&module].iter().find(|used| left.contains_key(*used));
        trail.push(module);
        module = next.expect("it is left").clone();
    }
    let start = trail
        .iter()
        .position(|passed| *passed == module)
        .unwrap_or_default();
    Some(
        trail[start..]
            .iter()
            .map(|module| module.join("::"))
            .collect(),
    )
}

#[test]
fn the_files_of_a_library_have_no_cycle() {
    let root = workspace::root();
    let folders = fs::read_dir(root.join("tests")).expect("tests/");
    let folders = folders.map(|folder| folder.expect("a folder").path());
    let sources: Vec<PathBuf> = folders
        .chain([root.join("activities")])
        .map(|folder| folder.join("src"))
        .filter(|source| source.join("lib.rs").exists())
        .collect();
    assert!(sources.len() >= 9, "{sources:?}");
    for source in sources {
        let modules = modules(&source);
        let graph = modules
            .iter()
            .map(|(module, text)| (module.clone(), uses(module, text, &modules)))
            .collect();
        assert_eq!(cycle(&graph), None, "{}", workspace::shown(&source));
    }
}

#[test]
fn a_cycle_is_found() {
    let text = |text: &str| text.to_owned();
    let modules = BTreeMap::from([
        (vec![text("a")], text("use crate::b::B;")),
        (
            vec![text("b")],
            text("use crate::{c, d::D};\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}"),
        ),
        (vec![text("c")], text("// use crate::a;\nuse super::d;")),
        (vec![text("d")], text("fn d() {}")),
    ]);
    let graph = |modules: &BTreeMap<Vec<String>, String>| {
        let of =
            |(module, text): (&Vec<String>, &String)| (module.clone(), uses(module, text, modules));
        modules.iter().map(of).collect()
    };
    assert_eq!(cycle(&graph(&modules)), None);
    let mut closed = modules;
    closed.insert(vec![text("d")], text("fn d() { crate::a::a() }"));
    assert_eq!(
        cycle(&graph(&closed)),
        Some(["a", "b", "c", "d"].map(text).into())
    );
}
