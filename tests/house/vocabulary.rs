//! One concept has one name: words that docs/glossary.md replaced are in no identifier.

use proc_macro2::{TokenStream, TokenTree};

use crate::sources::Source;

/// Words that are not used, and the words that are.
const REPLACED: [(&str, &str); 19] = [
    ("beliefs", "measurements"),
    ("believe", "accept"),
    ("believed", "accepted"),
    ("brake", "pause"),
    ("doubt", "regression grace"),
    ("fullest", "max load"),
    ("law", "autoscaler"),
    ("laws", "autoscalers"),
    ("learnt", "measured, or capacity model"),
    ("look", "poll, or snapshot"),
    ("looks", "polls"),
    ("plateau", "bottleneck"),
    ("pump", "event loop"),
    ("regret", "flap"),
    ("regrets", "flaps"),
    ("sight", "view, or state"),
    ("slept", "at zero"),
    ("stock", "store"),
    ("told", "reported, logged, or expected"),
];

/// To look something up is no poll.
const OTHERS: [&str; 1] = ["look_up"];

/// Identifiers of a file with a word that is not used.
pub(crate) fn replaced(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let tokens: TokenStream = source
        .text
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut identifiers = Vec::new();
    collect(tokens, &mut identifiers);
    let mut faults = Vec::new();
    for identifier in identifiers {
        let words = words(&identifier);
        let replaced = REPLACED
            .iter()
            .find(|(word, _)| words.iter().any(|w| w == word));
        if let Some((word, instead)) = replaced
            && !OTHERS.contains(&identifier.as_str())
        {
            faults.push(format!("{path}: {identifier}: for {word}, write {instead}"));
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

fn collect(tokens: TokenStream, identifiers: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), identifiers),
            TokenTree::Ident(identifier) => identifiers.push(identifier.to_string()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The words of `snake_case`, `CamelCase` and `UPPER_CASE`, in lower case.
pub(crate) fn words(identifier: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before_is_lower = false;
    for part in identifier.split('_') {
        let mut begins = true;
        for letter in part.chars() {
            if begins || (letter.is_uppercase() && before_is_lower) {
                words.push(String::new());
            }
            begins = false;
            before_is_lower = letter.is_lowercase();
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
        }
    }
    words
}
