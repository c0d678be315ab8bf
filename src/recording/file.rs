//! The file of a recording: bounded, readable only by its owner, and without partial lines. Blocks
//! on the disk.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lagrange_core::recording::Line;

use super::recorder::Entry;

/// Owner only: topics and progress of a group are confidential.
const MODE: u32 = 0o600;

/// A recording on disk: the current file and the previous one.
#[derive(Debug)]
pub(super) struct Recording {
    path: PathBuf,
    /// Most bytes of each of the two files.
    most: u64,
    open: Option<Open>,
    /// Number of the last entry written.
    last: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of whole lines.
    size: u64,
}

impl Recording {
    /// A recording at `path` of at most `limit` bytes. The first write opens the file.
    pub(super) fn new(path: PathBuf, limit: u64) -> Self {
        Self {
            path,
            most: limit / 2,
            open: None,
            last: 0,
        }
    }

    /// Appends an entry, completely or not at all.
    pub(super) fn write(&mut self, mut entry: Entry) -> io::Result<()> {
        let mut lines = String::new();
        for line in &entry.lines {
            push(&mut lines, line)?;
        }
        let begins = matches!(entry.lines.first(), Some(Line::Init(init)) if !init.continues);
        let is_lost = entry.number != self.last + 1 && !begins;
        // After lost lines the recording starts again and does not continue.
        entry.head.continues = !is_lost;
        let mut head = String::new();
        push(&mut head, &Line::Init(Box::new(entry.head)))?;
        let whole = bytes(&lines) + bytes(&head);
        if whole > self.most {
            return Err(io::Error::other(format!(
                "one poll takes {whole} bytes, more than half of the limit: raise --record-limit"
            )));
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        let is_full = open.size + whole > self.most;
        if is_full {
            drop(open);
            fs::rename(&self.path, self.before())?;
            open = Open::at(&self.path)?;
        }
        if is_lost || (is_full && !begins) {
            lines.insert_str(0, &head);
        }
        open.append(&lines)?;
        self.open = Some(open);
        self.last = entry.number;
        Ok(())
    }

    /// Path of the previous file.
    fn before(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".1");
        path.into()
    }
}

impl Open {
    /// Opens the file at `path`, or creates it, and truncates it after its last whole line.
    fn at(path: &Path) -> io::Result<Self> {
        // Without these flags a pipe without a reader would block, and a link would be followed.
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if metadata.permissions().mode() & 0o777 != MODE {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        let size = whole_lines(&mut file, metadata.len())?;
        if size < metadata.len() {
            file.set_len(size)?;
        }
        Ok(Self { file, size })
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        let written = self.file.write_all(lines.as_bytes());
        if written.is_err() {
            // A full disk may have taken a part of it. If the part cannot be removed now, the next
            // open removes it.
            let _ = self.file.set_len(self.size);
        }
        written?;
        self.size += bytes(lines);
        Ok(())
    }
}

/// Bytes up to the end of the last whole line of a file: the process may have been killed in the
/// middle of a line.
fn whole_lines(file: &mut File, size: u64) -> io::Result<u64> {
    const CHUNK: u64 = 64 * 1024;
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(begin))?;
        let mut chunk = Vec::new();
        Read::take(&mut *file, end - begin).read_to_end(&mut chunk)?;
        if let Some(place) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + u64::try_from(place).unwrap_or(0) + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn push(lines: &mut String, line: &Line) -> io::Result<()> {
    lines.push_str(&serde_json::to_string(line)?);
    lines.push('\n');
    Ok(())
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
