//! docs/runbook.md: its commands, by section and purpose, and what it promises. All of both is done by the tests beside
//! this file, which say so by quoting it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io::Write;

use payment3_harness::workspace;
use regex_lite::Regex;

/// Ends a sentence that promises something. Nobody who reads the page sees it.
const MARK: &str = "<!-- promise -->";

/// Words of sentences that say what happens when nobody does anything: those promise.
const PROMISING: [&str; 6] = [
    "by itself",
    "by themselves",
    "at the latest",
    "othing is lost",
    "o money is lost",
    "is safe",
];

/// One fenced block of commands.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The section's heading.
    pub(crate) section: String,
    /// The word behind `sh` on the fence, such as `see` or `repair`.
    pub(crate) purpose: String,
    /// The commands.
    pub(crate) script: String,
}

/// The page, read.
#[derive(Debug, Default)]
struct Document {
    blocks: Vec<Block>,
    /// Paragraphs, list items and rows of tables, each as one line.
    texts: Vec<String>,
}

/// The one block of a section for a purpose.
pub(crate) fn block(section: &str, purpose: &str) -> String {
    let found: Vec<_> = document()
        .blocks
        .into_iter()
        .filter(|block| block.section == section && block.purpose == purpose)
        .collect();
    assert_eq!(found.len(), 1, "docs/runbook.md, {section}: `sh {purpose}`");
    found[0].script.clone()
}

/// Says that the test which calls this does what these sentences promise.
pub(crate) fn promised(sentences: &[&str]) {
    let promises = document().promises();
    for sentence in sentences {
        assert!(
            promises.iter().any(|promise| promise == sentence),
            "docs/runbook.md does not promise: {sentence}"
        );
    }
}

fn document() -> Document {
    let text =
        fs::read_to_string(workspace::root().join("docs/runbook.md")).expect("docs/runbook.md");
    Document::parse(&text)
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut section = String::new();
        let mut open: Option<(usize, Block)> = None;
        let mut new = true;
        for line in text.lines() {
            let body = line.trim_start();
            let indent = line.len() - body.len();
            match &mut open {
                Some((_, block)) if body == "```" => {
                    document.blocks.push(block.clone());
                    open = None;
                }
                // A block inside a list is indented with it.
                Some((start, block)) => {
                    block.script.push_str(line.get(*start..).unwrap_or(""));
                    block.script.push('\n');
                }
                None => {
                    if let Some(heading) = line.strip_prefix('#') {
                        heading
                            .trim_start_matches('#')
                            .trim()
                            .clone_into(&mut section);
                        new = true;
                    } else if let Some(purpose) = body.strip_prefix("```sh") {
                        let block = Block {
                            section: section.clone(),
                            purpose: purpose.trim().to_owned(),
                            script: String::new(),
                        };
                        open = Some((indent, block));
                        new = true;
                    } else {
                        assert!(!body.starts_with("```"), "another kind of fence: {line}");
                        let item = body.starts_with("* ") || body.starts_with("| ");
                        if body.is_empty() || new || item {
                            document.texts.push(String::new());
                        }
                        new = body.is_empty();
                        let last = document.texts.last_mut().expect("pushed");
                        last.push(' ');
                        last.push_str(body.strip_prefix("* ").unwrap_or(body));
                    }
                }
            }
        }
        assert!(open.is_none(), "a fence is left open");
        document
    }

    /// Every sentence, and whether it promises. One that goes on behind a promise begins there.
    fn sentences(&self) -> Vec<(String, bool)> {
        let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").expect("a pattern");
        let end = Regex::new(r"[.?!]\)?(?: |$)").expect("a pattern");
        let mut sentences = Vec::new();
        for text in &self.texts {
            let text = link.replace_all(text, "$1").replace("**", "");
            let mut parts = text.split(MARK).peekable();
            while let Some(part) = parts.next() {
                let promises = parts.peek().is_some();
                let part = part.trim();
                let mut start = 0;
                for found in end.find_iter(part) {
                    let last = found.end() == part.len();
                    sentences.push((part[start..found.end()].trim().to_owned(), last && promises));
                    start = found.end();
                }
                if start < part.len() {
                    sentences.push((part[start..].trim().to_owned(), promises));
                }
            }
        }
        sentences
    }

    fn promises(&self) -> Vec<String> {
        let sentences = self.sentences().into_iter();
        sentences
            .filter(|(_, promises)| *promises)
            .map(|(sentence, _)| sentence)
            .collect()
    }
}

/// The sources of these tests.
fn sources() -> String {
    let directory = workspace::root().join("tests/e2e/tests/runbook");
    let files = fs::read_dir(directory)
        .expect("the tests")
        .map(|file| file.expect("a file").path());
    let sources = files.filter(|file| !file.ends_with("document.rs"));
    sources
        .map(|file| fs::read_to_string(file).expect("a source"))
        .collect()
}

/// What the tests quote: the string literals in the calls of `promised`.
fn quoted(sources: &str) -> Vec<String> {
    let calls = Regex::new(r#"promised\(&\[([^\]]*)\]\)"#).expect("a pattern");
    let literals = Regex::new(r#""((?:[^"\\]|\\.|\\\n)*)""#).expect("a pattern");
    let next_line = Regex::new(r"\\\n\s*").expect("a pattern");
    let mut quoted = Vec::new();
    for call in calls.captures_iter(sources) {
        for literal in literals.captures_iter(&call[1]) {
            quoted.push(next_line.replace_all(&literal[1], "").replace("\\\"", "\""));
        }
    }
    quoted
}

/// What the tests run: section and purpose, in the calls of `run` and `block`.
fn run(sources: &str) -> BTreeSet<(String, String)> {
    let calls =
        Regex::new(r#"(?:run|block)\(\s*"([^"]*)",\s*"([^"]*)",?\s*\)"#).expect("a pattern");
    let calls = calls.captures_iter(sources);
    calls
        .map(|call| (call[1].to_owned(), call[2].to_owned()))
        .collect()
}

/// Compares what is to be tested with what is, and prints both numbers, also of a test that passes.
fn assert_all_tested<T: Ord + Debug>(what: &str, there: &BTreeSet<T>, tested: &BTreeSet<T>) {
    let _ = writeln!(
        std::io::stdout(),
        "docs/runbook.md: {} {what}, {} of them tested",
        there.len(),
        there.intersection(tested).count()
    );
    let untested: Vec<_> = there.difference(tested).collect();
    assert!(
        untested.is_empty(),
        "{what} that no test does: {untested:#?}"
    );
    let unknown: Vec<_> = tested.difference(there).collect();
    assert!(
        unknown.is_empty(),
        "{what} that are not in docs/runbook.md: {unknown:#?}"
    );
}

#[test]
fn every_promise_is_tested() {
    let promises = document().promises();
    let all: BTreeSet<_> = promises.iter().cloned().collect();
    assert_eq!(
        all.len(),
        promises.len(),
        "a promise stands twice: {promises:#?}"
    );
    let quoted = quoted(&sources()).into_iter().collect();
    assert_all_tested("promises", &all, &quoted);
}

#[test]
fn every_command_is_run() {
    let there = document().blocks.into_iter();
    let there = there
        // What the local AWS does not have.
        .filter(|block| block.purpose != "aws-only")
        .map(|block| (block.section, block.purpose))
        .collect();
    assert_all_tested("blocks of commands", &there, &run(&sources()));
}

#[test]
fn every_sentence_that_sounds_like_a_promise_is_one() {
    for (sentence, promises) in document().sentences() {
        let sounds = PROMISING.iter().any(|words| sentence.contains(words));
        assert!(promises || !sounds, "not marked: {sentence}");
    }
}

#[test]
fn every_block_says_what_it_is_for() {
    let known = [
        "setup",
        "payment",
        "payment-log",
        "execution",
        "aws-only",
        "restart",
        "reconcile",
        "reverse",
        "refund",
        "refund-execution",
        "ledger",
        "stop",
        "release",
        "finance",
        "open",
        "took-effect",
        "no-effect",
        "look",
        "see",
        "repair",
        "close",
        "check",
        "resend",
        "rotate",
    ];
    let blocks = document().blocks;
    assert!(blocks.len() > 40, "{}", blocks.len());
    for block in blocks {
        assert!(known.contains(&block.purpose.as_str()), "{block:?}");
        assert!(!block.script.trim().is_empty(), "{block:?}");
    }
}

#[test]
fn a_block_in_a_list_loses_its_indentation() {
    let blocks = Document::parse("## one\n* text\n\n  ```sh see\n  a \\\n    b\n  ```\n").blocks;
    assert_eq!(blocks.len(), 1);
    assert_eq!(
        (blocks[0].section.as_str(), blocks[0].purpose.as_str()),
        ("one", "see")
    );
    assert_eq!(blocks[0].script, "a \\\n  b\n");
}

#[test]
fn a_promise_begins_where_the_sentence_before_it_ends() {
    let text = format!(
        "One. **Two.** Three `a.b`\nand [four](#x). {MARK} Five; {MARK} six.\n\n* seven: {MARK}\n* Eight.\n"
    );
    let document = Document::parse(&text);
    assert_eq!(
        document.promises(),
        ["Three `a.b` and four.", "Five;", "seven:"]
    );
    assert_eq!(document.sentences().len(), 7);
    let source = format!(
        "{}(&[\n \"Three \\\n   four.\", \"say \\\"five\\\"\",\n])",
        "promised"
    );
    assert_eq!(quoted(&source), ["Three four.", "say \"five\""]);
}
