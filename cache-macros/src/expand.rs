//! What `#[cached]` writes: the function as a call of its cache, and what else can be done with it beside it.
//!
//! ```text
//! fn f      key, options, get_or_load (sync: compute) of uncached
//! f::refresh      the same, forced          of a method: f_refresh
//! f::uncached     the function as written                f_uncached
//! f::invalidate   the same key, removed                  f_invalidate
//! ```
//!
//! `f::…` are functions of a type that is named as the function is, which the language allows, since functions and types
//! have names of their own. A type sees the names around the function, wherever it stands; a module would not.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ItemFn, Pat, Result, ReturnType};

use crate::attributes::Attributes;
use crate::check::check;
use crate::function::{Function, mentions};
use crate::life::Life;

/// Entries of a cache that a function has to itself, where nothing else is said: as of any memory tier of `strata`.
const OWN_ENTRIES: u64 = 10_000;

pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item = syn::parse2::<ItemFn>(item).map_err(|error| {
        Error::new(error.span(), format!("#[cached] goes before a function with a body: {error}"))
    })?;
    let attributes = syn::parse2::<Attributes>(attributes)?;
    let function = Function::read(item)?;
    check(&attributes, &function)?;
    Ok(Expansion::new(&attributes, &function).whole())
}

struct Expansion<'a> {
    attributes: &'a Attributes,
    function: &'a Function,
    is_method: bool,
    /// Arguments of the call as those of an attribute are named: as the user has them, and as a load takes them along.
    taken: Vec<Ident>,
}

impl<'a> Expansion<'a> {
    fn new(attributes: &'a Attributes, function: &'a Function) -> Self {
        let is_method = function.receiver.is_some() || attributes.associated;
        let taken = (0..function.arguments.len()).map(|at| local(&format!("taken_{at}"))).collect();
        Self { attributes, function, is_method, taken }
    }

    fn whole(&self) -> TokenStream {
        let item = &self.function.item;
        let name = &item.sig.ident;
        let own_cache = self.own_cache();
        let call = self.call(name, false);
        let (refresh, uncached, invalidate) =
            (self.beside("refresh"), self.beside("uncached"), self.beside("invalidate"));
        let (refresh, uncached, invalidate) =
            (self.call(&refresh, true), self.uncached(&uncached), self.invalidate(&invalidate));
        if self.is_method {
            return quote!(#call #refresh #uncached #invalidate #own_cache);
        }
        let (vis, conditions, lenient) = (&item.vis, conditions(&item.attrs), lenient());
        let about = format!("What else can be done with the cached function `{name}`.");
        quote! {
            #call
            #(#conditions)*
            #[doc = #about]
            #lenient
            #[derive(Debug)]
            #vis struct #name {}
            #(#conditions)*
            #lenient
            impl #name { #refresh #uncached #invalidate #own_cache }
        }
    }

    /// The name of what stands beside the function.
    fn beside(&self, what: &str) -> Ident {
        let name = &self.function.item.sig.ident;
        let span = name.span();
        if self.is_method { format_ident!("{name}_{what}", span = span) } else { Ident::new(what, span) }
    }

    /// The path to it, from any of the functions.
    fn path(&self, what: &str) -> TokenStream {
        let (name, beside) = (&self.function.item.sig.ident, self.beside(what));
        if self.is_method { quote!(Self::#beside) } else { quote!(#name::#beside) }
    }

    /// The function as its callers see it.
    fn call(&self, name: &Ident, forced: bool) -> TokenStream {
        let item = &self.function.item;
        let mut signature = item.sig.clone();
        signature.ident = name.clone();
        for input in &mut signature.inputs {
            match input {
                FnArg::Typed(typed) => {
                    typed.attrs.clear();
                    if let Pat::Ident(pattern) = &mut *typed.pat {
                        pattern.mutability = None;
                    }
                }
                FnArg::Receiver(receiver) => receiver.mutability = None,
            }
        }
        let (vis, cache, key, options) = (&item.vis, self.cache(), self.key(), self.options(forced));
        let (its_cache, its_key, its_options) = (local("cache"), local("key"), local("options"));
        let lenient = lenient();
        let attributes = if forced {
            let conditions = conditions(&item.attrs);
            let about = format!("Runs `{}` whatever is cached, and caches what it returns.", item.sig.ident);
            quote!(#(#conditions)* #[doc = #about] #lenient)
        } else {
            let kept = item.attrs.iter().filter(|attribute| is_of_the_call(attribute));
            quote!(#(#kept)* #lenient)
        };
        let answer = if self.function.is_async() { self.load() } else { self.compute() };
        quote! {
            #attributes
            #vis #signature {
                let #its_cache = #cache;
                let #its_key = #key;
                let #its_options = #options;
                #answer
            }
        }
    }

    /// Has the value loaded, once for all who ask, by a task that owns its arguments.
    fn load(&self) -> TokenStream {
        let (cache, key, options) = (local("cache"), local("key"), local("options"));
        let is_result = self.function.answer.is_result;
        let (hit, error) = (local("hit"), local("error"));
        let (take, run) = self.take(!is_result);
        let (worth, value) = (self.worth(), self.value(&hit));
        let again = self.run();
        let (outcome, lost) = if is_result {
            let lost = quote_spanned!(self.output_span()=> ::core::convert::From::from(#error));
            (quote!(#run.await.map(|#hit| #worth(#hit).loaded())), quote!(::core::result::Result::Err(#lost)))
        } else {
            let ok = quote!(::core::result::Result::Ok::<_, ::core::convert::Infallible>);
            (quote!(#ok(#worth(#run.await).loaded())), quote!({ let _ = #error; #again.await }))
        };
        let found = if is_result { quote!(::core::result::Result::Ok(#value)) } else { value };
        quote! {
            #take
            match #cache.get_or_load(&#key, move || async move { #outcome }).with(#options).await {
                ::core::result::Result::Ok(#hit) => #found,
                ::core::result::Result::Err(#error) => #lost,
            }
        }
    }

    /// Computes the value where it is asked for.
    fn compute(&self) -> TokenStream {
        let (cache, key, options, hit) = (local("cache"), local("key"), local("options"), local("hit"));
        let (worth, value, run) = (self.worth(), self.value(&hit), self.run());
        let compute = quote!(::strata::__macros::compute);
        if self.function.answer.is_result {
            return quote!(#compute(&#cache, &#key, #options, || #run.map(#worth)).map(|#hit| #value));
        }
        let ok = quote!(::core::result::Result::Ok::<_, ::core::convert::Infallible>);
        quote! {
            match #compute(&#cache, &#key, #options, || #ok(#worth(#run))) {
                ::core::result::Result::Ok(#hit) => #value,
            }
        }
    }

    /// The function as it was written.
    fn uncached(&self, name: &Ident) -> TokenStream {
        let item = &self.function.item;
        let mut signature = item.sig.clone();
        signature.ident = name.clone();
        let (vis, block) = (&item.vis, &item.block);
        let conditions = conditions(&item.attrs);
        let kept = item.attrs.iter().filter(|attribute| !is_of_the_call(attribute));
        let about = format!("Runs `{}` past its cache.", item.sig.ident);
        quote!(#(#conditions)* #[doc = #about] #(#kept)* #vis #signature #block)
    }

    /// Removes the answer to a call.
    fn invalidate(&self, name: &Ident) -> TokenStream {
        let item = &self.function.item;
        let (cache, key) = (self.cache(), self.key());
        let needed = quote!(#cache #key);
        let (generics, clause) = (&item.sig.generics, &item.sig.generics.where_clause);
        let inputs = item.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Receiver(receiver) => {
                let mut receiver = receiver.clone();
                receiver.mutability = None;
                Some(quote!(#receiver))
            }
            FnArg::Typed(typed) => {
                let Pat::Ident(named) = &*typed.pat else { return None };
                let (name, ty) = (&named.ident, &typed.ty);
                mentions(needed.clone(), &name.to_string()).then(|| quote!(#name: #ty))
            }
        });
        let (vis, conditions, lenient) = (&item.vis, conditions(&item.attrs), lenient());
        let (removal, asyncness, output) = if self.function.is_async() {
            (quote!(remove(&#key).await), quote!(async), quote!(::strata::Result<bool>))
        } else {
            (quote!(remove_local(&#key)), quote!(), quote!(bool))
        };
        let about = format!(
            "Removes what `{}` has answered to these arguments, and says whether it was there. Takes those that are part of \
             the key or lead to the cache.",
            item.sig.ident
        );
        quote! {
            #(#conditions)*
            #[doc = #about]
            #lenient
            #vis #asyncness fn #name #generics (#(#inputs),*) -> #output #clause {
                #cache.#removal
            }
        }
    }

    /// The cache of the function's own, made at its first use.
    fn own_cache(&self) -> TokenStream {
        if self.attributes.cache.is_some() {
            return TokenStream::new();
        }
        let (name, value) = (self.beside("cache"), &self.function.answer.value);
        let most =
            self.attributes.max_entries.as_ref().map_or_else(|| quote!(#OWN_ENTRIES), |most| quote!(#most));
        let (vis, conditions) = (&self.function.item.vis, conditions(&self.function.item.attrs));
        let lenient = lenient();
        let cache = quote!(::strata::Cache<::strata::CallKey, #value>);
        let about = format!("The cache of `{}` alone.", self.function.item.sig.ident);
        quote! {
            #(#conditions)*
            #[doc = #about]
            #lenient
            #vis fn #name() -> &'static #cache {
                static OWN: ::std::sync::LazyLock<#cache> =
                    ::std::sync::LazyLock::new(|| ::strata::__macros::own_cache(#most));
                &OWN
            }
        }
    }

    fn cache(&self) -> TokenStream {
        if let Some(cache) = &self.attributes.cache {
            quote_spanned!(cache.span()=> (#cache).clone())
        } else {
            let own = self.path("cache");
            quote!(#own().clone())
        }
    }

    fn key(&self) -> TokenStream {
        if let Some(key) = &self.attributes.key {
            return quote!(#key);
        }
        let name = &self.function.item.sig.ident.to_string();
        let path = quote!(::core::concat!(::core::module_path!(), "::", #name));
        let name = self.attributes.name.as_ref().map_or(path, |name| quote!(#name));
        let cache = &self.attributes.cache;
        let leads_to_the_cache = |name: &str| mentions(quote!(#cache), name);
        let parts = self.function.arguments.iter().filter_map(|argument| {
            let (ident, name) = (&argument.name, argument.name.to_string());
            let is_part = !self.attributes.skip.contains(ident) && !leads_to_the_cache(&name);
            is_part.then(|| quote_spanned!(argument.ty.span()=> .with(#name, &#ident)))
        });
        let at = quote!((::core::line!(), ::core::column!()));
        quote! {{
            static FUNCTION: ::strata::Function = ::strata::Function::new(#name, ::core::file!(), #at);
            FUNCTION.key(&::strata::Params::new()#(#parts)*)
        }}
    }

    fn options(&self, forced: bool) -> TokenStream {
        let mut options = quote!(::strata::Options::new());
        for (name, Life(millis)) in &self.attributes.lives {
            let with = format_ident!("with_{name}", span = name.span());
            let forever = quote!(::core::time::Duration::MAX);
            let life = millis.map_or(forever, |millis| quote!(::core::time::Duration::from_millis(#millis)));
            options.extend(quote!(.#with(#life)));
        }
        if let Some((_, share)) = &self.attributes.eager_at {
            options.extend(quote!(.with_eager_at(#share)));
        }
        if forced {
            options.extend(quote!(.with_force_refresh(true)));
        }
        if let Some(base) = &self.attributes.options {
            options.extend(quote_spanned!(base.span()=> .over(&(#base))));
        }
        if self.attributes.tags.is_empty() {
            return options;
        }
        let tags = self.attributes.tags.iter().map(|tag| &tag.template);
        quote!(::strata::__macros::tagged(#options, [#(::std::format!(#tags)),*]))
    }

    /// Takes along what a load needs, and how it calls the function with that.
    fn take(&self, is_needed_again: bool) -> (TokenStream, TokenStream) {
        let mut take = TokenStream::new();
        let mut passed = Vec::new();
        if let Some(owner) = &self.function.receiver {
            let own = local("own");
            let this = owner.tokens.self_token;
            let at = this.span();
            take.extend(if owner.is_borrowed {
                quote_spanned!(at=> let #own = <Self as ::core::clone::Clone>::clone(#this);)
            } else if is_needed_again {
                quote_spanned!(at=> let #own = ::core::clone::Clone::clone(&#this);)
            } else {
                quote!(let #own = #this;)
            });
            passed.push(if owner.is_borrowed { quote!(&#own) } else { quote!(#own) });
        }
        for (argument, taken) in self.function.arguments.iter().zip(&self.taken) {
            take.extend(argument.to_owned(taken, is_needed_again));
            passed.push(argument.pass(taken));
        }
        let uncached = self.path("uncached");
        (take, quote!(#uncached(#(#passed),*)))
    }

    /// Calls the function with the arguments as they came.
    fn run(&self) -> TokenStream {
        let uncached = self.path("uncached");
        let this = self.function.receiver.iter().map(|owner| {
            let this = owner.tokens.self_token;
            quote!(#this)
        });
        let arguments = self.function.arguments.iter().map(|argument| {
            let name = &argument.name;
            quote!(#name)
        });
        let passed = this.chain(arguments);
        quote!(#uncached(#(#passed),*))
    }

    /// What is kept of an answer.
    fn worth(&self) -> TokenStream {
        let negative = self.attributes.life("negative_ttl").is_some();
        match (self.function.answer.is_option, negative) {
            (false, _) => quote!(::strata::__macros::any),
            (true, false) => quote!(::strata::__macros::only_some),
            (true, true) => quote!(::strata::__macros::negative_none),
        }
    }

    /// The caller's own copy of what is cached.
    fn value(&self, hit: &Ident) -> TokenStream {
        let value = &self.function.answer.value;
        quote_spanned!(value.span()=> <#value as ::core::clone::Clone>::clone(&#hit))
    }

    fn output_span(&self) -> Span {
        match &self.function.item.sig.output {
            ReturnType::Type(_, ty) => ty.span(),
            ReturnType::Default => self.function.item.sig.ident.span(),
        }
    }
}

/// A name that no name of the user's can be.
fn local(name: &str) -> Ident {
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
fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

/// Whether an attribute is about the function that is called, and not about the body.
fn is_of_the_call(attribute: &Attribute) -> bool {
    ["cfg", "doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}
