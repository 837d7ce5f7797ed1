//! Tags as templates: text with the names of arguments in braces, as `format!` reads it.

/// The names that a template mentions; the error says what is wrong with it.
pub(crate) fn names(template: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut rest = template;
    if rest.is_empty() {
        return Err("a tag is text, such as \"users\" or \"user:{id}\"".to_owned());
    }
    while let Some(at) = rest.find(['{', '}']) {
        let (brace, tail) = rest[at..].split_at(1);
        if let Some(tail) = tail.strip_prefix(brace) {
            rest = tail;
            continue;
        }
        let end = tail.find('}').filter(|_| brace == "{");
        let Some(end) = end else {
            return Err(
                "a brace stands alone; write {argument}, or {{ and }} for the braces themselves".to_owned()
            );
        };
        let name = tail[..end].split(':').next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_name {
            return Err(format!("`{{{name}}}` names no argument; write {{argument}}, with the name of one"));
        }
        names.push(name.to_owned());
        rest = &tail[end + 1..];
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_names_between_braces() {
        assert_eq!(names("users"), Ok(vec![]));
        assert_eq!(names("user:{id}/{team:>5}"), Ok(vec!["id".to_owned(), "team".to_owned()]));
        assert_eq!(names("{{literally}} {id}"), Ok(vec!["id".to_owned()]));
    }

    #[test]
    fn refuses_what_names_nothing_and_says_why() {
        for template in ["", "{", "}", "{}", "{0}", "{id", "id}", "{a b}", "{self.id}"] {
            assert!(names(template).is_err(), "{template:?}");
        }
    }
}
