//! The output of the processes: each line goes to the process's log file and, in the foreground,
//! labelled to the terminal.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use local_servers::Process;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;

use crate::layout::{Layout, open_private, private_folder};

/// The maximum length of a line in bytes; longer lines are split.
const MAX_LINE: usize = 64 * 1024;
/// The size in bytes at which a log is rotated. The rotated file replaces the previous one.
const MAX_LOG: u64 = 64 * 1024 * 1024;
/// The width of the label.
const LABEL: usize = 12;

/// Where log lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogView {
    /// In the files and on standard output.
    Merged,
    /// Only in the files.
    Hidden,
}

/// The log of one process.
#[derive(Debug, Clone)]
pub(super) struct Log {
    name: &'static str,
    view: LogView,
    color: bool,
    file: Arc<Mutex<LogFile>>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Log {
    /// Opens the log of a process.
    pub(super) fn open(layout: &Layout, name: &'static str, view: LogView) -> anyhow::Result<Log> {
        let path = layout.log(name);
        private_folder(&layout.logs())?;
        let file = open(&path)?;
        let written = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
        let color = cli_kit::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Log { name, view, color, file: Arc::new(Mutex::new(LogFile { path, file, written })) })
    }

    /// Reads the output of a process until it ends.
    pub(super) fn follow(&self, process: &mut Process) -> Vec<JoinHandle<std::io::Result<()>>> {
        let (stdout, stderr) = process.take_output();
        let mut readers = Vec::new();
        if let Some(pipe) = stdout.and_then(|pipe| tokio::process::ChildStdout::from_std(pipe).ok())
        {
            readers.push(tokio::spawn(copy(BufReader::new(pipe), self.clone())));
        }
        if let Some(pipe) = stderr.and_then(|pipe| tokio::process::ChildStderr::from_std(pipe).ok())
        {
            readers.push(tokio::spawn(copy(BufReader::new(pipe), self.clone())));
        }
        readers
    }

    /// Writes a line of the supervisor about the process.
    pub(super) fn note(&self, text: &str) {
        self.line(&format!("[stack] {text}"));
    }

    fn line(&self, text: &str) {
        let written =
            self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(text);
        if let Err(error) = written {
            eprintln!("stack: the log of {} cannot be written: {error:#}", self.name);
        }
        if self.view == LogView::Merged {
            let label = format!("{:<LABEL$}", self.name);
            let label = if self.color {
                format!("\x1b[{}m{label}\x1b[0m", color(self.name))
            } else {
                label
            };
            // A closed terminal is no reason to stop the processes.
            let _closed = writeln!(cli_kit::stdout(), "{label} | {text}");
        }
    }
}

impl LogFile {
    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        if self.written > MAX_LOG {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = open(&self.path)?;
            self.written = 0;
        }
        self.file.write_all(format!("{text}\n").as_bytes())?;
        self.written += text.len() as u64 + 1;
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    open_private(File::options().create(true).append(true), path)
}

async fn copy(mut pipe: impl AsyncBufRead + Unpin, log: Log) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        let chunk = pipe.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        let (used, whole) = chunk
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or((chunk.len(), false), |end| (end + 1, true));
        line.extend_from_slice(&chunk[..used]);
        pipe.consume(used);
        if whole || line.len() >= MAX_LINE {
            log.line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    if !line.is_empty() {
        log.line(String::from_utf8_lossy(&line).trim_end());
    }
    Ok(())
}

fn color(name: &str) -> u8 {
    match name {
        "command-api" => 36,
        "query-api" => 32,
        "event-relay" => 35,
        "projector" => 33,
        "front" => 31,
        "postgres" => 34,
        _ => 90,
    }
}
