//! Files that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::sources::{Source, sources, without_tests};

/// Crates whose files run one way.
const CRATES: [&str; 2] = ["crates/core/src", "src"];

static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)//.*$").unwrap());
static USE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]*);").unwrap());
static CALL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:crate|super)(?:::\w+)+").unwrap());

/// The path of a module or of what it holds, below its crate.
type Path = Vec<String>;

/// The circles of all crates, as lists of files.
pub(crate) fn found() -> Vec<String> {
    CRATES.iter().flat_map(|name| of_crate(name)).collect()
}

fn of_crate(root: &str) -> Vec<String> {
    let all = sources().into_iter();
    let files: Vec<Source> = all
        .filter(|source| source.path.starts_with(root) && !source.is_test())
        .collect();
    assert!(files.len() > 20, "{root} has files");
    let named = |circle: Vec<usize>| {
        let names = circle
            .iter()
            .map(|place| files[*place].path.display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    let arrows = arrows(&files);
    let circles = of(&arrows, files.len()).into_iter();
    circles.map(named).collect()
}

/// Which file needs which, by their places. What a file takes from below itself is its own.
pub(crate) fn arrows(files: &[Source]) -> Vec<(usize, usize)> {
    let modules: Vec<Module> = files.iter().map(Module::of).collect();
    let places: BTreeMap<&[String], usize> = (modules.iter().zip(0..))
        .map(|(module, place)| (&*module.path, place))
        .collect();
    let names: Vec<BTreeMap<String, Path>> =
        modules.iter().map(|module| module.names(&places)).collect();
    let mut arrows = Vec::new();
    for (from, module) in modules.iter().enumerate() {
        for path in module.needs() {
            let to = defined(&path, &places, &names, 0);
            arrows.extend(to.filter(|to| *to != from).map(|to| (from, to)));
        }
    }
    arrows
}

/// The file that defines what a path names: the longest part of it that is a file, or whatever that
/// file has it from.
fn defined(
    path: &[String],
    places: &BTreeMap<&[String], usize>,
    names: &[BTreeMap<String, Path>],
    depth: usize,
) -> Option<usize> {
    let (length, place) = (1..=path.len())
        .rev()
        .find_map(|n| Some((n, *places.get(&path[..n])?)))?;
    let from = path.get(length).and_then(|name| names[place].get(name));
    match from {
        Some(from) if depth < 8 => {
            let whole = [from, &path[length + 1..]].concat();
            defined(&whole, places, names, depth + 1).or(Some(place))
        }
        _ => Some(place),
    }
}

/// A file as a module.
struct Module {
    path: Path,
    /// What its `use` statements bring in, and under which name if that is another.
    uses: Vec<(String, Option<String>)>,
    /// Paths in its code, from the crate or from the module above.
    inline: Vec<String>,
}

impl Module {
    fn of(file: &Source) -> Self {
        let text = COMMENT.replace_all(without_tests(&file.text), "");
        let trees = USE.captures_iter(&text).map(|found| {
            let tree = found[1].replace(" as ", "@");
            tree.split_whitespace().collect::<String>()
        });
        let uses = trees
            .flat_map(|tree| expanded(&tree))
            .map(|path| match path.split_once('@') {
                Some((path, name)) => (path.to_owned(), Some(name.to_owned())),
                None => (path, None),
            });
        let uses = uses.collect();
        let code = USE.replace_all(&text, "");
        let inline = CALL.find_iter(&code).map(|found| found.as_str().to_owned());
        Self {
            path: module(&file.path),
            uses,
            inline: inline.collect(),
        }
    }

    /// What its names refer to, if that is in the same crate.
    fn names(&self, places: &BTreeMap<&[String], usize>) -> BTreeMap<String, Path> {
        let of = |(path, name): &(String, Option<String>)| {
            let first = path.split("::").next()?;
            let whole = if ["crate", "super", "self"].contains(&first) {
                absolute(path, &self.path)?
            } else {
                let child = [&self.path[..], &[first.to_owned()]].concat();
                places.get(&*child)?;
                let below = path.split("::").map(ToOwned::to_owned);
                self.path.iter().cloned().chain(below).collect()
            };
            let name = name.clone().or_else(|| whole.last().cloned())?;
            // A name that refers to itself leads nowhere else.
            let itself = [&self.path[..], std::slice::from_ref(&name)].concat();
            (whole != itself).then_some((name, whole))
        };
        self.uses.iter().filter_map(of).collect()
    }

    /// What it uses from elsewhere in its crate.
    fn needs(&self) -> BTreeSet<Path> {
        let uses = self.uses.iter().map(|(path, _)| path);
        let of_crate = |path: &&String| {
            let first = path.split("::").next().unwrap_or_default();
            ["crate", "super", "self"].contains(&first)
        };
        let all = uses.chain(&self.inline).filter(of_crate);
        let all = all.filter_map(|path| absolute(path, &self.path));
        let is_own = |path: &Path| path.len() > self.path.len() && path.starts_with(&self.path);
        all.filter(|path| !is_own(path)).collect()
    }
}

/// The path of a file's module below the crate; empty for the crate itself.
fn module(path: &std::path::Path) -> Path {
    let inside = path.to_str().unwrap().split("src/").nth(1).unwrap();
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    match inside {
        "lib" => Vec::new(),
        inside => inside.split('/').map(ToOwned::to_owned).collect(),
    }
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts
        .flat_map(|part| expanded(&format!("{before}{part}")))
        .collect()
}

fn absolute(path: &str, module: &[String]) -> Option<Path> {
    let mut parts = path.split("::").filter(|part| *part != "self").peekable();
    let mut base = module.to_vec();
    if parts.next_if_eq(&"crate").is_some() {
        base.clear();
    }
    while parts.next_if_eq(&"super").is_some() {
        base.pop()?;
    }
    base.extend(parts.map(ToOwned::to_owned));
    Some(base)
}

/// The groups of more than one of `count` places that lead to each other.
pub(crate) fn of(arrows: &[(usize, usize)], count: usize) -> Vec<Vec<usize>> {
    let mut reach = vec![vec![false; count]; count];
    for (from, to) in arrows {
        reach[*from][*to] = true;
    }
    for via in 0..count {
        let further = reach[via].clone();
        for reached in reach.iter_mut().filter(|reached| reached[via]) {
            for (to, from_via) in reached.iter_mut().zip(&further) {
                *to |= from_via;
            }
        }
    }
    let mut circles: Vec<Vec<usize>> = (0..count)
        .map(|one| {
            (0..count)
                .filter(|two| reach[one][*two] && reach[*two][one])
                .collect()
        })
        .filter(|circle: &Vec<usize>| circle.len() > 1)
        .collect();
    circles.dedup();
    circles.sort();
    circles.dedup();
    circles
}
