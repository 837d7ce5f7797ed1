//! What `#[cached]` writes: the function as a call of its cache, and what else can be done with it beside it.
//!
//! ```text
//! fn f      key, look; if that finds nothing: options, load (sync: compute) of uncached
//! f::refresh      the same, forced          of a method: f_refresh
//! f::uncached     the function as written                f_uncached
//! f::invalidate   the same key, removed                  f_invalidate
//! ```
//!
//! `f::…` are functions of a type that is named as the function is, which the language allows, since functions and types
//! have names of their own. A type sees the names around the function, wherever it stands; a module would not.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Pat, Result, ReturnType};

use crate::attributes::Attributes;
use crate::check::check;
use crate::function::{Argument, Function, mentions, root};
use crate::life::Life;
use crate::written::{conditions, is_of_the_call, lenient, local};

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
        let (own_cache, identity) = (self.own_cache(), self.identity());
        let call = self.call(name, false);
        let (refresh, uncached, invalidate) =
            (self.beside("refresh"), self.beside("uncached"), self.beside("invalidate"));
        let (refresh, uncached, invalidate) =
            (self.call(&refresh, true), self.uncached(&uncached), self.invalidate(&invalidate));
        if self.is_method {
            return quote!(#call #refresh #uncached #invalidate #own_cache #identity);
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
            impl #name { #refresh #uncached #invalidate #own_cache #identity }
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
        let (vis, lenient) = (&item.vis, lenient());
        let attributes = if forced {
            let conditions = conditions(&item.attrs);
            let about = format!("Runs `{}` whatever is cached, and caches what it returns.", item.sig.ident);
            quote!(#(#conditions)* #[doc = #about] #lenient)
        } else {
            let kept = item.attrs.iter().filter(|attribute| is_of_the_call(attribute));
            quote!(#(#kept)* #lenient)
        };
        let answer = self.answer(forced);
        quote!(#attributes #vis #signature { #answer })
    }

    /// Looks for the answer; only where there is none, makes what a load needs.
    fn answer(&self, forced: bool) -> TokenStream {
        let (cache, key, options) = (self.cache(), self.key(), self.options(forced));
        let (its_key, its_options, base) = (local("key"), local("options"), local("base"));
        let (hit, asked) = (local("hit"), local("asked"));
        let value = self.value(&hit);
        let found =
            if self.function.answer.is_result { quote!(::core::result::Result::Ok(#value)) } else { value };
        let otherwise = if self.function.is_async() { self.load(&found) } else { self.compute() };
        let given = self.attributes.options.as_ref();
        let given = given.map(|given| quote_spanned!(given.span()=> let #base: ::strata::Options = #given;));
        let force = match given {
            _ if forced => quote!(true),
            Some(_) => quote!(#base.force_refresh() == ::core::option::Option::Some(true)),
            None => quote!(false),
        };
        quote! {
            let #its_key = #key;
            #given
            match ::strata::__macros::look(#cache, &#its_key, #force) {
                ::core::result::Result::Ok(#hit) => #found,
                ::core::result::Result::Err(#asked) => {
                    let #its_options = #options;
                    #otherwise
                }
            }
        }
    }

    /// Has the value loaded, once for all who ask, by a task that owns its arguments.
    fn load(&self, found: &TokenStream) -> TokenStream {
        let (asked, key, options) = (local("asked"), local("key"), local("options"));
        let is_result = self.function.answer.is_result;
        let (hit, error) = (local("hit"), local("error"));
        let (take, run) = self.take(!is_result);
        let (worth, again) = (self.worth(), self.run());
        let (outcome, lost) = if is_result {
            let lost = quote_spanned!(self.output_span()=> ::core::convert::From::from(#error));
            (quote!(#run.await.map(|#hit| #worth(#hit).loaded())), quote!(::core::result::Result::Err(#lost)))
        } else {
            let ok = quote!(::core::result::Result::Ok::<_, ::core::convert::Infallible>);
            (quote!(#ok(#worth(#run.await).loaded())), quote!({ let _ = #error; #again.await }))
        };
        quote! {
            #take
            match #asked.load(&#key, #options, move || async move { #outcome }).await {
                ::core::result::Result::Ok(#hit) => #found,
                ::core::result::Result::Err(#error) => #lost,
            }
        }
    }

    /// Computes the value where it is asked for.
    fn compute(&self) -> TokenStream {
        let (asked, key, options, hit) = (local("asked"), local("key"), local("options"), local("hit"));
        let (worth, value, run) = (self.worth(), self.value(&hit), self.run());
        if self.function.answer.is_result {
            return quote!(#asked.compute(&#key, #options, || #run.map(#worth)).map(|#hit| #value));
        }
        let ok = quote!(::core::result::Result::Ok::<_, ::core::convert::Infallible>);
        quote! {
            match #asked.compute(&#key, #options, || #ok(#worth(#run))) {
                ::core::result::Result::Ok(#hit) => #value,
            }
        }
    }

    /// The function as it was written.
    fn uncached(&self, name: &Ident) -> TokenStream {
        let item = &self.function.item;
        let mut signature = item.sig.clone();
        signature.ident = name.clone();
        let (vis, statements) = (&item.vis, &item.block.stmts);
        let (cache, options) = (&self.attributes.cache, &self.attributes.options);
        // What leads to the cache is used, whether or not the body uses it as well.
        let used = self.function.arguments.iter().map(|argument| &argument.name);
        let used = used.filter(|name| mentions(quote!(#cache #options), &name.to_string()));
        let conditions = conditions(&item.attrs);
        let kept = item.attrs.iter().filter(|attribute| !is_of_the_call(attribute));
        let about = format!("Runs `{}` past its cache.", item.sig.ident);
        quote!(#(#conditions)* #[doc = #about] #(#kept)* #vis #signature { #(let _ = &#used;)* #(#statements)* })
    }

    /// Removes the answer to a call.
    fn invalidate(&self, name: &Ident) -> TokenStream {
        let item = &self.function.item;
        let (cache, key) = (self.cache(), self.key());
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
                self.is_needed(name).then(|| quote!(#name: #ty))
            }
        });
        let (vis, conditions, lenient) = (&item.vis, conditions(&item.attrs), lenient());
        let (its_key, its_cache) = (local("key"), local("cache"));
        let (removal, asyncness, output) = if self.function.is_async() {
            let removal = quote! {
                let #its_cache = ::strata::Cache::clone(#cache);
                #its_cache.remove(&#its_key).await
            };
            (removal, quote!(async), quote!(::strata::Result<bool>))
        } else {
            (quote!(::strata::__macros::remove(#cache, &#its_key)), quote!(), quote!(bool))
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
                let #its_key = #key;
                #removal
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

    /// A reference to the cache, which ends with the statement that uses it: whatever the expression holds is not held while
    /// a value is loaded.
    fn cache(&self) -> TokenStream {
        if let Some(cache) = &self.attributes.cache {
            quote_spanned!(cache.span()=> &(#cache))
        } else {
            let own = self.path("cache");
            quote!(#own())
        }
    }

    fn key(&self) -> TokenStream {
        if let Some(key) = &self.attributes.key {
            return quote!(#key);
        }
        let values = self.parts().into_iter().map(|argument| {
            let name = &argument.name;
            quote_spanned!(argument.ty.span()=> .with(&#name))
        });
        let (ident, identity) = (&self.function.item.sig.ident, self.identity_name());
        let (function, of) = match &self.function.receiver {
            Some(owner) => {
                let this = owner.tokens.self_token;
                (quote!(#this.#identity()), quote!(Self))
            }
            None if self.is_method => (quote!(Self::#identity()), quote!(Self)),
            None => (quote!(#ident::#identity()), quote!(#ident)),
        };
        quote!(#function.key(::core::any::type_name::<#of>(), ::strata::Encoding::new()#(#values)*))
    }

    /// What tells the function from all others: one place in memory, whichever of the functions asks.
    fn identity(&self) -> TokenStream {
        if self.attributes.key.is_some() {
            return TokenStream::new();
        }
        let item = &self.function.item;
        let name = item.sig.ident.unraw().to_string();
        let arguments = self.parts().into_iter().map(|argument| argument.name.unraw().to_string());
        let arguments = quote!(&[#(#arguments),*]);
        let function = match &self.attributes.name {
            Some(given) => quote!(named(#given, #arguments)),
            None if self.is_method => quote!(method(#name, #arguments)),
            None => {
                let path = quote!(::core::concat!(::core::module_path!(), "::", #name));
                quote!(free(#path, #arguments, (::core::line!(), ::core::column!())))
            }
        };
        let (conditions, lenient, identity) = (conditions(&item.attrs), lenient(), self.identity_name());
        // A method, so that a trait that provides it can still be a `dyn`.
        let receiver = self.function.receiver.as_ref().map(|_| quote!(&self));
        let kind = quote!(::strata::__macros::Function);
        quote! {
            #(#conditions)*
            #[doc(hidden)]
            #lenient
            #[inline]
            fn #identity(#receiver) -> &'static #kind {
                static FUNCTION: #kind = #kind::#function;
                &FUNCTION
            }
        }
    }

    fn identity_name(&self) -> Ident {
        format_ident!("__{}_function", self.function.item.sig.ident.unraw(), span = Span::mixed_site())
    }

    /// The arguments that a key is made of: all but those that are skipped, and the one that the cache is taken from. They come by
    /// name, as the hash of the text has them, so that a new order of arguments keeps its keys.
    fn parts(&self) -> Vec<&Argument> {
        let origin = self.attributes.cache.as_ref().and_then(root);
        let is_part = |name: &Ident| !self.attributes.skip.contains(name) && Some(name) != origin;
        let mut parts: Vec<_> = self.function.arguments.iter().filter(|it| is_part(&it.name)).collect();
        parts.sort_by_key(|argument| argument.name.unraw().to_string());
        parts
    }

    /// Tells whether the key or the cache cannot be had without this argument.
    fn is_needed(&self, name: &Ident) -> bool {
        let (cache, key) = (&self.attributes.cache, &self.attributes.key);
        let is_part = || match key {
            Some(key) => mentions(quote!(#key), &name.to_string()),
            None => self.parts().iter().any(|argument| argument.name == *name),
        };
        mentions(quote!(#cache), &name.to_string()) || is_part()
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
            let given = local("base");
            options.extend(quote_spanned!(base.span()=> .over(&#given)));
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
