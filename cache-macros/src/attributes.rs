//! What was written between the parentheses of `#[cached(…)]`, and whether it can be.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprArray, LitFloat, LitInt, LitStr, Result, Token, parenthesized};

use crate::life::{self, Life};
use crate::template;

const KNOWN: &str = "cache, key, skip, name, associated, ttl, stale_for, fail_safe_for, fail_safe_throttle, \
    soft_timeout, hard_timeout, negative_ttl, cache_errors_for, eager_at, tags, options and max_entries";

/// The attributes whose value is a duration.
const LIVES: [&str; 8] = [
    "ttl",
    "stale_for",
    "fail_safe_for",
    "fail_safe_throttle",
    "soft_timeout",
    "hard_timeout",
    "negative_ttl",
    "cache_errors_for",
];

#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) cache: Option<Expr>,
    pub(crate) key: Option<Expr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) name: Option<LitStr>,
    /// Stands in an `impl`, though it has no `self`.
    pub(crate) associated: bool,
    pub(crate) lives: Vec<(Ident, Life)>,
    pub(crate) eager_at: Option<(Ident, LitFloat)>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) options: Option<Expr>,
    pub(crate) max_entries: Option<LitInt>,
}

/// A tag, and the arguments it names.
pub(crate) struct Tag {
    pub(crate) template: LitStr,
    pub(crate) names: Vec<String>,
}

impl Parse for Attributes {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut attributes = Self::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            if seen.contains(&name) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice; give it once")));
            }
            attributes.read(&name, input)?;
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        attributes.check(&seen)?;
        Ok(attributes)
    }
}

impl Attributes {
    fn read(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        let text = name.to_string();
        match text.as_str() {
            "skip" => {
                let inside;
                parenthesized!(inside in input);
                let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&inside, Ident::parse_any)?;
                if names.is_empty() {
                    return Err(Error::new(name.span(), "`skip` names no argument; write skip(argument)"));
                }
                self.skip = names.into_iter().collect();
            }
            "associated" => self.associated = true,
            "cache" => self.cache = Some(value(name, input)?),
            "key" => self.key = Some(value(name, input)?),
            "options" => self.options = Some(value(name, input)?),
            "name" => self.name = Some(named(&value(name, input)?)?),
            "tags" => self.tags = tags(name, input)?,
            "max_entries" => self.max_entries = Some(entries(&value(name, input)?)?),
            "eager_at" => self.eager_at = Some((name.clone(), share(&value(name, input)?)?)),
            life if LIVES.contains(&life) => self.lives.push((name.clone(), duration(&value(name, input)?)?)),
            _ => return Err(Error::new(name.span(), format!("`{text}` is unknown here; there are {KNOWN}"))),
        }
        Ok(())
    }

    /// Checks what attributes say of each other.
    fn check(&self, seen: &[Ident]) -> Result<()> {
        let at =
            |name: &str| seen.iter().find(|ident| *ident == name).map_or_else(Span::call_site, Ident::span);
        if self.key.is_some() && !self.skip.is_empty() {
            let message = "`key` says all that the key is, so nothing is left to `skip`; give one of the two";
            return Err(Error::new(at("skip"), message));
        }
        if self.key.is_some() && self.name.is_some() {
            let message = "`name` begins the key that is made of the arguments; with `key` there is none, so leave it out";
            return Err(Error::new(at("name"), message));
        }
        if self.key.is_some() && self.cache.is_none() {
            let message = "a `key` of your own needs a cache of that type of key: cache = …";
            return Err(Error::new(at("key"), message));
        }
        if self.cache.is_some() && self.max_entries.is_some() {
            let message = "the cache that `cache` names has its own limit; leave `max_entries` out";
            return Err(Error::new(at("max_entries"), message));
        }
        Ok(())
    }

    /// A duration that was given.
    pub(crate) fn life(&self, name: &str) -> Option<&Ident> {
        self.lives.iter().map(|(ident, _)| ident).find(|ident| *ident == name)
    }
}

fn value<T: Parse>(name: &Ident, input: ParseStream<'_>) -> Result<T> {
    if !input.peek(Token![=]) {
        return Err(Error::new(name.span(), format!("`{name}` needs a value: {name} = …")));
    }
    input.parse::<Token![=]>()?;
    input.parse()
}

fn literal<T: Parse>(value: &Expr, right: &str) -> Result<T> {
    syn::parse2(quote::quote!(#value)).map_err(|_| Error::new(value.span(), right))
}

fn duration(value: &Expr) -> Result<Life> {
    let text: LitStr = literal(value, "a duration is text, such as \"30m\"")?;
    life::parse(&text.value()).map_err(|message| Error::new(text.span(), message))
}

fn named(value: &Expr) -> Result<LitStr> {
    let right = "a name is text of 1 to 128 bytes without control characters, such as \"users.find\"";
    let text: LitStr = literal(value, right)?;
    let name = text.value();
    let is_right = (1..=128).contains(&name.len()) && !name.contains(char::is_control);
    if is_right { Ok(text) } else { Err(Error::new(text.span(), right)) }
}

fn entries(value: &Expr) -> Result<LitInt> {
    let right = "a limit is a whole number of entries above zero, such as 10_000";
    let number: LitInt = literal(value, right)?;
    match number.base10_parse::<u64>() {
        Ok(1..) => Ok(number),
        _ => Err(Error::new(number.span(), right)),
    }
}

fn share(value: &Expr) -> Result<LitFloat> {
    let right = "a share of the life is a number between 0 and 1, such as 0.8";
    let number: LitFloat = literal(value, right)?;
    match number.base10_parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(number),
        _ => Err(Error::new(number.span(), right)),
    }
}

fn tags(name: &Ident, input: ParseStream<'_>) -> Result<Vec<Tag>> {
    let right = "`tags` is a list of texts: tags = [\"users\", \"user:{id}\"]";
    let list: ExprArray = literal(&value(name, input)?, right)?;
    let texts = list.elems.iter().map(|element| {
        let template: LitStr = literal(element, right)?;
        let names = template::names(&template.value()).map_err(|why| Error::new(template.span(), why))?;
        Ok(Tag { template, names })
    });
    texts.collect()
}
