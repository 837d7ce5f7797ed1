//! Markdown, as far as the tasks read it: links, the anchors that headings make, and fenced blocks of code.
//!
//! Code, fenced or in backticks, holds no links. Anchors follow GitHub's way of writing them.

use std::ops::RangeInclusive;

/// A link's line, counted from 1, and its target as written, without a title.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// Fenced code.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Its lines with both fences, counted from 1.
    pub(crate) lines: RangeInclusive<usize>,
    /// What stands behind the opening fence.
    pub(crate) language: &'a str,
    /// What stands between the fences, each line with its end.
    pub(crate) text: String,
    /// Whether there is a closing fence; without one, the block goes on to the end.
    pub(crate) closed: bool,
}

/// Every fenced block, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((first, line)) = lines.next() {
        let Some((fence, language)) = fence(line) else { continue };
        let mut block = Block { lines: first..=first, language, text: String::new(), closed: false };
        for (last, line) in lines.by_ref() {
            block.lines = first..=last;
            block.closed = line.trim() == fence;
            if block.closed {
                break;
            }
            block.text.extend([line, "\n"]);
        }
        blocks.push(block);
    }
    blocks
}

/// The fence that the line begins with, and what stands behind it.
fn fence(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let mark = line.chars().next().filter(|c| "`~".contains(*c))?;
    let language = line.trim_start_matches(mark);
    let fence = &line[..line.len() - language.len()];
    (fence.len() >= 3).then(|| (fence, language.trim()))
}

/// Every link: `[…](target)`, `[…]: target`, and `href` or `src` of embedded HTML.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        let defined = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let defined = defined.map(|(_, target)| target);
        let inline = ["](", "href=\"", "src=\""].into_iter().flat_map(|mark| after_each(&prose, mark));
        for rest in inline.chain(defined) {
            found.push(Link { line, target: target(rest) });
        }
    }
    found
}

/// The anchors of the headings, and of `id` and `name` attributes.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in unfenced(text) {
        for rest in ["id=\"", "name=\""].into_iter().flat_map(|mark| after_each(line, mark)) {
            anchors.extend(rest.split('"').next().map(str::to_owned));
        }
        let title = line.trim_start_matches('#');
        if title.len() < line.len() && title.starts_with(' ') {
            let anchor = anchor(title.trim());
            let same = |other: &&String| {
                other.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-') == anchor
            };
            let repeated = anchors.iter().filter(same).count();
            anchors.push(if repeated == 0 { anchor } else { format!("{anchor}-{repeated}") });
        }
    }
    anchors
}

/// A heading's anchor: lower case, spaces to hyphens, no punctuation, the text of links only.
fn anchor(title: &str) -> String {
    let mut plain = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        plain += before;
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain += rest;
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    plain.chars().filter(kept).flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines outside fenced code, with what stands in backticks blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    unfenced(text).map(|(line, text)| {
        let parts = text.split('`').enumerate();
        (line, parts.map(|(at, part)| if at % 2 == 0 { part } else { "code" }).collect())
    })
}

fn unfenced(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let blocks = blocks(text);
    (1..).zip(text.lines()).filter(move |(line, _)| !blocks.iter().any(|block| block.lines.contains(line)))
}

fn after_each<'a>(line: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(mark).map(move |(at, _)| &line[at + mark.len()..])
}

/// The target at the start of this text: up to a space, a quote or the parenthesis that closes the link.
fn target(rest: &str) -> String {
    let mut depth = 0;
    let ends = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0 || c.is_whitespace() || c == '"' || c == '>'
    };
    let rest = rest.trim_start_matches('<');
    let end = rest.find(ends).unwrap_or(rest.len());
    rest[..end].replace("%20", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "[a](b.md \"title\") ![i](<c.png>) `[no](x.md)` [`t`](f_(1).md)\n```\n[no](y.md)\n```\n[r]: z.md#top\n<img src=\"w.svg\">\n";
        let found: Vec<_> = links(text).into_iter().map(|link| (link.line, link.target)).collect();
        let expected = [(1, "b.md"), (1, "c.png"), (1, "f_(1).md"), (5, "z.md#top"), (6, "w.svg")];
        assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn headings_make_anchors_as_on_github() {
        let text = "# Über `get_or_load`, twice!\n## A & B\n```\n# no\n```\n## A & B\n### [Link](x.md) there\n<a id=\"here\"></a>\n";
        assert_eq!(anchors(text), ["über-get_or_load-twice", "a--b", "a--b-1", "link-there", "here"]);
    }

    #[test]
    fn blocks_end_with_the_fence_they_began_with() {
        let text = "a\n```sh\nb\n\n```\n~~~~\n```\n~~~~\n  ``` rust,ignore\nc\n";
        let found: Vec<_> =
            blocks(text).into_iter().map(|it| (it.lines, it.language, it.text, it.closed)).collect();
        let expected =
            [(2..=5, "sh", "b\n\n", true), (6..=8, "", "```\n", true), (9..=10, "rust,ignore", "c\n", false)];
        assert_eq!(found, expected.map(|(lines, of, text, closed)| (lines, of, text.to_owned(), closed)));
    }
}
