//! Names: no word that says nothing in the name of a file, folder, module or type.
//!
//! Words are compared whole: `common.rs` and `StoreUtils` are caught, `uncommon.rs` is not.

use super::Violation;
use super::tokens::Token;
use super::tree::{File, Tree};

const BANNED: [&str; 10] =
    ["manager", "helper", "util", "utility", "common", "misc", "enhanced", "smart", "advanced", "impl2"];
const DECLARE: [&str; 6] = ["struct", "enum", "union", "trait", "type", "mod"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.files.iter().flat_map(|file| in_path(file).into_iter().chain(in_declarations(file))).collect()
}

fn in_path(file: &File) -> Option<Violation> {
    let word = banned_word(&file.path)?;
    Some(Violation::at(file, 1, format!("`{word}` in a path says nothing; name it after what is in it")))
}

fn in_declarations(file: &File) -> Vec<Violation> {
    let declared = file.tokens.windows(2).filter(|pair| DECLARE.iter().any(|keyword| pair[0].is(keyword)));
    let named = declared.filter_map(|pair| Some((&pair[1], banned_word(pair[1].word()?)?)));
    let message =
        |name: &Token, word| format!("`{word}` in `{}` says nothing; name the thing it is", name.text);
    named.map(|(name, word)| Violation::at(file, name.line, message(name, word))).collect()
}

fn banned_word(name: &str) -> Option<&'static str> {
    let words = words(name);
    let banned = |banned: &&str| words.iter().any(|word| word == banned || is_plural(word, banned));
    BANNED.iter().find(|word| banned(word)).copied()
}

fn is_plural(word: &str, of: &str) -> bool {
    word.strip_suffix('s') == Some(of)
        || word.strip_suffix("ies").is_some_and(|stem| of.strip_suffix('y') == Some(stem))
}

/// Splits a path or a snake or camel name into lower-case words: `HTTPUtil_x` is http, util, x.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if !letter.is_alphanumeric() || letter.is_uppercase() && (after_lower || before_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(banned_word(name), expected, "{name}");
    }

    #[test]
    fn banned_words_are_found_as_whole_words() {
        check("src/uncommon.rs", None);
        check("src/common.rs", Some("common"));
        check("common/mod.rs", Some("common"));
        check("StoreManager", Some("manager"));
        check("HTTPUtilities", Some("utility"));
        check("string_helpers", Some("helper"));
        check("StoreImpl2", Some("impl2"));
        check("Futile", None);
        check("Smartphone", None);
    }
}
