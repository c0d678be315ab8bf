//! How long a function, a file and a line may be.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::sources::Source;

const FUNCTION: usize = 80;
const FILE: usize = 500;
const COLUMNS: usize = 100;

/// What is too long in a file.
pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let lines = source.text.lines().count();
    let mut faults = Vec::new();
    if lines > FILE {
        faults.push(format!("{path} has {lines} lines, more than {FILE}"));
    }
    let wide = source
        .text
        .lines()
        .zip(1..)
        .filter(|(line, _)| is_too_wide(line));
    faults
        .extend(wide.map(|(_, number)| format!("{path}:{number} is wider than {COLUMNS} columns")));
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{path}: {e}")));
    let long = functions
        .0
        .into_iter()
        .filter(|(_, lines)| *lines > FUNCTION);
    faults.extend(
        long.map(|(name, lines)| format!("{path}: {name} has {lines} lines, more than {FUNCTION}")),
    );
    faults
}

/// A text, a row of a table and an address cannot be cut without harm.
fn is_too_wide(line: &str) -> bool {
    if line.chars().count() <= COLUMNS {
        return false;
    }
    let is_comment = line.trim_start().starts_with("//");
    let is_table = line
        .trim_start()
        .trim_start_matches(['/', '!', ' '])
        .starts_with('|');
    let has_text = !is_comment && line.contains('"');
    !(is_table || has_text || line.contains("://"))
}

#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn note(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        let lines = span.end().line - span.start().line + 1;
        self.0.push((name.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}
