//! The `#[state]` attribute of `reloader-guest`; use it from there, as
//! `reloader_guest::attribute::state`.
//!
//! The attribute recognises a static and hands it to `reloader_guest::state!`, which alone knows
//! what a state variable is made of. Recognising takes a handful of tokens, so that this crate
//! needs no parser and costs a guest next to nothing to build.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a static a state variable: one that keeps its value when the guest is reloaded.
///
/// `#[state] static NAME: Type = value;` means `state! { static NAME: Type = value; }`.
#[proc_macro_attribute]
pub fn state(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(argument) = arguments.into_iter().next() {
        return error(argument.span(), "#[state] takes no arguments");
    }
    match keyword(item.clone()) {
        Some(keyword) if keyword.to_string() == "static" => state_macro(item),
        Some(other) => error(other.span(), "#[state] applies to a static with an initialiser"),
        None => error(Span::call_site(), "#[state] applies to a static with an initialiser"),
    }
}

/// The first token of an item that is neither an attribute nor part of its visibility.
fn keyword(item: TokenStream) -> Option<TokenTree> {
    let mut tokens = item.into_iter().peekable();
    loop {
        match tokens.next()? {
            TokenTree::Punct(hash) if hash.as_char() == '#' => {
                tokens.next();
            }
            TokenTree::Ident(word) if word.to_string() == "pub" => {
                tokens.next_if(|next| {
                    matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
                });
            }
            // A visibility that a `macro_rules` captured arrives in a group without delimiters.
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                if let Some(inner) = keyword(group.stream()) {
                    return Some(inner);
                }
            }
            keyword => return Some(keyword),
        }
    }
}

/// `::reloader_guest::state! { item }`
fn state_macro(item: TokenStream) -> TokenStream {
    let span = Span::call_site();
    let mut call = path(&["reloader_guest", "state"], span);
    call.extend(bang(Delimiter::Brace, item, span));
    call
}

/// `::core::compile_error! { "message" }`, reported at `span`.
fn error(span: Span, message: &str) -> TokenStream {
    let mut text = Literal::string(message);
    text.set_span(span);
    let mut call = path(&["core", "compile_error"], span);
    call.extend(bang(Delimiter::Brace, TokenTree::Literal(text).into(), span));
    call
}

fn path(names: &[&str], span: Span) -> TokenStream {
    names
        .iter()
        .flat_map(|name| {
            [
                punct(':', Spacing::Joint, span),
                punct(':', Spacing::Alone, span),
                TokenTree::Ident(Ident::new(name, span)),
            ]
        })
        .collect()
}

fn bang(delimiter: Delimiter, argument: TokenStream, span: Span) -> [TokenTree; 2] {
    let mut group = Group::new(delimiter, argument);
    group.set_span(span);
    [punct('!', Spacing::Alone, span), TokenTree::Group(group)]
}

fn punct(character: char, spacing: Spacing, span: Span) -> TokenTree {
    let mut punct = Punct::new(character, spacing);
    punct.set_span(span);
    TokenTree::Punct(punct)
}
