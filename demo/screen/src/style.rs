//! Styled lines, and their rendering for a terminal. Pure, except that it reads the environment
//! once.

use crate::words;

/// Capabilities of a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    /// Colours and bold or dim text.
    pub(crate) colour: bool,
    /// Block characters, which need UTF-8.
    pub(crate) blocks: bool,
}

impl Theme {
    /// From the usual variables: `NO_COLOR`, `TERM`, and the locale.
    pub(crate) fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = variable("LC_ALL")
            .or_else(|| variable("LC_CTYPE"))
            .or_else(|| variable("LANG"))
            .unwrap_or_default()
            .to_lowercase();
        Self {
            colour: variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|t| t != "dumb"),
            blocks: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }
}

/// Style of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
        }
    }
}

/// One line of the screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    /// The line with one more piece.
    #[must_use]
    pub(crate) fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Text for a terminal of `width` columns.
    pub(crate) fn render(&self, width: usize, theme: Theme) -> String {
        let mut left = width;
        let mut line = String::new();
        for (style, text) in &self.0 {
            let text = words::cut(text, left, theme.blocks);
            left -= text.chars().count();
            let code = if theme.colour { style.code() } else { "" };
            line.push_str(code);
            line.push_str(&text);
            if !code.is_empty() {
                line.push_str("\x1b[0m");
            }
        }
        line
    }
}
