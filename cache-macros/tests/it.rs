//! What must not compile: each error stands at what is wrong, and says what would be right.

#[test]
fn what_is_wrong_is_named_where_it_stands() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
