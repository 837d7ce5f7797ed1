//! Wrappers: a type that implements a seam around another implementation forwards every method, default ones too.
//!
//! Clippy checks that, once `#[deny(clippy::missing_trait_methods)]` stands on the `impl`; this rule checks that it does.

use super::Violation;
use super::seam_impls;
use super::tokens::Token;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let impls = tree.members.iter().flat_map(|member| seam_impls::of_crate(tree, member));
    let loose = impls.filter(|it| it.wraps && !denies_missing_methods(it.attributes));
    loose
        .map(|it| {
            let how =
                "write `#[deny(clippy::missing_trait_methods)]` on the `impl`, and forward every method";
            Violation::at(it.file, it.line, format!("`{}` wraps a seam: {how}", it.type_name))
        })
        .collect()
}

fn denies_missing_methods(attributes: &[Token]) -> bool {
    let has = |word: &str| attributes.iter().any(|token| token.is(word));
    (has("deny") || has("forbid")) && has("missing_trait_methods")
}
