//! A command that runs repeatedly, with a reader of its output. It ends when dropped.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// A running command and the thread that reads it.
pub(crate) struct Feed {
    shared: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    child: Option<Child>,
}

impl Feed {
    /// Runs `command`, passes its standard output to `read`, and runs it again `pause` after its
    /// end, whatever its exit status: the API server ends a watch after some time, and a page may
    /// not exist yet.
    pub(crate) fn start(
        mut command: Command,
        pause: Duration,
        mut read: impl FnMut(&mut dyn Read) + Send + 'static,
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let shared = Arc::new(Mutex::new(State::default()));
        let mine = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Some(mut output) = begin(&mut command, &mine) {
                read(&mut output);
                drop(output);
                finish(&mine);
                std::thread::park_timeout(pause);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }
}

/// Starts the command, unless the feed has ended.
fn begin(command: &mut Command, shared: &Mutex<State>) -> Option<Box<dyn Read>> {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if state.stopping {
        return None;
    }
    // If the program does not exist, nothing is read, and the summary shows that.
    let mut child = command.spawn().ok()?;
    let output = child.stdout.take()?;
    state.child = Some(child);
    Some(Box::new(std::io::BufReader::new(output)))
}

fn finish(shared: &Mutex<State>) {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(mut child) = state.child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopping = true;
        // The output ends with the command, and then the thread does.
        finish(&self.shared);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_ended_runs_again() {
        let (sender, heard) = mpsc::channel();
        let _feed = Feed::start(
            shell("echo here"),
            Duration::from_millis(1),
            move |output| {
                let mut text = String::new();
                let _ = output.read_to_string(&mut text);
                let _ = sender.send(text);
            },
        );
        for _ in 0..3 {
            assert_eq!(
                heard.recv_timeout(Duration::from_secs(10)).unwrap(),
                "here\n"
            );
        }
    }

    #[test]
    fn dropping_it_ends_a_running_command() {
        let (sender, heard) = mpsc::channel();
        let feed = Feed::start(
            shell("echo $$; exec sleep 3600"),
            Duration::from_secs(3600),
            move |output| {
                let mut text = String::new();
                let mut byte = [0];
                while matches!(output.read(&mut byte), Ok(1)) {
                    if byte == *b"\n" {
                        let _ = sender.send(std::mem::take(&mut text));
                    }
                    text.push(char::from(byte[0]));
                }
            },
        );
        let pid = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        let began = Instant::now();
        drop(feed);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(!std::path::Path::new("/proc").join(pid).exists());
    }
}
