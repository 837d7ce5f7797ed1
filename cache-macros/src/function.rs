//! The function under the attribute: its arguments, who owns them, and what comes back.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Error, Expr, FnArg, GenericArgument, GenericParam, ItemFn, Pat, PathArguments, Receiver, ReceiverKind,
    Result, ReturnType, Type,
};

pub(crate) struct Function {
    pub(crate) item: ItemFn,
    pub(crate) receiver: Option<Owner>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) answer: Answer,
}

/// `self`, and how a load that outlives the call gets one of its own.
pub(crate) struct Owner {
    pub(crate) tokens: Receiver,
    pub(crate) is_borrowed: bool,
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    /// What it is, or what it refers to.
    pub(crate) owned: Type,
    pub(crate) is_borrowed: bool,
    pub(crate) ty: Type,
}

/// What a call returns, by the last names in its type.
pub(crate) struct Answer {
    pub(crate) is_result: bool,
    pub(crate) is_option: bool,
    /// What is cached: the `Ok` of a result, or all of it.
    pub(crate) value: Type,
}

impl Function {
    pub(crate) fn read(item: ItemFn) -> Result<Self> {
        let signature = &item.sig;
        let refused = |at: proc_macro2::Span, message: &str| Err(Error::new(at, message));
        if let Some(constness) = &signature.constness {
            return refused(
                constness.span(),
                "a const fn runs while compiling and has no cache; remove `const`",
            );
        }
        if let Some(abi) = &signature.abi {
            return refused(abi.span(), "a cached function is called from Rust; remove `extern`");
        }
        let mut receiver = None;
        let mut arguments = Vec::new();
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(own) => receiver = Some(Owner::read(own)?),
                FnArg::Typed(typed) => {
                    let argument = Argument::read(&typed.pat, &typed.ty)?;
                    let owned = &argument.owned;
                    if signature.asyncness.is_some() && borrows(quote!(#owned)) {
                        let message = "a load may outlive its caller, so it takes its arguments along: borrow one as a \
                            whole, as in `&str`, or own what is inside, as in `Option<String>`";
                        return refused(typed.ty.span(), message);
                    }
                    arguments.push(argument);
                }
            }
        }
        let answer = Answer::read(&signature.output, &signature.ident)?;
        Ok(Self { item, receiver, arguments, answer })
    }

    pub(crate) fn is_async(&self) -> bool {
        self.item.sig.asyncness.is_some()
    }

    pub(crate) fn has_argument(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument.name == name)
    }

    /// A type that only its caller knows, which a key made of values would not tell apart.
    pub(crate) fn type_parameter(&self) -> Option<proc_macro2::Span> {
        let generic =
            self.item.sig.generics.params.iter().find(|it| !matches!(it, GenericParam::Lifetime(_)));
        let anonymous = self.arguments.iter().find(|it| matches!(it.owned, Type::ImplTrait(_)));
        generic.map(Spanned::span).or(anonymous.map(|argument| argument.ty.span()))
    }

    /// The names of the arguments, for a message.
    pub(crate) fn argument_list(&self) -> String {
        match self.arguments.as_slice() {
            [] => "there are no arguments".to_owned(),
            all => {
                let names: Vec<_> = all.iter().map(|argument| format!("`{}`", argument.name)).collect();
                format!("the arguments are {}", names.join(", "))
            }
        }
    }
}

impl Owner {
    fn read(receiver: &Receiver) -> Result<Self> {
        let (is_borrowed, mutable) = match &receiver.kind {
            ReceiverKind::Reference(_, _, mutable) => (true, mutable.is_some()),
            ReceiverKind::Typed(_, ty) => match &**ty {
                Type::Reference(reference) => {
                    let message = "write `&self`, or take `self` by value, as in `self: Arc<Self>`";
                    return Err(Error::new(reference.span(), message));
                }
                _ => (false, false),
            },
            _ => (false, false),
        };
        if mutable {
            let message = "a cached call may not run at all, so it must change nothing: take `&self`";
            return Err(Error::new(receiver.span(), message));
        }
        Ok(Self { tokens: receiver.clone(), is_borrowed })
    }
}

impl Argument {
    fn read(pattern: &Pat, ty: &Type) -> Result<Self> {
        let Pat::Ident(named) = pattern else {
            let message = "an argument of a cached function needs a plain name, by which its key knows it";
            return Err(Error::new(pattern.span(), message));
        };
        let (owned, is_borrowed) = match ty {
            Type::Reference(reference) if reference.mutability.is_some() => {
                let message =
                    "a cached call may not run at all, so it must change nothing: take the argument by `&`";
                return Err(Error::new(ty.span(), message));
            }
            Type::Reference(reference) => ((*reference.elem).clone(), true),
            _ => (ty.clone(), false),
        };
        Ok(Self { name: named.ident.clone(), owned, is_borrowed, ty: ty.clone() })
    }

    /// Makes one that a load can take along, under a name of its own.
    pub(crate) fn to_owned(&self, name: &Ident, is_needed_again: bool) -> TokenStream {
        let (argument, owned) = (&self.name, &self.owned);
        let at = self.ty.span();
        if self.is_borrowed {
            quote_spanned!(at=> let #name = <#owned as ::std::borrow::ToOwned>::to_owned(#argument);)
        } else if is_needed_again {
            quote_spanned!(at=> let #name = <#owned as ::core::clone::Clone>::clone(&#argument);)
        } else {
            quote_spanned!(at=> let #name = #argument;)
        }
    }

    /// Passes on what a load has taken along.
    pub(crate) fn pass(&self, name: &Ident) -> TokenStream {
        let owned = &self.owned;
        if self.is_borrowed {
            quote_spanned!(self.ty.span()=> ::core::borrow::Borrow::<#owned>::borrow(&#name))
        } else {
            quote_spanned!(self.ty.span()=> #name)
        }
    }
}

impl Answer {
    fn read(output: &ReturnType, name: &Ident) -> Result<Self> {
        let ReturnType::Type(_, ty) = output else {
            return Err(Error::new(name.span(), "a function that returns nothing has nothing to be cached"));
        };
        let ok = of(ty, "Result");
        let is_result = ok.is_some();
        let value = ok.unwrap_or_else(|| (**ty).clone());
        let option = of(&value, "Option");
        let innermost = option.as_ref().unwrap_or(&value);
        if let Type::Reference(reference) = innermost
            && reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static")
        {
            let message = "a cache keeps a value beyond the call: return it owned, or in an Arc";
            return Err(Error::new(innermost.span(), message));
        }
        if let Type::ImplTrait(_) = innermost {
            return Err(Error::new(innermost.span(), "a cache has to know the type of its values: name it"));
        }
        Ok(Self { is_result, is_option: option.is_some(), value })
    }
}

/// The first type argument, if the last name of the path is this one.
fn of(ty: &Type, name: &str) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    })
}

/// Tells whether a type borrows from something that may end.
fn borrows(ty: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = ty.into_iter().collect();
    let is =
        |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == mark);
    let is_static = |at: usize| matches!(tokens.get(at), Some(TokenTree::Ident(it)) if it == "static");
    (0..tokens.len()).any(|at| match &tokens[at] {
        TokenTree::Group(group) => borrows(group.stream()),
        _ if is(at, '&') => !is(at + 1, '\''),
        _ => is(at, '\'') && !is_static(at + 1),
    })
}

/// Tells whether an expression mentions a variable of this name. Fields, methods and paths are no variables.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    let mut before = None;
    tokens.into_iter().any(|token| {
        let is_named = match &token {
            TokenTree::Ident(ident) => ident == name && !matches!(before, Some('.' | ':')),
            TokenTree::Group(group) => mentions(group.stream(), name),
            _ => false,
        };
        before = match (&token, before) {
            // The second dot of a range comes before a value.
            (TokenTree::Punct(mark), Some('.')) if mark.as_char() == '.' => None,
            (TokenTree::Punct(mark), _) => Some(mark.as_char()),
            _ => None,
        };
        is_named
    })
}

/// The variable that an expression leads away from: `state` in `state.caches().users`.
pub(crate) fn root(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) => path.path.get_ident(),
        Expr::Field(field) => root(&field.base),
        Expr::MethodCall(call) => root(&call.receiver),
        Expr::Index(index) => root(&index.expr),
        Expr::Reference(reference) => root(&reference.expr),
        Expr::Paren(inside) => root(&inside.expr),
        Expr::Group(inside) => root(&inside.expr),
        Expr::Try(inside) => root(&inside.expr),
        Expr::Unary(unary) => root(&unary.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expr: &str, variables: &[&str], from: Option<&str>) {
        let expr: Expr = syn::parse_str(expr).expect("an expression");
        for name in ["state", "cache", "id"] {
            assert_eq!(mentions(quote!(#expr), name), variables.contains(&name), "{name}");
        }
        assert_eq!(root(&expr).map(ToString::to_string).as_deref(), from);
    }

    #[test]
    fn variables_are_told_from_fields_methods_and_paths() {
        check("state.cache", &["state"], Some("state"));
        check("(*state).cache().id", &["state"], Some("state"));
        check("&state.cache[id % 2]", &["state", "id"], Some("state"));
        check("state.cache(id)", &["state", "id"], Some("state"));
        check("cache", &["cache"], Some("cache"));
        check("crate::cache::id(state)", &["state"], None);
        check("all(0..id)", &["id"], None);
    }
}
