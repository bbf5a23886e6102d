//! The commands in docs/runbook.md, by section and purpose.

use std::fs;

use payment3_local::workspace;

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

/// Every block of commands, in order.
pub(crate) fn blocks() -> Vec<Block> {
    let text =
        fs::read_to_string(workspace::root().join("docs/runbook.md")).expect("docs/runbook.md");
    parse(&text)
}

/// The one block of a section for a purpose.
pub(crate) fn block(section: &str, purpose: &str) -> String {
    let found: Vec<_> = blocks()
        .into_iter()
        .filter(|block| block.section == section && block.purpose == purpose)
        .collect();
    assert_eq!(found.len(), 1, "docs/runbook.md, {section}: `sh {purpose}`");
    found[0].script.clone()
}

fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut open: Option<(usize, Block)> = None;
    for line in text.lines() {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        match &mut open {
            Some((_, block)) if body == "```" => {
                blocks.push(block.clone());
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
                } else if let Some(purpose) = body.strip_prefix("```sh") {
                    let block = Block {
                        section: section.clone(),
                        purpose: purpose.trim().to_owned(),
                        script: String::new(),
                    };
                    open = Some((indent, block));
                } else {
                    assert!(!body.starts_with("```"), "another kind of fence: {line}");
                }
            }
        }
    }
    assert!(open.is_none(), "a fence is left open");
    blocks
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
        "see",
        "repair",
        "close",
        "check",
        "resend",
        "rotate",
    ];
    let blocks = blocks();
    assert!(blocks.len() > 40, "{}", blocks.len());
    for block in blocks {
        assert!(known.contains(&block.purpose.as_str()), "{block:?}");
        assert!(!block.script.trim().is_empty(), "{block:?}");
    }
}

#[test]
fn a_block_in_a_list_loses_its_indentation() {
    let blocks = parse("## one\n* text\n\n  ```sh see\n  a \\\n    b\n  ```\n");
    assert_eq!(blocks.len(), 1);
    assert_eq!(
        (blocks[0].section.as_str(), blocks[0].purpose.as_str()),
        ("one", "see")
    );
    assert_eq!(blocks[0].script, "a \\\n  b\n");
}
