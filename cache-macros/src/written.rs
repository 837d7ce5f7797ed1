//! What all code that is written has in common: names of its own, and which attributes it bears.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::Attribute;

/// A name that no name of the user's can be.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(&format!("__{name}"), Span::mixed_site())
}

/// Allows what is written to be as it is: nobody asked the user for it, and not every use of it is one.
///
/// Not expected, since here nobody knows whether a lint would speak.
pub(crate) fn lenient() -> TokenStream {
    let level = Ident::new("allow", Span::call_site());
    let lints = quote! {
        dead_code,
        non_camel_case_types,
        unreachable_pub,
        clippy::needless_pass_by_value,
        clippy::redundant_closure_call,
        clippy::used_underscore_binding
    };
    quote!(#[#level(#lints)])
}

/// Conditions hold for everything that is written.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

/// Whether an attribute is about the function that is called, and not about the body.
pub(crate) fn is_of_the_call(attribute: &Attribute) -> bool {
    ["cfg", "doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}
