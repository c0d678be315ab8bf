//! The terminal: switches to its alternate screen and back.

use std::io::{self, Write as _};

use terminal_size::{Height, Width};

use crate::style::{Line, Theme};

/// Columns and rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A terminal that shows its alternate screen until this is dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) theme: Theme,
}

impl Terminal {
    pub(crate) fn enter(theme: Theme) -> Self {
        write("\x1b[?1049h\x1b[?25l");
        Self { theme }
    }

    pub(crate) fn size() -> Size {
        let (Width(width), Height(height)) =
            terminal_size::terminal_size().unwrap_or((Width(80), Height(24)));
        Size {
            width: usize::from(width),
            height: usize::from(height),
        }
    }

    /// Draws over the previous screen, so that nothing flickers.
    pub(crate) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let Size { width, height } = Self::size();
        let rows: Vec<String> = lines
            .iter()
            .take(height)
            // The last column stays free: when the rest of the line is cleared, a terminal would
            // also clear a character in that column.
            .map(|line| line.render(width.saturating_sub(1), self.theme))
            .collect();
        let frame = format!("\x1b[H{}\x1b[K\x1b[J", rows.join("\x1b[K\r\n"));
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        write("\x1b[?25h\x1b[?1049l");
    }
}

/// Writes to the terminal. Errors are ignored: the terminal may be closed.
fn write(codes: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(codes.as_bytes());
    let _ = out.flush();
}
