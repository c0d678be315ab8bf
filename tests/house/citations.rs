//! Citations: rules by their ids, pages by links.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::sources::{Source, files, root, sources};

const RULE: &str = r"\b(?:ACT|KNOW|KEEP|TELL|SAFE)-\d+\b";

/// Cited rules that do not exist, and rules that no test cites.
pub(crate) fn rules() -> Vec<String> {
    let rule = Regex::new(RULE).unwrap();
    let page = fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let heading = Regex::new(&format!(r"(?m)^\*\*({RULE})")).unwrap();
    let known: BTreeSet<&str> = heading
        .captures_iter(&page)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(known.len() > 30, "{known:?}");
    let sources = sources();
    let mut faults = Vec::new();
    let mut tested = BTreeSet::new();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("tests/house"))
    {
        for found in rule.find_iter(&source.text) {
            if !known.contains(found.as_str()) {
                faults.push(format!(
                    "{} cites {}",
                    source.path.display(),
                    found.as_str()
                ));
            }
            if is_in_test(source, found.start()) {
                tested.insert(found.as_str());
            }
        }
    }
    let untested = known.difference(&tested);
    faults.extend(untested.map(|rule| format!("no test cites {rule}")));
    faults
}

fn is_in_test(source: &Source, at: usize) -> bool {
    let tests = source.text.find("\n#[cfg(test)]\nmod ");
    source.is_test() || tests.is_some_and(|tests| at > tests)
}

/// Links from a page to a missing file, or to a missing heading.
pub(crate) fn dead_links() -> Vec<String> {
    let mut faults = Vec::new();
    for page in files(".md") {
        for link in links(&page.text) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                root().join(&page.path)
            } else {
                root().join(page.path.parent().unwrap()).join(file)
            };
            if !target.exists() {
                faults.push(format!("{}: {link}", page.path.display()));
            } else if !anchor.is_empty() && target.extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(&target).unwrap();
                if !anchors(&text).contains(anchor) {
                    faults.push(format!("{}: {link} (no such heading)", page.path.display()));
                }
            }
        }
    }
    faults
}

/// The links of a page to other files, without code.
pub(crate) fn links(page: &str) -> Vec<String> {
    let code = Regex::new(r"(?s)```.*?```|`[^`\n]*`").unwrap();
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    // A link with code as its text stays a link.
    let page = code.replace_all(page, "code");
    let links = link.captures_iter(&page).map(|found| found[1].to_owned());
    links
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// The anchors of a page's headings, as GitHub builds them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// Words in capitals in place of text that is missing.
pub(crate) fn placeholders() -> Vec<String> {
    let mut faults = Vec::new();
    for page in files(".md") {
        for (line, number) in page.text.lines().zip(1..) {
            if is_placeholder(line) {
                faults.push(format!("{}:{number}: {line}", page.path.display()));
            }
        }
    }
    faults
}

/// Whether a line has such a word.
pub(crate) fn is_placeholder(line: &str) -> bool {
    let word = Regex::new(
        r"(?:^|[^\w`./-])(?:RELEASE|AGREEMENT|AGREENOTE|TODO|FIXME|TBD|XXX|PLACEHOLDER)\b",
    )
    .unwrap();
    word.is_match(line)
}
