//! The limits on the length of functions, files and lines.

use std::ops::RangeInclusive;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::sources::Source;

const FUNCTION: usize = 80;
const FILE: usize = 500;
const COLUMNS: usize = 100;
/// A word of this many characters is not cut.
const LONG_WORD: usize = 60;

/// Everything in a file that is too long.
pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let lines = source.text.lines().count();
    let mut faults = Vec::new();
    if lines > FILE {
        faults.push(format!("{path} has {lines} lines, more than {FILE}"));
    }
    let mut found = Found::default();
    let parsed = syn::parse_file(&source.text);
    found.visit_file(&parsed.unwrap_or_else(|error| panic!("{path}: {error}")));
    for (line, number) in source.text.lines().zip(1..) {
        let is_formatted = !found
            .unformatted
            .iter()
            .any(|lines| lines.contains(&number));
        if is_too_wide(line, is_formatted) {
            faults.push(format!("{path}:{number} is wider than {COLUMNS} columns"));
        }
    }
    let long = found.functions.into_iter();
    let long = long.filter(|(_, lines)| *lines > FUNCTION);
    faults.extend(
        long.map(|(name, lines)| format!("{path}: {name} has {lines} lines, more than {FUNCTION}")),
    );
    faults
}

/// A string, a row of a table, a long name and a URL cannot be wrapped without harm.
fn is_too_wide(line: &str, is_formatted: bool) -> bool {
    if line.chars().count() <= COLUMNS || line.contains("://") {
        return false;
    }
    if line.split_whitespace().any(|word| word.len() >= LONG_WORD) {
        return false;
    }
    let line = line.trim_start();
    if line.starts_with("//") {
        return !line.trim_start_matches(['/', '!', ' ']).starts_with('|');
    }
    is_formatted && !line.contains('"')
}

#[derive(Default)]
struct Found {
    /// Names and lengths of functions.
    functions: Vec<(String, usize)>,
    /// Lines that rustfmt does not change: arguments of macros, attributes and strings.
    unformatted: Vec<RangeInclusive<usize>>,
}

impl Found {
    fn note(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = lines(block.span());
        let count = lines.end() - lines.start() + 1;
        self.functions.push((name.to_string(), count));
    }
}

fn lines(span: proc_macro2::Span) -> RangeInclusive<usize> {
    span.start().line..=span.end().line
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.unformatted.push(lines(called.span()));
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // A doc comment is an attribute too.
        if !attribute.path().is_ident("doc") {
            self.unformatted.push(lines(attribute.span()));
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.unformatted.push(lines(text.span()));
    }
}
