//! Runs programs to completion. A program that takes too long is killed, and its output so far is
//! reported.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::ServerError;

/// How often a program's end is checked.
const POLL: Duration = Duration::from_millis(5);
/// How long a killed program may take to end. Only the kernel can delay it longer.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// Runs a program to completion and returns its output.
///
/// # Errors
/// It cannot be started, or does not end in time. A failure exit is not an error here.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Output, ServerError> {
    let program = words(command);
    let spawned =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child =
        spawned.map_err(|source| ServerError::Spawn { program: program.clone(), source })?;
    end_of(&mut child, &program, limit)
}

/// Like [`finish`], without blocking the thread.
///
/// # Errors
/// See [`finish`].
pub async fn finish_async(
    command: &mut tokio::process::Command,
    limit: Duration,
) -> Result<Output, ServerError> {
    let program = words(command.as_std());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |source| ServerError::Spawn { program: program.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let work = async {
            tokio::try_join!(drain(out, &mut stdout), drain(err, &mut stderr), child.wait())
        };
        tokio::time::timeout(limit, work).await
    };
    match ended {
        Ok(ended) => {
            let ((), (), status) = ended.map_err(failed)?;
            Ok(Output { status, stdout, stderr })
        }
        Err(_) => Err(ServerError::Unfinished {
            program,
            seconds: limit.as_secs(),
            output: [stdout, stderr]
                .map(|said| String::from_utf8_lossy(&said).into_owned())
                .concat(),
        }),
    }
}

/// Reads a pipe to its end. What was read before a failure stays.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> std::io::Result<()> {
    match pipe {
        Some(mut pipe) => pipe.read_to_end(into).await.map(drop),
        None => Ok(()),
    }
}

/// Waits for the end of a running program, and returns what its pipes still hold, if it has any.
///
/// # Errors
/// It does not end in time and is killed, or a process that it started keeps its pipes open.
pub fn end_of(child: &mut Child, program: &str, limit: Duration) -> Result<Output, ServerError> {
    let deadline = Instant::now() + limit;
    let (stdout, stderr) =
        (child.stdout.take().map(Pipe::read), child.stderr.take().map(Pipe::read));
    let said = |pipe: &Option<Pipe>| pipe.as_ref().map(Pipe::so_far).unwrap_or_default();
    let unfinished = || {
        let output = format!(
            "{}{}",
            String::from_utf8_lossy(&said(&stdout)),
            String::from_utf8_lossy(&said(&stderr))
        );
        ServerError::Unfinished { program: program.to_owned(), seconds: limit.as_secs(), output }
    };
    let failed = |source| ServerError::Spawn { program: program.to_owned(), source };
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill().map_err(failed)?;
            let gone_by = Instant::now() + REAP_LIMIT;
            while child.try_wait().map_err(failed)?.is_none() && Instant::now() < gone_by {
                std::thread::sleep(POLL);
            }
            return Err(unfinished());
        }
        std::thread::sleep(POLL);
    };
    if [&stdout, &stderr].into_iter().flatten().any(|pipe| !pipe.ends_by(deadline)) {
        return Err(unfinished());
    }
    Ok(Output { status, stdout: said(&stdout), stderr: said(&stderr) })
}

/// The program and its arguments, as one line.
fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Collects a program's output in a thread, so that its pipes do not fill up. A child of the
/// program may keep them open.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Closed at the end of the pipe.
    end: mpsc::Receiver<()>,
}

impl Pipe {
    fn read(mut from: impl Read + Send + 'static) -> Pipe {
        let (at_end, end) = mpsc::channel();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut part = [0; 8 * 1024];
            while let Ok(count @ 1..) = from.read(&mut part) {
                to.lock().unwrap_or_else(PoisonError::into_inner).extend(part.iter().take(count));
            }
            drop(at_end);
        });
        Pipe { bytes, end }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ends_by(&self, deadline: Instant) -> bool {
        // The channel carries no messages: the wait ends when the reader ends or the time is up.
        let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
        !matches!(self.end.recv_timeout(left), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{finish, finish_async};
    use crate::PATIENCE;

    const SHORT: Duration = Duration::from_millis(500);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_is_heard_to_its_end() {
        let output = finish(&mut shell("seq 100000; echo no >&2; exit 3"), PATIENCE).unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(3), b"no\n".as_slice()));
        assert!(output.stdout.ends_with(b"99999\n100000\n"));
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_killed_and_told_of() {
        let started = Instant::now();
        let error = finish(&mut shell("echo here; exec sleep 600"), SHORT).unwrap_err().to_string();
        assert!(
            error.contains("sh -c echo here; exec sleep 600 did not end within")
                && error.contains("here\n"),
            "{error}"
        );
        // A process that it left behind keeps its pipe open.
        let error = finish(&mut shell("sleep 20 & echo gone"), SHORT).unwrap_err().to_string();
        assert!(error.contains("gone\n"), "{error}");
        let mut command = tokio::process::Command::from(shell("exec sleep 600"));
        let error = finish_async(&mut command, SHORT).await.unwrap_err().to_string();
        assert!(error.contains("sleep 600 did not end within"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}
