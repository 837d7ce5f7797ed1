//! Numbers in the README: a ratio such as `1.8x` cites the stored result that it comes from, on its line or the next.

use super::Violation;
use super::tree::Tree;

const README: &str = "README.md";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(readme) = tree.file(README) else { return Vec::new() };
    let lines: Vec<&str> = readme.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let cited = lines[at..].iter().take(2).flat_map(|line| cited(line));
        let stored = cited.into_iter().any(|path| tree.file(path).is_some());
        if let Some(ratio) = ratio(line).filter(|_| !stored) {
            let message = format!(
                "`{ratio}` cites no stored result; name the file under results/ on this line or the next"
            );
            found.push(Violation::at(readme, at + 1, message));
        }
    }
    found
}

/// The first number that is followed by a multiplication sign, and not by what it is multiplied with.
fn ratio(line: &str) -> Option<&str> {
    line.match_indices(['x', '×']).find_map(|(at, sign)| {
        let (before, after) = (line[..at].trim_end(), &line[at + sign.len()..]);
        let start = before.trim_end_matches(|c: char| c.is_ascii_digit() || ".,".contains(c)).len();
        let is_number = before.ends_with(|c: char| c.is_ascii_digit());
        let in_word =
            before[..start].ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
        let product = after.trim_start().starts_with(|c: char| c.is_ascii_digit());
        (is_number && !in_word && !product).then(|| &line[start..at + sign.len()])
    })
}

/// The paths under `results/` in this line.
fn cited(line: &str) -> Vec<&str> {
    let path = |(at, _): (usize, &str)| {
        let rest = &line[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && !"/._-".contains(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches('.')
    };
    line.match_indices("results/").map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(ratio(line), expected, "{line}");
    }

    #[test]
    fn ratios_are_numbers_times_something_unnamed() {
        check("reads are 1.8x faster", Some("1.8x"));
        check("**2.3 ×** moka", Some("2.3 ×"));
        check("1.6–2.2x", Some("2.2x"));
        check("| 4x |", Some("4x"));
        check("a 64 × 1024 table, 0x12, x86, v2x1, 3 boxes", None);
    }

    #[test]
    fn results_are_cited_by_path() {
        assert_eq!(
            cited("see [it](results/a-b.md), and `results/c/d.txt`."),
            ["results/a-b.md", "results/c/d.txt"]
        );
    }
}
