//! All documents: their links lead somewhere, their lines are short, and their lists are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use payment3_harness::workspace;
use regex_lite::Regex;

/// How many characters a line of prose may have. Rows of tables and commands may be longer.
const LINE: usize = 120;

/// The README and everything in docs/, and what is written for people elsewhere.
fn documents() -> Vec<PathBuf> {
    let root = workspace::root();
    let mut found = vec![root.join("README.md"), root.join("tests/fuzz/README.md")];
    found.extend(in_docs("md"));
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The files of docs/ with this ending.
fn in_docs(ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(workspace::root().join("docs")).expect("docs/");
    let files = files.map(|file| file.expect("a file").path());
    let mut found: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|found| found == ending))
        .collect();
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The lines outside of fenced blocks and of what a program computes, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut computed = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if line.starts_with("<!-- computed") || line.starts_with("<!-- end") {
            computed = line.starts_with("<!-- computed");
        } else if !fenced && !computed {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// The anchors that GitHub gives to the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Where the links and pictures of a text lead.
fn links(text: &str) -> Vec<String> {
    let link = Regex::new(r#"(?:\]\(|<img src=")([^)"\s]+)[)"]"#).expect("a pattern");
    let lines: Vec<_> = prose(text).into_iter().map(|(_, line)| line).collect();
    let text = lines.join("\n");
    link.captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

/// What is wrong with the links of a document that stay in the repository.
fn broken_links(file: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for link in links(text) {
        if link.contains("://") {
            continue;
        }
        let (path, wanted) = link.split_once('#').unwrap_or((&link, ""));
        let (there, anchors) = match path {
            "" => (true, anchors(text)),
            path => {
                let target = file.parent().expect("a directory").join(path);
                let text = fs::read_to_string(&target).unwrap_or_default();
                (target.exists(), anchors(&text))
            }
        };
        let there = there && (wanted.is_empty() || anchors.contains(wanted));
        if !there {
            broken.push(format!("{}: {link}", workspace::shown(file)));
        }
    }
    broken
}

/// The files and directories of the repository that a text names in code.
fn named(text: &str) -> Vec<String> {
    const TOP: &str = r"activities|cdk|docs|statemachine|tests|\.github";
    let path = Regex::new(&format!(r"`((?:{TOP})/[A-Za-z0-9_./-]*)`")).expect("a pattern");
    let lines: Vec<_> = prose(text).into_iter().map(|(_, line)| line).collect();
    let text = lines.join("\n");
    let found = path.captures_iter(&text);
    found.map(|found| found[1].to_owned()).collect()
}

/// What is wrong with the numbers of the decisions.
fn misnumbered(text: &str) -> Vec<String> {
    let heading = Regex::new(r"(?m)^## (.*)$").expect("a pattern");
    let row = Regex::new(r"(?m)^\| \[(D-\d+)\]\(#(\S*)\) \| \d{4}-\d\d-\d\d \| (.*) \|$")
        .expect("a pattern");
    let headings: Vec<_> = heading
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect();
    let rows: Vec<_> = row
        .captures_iter(text)
        .map(|found| {
            let title = format!("{} {}", &found[1], &found[3]);
            let right = anchor(&title) == found[2];
            if right {
                title
            } else {
                format!("{title}, which leads to #{}", &found[2])
            }
        })
        .collect();
    let mut wrong = Vec::new();
    for at in 0..headings.len().max(rows.len()) {
        let heading = headings.get(at).map_or("nothing", String::as_str);
        let row = rows.get(at).map_or("nothing", String::as_str);
        if heading != row {
            wrong.push(format!("the index says {row}, the text {heading}"));
        }
        if !heading.starts_with(&format!("D-{} ", at + 1)) {
            wrong.push(format!("D-{} is missing before {heading}", at + 1));
        }
    }
    wrong
}

/// The lines that are too long.
fn too_long(text: &str) -> Vec<usize> {
    let long = prose(text).into_iter().filter(|(_, line)| {
        let body = line.trim_start();
        let other = body.starts_with('|') || body.starts_with("<img") || body.starts_with("[![");
        !other && line.chars().count() > LINE
    });
    long.map(|(number, _)| number).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let broken: Vec<_> = documents()
        .iter()
        .flat_map(|file| broken_links(file, &read(file)))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_path_is_there() {
    let root = workspace::root();
    let mut paths = 0;
    for file in documents() {
        for path in named(&read(&file)) {
            paths += 1;
            let there = root.join(&path).exists();
            assert!(there, "{} names {path}", workspace::shown(&file));
        }
    }
    assert!(paths > 20, "{paths}");
}

#[test]
fn every_document_is_in_the_list() {
    let list = workspace::root().join("docs/README.md");
    let listed: BTreeSet<_> = links(&read(&list)).into_iter().collect();
    for file in [in_docs("md"), in_docs("yaml")].concat() {
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(
            file == list || listed.contains(name.as_ref()),
            "docs/README.md does not list {name}"
        );
    }
}

#[test]
fn no_line_of_prose_is_too_long() {
    let long: Vec<_> = documents()
        .iter()
        .flat_map(|file| {
            let lines = too_long(&read(file)).into_iter();
            lines.map(|line| format!("{}:{line}", workspace::shown(file)))
        })
        .collect();
    assert!(long.is_empty(), "over {LINE} characters: {long:#?}");
}

#[test]
fn the_decisions_are_numbered_and_indexed() {
    let text = read(&workspace::root().join("docs/decisions.md"));
    assert!(text.contains("\n## D-1 "));
    let wrong = misnumbered(&text);
    assert!(wrong.is_empty(), "docs/decisions.md: {wrong:#?}");
}

#[test]
fn what_is_wrong_is_found() {
    let file = workspace::root().join("docs/README.md");
    let text = "# One\n\n[a](README.md#documents) [b](#one) [c](#two) [d](none.md)\n\n```sh\n[e](none.md)\n```\n\n<img src=\"f.png\">\n";
    let broken = broken_links(&file, text);
    assert_eq!(
        broken,
        ["#two", "none.md", "f.png"].map(|link| format!("docs/README.md: {link}"))
    );
    let names = "`tests/x/`, `cargo local`, `cdk/lib/y.ts`\n```\n`tests/z/`\n```\n";
    assert_eq!(named(names), ["tests/x/", "cdk/lib/y.ts"]);
    let long = format!(
        "{0}\n| {0} |\n```\n{0}\n```\n{1}\n",
        "x".repeat(121),
        "é".repeat(120)
    );
    assert_eq!(too_long(&long), [1]);
    let row = |number: u32, title: &str, target: &str| {
        format!("| [D-{number}](#{target}) | 2026-11-22 | {title} |\n")
    };
    let right = row(1, "One's `x`", "d-1-ones-x") + "\n## D-1 One's `x`\n";
    assert!(misnumbered(&right).is_empty());
    for wrong in [
        row(1, "One", "d-1-two") + "## D-1 One\n",
        row(1, "One", "d-1-one") + "## D-1 Two\n",
        row(2, "One", "d-2-one") + "## D-2 One\n",
        row(1, "One", "d-1-one") + "## D-1 One\n## D-2 Two\n",
        row(1, "One", "d-1-one") + &row(3, "Two", "d-3-two") + "## D-1 One\n## D-3 Two\n",
    ] {
        assert!(!misnumbered(&wrong).is_empty(), "{wrong}");
    }
}
