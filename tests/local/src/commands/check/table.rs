//! What was checked, and how it is printed.

use std::fmt::Write;

/// How far long words of a line are cut into rows of the table.
const WIDTH: usize = 110;

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it must be.
    Ok,
    /// It is not; with the mend: a command, or a place in the documents.
    Fails(String),
    /// Nobody can tell from here; the line says why.
    Unseen,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// What was checked.
    pub(super) what: String,
    /// How it ended.
    pub(super) verdict: Verdict,
    /// What was seen, or what is wrong.
    pub(super) says: String,
}

impl Line {
    /// A check that passed.
    pub(super) fn ok(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self::of(what, Verdict::Ok, says)
    }

    /// A check that failed.
    pub(super) fn fails(
        what: impl Into<String>,
        says: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::of(what, Verdict::Fails(mend.into()), says)
    }

    /// A check that nobody can make from here.
    pub(super) fn unseen(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self::of(what, Verdict::Unseen, says)
    }

    fn of(what: impl Into<String>, verdict: Verdict, says: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict,
            says: says.into(),
        }
    }

    /// Whether it failed.
    pub(super) fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fails(_))
    }
}

/// The table, and below it how many lines ended how.
pub(super) fn table(lines: &[Line]) -> String {
    let what = lines.iter().map(|line| line.what.chars().count()).max();
    let what = what.unwrap_or_default();
    let mut text = String::new();
    let mut row = |word: &str, name: &str, says: &str| {
        for (number, part) in wrapped(says).iter().enumerate() {
            let (word, name) = if number == 0 { (word, name) } else { ("", "") };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{word:6} {name:what$}  {part}");
        }
    };
    for line in lines {
        let word = match line.verdict {
            Verdict::Ok => "ok",
            Verdict::Fails(_) => "FAILS",
            Verdict::Unseen => "unseen",
        };
        row(word, &line.what, &line.says);
        if let Verdict::Fails(mend) = &line.verdict {
            row("", "", &format!("mend: {mend}"));
        }
    }
    let unseen = lines.iter().filter(|line| line.verdict == Verdict::Unseen);
    let (unseen, failed) = (unseen.count(), failures(lines));
    let ok = lines.len() - unseen - failed;
    let _ = write!(text, "\n{ok} ok, {failed} failed, {unseen} unseen");
    text
}

/// How many lines failed.
pub(super) fn failures(lines: &[Line]) -> usize {
    lines.iter().filter(|line| line.failed()).count()
}

/// The text in rows, broken between words. A command in backticks stays in one row: it is copied.
fn wrapped(text: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut open = false;
    for word in text.split(' ') {
        let row = rows.last_mut().expect("never empty");
        let fits = row.chars().count() + word.chars().count() < WIDTH;
        if row.is_empty() || fits || open {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        } else {
            rows.push(word.to_owned());
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fails_has_its_mend_below_it() {
        let lines = [
            Line::ok("TLS", "the certificate is valid"),
            Line::fails("secret x", "it has no value", "put it: `aws x y`"),
            Line::unseen("function f", "nobody may call it"),
        ];
        assert_eq!(
            table(&lines),
            "ok     TLS         the certificate is valid\n\
             FAILS  secret x    it has no value\n                   \
             mend: put it: `aws x y`\n\
             unseen function f  nobody may call it\n\n\
             1 ok, 1 failed, 1 unseen"
        );
        assert_eq!(failures(&lines), 1);
    }

    #[test]
    fn long_texts_are_broken_between_words_and_never_in_a_command() {
        let command = format!("`{}`", "word ".repeat(40).trim());
        let rows = wrapped(&format!("{} {command} {}", "a ".repeat(60), "b".repeat(20)));
        assert!(rows.iter().any(|row| row.contains(&command)), "{rows:?}");
        assert!(rows.len() >= 3, "{rows:?}");
        assert!(rows[0].chars().count() <= WIDTH, "{rows:?}");
    }
}
