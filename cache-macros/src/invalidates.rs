//! What `#[invalidates]` writes: the function, and after its `Ok` the removal of what it has made wrong.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Error, Expr, ExprCall, ExprMethodCall, Ident, ItemFn, PathArguments, Result, ReturnType, Token, Type,
};

use crate::written::{lenient, local};

/// A call of a cached function, of which the answer is to go.
struct Doomed {
    function: TokenStream,
    arguments: Vec<Expr>,
    at: proc_macro2::Span,
}

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item = syn::parse2::<ItemFn>(item).map_err(|error| {
        Error::new(error.span(), format!("#[invalidates] goes before a function with a body: {error}"))
    })?;
    let calls = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(attributes)?;
    if calls.is_empty() {
        let message = "say which answers are no longer right: #[invalidates(function(argument))]";
        return Err(Error::new(item.sig.ident.span(), message));
    }
    let doomed = calls.iter().map(Doomed::read).collect::<Result<Vec<_>>>()?;
    let result = match &item.sig.output {
        ReturnType::Type(_, ty) if is_result(ty) => ty,
        output => {
            let message = "a writer has to say whether it has written: return a Result";
            let at = if let ReturnType::Type(_, ty) = output { ty.span() } else { item.sig.ident.span() };
            return Err(Error::new(at, message));
        }
    };
    let ItemFn { attrs, vis, sig, block, .. } = &item;
    let is_async = sig.asyncness.is_some();
    let mut before = TokenStream::new();
    let mut after = TokenStream::new();
    let mut outcomes = Vec::new();
    for (at, call) in doomed.iter().enumerate() {
        let names: Vec<Ident> =
            (0..call.arguments.len()).map(|argument| local(&format!("{at}_{argument}"))).collect();
        for (name, argument) in names.iter().zip(&call.arguments) {
            before.extend(
                quote_spanned!(argument.span()=> let #name = ::core::clone::Clone::clone(&(#argument));),
            );
        }
        let (function, outcome) = (&call.function, local(&format!("outcome_{at}")));
        if is_async {
            after.extend(quote_spanned!(call.at=> let #outcome = #function(#(#names),*).await;));
            outcomes.push(outcome);
        } else {
            after.extend(quote_spanned!(call.at=> let _: bool = #function(#(#names),*);));
        }
    }
    let (written, lenient) = (local("written"), lenient());
    let run = if is_async { quote!(async #block.await) } else { quote!((|| -> #result #block)()) };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #before
            #lenient
            let #written: #result = #run;
            if #written.is_ok() { #after #(#outcomes?;)* }
            #written
        }
    })
}

impl Doomed {
    fn read(call: &Expr) -> Result<Self> {
        match call {
            Expr::Call(ExprCall { func, args, .. }) => {
                let Expr::Path(path) = &**func else { return Err(wrong(call)) };
                let mut path = path.clone();
                let of_type = path.path.segments.first().is_some_and(|first| first.ident == "Self");
                let Some(last) = path.path.segments.last_mut() else { return Err(wrong(call)) };
                let function = if last.ident == "invalidate" {
                    quote!(#path)
                } else if of_type {
                    last.ident = beside(&last.ident);
                    quote!(#path)
                } else {
                    last.arguments = PathArguments::None;
                    quote!(#path::invalidate)
                };
                Ok(Self { function, arguments: args.iter().cloned().collect(), at: call.span() })
            }
            Expr::MethodCall(ExprMethodCall { receiver, method, args, .. }) => {
                let method = beside(method);
                Ok(Self {
                    function: quote!(#receiver.#method),
                    arguments: args.iter().cloned().collect(),
                    at: call.span(),
                })
            }
            _ => Err(wrong(call)),
        }
    }
}

fn wrong(call: &Expr) -> Error {
    let message = "this is no call of a cached function; write function(argument), Self::function(argument) or \
        self.method(argument)";
    Error::new(call.span(), message)
}

/// What stands beside a method to invalidate it.
fn beside(method: &Ident) -> Ident {
    format_ident!("{method}_invalidate", span = method.span())
}

fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Result")
}
